"""Lists of sessions as the command line has them: 6,7,9 and 1-200."""

from __future__ import annotations

from typing import Annotated, Final

from tyro.constructors import PrimitiveConstructorSpec

_MOST: Final = 100_000
"""Sessions of a range: a slip of the finger is to be no list of billions."""


def session_ids(text: str) -> tuple[int, ...]:
    """The ids in a list.

    Args:
        text: whole numbers and ranges of them, separated by commas: 6,7,9 or 1-200,205.

    Returns:
        The ids, in the order given.

    Raises:
        ValueError: it is no such list.
    """
    found: list[int] = []
    for word in filter(None, map(str.strip, text.split(","))):
        first, dash, last = word.partition("-")
        if not (dash and first and last):
            found.append(int(word))
            continue
        begin, end = int(first), int(last)
        if end < begin or end - begin >= _MOST:
            raise ValueError(f"{word}: a range goes up, and over {_MOST:,} sessions at most")
        found += range(begin, end + 1)
    return tuple(found)


SessionIds = Annotated[
    tuple[int, ...],
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="ID,ID-ID,...",
        instance_from_str=lambda words: session_ids(words[0]),
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [",".join(map(str, value)) or "none"],
    ),
]

"""Numbers of sessions: counted from 1, apart from those that are dates."""

from __future__ import annotations

from typing import Final

DATES: Final = range(19_700_101, 100_000_000)
"""Numbers that are dates (20261127), as a recording of several days has them."""

NO_DATE: Final = f"NOT BETWEEN {DATES.start} AND {DATES.stop - 1}"
"""The same of a column of SQL, negated."""


def next_after(highest: int) -> int:
    """The next number to give.

    Args:
        highest: the highest in the store that is no date, 0 if there is none.

    Returns:
        A number that is no date either.
    """
    following = highest + 1
    return DATES.stop if following in DATES else following

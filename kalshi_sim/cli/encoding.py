"""Output where not all characters can be shown: a C locale, or a stream that is not UTF-8."""

from __future__ import annotations

import codecs
import os
import sys
from typing import Final, TextIO

_PLAIN: Final = str.maketrans(
    {
        "·": "-",
        "–": "-",
        "…": "...",
        "→": "->",
        "’": "'",
        "×": "x",
        "≈": "~",
        "•": "*",
        **dict.fromkeys("─━╌╴╶╸╺═", "-"),
        **dict.fromkeys("│┃║", "|"),
        **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼╞╡╪", "+"),
    }
)
"""What stands for the signs of our own texts and frames."""
_ERRORS: Final = "kalshi-sim-plain"


def in_ascii(text: str) -> str:
    r"""`text` with escapes (`\u00e9`, as in JSON) for all that is not ASCII."""
    return "".join(c if c.isascii() else _escape(c) for c in text)


def is_utf8(stream: TextIO) -> bool:
    """Whether all characters can be written to a stream."""
    return (stream.encoding or "").lower().replace("_", "-") in ("utf-8", "utf8")


def use_what_can_be_shown() -> None:
    """Let standard output and error write plain signs for those that their encoding lacks.

    In a C locale that is ASCII, although Python would write UTF-8 there.
    """
    plain = os.environ.get("LC_ALL") in ("C", "POSIX") and "PYTHONIOENCODING" not in os.environ
    for stream in (sys.stdout, sys.stderr):
        # What replaces a stream (a notebook's, a test's) takes all characters.
        if hasattr(stream, "reconfigure") and (plain or not is_utf8(stream)):
            encoding = "ascii" if plain else stream.encoding
            stream.reconfigure(encoding=encoding, errors=_ERRORS)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return in_ascii(text.translate(_PLAIN)), error.end


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i] << 8 | units[i + 1]:04x}" for i in range(0, len(units), 2))


codecs.register_error(_ERRORS, _plain)

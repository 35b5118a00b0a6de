"""Recorded text made safe to show: tickers and messages come from outside."""

from __future__ import annotations

import unicodedata
from typing import Final

_SHORTEST_CUT: Final = 16
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that steer a terminal or a reader's eye instead of showing a glyph."""


def printable(text: str, most: int | None = None) -> str:
    r"""`text` with control, format and unassigned characters as escapes (`\x1b`, `\u202e`).

    Args:
        text: what was recorded.
        most: cut to so many characters, with an ellipsis; None cuts nothing.
    """
    if most is not None and len(text) > most:
        text = text[: max(most, _SHORTEST_CUT) - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in _UNSAFE else c
        for c in text
    )


def printable_lines(text: str) -> str:
    """Like `printable`, with the line feeds and tabs of a message of our own left in place."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))

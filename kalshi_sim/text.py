"""Recorded text made safe to show: tickers and messages come from outside."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

from kalshi_sim.units import CENTS_PER_DOLLAR

_FINE_CENTS: Final = 10
"""Smaller amounts than this are shown to 1/100 cent."""
_SHORTEST_CUT: Final = 16
_FIRST_ASTRAL: Final = 0x10000
_LONGEST_NAME: Final = 120
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that steer a terminal or a reader's eye instead of showing a glyph."""


def dollars(cents: float | None, *, signed: bool = False) -> str:
    """Money as people read it: $1,234.50, of less than ten cents to 1/100 cent; "-" is no amount.

    Args:
        cents: the amount; None if there is none.
        signed: a gain or a loss, so that a plus stands before a gain.

    Returns:
        The text, in ASCII; a minus stands before the dollar sign.
    """
    if cents is None:
        return "-"
    digits = 4 if 0 < abs(cents) < _FINE_CENTS else 2
    amount = f"{abs(cents) / CENTS_PER_DOLLAR:,.{digits}f}"
    if not float(amount.replace(",", "")):
        return "$0.00"
    return f"{'-' if cents < 0 else '+' if signed else ''}${amount}"


def numbered(n: int, noun: str, plural: str | None = None) -> str:
    """A number and what is counted, in the singular or the plural: 1 segment, 2,000 segments.

    Args:
        n: how many.
        noun: in the singular.
        plural: of the noun; None: with an s.

    Returns:
        The text.
    """
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def printable(text: str, most: int | None = None) -> str:
    r"""`text` with control, format and unassigned characters as escapes (`\x1b`, `\u202e`).

    Args:
        text: what was recorded.
        most: cut to so many characters, with an ellipsis; None cuts nothing.

    Returns:
        The text, safe to show on a terminal.
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


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON for a terminal; bytes of a name that is no UTF-8 are lone surrogates in it.

    Args:
        value: what msgspec can encode.
        indent: blanks of a level; None: all on one line.

    Returns:
        The text.
    """
    import msgspec

    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=indent or -1).decode()
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(value), indent=indent)
    return escaped_json(text)


def escaped_json(text: str) -> str:
    """JSON with what controls a terminal as JSON's own escapes; its value stays the same."""
    if text.isascii() and "\x7f" not in text:
        return text  # JSON itself escapes the control characters before the blank
    return "".join(
        f"\\u{ord(c):04x}"
        if c != "\n" and ord(c) < _FIRST_ASTRAL and unicodedata.category(c) in _UNSAFE
        else c
        for c in text
    )


_RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
"""Names that Windows keeps for devices, whatever comes after a dot."""


def file_names(tickers: Sequence[str]) -> list[str]:
    """A name of letters, digits, `.`, `_` and `-` for each ticker, no two alike.

    A ticker of these characters is its own name, unless it is one of Windows's devices; another
    one's ends with a hash of it. Names that differ in case alone count as alike, as some file
    systems have it.
    """
    names: list[str] = []
    taken: set[str] = set()
    plain = {t.casefold() for t in tickers if _plain_name(t) == t}
    for ticker in tickers:
        name = _plain_name(ticker)
        if name != ticker or name.casefold() in taken:
            digest = hashlib.sha256(ticker.encode("utf-8", "surrogatepass")).hexdigest()
            name = next(
                made
                for length in range(8, len(digest) + 1)
                if (made := f"{name}-{digest[:length]}").casefold() not in taken | plain
            )
        taken.add(name.casefold())
        names.append(name)
    return names


def _plain_name(ticker: str) -> str:
    name = re.sub(r"^[.-]|[^A-Za-z0-9._-]", "_", ticker)[:_LONGEST_NAME]
    return f"_{name}" if not name or _RESERVED.match(name) else name

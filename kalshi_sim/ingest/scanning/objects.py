"""The objects of a line of JSON, where they are of the plain shape that recorders write.

Read are objects whose values are texts of ASCII without escapes, integers, decimals and literals,
and the objects `msg` and `raw`; a text `raw` may escape its quotes. Everything else, however legal,
is left to the decoder, and so is a key that is there twice.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from kalshi_sim.ingest.scanning import words as w
from kalshi_sim.ingest.scanning.values import COLON, MINUS, NINE, POINT, ZERO, is_digit
from kalshi_sim.ingest.scanning.words import Text, word_number
from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.session import Int64Array

ABSENT, TEXT, INTEGER, DECIMAL, TRUE, FALSE, NULL, OBJECT = range(8)
"""Forms of a value."""
_FAILED: Final = -2
_CLOSED: Final = -1
_LONGEST_INTEGER: Final = 19
"""Digits of an integer; one of so many that begins with 9 may not fit 64 bits."""
_QUOTE: Final = ord('"')
_ESCAPE: Final = ord("\\")
OPEN: Final = ord("{")
_CLOSE: Final = ord("}")
_COMMA: Final = ord(",")
LINE_END: Final = ord("\n")
_BLANK: Final = ord(" ")
_TAB: Final = ord("\t")
_RETURN: Final = ord("\r")
_LETTER_E: Final = ord("e")
_CAPITAL_E: Final = ord("E")
_WORD_TRUE: Final = int.from_bytes(b"true", "big")
_WORD_NULL: Final = int.from_bytes(b"null", "big")
_WORD_FALS: Final = int.from_bytes(b"fals", "big")
_FIRST_BEYOND_ASCII: Final = 128
_PLAIN: Final = np.array(
    [_BLANK <= c < _FIRST_BEYOND_ASCII and c not in (_QUOTE, _ESCAPE) for c in range(1 << 8)]
)
"""Whether a byte can stand in a text as it is."""


class Found(NamedTuple):
    """The values of one object, by the number of their key (the last: of unknown keys)."""

    first: Int64Array
    stop: Int64Array
    form: Int64Array


def make_found() -> Found:
    """Room for the values of an object."""
    return Found(*(np.zeros(w.N_READ + 1, np.int64) for _ in range(3)))


@hot_jit
def after_blanks(text: Text, at: int, stop: int) -> int:
    """The first place that is no blank within a line.

    Args:
        text: uint8 [n_bytes].
        at: where to begin.
        stop: the end of the line.
    """
    while at < stop and (text[at] == _BLANK or text[at] == _TAB or text[at] == _RETURN):
        at += 1
    return at


@hot_jit
def _text_end(text: Text, at: int, stop: int) -> int:
    """Where the quote is that ends a text; -1 if the text is none of plain ASCII."""
    while at < stop:
        character = text[at]
        if not _PLAIN[character]:
            return at if character == _QUOTE else -1
        at += 1
    return -1


@hot_jit
def _digits_end(text: Text, at: int, stop: int) -> int:
    while at < stop and is_digit(text[at]):
        at += 1
    return at


@hot_jit
def _literal(text: Text, at: int, stop: int) -> int:
    """The form of true, false or null at a place; 0 for anything else."""
    if at + 4 > stop:
        return 0
    four = (
        (np.int64(text[at]) << 24)
        | (np.int64(text[at + 1]) << 16)
        | (np.int64(text[at + 2]) << 8)
        | np.int64(text[at + 3])
    )
    if four == _WORD_TRUE:
        return TRUE
    if four == _WORD_NULL:
        return NULL
    return FALSE if four == _WORD_FALS and at + 4 < stop and text[at + 4] == _LETTER_E else 0


@hot_jit
def _value(text: Text, at: int, stop: int, found: Found, key: int) -> int:
    """Note where a text, number or literal lies; the place after it, -1 for anything else."""
    character = text[at]
    if character == _QUOTE:
        end = _text_end(text, at + 1, stop)
        found.form[key] = TEXT
        found.first[key] = at + 1
        found.stop[key] = end
        return -1 if end < 0 else end + 1
    form = _literal(text, at, stop)
    if form:
        found.form[key] = form
        return at + (5 if form == FALSE else 4)
    digits = at + (character == MINUS)
    end = _digits_end(text, digits, stop)
    if end == digits or (text[digits] == ZERO and end > digits + 1):
        return -1
    found.form[key] = INTEGER
    found.first[key] = at
    if end < stop and text[end] == POINT:
        digits = end + 1
        end = _digits_end(text, digits, stop)
        if end == digits:
            return -1
        found.form[key] = DECIMAL
    elif end - digits > _LONGEST_INTEGER or (
        end - digits == _LONGEST_INTEGER and text[digits] == NINE
    ):
        return -1
    found.stop[key] = end
    if end < stop and (text[end] == _LETTER_E or text[end] == _CAPITAL_E):
        return -1
    return end


@hot_jit
def _unescaped(text: Text, at: int, stop: int) -> tuple[int, int]:
    """Take the backslashes before quotes out of a text, in place: its end, the place after it.

    (-1, -1) if it has other escapes or no end.
    """
    to = at
    while at < stop:
        character = text[at]
        if character == _QUOTE:
            return to, at + 1
        if character == _ESCAPE:
            at += 1
            if at >= stop or text[at] != _QUOTE:
                return -1, -1
            character = text[at]
        elif character < _BLANK or character >= _FIRST_BEYOND_ASCII:
            return -1, -1
        text[to] = character
        to += 1
        at += 1
    return -1, -1


@hot_jit
def _members(text: Text, at: int, stop: int, begin: bool, found: Found) -> tuple[int, int]:
    """Read an object's members from a place in it: (place, key) after the next that holds more.

    The key is RAW with the place of the text's first character, or one with the place after the
    brace of its object; _CLOSED with the place after the object; _FAILED.
    """
    while True:
        at = after_blanks(text, at, stop)
        if at >= stop:
            return at, _FAILED
        if text[at] == _CLOSE:
            return at + 1, _CLOSED
        if not begin:
            if text[at] != _COMMA:
                return at, _FAILED
            at = after_blanks(text, at + 1, stop)
        begin = False
        if at >= stop or text[at] != _QUOTE:
            return at, _FAILED
        end = _text_end(text, at + 1, stop)
        if end < 0:
            return at, _FAILED
        key = word_number(text, at + 1, end)
        if key > w.UNKNOWN or (key != w.UNKNOWN and found.form[key] != ABSENT):
            return at, _FAILED
        at = after_blanks(text, end + 1, stop)
        if at >= stop or text[at] != COLON:
            return at, _FAILED
        at = after_blanks(text, at + 1, stop)
        if at >= stop:
            return at, _FAILED
        if key == w.RAW and text[at] == _QUOTE:
            found.form[key] = TEXT
            return at + 1, key
        if text[at] == OPEN:
            found.form[key] = OBJECT
            return at + 1, (_FAILED if key == w.UNKNOWN else key)
        at = _value(text, at, stop, found, key)
        if at < 0:
            return at, _FAILED


@hot_jit
def _flat(text: Text, at: int, stop: int, found: Found) -> int:
    """Read an object that holds no other; the place after it, -1 if it is none such."""
    found.form[:] = ABSENT
    at, key = _members(text, at, stop, True, found)
    return at if key == _CLOSED else -1


@hot_jit
def _frame(text: Text, at: int, stop: int, frame: Found, message: Found) -> int:
    """Read a frame and its message; the place after it, -1 if it is none."""
    frame.form[:] = ABSENT
    begin = True
    while True:
        at, key = _members(text, at, stop, begin, frame)
        if key == _CLOSED:
            return at if frame.form[w.MSG] == OBJECT else -1
        if key != w.MSG or frame.form[key] != OBJECT:
            return -1
        at = _flat(text, at, stop, message)
        if at < 0:
            return -1
        begin = False


@hot_jit
def read_line(
    text: Text, at: int, stop: int, envelope: Found, frame: Found, message: Found
) -> tuple[int, bool]:
    """Read a line: the place of its end, -1 if it is left, and whether it is an envelope.

    Args:
        text: uint8 [n_bytes]; a text in an envelope is unescaped in place.
        at: the place after the opening brace.
        stop: the end of the text.
        envelope, frame, message: room for values; what is absent is marked.

    Returns:
        The place of the line's end, -1 if the line is left to the decoder, and whether it is an
        envelope.
    """
    envelope.form[:] = ABSENT
    begin = True
    while True:
        at, key = _members(text, at, stop, begin, envelope)
        begin = False
        if key == _CLOSED:
            break
        if key == w.MSG:
            at = _flat(text, at, stop, message)
        elif key == w.RAW and envelope.form[key] == OBJECT:
            at = _frame(text, at, stop, frame, message)
        elif key == w.RAW:
            end, after = _unescaped(text, at, stop)
            if end < 0:
                return -1, False
            at = after_blanks(text, at, end)
            if at >= end or text[at] != OPEN:
                return -1, False
            at = _frame(text, at + 1, end, frame, message)
            if at < 0 or after_blanks(text, at, end) != end:
                return -1, False
            at = after
        else:
            return -1, False
        if at < 0:
            return -1, False
    at = after_blanks(text, at, stop)
    if at < stop and text[at] != LINE_END:
        return -1, False
    form = envelope.form
    wrapped = form[w.RAW] != ABSENT
    if wrapped:
        alone = form[w.MSG] == form[w.TYPE] == form[w.SID] == form[w.SEQ] == ABSENT
        return (at if alone and form[w.SENDING_TS_MS] == ABSENT else -1), True
    return (at if form[w.MSG] == OBJECT else -1), False


@hot_jit
def has_value(found: Found, key: int) -> bool:
    """Whether there is a value under a key, and not null.

    Args:
        found: values of an object.
        key: number of the key's word.
    """
    form = found.form[key]
    return not (form == ABSENT or form == NULL)

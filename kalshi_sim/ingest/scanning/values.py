"""The scanner's values: decimal numbers and times from their text, exact, or not at all."""

from __future__ import annotations

from typing import Final

import numpy as np

from kalshi_sim.ingest.scanning.words import Text
from kalshi_sim.ingest.wire_time import FIRST_MS
from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.session import NO_TIME
from kalshi_sim.units import MS_PER_DAY, MS_PER_SECOND

NO_NUMBER: Final = NO_TIME - 1
"""Given for a text that is left to the decoder."""
_MOST_DIGITS: Final = 14
"""With its point: so short a number is the decimal it looks like, also when read as a float."""
ZERO: Final = ord("0")
NINE: Final = ord("9")
POINT: Final = ord(".")
MINUS: Final = ord("-")
_ZULU: Final = ord("Z")
_TEE: Final = ord("T")
COLON: Final = ord(":")
_SHORTEST_TIME: Final = len("2026-03-18T19:36:06Z")
_LONGEST_TIME: Final = 35
_FRACTION: Final = len("2026-03-18T19:36:06.")
_DAYS: Final = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)
_CENTURY: Final = 10 * 10
_EPOCH_DAY: Final = 719_468
"""Days from 0000-03-01 to 1970-01-01."""


@hot_jit
def is_digit(character: int) -> bool:
    """Whether a byte is one of 0 to 9."""
    return ZERO <= character <= NINE


@hot_jit
def _digit(character: int) -> int:
    return int(np.int64(character)) - ZERO


@hot_jit
def whole_number(text: Text, start: int, stop: int) -> int:
    """The integer in `text` [start, stop): digits, after a minus where it is negative.

    Args:
        text: uint8 [n_bytes] with digits only, after a minus where the number is negative.
        start, stop: the number's bytes.
    """
    negative = text[start] == MINUS
    value = 0
    for i in range(start + negative, stop):
        value = value * 10 + _digit(text[i])
    return -value if negative else value


@hot_jit
def decimal_number(text: Text, start: int, stop: int, places: int) -> int:
    """A decimal as a whole number of units of its last allowed place.

    NO_NUMBER for other forms, for numbers finer than that, and for more than 14 digits.

    Args:
        text: uint8 [n_bytes].
        start, stop: the number's bytes.
        places: decimal places of the unit.
    """
    at = start
    negative = at < stop and text[at] == MINUS
    at += negative
    if stop - at > _MOST_DIGITS or at >= stop or not is_digit(text[at]):
        return NO_NUMBER
    value = 0
    while at < stop and is_digit(text[at]):
        value = value * 10 + _digit(text[at])
        at += 1
    left = places
    if at < stop:
        if text[at] != POINT or at + 1 >= stop:
            return NO_NUMBER
        at += 1
        while at < stop:
            if not is_digit(text[at]):
                return NO_NUMBER
            if left > 0:
                value = value * 10 + _digit(text[at])
                left -= 1
            elif text[at] != ZERO:
                return NO_NUMBER
            at += 1
    for _ in range(left):
        value *= 10
    return -value if negative else value


@hot_jit
def _digits(text: Text, start: int, stop: int) -> int:
    value = 0
    for i in range(start, stop):
        if not is_digit(text[i]):
            return -1
        value = value * 10 + _digit(text[i])
    return value


@hot_jit
def _days(year: int, month: int, day: int) -> int:
    """Days since the epoch of a day of the Gregorian calendar; -1 if there is no such day."""
    if year < 1970 or month < 1 or month > 12 or day < 1:
        return -1
    leap = year % 4 == 0 and (year % _CENTURY != 0 or year % (4 * _CENTURY) == 0)
    if day > _DAYS[month - 1] + (leap and month == 2):
        return -1
    shifted = year - (month <= 2)
    era = shifted // (4 * _CENTURY)
    of_era = shifted - era * (4 * _CENTURY)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // _CENTURY + of_year - _EPOCH_DAY


@hot_jit
def rfc3339(text: Text, start: int, stop: int) -> int:
    """The millisecond of a time like 2026-03-18T19:36:06.826Z; NO_TIME for any other form.

    Args:
        text: uint8 [n_bytes].
        start, stop: the time's bytes.
    """
    n = stop - start
    if n < _SHORTEST_TIME or n > _LONGEST_TIME or text[stop - 1] != _ZULU:
        return NO_TIME
    if not (
        text[start + 4] == MINUS
        and text[start + 7] == MINUS
        and text[start + 10] == _TEE
        and text[start + 13] == COLON
        and text[start + 16] == COLON
    ):
        return NO_TIME
    hour = _digits(text, start + 11, start + 13)
    minute = _digits(text, start + 14, start + 16)
    second = _digits(text, start + 17, start + 19)
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return NO_TIME
    days = _days(
        _digits(text, start, start + 4),
        _digits(text, start + 5, start + 7),
        _digits(text, start + 8, start + 10),
    )
    if days < 0:
        return NO_TIME
    ms = 0
    if n > _SHORTEST_TIME:
        if text[start + 19] != POINT or n == _FRACTION + 1:
            return NO_TIME
        place = MS_PER_SECOND // 10
        for i in range(start + _FRACTION, stop - 1):
            if not is_digit(text[i]):
                return NO_TIME
            ms += _digit(text[i]) * place
            place //= 10
    return days * MS_PER_DAY + ((hour * 60 + minute) * 60 + second) * MS_PER_SECOND + ms


@hot_jit
def unix_time(number: int) -> int:
    """The millisecond of a whole number of seconds, or of milliseconds if it is so large."""
    return number if number >= FIRST_MS else number * MS_PER_SECOND


@hot_jit
def is_seconds(number: int) -> bool:
    """Whether a whole number that stands for a time counts seconds."""
    return number < FIRST_MS

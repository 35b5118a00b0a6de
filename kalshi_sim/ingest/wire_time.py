"""Times as the wire and recorders write them, to milliseconds since the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.session import NO_TIME, EventFlag, Int8Array, Int64Array
from kalshi_sim.units import MS_PER_DAY, MS_PER_SECOND

WireNumber = str | int | float | None
"""A number of the wire: a JSON number or its decimal text."""

_EPOCH: Final = date(1970, 1, 1).toordinal()
NS_PER_MS: Final = 1_000_000
FIRST_MS: Final = 10**11
"""A number of at least this is milliseconds (1973 in ms, the year 5138 in seconds)."""
LAST_MS: Final = 253_402_300_800_000
"""The end of the year 9999: no recording's time reaches it."""
OPENED_MS: Final = 1_625_011_200_000
"""2021-06-30, when the exchange opened: no recording's time is earlier."""
_LATEST_MS: Final = 4_102_444_800_000
"""The year 2100, by which the unit of a number is known."""
_UNITS: Final = (
    ("seconds", 1, MS_PER_SECOND),
    ("milliseconds", 1, 1),
    ("microseconds", 1_000, 1),
    ("nanoseconds", 1_000_000, 1),
)
"""Name, and by what a number of it is divided and multiplied to give milliseconds."""
_PUNCTUATION: Final = ((4, b"-"), (7, b"-"), (10, b"T"), (13, b":"), (16, b":"))
_FIELDS: Final = ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19))
_WIDTH: Final = 36
_ZERO: Final = ord("0")


def time_of_any_unit(value: str | int | float) -> tuple[int, str]:
    """The millisecond and the unit of a number whose unit follows from its size alone, or RFC 3339.

    Returns:
        ms since 1970 UTC, and the name of the unit found.

    Raises:
        ValueError: not a time since the exchange opened.
    """
    text = str(value)
    if isinstance(value, bool):
        raise ValueError(f"not a time: {text}")
    if isinstance(value, str) and not text.replace(".", "", 1).isdecimal():
        return rfc3339_ms(text), "RFC 3339"
    number = Decimal(text)
    for name, divisor, factor in _UNITS:
        if number.is_finite() and OPENED_MS <= number * factor / divisor < _LATEST_MS:
            return int(number * factor // divisor), name
    raise ValueError(f"not a time since the exchange opened: {text}")


def is_time(value: object) -> bool:
    """Whether `value` looks like a time since the exchange opened, in whatever unit."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    try:
        return OPENED_MS <= time_of_any_unit(value)[0] < _LATEST_MS
    except (ValueError, ArithmeticError):
        return False


def not_a_time(value: str | int | float, meant: str = "milliseconds") -> str:
    """Why `value`, in the unit `meant`, cannot be when something was recorded.

    Args:
        value: as the recording has it.
        meant: the unit it should have.
    """
    try:
        _, unit = time_of_any_unit(value)
    except (ValueError, ArithmeticError):
        return f"{value} is no time since 2021-06-30, when the exchange opened"
    return f"{value} looks like {unit}, where {meant} are meant"


def rfc3339_ms(text: str) -> int:
    """The millisecond `text` lies in (an RFC 3339 time with its zone).

    Raises:
        ValueError: not such a time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"not a time like 2026-03-18T19:36:06.826Z: {text!r}")
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return since.days * MS_PER_DAY + since.seconds * MS_PER_SECOND + since.microseconds // 1000


def scalar_ms(value: str | int | float) -> tuple[int, int]:
    """The time in `value` and its `EventFlag` bits: RFC 3339, seconds or milliseconds.

    Whole seconds (an integer, its text, or a JSON number without a fraction) get WHOLE_SECOND. An
    RFC 3339 time without a fraction is exact: the exchange leaves out a fraction of zero.

    Returns:
        ms since 1970 UTC, and 0 or `EventFlag.WHOLE_SECOND`.

    Raises:
        ValueError: not a time.
    """
    text = str(value)
    if isinstance(value, str) and not text.replace(".", "", 1).isdecimal():
        return rfc3339_ms(text), 0
    number = Decimal(text)
    if not number.is_finite() or not 0 <= number < LAST_MS:
        raise ValueError(f"not a time: {text}")
    if number >= FIRST_MS:
        return int(number), 0
    exact = number % 1 != 0 or (isinstance(value, str) and "." in text)
    return int(number * MS_PER_SECOND), 0 if exact else int(EventFlag.WHOLE_SECOND)


def milliseconds(value: str | int | float) -> int:
    """The time of a field that is always in milliseconds, however small the number.

    Raises:
        ValueError: not a time.
    """
    if isinstance(value, int):
        return value
    text = str(value)
    if isinstance(value, str) and not text.replace(".", "", 1).isdecimal():
        return rfc3339_ms(text)
    number = Decimal(text)
    if not number.is_finite() or not 0 <= number < LAST_MS:
        raise ValueError(f"not a time: {text}")
    return int(number)


def wire_times(values: Sequence[WireNumber]) -> tuple[Int64Array, Int8Array]:
    """Times and `EventFlag` bits of many `ts` values; NO_TIME where there is none.

    Returns:
        int64 [n] ms since 1970 UTC, NO_TIME where there is none, and int8 [n] flags.

    Raises:
        ValueError: one is not a time.
    """
    n = len(values)
    flags = np.zeros(n, dtype=np.int8)
    kinds = set(map(type, values))
    if kinds == {str}:
        return _rfc3339_column(values, flags), flags  # type: ignore[arg-type]  # all are str
    if kinds == {int}:
        number = np.array(values, dtype=np.int64)
        if (number < 0).any():
            raise ValueError(f"not a time: {int(number.min())}")
        seconds = number < FIRST_MS
        flags[seconds] = EventFlag.WHOLE_SECOND
        return np.where(seconds, number * MS_PER_SECOND, number), flags
    out = np.full(n, NO_TIME, dtype=np.int64)
    for i, value in enumerate(values):
        if value is not None:
            out[i], flags[i] = scalar_ms(value)
    return out, flags


def _rfc3339_column(values: Sequence[str], flags: Int8Array) -> Int64Array:
    """Times of the usual form `YYYY-MM-DDTHH:MM:SS[.fraction]Z`; others one by one.

    `flags` int8 [n] gets the bits of those others.
    """
    n = len(values)
    try:
        text = np.array(values, dtype=f"S{_WIDTH}").view(np.uint8).reshape(n, _WIDTH)
    except UnicodeEncodeError as error:
        raise ValueError(f"not a time: {error}") from error
    digit = text - _ZERO  # other characters wrap round to 10 or more
    usual = _usual_form(text, digit)
    numbers = [_digits(digit, first, stop) for first, stop in _FIELDS]
    milli = np.zeros(n, dtype=np.int64)
    inside = text[:, 19] == ord(".")
    for place, worth in ((20, 100), (21, 10), (22, 1)):
        inside = inside & (digit[:, place] < 10)
        milli += np.where(inside, digit[:, place].astype(np.int64) * worth, 0)
    year, month, day, hour, minute, second = numbers
    days = _days(year * 10_000 + month * 100 + day, usual)
    out = days * MS_PER_DAY + ((hour * 60 + minute) * 60 + second) * MS_PER_SECOND + milli
    usual &= (hour < 24) & (minute < 60) & (second < 60) & (days >= 0)
    for i in np.flatnonzero(~usual).tolist():
        out[i], flags[i] = scalar_ms(values[i])
    return out


def _usual_form(text: npt.NDArray[np.uint8], digit: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    usual = np.ones(len(text), dtype=np.bool_)
    for place, character in _PUNCTUATION:
        usual &= text[:, place] == ord(character)
    for first, stop in _FIELDS:
        usual &= (digit[:, first:stop] < 10).all(axis=1)
    length = (text != 0).sum(axis=1)
    usual &= (length > 19) & (length < _WIDTH)
    last = np.take_along_axis(text, np.maximum(length - 1, 0)[:, None], axis=1)[:, 0]
    usual &= last == ord("Z")
    fraction = np.arange(_WIDTH)[None, :]
    between = (fraction >= 20) & (fraction < (length - 1)[:, None])
    usual &= ((digit < 10) | ~between).all(axis=1)
    usual &= (text[:, 19] == ord("Z")) & (length == 20) | (text[:, 19] == ord(".")) & (length > 21)
    return usual


def _digits(digit: npt.NDArray[np.uint8], first: int, stop: int) -> Int64Array:
    out = np.zeros(len(digit), dtype=np.int64)
    for place in range(first, stop):
        out = out * 10 + digit[:, place]
    return out


def _days(dates: Int64Array, usual: npt.NDArray[np.bool_]) -> Int64Array:
    """Days since the epoch of dates written as the number YYYYMMDD; -1 if there is no such day."""
    known, inverse = np.unique(np.where(usual, dates, 0), return_inverse=True)
    days = np.full(len(known), -1, dtype=np.int64)
    for i, number in enumerate(known.tolist()):
        try:
            days[i] = date(number // 10_000, number // 100 % 100, number % 100).toordinal() - _EPOCH
        except ValueError:
            continue
    return days[inverse]

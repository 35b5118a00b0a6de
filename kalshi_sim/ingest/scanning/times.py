"""When a frame was received, and when the exchange says it happened."""

from __future__ import annotations

from typing import Final

from kalshi_sim.ingest.scanning import words as w
from kalshi_sim.ingest.scanning.objects import ABSENT, INTEGER, NULL, TEXT, Found, has_value
from kalshi_sim.ingest.scanning.values import (
    NO_NUMBER,
    is_seconds,
    rfc3339,
    unix_time,
    whole_number,
)
from kalshi_sim.ingest.scanning.words import Text
from kalshi_sim.ingest.wire_time import LAST_MS, NS_PER_MS, OPENED_MS
from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.session import NO_TIME

_US_PER_MS: Final = 1_000


@hot_jit
def receive_time(text: Text, found: Found) -> tuple[int, int]:
    """When a line was received.

    Args:
        text: uint8 [n_bytes].
        found: values of the envelope.

    Returns:
        ms and ns since 1970 UTC; NO_TIME for both if the line does not say; (NO_NUMBER, 0) for what
        is left to the decoder.
    """
    ms, ns = NO_TIME, NO_TIME
    for key in range(w.RECV_TS_NS, w.RECEIVED_AT + 1):
        form = found.form[key]
        if form in (ABSENT, NULL):
            continue
        if ms != NO_TIME:
            return NO_NUMBER, 0
        if key < w.RECV_TS:
            if form != INTEGER:
                return NO_NUMBER, 0
            number = whole_number(text, found.first[key], found.stop[key])
            if number < 0:
                return NO_NUMBER, 0
            if key == w.RECV_TS_NS:
                ms, ns = number // NS_PER_MS, number
            elif key == w.RECV_TS_US:
                ms, ns = number // _US_PER_MS, number * (NS_PER_MS // _US_PER_MS)
            else:
                ms, ns = number, number * NS_PER_MS
        else:
            ms = _moment(text, found, key)
            ns = ms * NS_PER_MS
        if ms < OPENED_MS or ms >= LAST_MS:
            return NO_NUMBER, 0
    return ms, ns


@hot_jit
def _moment(text: Text, found: Found, key: int) -> int:
    """The millisecond of RFC 3339, seconds or milliseconds; NO_NUMBER for other forms."""
    form = found.form[key]
    if form == TEXT:
        ms = rfc3339(text, found.first[key], found.stop[key])
        return NO_NUMBER if ms == NO_TIME else ms
    if form != INTEGER:
        return NO_NUMBER
    number = whole_number(text, found.first[key], found.stop[key])
    return NO_NUMBER if number < 0 or number >= LAST_MS else unix_time(number)


@hot_jit
def event_time(text: Text, frame: Found, message: Found, recv: int) -> tuple[int, bool]:
    """When the exchange made an event, else when it sent the frame, else when it was received.

    Args:
        text: uint8 [n_bytes].
        frame, message: values of the frame and of its body.
        recv: when it was received, in ms since 1970 UTC.

    Returns:
        ms since 1970 UTC, NO_NUMBER for what is left to the decoder; and whether a whole second is
        meant.
    """
    if has_value(message, w.TS_MS):
        if message.form[w.TS_MS] != INTEGER:
            return NO_NUMBER, False
        return whole_number(text, message.first[w.TS_MS], message.stop[w.TS_MS]), False
    if has_value(message, w.TS):
        ms = _moment(text, message, w.TS)
        if message.form[w.TS] == INTEGER and ms != NO_NUMBER:
            number = whole_number(text, message.first[w.TS], message.stop[w.TS])
            return ms, is_seconds(number)
        return ms, False
    if has_value(frame, w.SENDING_TS_MS):
        if frame.form[w.SENDING_TS_MS] != INTEGER:
            return NO_NUMBER, False
        return whole_number(text, frame.first[w.SENDING_TS_MS], frame.stop[w.SENDING_TS_MS]), False
    return recv, False

"""Lines of frames to columns in one pass over their bytes, for the lines that are as usual.

The scanner knows deltas and trades in plain objects, in any order of keys, bare or in an envelope.
A line with anything else is left to the decoder (`kalshi_sim.ingest.decoding`), which reads every
frame and is what the scanner must equal.
"""

from __future__ import annotations

from typing import Final

from kalshi_sim.ingest.scanning import words as w
from kalshi_sim.ingest.scanning.objects import (
    ABSENT,
    DECIMAL,
    FALSE,
    INTEGER,
    LINE_END,
    NULL,
    OPEN,
    TEXT,
    TRUE,
    Found,
    after_blanks,
    has_value,
    read_line,
)
from kalshi_sim.ingest.scanning.tickers import Seen, ticker_number
from kalshi_sim.ingest.scanning.times import event_time, receive_time
from kalshi_sim.ingest.scanning.trade_ids import MOST_BYTES, trade_number
from kalshi_sim.ingest.scanning.values import (
    NO_NUMBER,
    decimal_number,
    whole_number,
)
from kalshi_sim.ingest.scanning.words import Text, word_number
from kalshi_sim.ingest.wire_time import LAST_MS, OPENED_MS
from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.session import NO_TIME, EventFlag, Int64Array
from kalshi_sim.units import PRICE_SCALE, SIZE_SCALE, STORED_PER_CENT

DELTA: Final = 0
TRADE: Final = 1
BLOCK_TRADE: Final = 2
LEFT: Final = -1
"""Kind of a line that is left to the decoder."""

(
    KIND,
    FIRST,
    STOP,
    MARKET,
    SID,
    SEQ,
    TS_MS,
    RECV_NS,
    SECONDS,
    SIDE,
    PRICE,
    SIZE,
    TRADE_ID,
) = range(13)
"""Rows of the table that is filled: kind, place of the line, number of its ticker, ..."""
N_COLUMNS: Final = 13
_PRICE_PLACES: Final = len(str(PRICE_SCALE)) - 1
_SIZE_PLACES: Final = len(str(SIZE_SCALE)) - 1
_MOST_CENTS: Final = PRICE_SCALE // STORED_PER_CENT
_WHOLE_SECOND: Final = int(EventFlag.WHOLE_SECOND)


@hot_jit
def _exact(text: Text, found: Found, key: int, places: int) -> int:
    form = found.form[key]
    if form != TEXT and form != INTEGER and form != DECIMAL:
        return NO_NUMBER
    return decimal_number(text, found.first[key], found.stop[key], places)


@hot_jit
def _dollars(text: Text, found: Found, key: int) -> int:
    """A price in dollars, 1/100 cent; NO_NUMBER if it is none of a book."""
    price = _exact(text, found, key, _PRICE_PLACES)
    return price if 0 < price < PRICE_SCALE else NO_NUMBER


@hot_jit
def _cents(text: Text, found: Found, key: int) -> int:
    """A price in whole cents, 1/100 cent; NO_NUMBER if it is none of a book."""
    if found.form[key] != INTEGER:
        return NO_NUMBER
    cents = whole_number(text, found.first[key], found.stop[key])
    return cents * STORED_PER_CENT if 0 < cents < _MOST_CENTS else NO_NUMBER


@hot_jit
def _word(text: Text, found: Found, key: int) -> int:
    """The number of the word that a value is; UNKNOWN for any other value."""
    if found.form[key] != TEXT:
        return w.UNKNOWN
    return word_number(text, found.first[key], found.stop[key])


@hot_jit
def _taken_side(text: Text, message: Found) -> int:
    """The resting side that a trade's taker took from; -1 if it is left to the decoder."""
    for key in (w.TAKER_OUTCOME_SIDE, w.TAKER_BOOK_SIDE, w.TAKER_SIDE):
        if has_value(message, key):
            word = _word(text, message, key)
            if word == w.W_YES or word == w.W_BID or word == w.W_YES_CAPITAL:
                return 1
            if word == w.W_NO or word == w.W_ASK or word == w.W_NO_CAPITAL:
                return 0
            return -1
    return -1


@hot_jit
def _trade_price(text: Text, message: Found, side: int) -> int:
    own, other = w.YES_PRICE_DOLLARS, w.NO_PRICE_DOLLARS
    own_cents, other_cents = w.YES_PRICE, w.NO_PRICE
    if side == 1:
        own, other = other, own
        own_cents, other_cents = other_cents, own_cents
    if has_value(message, own):
        return _dollars(text, message, own)
    if has_value(message, other):
        price = _dollars(text, message, other)
    elif has_value(message, own_cents):
        return _cents(text, message, own_cents)
    else:
        price = _cents(text, message, other_cents)
    return NO_NUMBER if price == NO_NUMBER else PRICE_SCALE - price


@hot_jit
def _frame_number(text: Text, found: Found, key: int) -> int:
    """`sid` or `seq`: -1 if there is none, NO_NUMBER for other forms."""
    if not has_value(found, key):
        return -1
    if found.form[key] != INTEGER:
        return NO_NUMBER
    return whole_number(text, found.first[key], found.stop[key])


@hot_jit
def _delta(text: Text, message: Found, out: Int64Array, row: int) -> bool:
    side = _word(text, message, w.SIDE)
    if side != w.W_YES and side != w.W_YES_CAPITAL and side != w.W_NO and side != w.W_NO_CAPITAL:
        return False
    if has_value(message, w.PRICE_DOLLARS):
        price = _dollars(text, message, w.PRICE_DOLLARS)
    else:
        price = _cents(text, message, w.PRICE)
    key = w.DELTA_FP if has_value(message, w.DELTA_FP) else w.DELTA
    size = _exact(text, message, key, _SIZE_PLACES)
    if price == NO_NUMBER or size == NO_NUMBER:
        return False
    out[KIND, row] = DELTA
    out[TRADE_ID, row] = -1
    out[SIDE, row] = side == w.W_NO or side == w.W_NO_CAPITAL
    out[PRICE, row] = price
    out[SIZE, row] = size
    return True


@hot_jit
def _trade(text: Text, message: Found, out: Int64Array, row: int) -> bool:
    side = _taken_side(text, message)
    if side < 0:
        return False
    price = _trade_price(text, message, side)
    key = w.COUNT_FP if has_value(message, w.COUNT_FP) else w.COUNT
    size = _exact(text, message, key, _SIZE_PLACES)
    if price == NO_NUMBER or size < 0:  # NO_NUMBER is far below
        return False
    block = message.form[w.IS_BLOCK_TRADE]
    if block in (TEXT, INTEGER, DECIMAL):
        return False
    named = message.form[w.TRADE_ID]
    first, stop = message.first[w.TRADE_ID], message.stop[w.TRADE_ID]
    if has_value(message, w.TRADE_ID) and (named != TEXT or stop - first > MOST_BYTES):
        return False
    out[KIND, row] = BLOCK_TRADE if block == TRUE else TRADE
    out[SIDE, row] = side
    out[PRICE, row] = price
    out[SIZE, row] = size
    out[TRADE_ID, row] = trade_number(text, first, stop) if named == TEXT else -1
    return True


@hot_jit
def _is_well_formed(outer: Found, frame: Found, message: Found) -> bool:
    """Whether no value is of a form that the decoder refuses, or of a meaning it alone knows."""
    for key in (w.MARKET_TICKER, w.SIDE, w.TAKER_OUTCOME_SIDE, w.TAKER_BOOK_SIDE, w.TAKER_SIDE):
        if has_value(message, key) and message.form[key] != TEXT:
            return False
    for key in (w.TYPE, w.SID, w.SEQ, w.MSG, w.RAW):  # in a message: other shapes of frames
        if message.form[key] != ABSENT:
            return False
    for key in (w.MARKET_TICKER, w.SIDE, w.TRADE_ID):
        if frame.form[key] != ABSENT or outer.form[key] != ABSENT:
            return False
    named = message.form[w.TRADE_ID]
    if named not in (ABSENT, NULL, TEXT, INTEGER) or message.form[w.IS_BLOCK_TRADE] == DECIMAL:
        return False
    for key in range(w.PRICE, w.COUNT_FP + 1):
        if message.form[key] in (TRUE, FALSE):
            return False
    for key in range(w.RECV_TS_NS, w.SENDING_TS_MS + 1):
        if frame.form[key] in (TRUE, FALSE):
            return False
    return message.form[w.TS] not in (TRUE, FALSE) and message.form[w.TS_MS] not in (TRUE, FALSE)


@hot_jit
def _times(
    text: Text, outer: Found, frame: Found, message: Found, out: Int64Array, row: int
) -> bool:
    recv, recv_ns = receive_time(text, outer)
    if recv == NO_NUMBER:
        return False
    ts_ms, seconds = event_time(text, frame, message, recv)
    if ts_ms != NO_TIME and (ts_ms < OPENED_MS or ts_ms >= LAST_MS):
        return False
    out[TS_MS, row] = ts_ms
    out[RECV_NS, row] = recv_ns
    out[SECONDS, row] = _WHOLE_SECOND if seconds else 0
    return True


@hot_jit
def _numbers(
    text: Text, frame: Found, message: Found, seen: Seen, out: Int64Array, row: int
) -> bool:
    """Write the market, `sid` and `seq`."""
    sid, seq = _frame_number(text, frame, w.SID), _frame_number(text, frame, w.SEQ)
    if sid == NO_NUMBER or seq == NO_NUMBER or message.form[w.MARKET_TICKER] != TEXT:
        return False
    ticker = ticker_number(
        text, message.first[w.MARKET_TICKER], message.stop[w.MARKET_TICKER], seen
    )
    out[MARKET, row] = ticker
    out[SID, row] = sid
    out[SEQ, row] = seq
    return ticker >= 0


@hot_jit
def _event(
    text: Text,
    outer: Found,
    frame: Found,
    message: Found,
    seen: Seen,
    out: Int64Array,
    row: int,
) -> bool:
    """Write what a line of a delta or a trade says; whether it is as usual."""
    kind = _word(text, frame, w.TYPE)
    if kind == w.W_DELTA:
        good = _delta(text, message, out, row)
    elif kind == w.W_TRADE:
        good = _trade(text, message, out, row)
    else:
        return False
    return (
        good
        and _is_well_formed(outer, frame, message)
        and _times(text, outer, frame, message, out, row)
        and _numbers(text, frame, message, seen, out, row)
    )


@hot_jit
def scan_lines(
    text: Text, envelope: Found, frame: Found, message: Found, seen: Seen, out: Int64Array
) -> int:
    """Decode the lines of a text into columns.

    Args:
        text: uint8 [n_bytes] lines, one frame each; texts in envelopes are unescaped in place.
        envelope: room for values, as `frame` and `message`.
        frame: see there.
        message: see there.
        seen: the tickers of this text; empty before.
        out: int64 [N_COLUMNS, n_lines] to fill; of a line of kind LEFT nothing but its place
            counts.

    Returns:
        How many lines are not blank; -1 if more than `out` has room for.
    """
    rows = 0
    at = 0
    n = len(text)
    while at < n:
        begin = after_blanks(text, at, n)
        stop = begin
        if begin < n and text[begin] != LINE_END:
            if rows == out.shape[1]:
                return -1
            wrapped = False
            stop = -1
            if text[begin] == OPEN:
                stop, wrapped = read_line(text, begin + 1, n, envelope, frame, message)
            good = stop >= 0 and _event(
                text, envelope, frame if wrapped else envelope, message, seen, out, rows
            )
            if not good:
                out[:, rows] = 0
                out[KIND, rows] = LEFT
                stop = begin
                while stop < n and text[stop] != LINE_END:
                    stop += 1
            out[FIRST, rows] = at
            out[STOP, rows] = stop
            rows += 1
        at = stop + 1
    return rows

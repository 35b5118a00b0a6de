"""Whatever a line holds, import reads it or names it: no other error, no wrong number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.session import EventKind
from kalshi_sim.units import format_decimal
from tests.support.modes import examples
from tests.support.wire import MARKET, T0, book, delta, rows, write

_KEYS = (
    "market_ticker",
    "price",
    "price_dollars",
    "delta",
    "delta_fp",
    "side",
    "ts",
    "ts_ms",
    "yes",
    "no",
    "yes_dollars_fp",
    "no_dollars_fp",
    "yes_price",
    "no_price_dollars",
    "count",
    "count_fp",
    "taker_side",
    "taker_book_side",
    "event_type",
    "close_ts",
    "settlement_value",
)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False),
    st.sampled_from((MARKET, "yes", "no", "bid", "0.4200", "13.00", "-1", "", T0, T0 // 1000)),
    st.text(max_size=6),
)
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
_TYPES = st.sampled_from(
    ("orderbook_snapshot", "orderbook_delta", "trade", "market_lifecycle_v2", "ticker", "ok")
)
_FRAMES = st.fixed_dictionaries(
    {"type": st.one_of(_TYPES, _SCALARS)},
    optional={
        "sid": _SCALARS,
        "seq": _SCALARS,
        "recv_ts_ns": _SCALARS,
        "recv_ts": _SCALARS,
        "sending_ts_ms": _SCALARS,
        "raw": _SCALARS,
        "msg": st.one_of(_VALUES, st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=8)),
    },
)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "capture.jsonl"


def complaint(capture: Path) -> str | None:
    """What import says of a capture it refuses."""
    try:
        import_captures([capture], session_id=1)
    except DataError as error:
        return str(error)
    return None


@settings(max_examples=examples(400), suppress_health_check=list(HealthCheck))
@given(st.lists(_FRAMES, min_size=1, max_size=4), st.booleans())
def test_any_frame_is_read_or_named(
    capture: Path, frames: list[dict[str, Any]], whole: bool
) -> None:
    write(capture, book(), *frames, delta(2, 0))
    said = complaint(capture)
    assert said is None or "capture.jsonl, line" in said
    session = import_captures(
        [capture], session_id=1, whole_subscription=whole, max_bad_lines=len(frames)
    )
    assert (session.quality.bad_lines > 0) == (said is not None)
    assert session.quality.markets[MARKET].snapshots >= 1
    assert session.info.started_at <= session.info.ended_at


@settings(max_examples=examples(200), suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_named(capture: Path, data: bytes) -> None:
    good = json.dumps(book()).encode() + b"\n"
    capture.write_bytes(good + data.replace(b"\x1f\x8b", b"") + b"\n" + good)
    said = complaint(capture)
    assert said is None or "capture.jsonl, line" in said


@settings(max_examples=examples(200), suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("yes", "no")),
            st.integers(1, 9_999),
            st.integers(-(10**12), 10**12),
            st.booleans(),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_every_price_and_size_is_exact(
    capture: Path, told: list[tuple[str, int, int, bool]]
) -> None:
    lines = []
    for i, (side, price, size, short) in enumerate(told):
        texts = [format_decimal(price, 10_000), format_decimal(size, 100)]
        if short and not texts[0].rstrip("0").endswith("."):
            texts[0] = texts[0].rstrip("0")
        lines.append(delta(2 + i, i, side, *texts))
    write(capture, book(), *lines)
    session = import_captures([capture], session_id=1)
    expected = [(("yes", "no").index(side), price, size) for side, price, size, _ in told]
    assert rows(session.events, EventKind.DELTA) == expected

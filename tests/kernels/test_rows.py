"""A row's record holds what the public arrays say, in few lines of memory, whoever wrote it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from kalshi_sim import LiveMarket, Tape, build_tape
from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.rows import LINE_BYTES, MAX_SIZE, row_width
from kalshi_sim.session import Session
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.units import PAYOUT_CENT, PAYOUT_FINE
from tests.support.streams import NO, T0, YES, delta, quiet, session_of, snapshot

pytestmark = pytest.mark.kernel

DTYPES = {
    "ts_ms": np.int64,
    "px": np.int64,
    "qty": np.int64,
    "mark2": np.int64,
    "features": np.float32,
    "flow_offsets": np.int64,
    "states": np.int32,
}


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 10])
def test_the_kernel_writes_what_packing_the_arrays_gives(depth: int) -> None:
    tape = build_tape([generate_session(1, markets=3, deltas=600, seed=depth)], depth=depth)
    assert len(tape.views) == 3
    again = tape.with_arrays(px=tape.px)
    assert np.array_equal(again.rows, tape.rows)
    for name, dtype in DTYPES.items():
        array = getattr(tape, name)
        assert array.dtype == dtype
        assert np.array_equal(array, getattr(again, name))
        assert not array.flags.writeable
    assert tape.px.shape == tape.qty.shape == (len(tape), 2, depth)
    assert np.array_equal(tape.best_bids(slice(2, 9)), tape.px[2:9, :, 0])
    for part, whole in zip(tape.book(slice(2, 9)), (tape.px, tape.qty), strict=True):
        assert np.array_equal(part, whole[2:9])
    assert again.rows.ctypes.data % LINE_BYTES == tape.rows.ctypes.data % LINE_BYTES == 0


def test_a_row_takes_five_lines_and_begins_with_one() -> None:
    tape = build_tape([generate_session(1, markets=2, deltas=300, seed=3)])
    assert tape.row_bytes == 5 * LINE_BYTES <= 400
    best = [layout.BEST_PRICE * 2, layout.BEST_SIZE * 4, layout.ROW_TS * 8, layout.ROW_MARK2 * 2]
    assert {byte // LINE_BYTES for byte in best} == {2}
    assert [8 * row_width(depth) % LINE_BYTES for depth in range(1, 65)] == [0] * 64


def test_a_skipped_market_leaves_no_flow_behind() -> None:
    session = generate_session(1, markets=4, deltas=800, seed=2)
    rows = [len(view) for view in build_tape([session]).views]
    tape = build_tape([session], min_episode_length=max(rows))
    assert len(tape.skipped) == 3
    assert tape.flow_offsets[0] == 0
    assert tape.flow_offsets[-1] == len(tape.flow) > 0


def test_both_ends_of_the_prices_fit() -> None:
    fine = session_of(
        snapshot(0, {"0.01": 7, "99.98": 5}),
        delta(5, YES, "99.98", -5),
        snapshot(9, None, {"99.99": 2}),
        quiet(12),
    )
    tape = build_tape([fine], min_episode_length=3)
    assert tape.payout == PAYOUT_FINE
    assert tape.px[:, YES, :2].tolist()[:2] == [[9_998, 1], [1, 0]]
    assert tape.px[2, NO, 0] == 9_999
    assert tape.mark2.max() == 2 * 9_998


def large(contracts: int) -> Session:
    """A market that shows so many contracts at a price from its second row on."""
    return session_of(
        snapshot(0, {40: 100}, {55: 100}), delta(7, YES, 40, contracts - 100), quiet(9)
    )


def test_the_largest_size_that_fits_is_shown_and_traded() -> None:
    tape = build_tape([large(MAX_SIZE)], min_episode_length=3)
    assert tape.qty[1, YES, 0] == MAX_SIZE


def test_a_larger_size_is_refused_with_market_and_time() -> None:
    message = rf"KXHAND-26-A .* 2,147,483,647 contracts at 2026-03-18T20:00:00.007.*{T0 + 7}"
    with pytest.raises(DataError, match=message):
        build_tape([large(MAX_SIZE + 1)], min_episode_length=3)


def test_a_larger_size_beyond_the_depth_of_the_tape_is_none_of_it() -> None:
    session = session_of(snapshot(0, {40: 1, 39: MAX_SIZE + 1}, {55: 1}), quiet(5))
    tape = build_tape([session], min_episode_length=3, depth=1)
    assert tape.qty[:, YES].tolist() == [[1]] * 3
    with pytest.raises(DataError, match="KXHAND"):
        build_tape([session], min_episode_length=3, depth=2)


def test_a_live_market_leaves_out_rows_with_a_larger_size_and_says_so() -> None:
    session = large(MAX_SIZE + 1)
    market = LiveMarket(session.markets[0])
    with pytest.raises(DataError, match=f"KXHAND-26-A .*{T0 + 7}"):
        market.feed(session.events)
    assert market.ts_ms.tolist() == [T0]
    with pytest.raises(DataError, match=f"KXHAND-26-A .*{T0 + 10}"):
        market.feed(session_of(snapshot(20, {40: 3}, {55: 1})).events)
    market.feed(session_of(snapshot(25, {40: 4}, {55: 1})).events)
    assert market.finish() == 1
    assert market.ts_ms.tolist() == [T0, T0 + 20, T0 + 25]
    assert market.qty[:, YES, 0].tolist() == [100, 3, 4]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("px", -1),
        ("px", PAYOUT_CENT + 1),
        ("qty", -1),
        ("qty", MAX_SIZE + 1),
        ("mark2", -1),
        ("mark2", 2 * PAYOUT_CENT + 1),
        ("flow_offsets", 2**40),
    ],
)
def test_numbers_that_no_row_holds_are_refused(name: str, value: int) -> None:
    tape = build_tape([large(200)], min_episode_length=3)
    other: npt.NDArray[np.int64] = getattr(tape, name).copy()
    other.reshape(-1)[-1] = value
    with pytest.raises(ConfigError, match=name):
        tape.with_arrays(**{name: other})


def test_a_tape_with_another_array_is_another_tape() -> None:
    tape = build_tape([large(200)], min_episode_length=3)
    other: Tape = tape.with_arrays(mark2=np.full_like(tape.mark2, 2))
    assert (other.mark2 == 2).all()
    assert (other.arrays.i16[:, layout.ROW_MARK2] == 2).all()
    assert (tape.mark2 != 2).any()
    assert other.views == tape.views
    assert (other.tops != tape.tops).any()
    assert tape.select([0]).rows is tape.rows


def test_a_tape_is_made_of_its_arrays() -> None:
    tape = build_tape([large(200)], min_episode_length=3)
    names = ("ts_ms", "px", "qty", "mark2", "features", "flow_offsets")
    arrays = {name: getattr(tape, name) for name in names}
    made = Tape(tape.payout, flow=tape.flow, views=tape.views, **arrays)
    assert np.array_equal(made.rows, tape.rows)
    without_sizes = {name: array for name, array in arrays.items() if name != "qty"}
    with pytest.raises(ConfigError, match="qty is missing"):
        Tape(tape.payout, flow=tape.flow, views=tape.views, **without_sizes)
    with pytest.raises(ConfigError, match="marks is none of its arrays"):
        tape.with_arrays(marks=tape.mark2)

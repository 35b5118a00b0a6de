"""No tape lets a kernel read or write out of bounds, however it was made."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from kalshi_sim import BatchSimulator, Tape, tape_gate
from kalshi_sim.errors import ConfigError
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.rows import row_views
from tests.support.odd_tapes import MANY, TAPE, simulator

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize(
    "changes",
    [
        {"start": -1},
        {"stop": 10**6},
        {"start": 5, "stop": 5},
        {"stop": 1.5},
        {"fee_unit": 0},
        {"taker_multiplier": -1},
        {"settlement_value": 10**9},
        {"tick_bands": ((0, 100, 0),)},
        {"tick_bands": ((0, 2**62, 1),)},
        {"tick_bands": ((0, 100),)},
        {"later_states": (dataclasses.replace(TAPE.views[0].states[0], maker_multiplier=-1),)},
    ],
    ids=str,
)
def test_a_view_that_cannot_be_is_no_tape(changes: dict[str, Any]) -> None:
    view = dataclasses.replace(TAPE.views[0], **changes)
    with pytest.raises(ConfigError, match="view"):
        dataclasses.replace(TAPE, views=(view,))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ts_ms", lambda a: a[:-1]),
        ("px", lambda a: a[:, :, :2]),
        ("px", lambda a: a.astype(np.int32)),
        ("qty", lambda a: a[1:]),
        ("mark2", lambda a: a.astype(np.float64)),
        ("features", lambda a: a[:, :39]),
        ("states", lambda a: a + 1),
        ("states", lambda a: a - 1),
        ("states", lambda a: a.astype(np.int64)),
        ("flow_offsets", lambda a: a + 10**9),
        ("flow_offsets", lambda a: a[::-1].copy()),
        ("flow", lambda a: a[:, :4]),
        ("flow", lambda a: a[:-1]),
        ("flow", lambda a: a[::-1]),
        ("flow", np.asfortranarray),
        ("payout", lambda a: 0),
        ("row_interval_ms", lambda a: 0),
        ("min_episode_length", lambda a: -5),
    ],
)
def test_arrays_that_do_not_fit_are_no_tape(name: str, change: Callable[[Any], Any]) -> None:
    with pytest.raises(ConfigError, match="tape"):
        TAPE.with_arrays(**{name: change(getattr(TAPE, name))})


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("flow", -1),
        ("flow", 10**9),
        ("entries", -1),
        ("entries", 2**14),
        ("end", 0),
        ("state", 1),
        ("state", -1),
    ],
)
def test_rows_that_lead_out_of_the_tape_are_no_tape(column: str, value: int) -> None:
    rows = TAPE.rows.copy()
    views = row_views(rows)
    end = layout.BEST_PRICE + layout.LEVEL_INT16S * TAPE.depth
    columns: dict[str, npt.NDArray[np.signedinteger[Any]]] = {
        "flow": views.i64[:, layout.ROW_FLOW],
        "entries": views.i16[:, layout.ROW_FLOW_ENTRIES],
        "end": views.i16[:, end],
        "state": views.i32[:, layout.ROW_STATE],
    }
    columns[column][-1] = value
    with pytest.raises(ConfigError, match="tape"):
        dataclasses.replace(TAPE, rows=rows)


@pytest.mark.parametrize("row", range(1, 10))
def test_rows_are_checked_across_the_blocks_they_are_read_in(
    monkeypatch: pytest.MonkeyPatch, row: int
) -> None:
    monkeypatch.setattr(tape_gate, "_BLOCK_ROWS", 4)
    assert len(dataclasses.replace(TAPE)) > 9
    rows = TAPE.rows.copy()
    row_views(rows).i16[row, layout.ROW_FLOW_ENTRIES] += 1
    with pytest.raises(ConfigError, match="does not begin where that before it ends"):
        dataclasses.replace(TAPE, rows=rows)


def test_a_flow_that_runs_over_the_largest_number_is_no_tape() -> None:
    rows = TAPE.rows.copy()
    views = row_views(rows)
    views.i16[:, layout.ROW_FLOW_ENTRIES] = 1
    views.i64[:, layout.ROW_FLOW] = 2**63 - 2 + np.arange(len(rows), dtype=np.uint64).view(np.int64)
    with pytest.raises(ConfigError, match="tape: flow"):
        dataclasses.replace(TAPE, rows=rows)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a[:, :-8].copy(),
        lambda a: a[:, 8:],
        lambda a: a.astype(np.int32),
        lambda a: a[::-1],
        lambda a: a[0],
    ],
)
def test_rows_of_another_shape_are_no_tape(change: Callable[[Any], Any]) -> None:
    with pytest.raises(ConfigError, match="tape: rows"):
        dataclasses.replace(TAPE, rows=change(TAPE.rows))


@pytest.mark.parametrize("depth", [0, 65, 9, 2])
def test_a_depth_that_the_rows_do_not_have_is_no_tape(depth: int) -> None:
    with pytest.raises(ConfigError, match="tape"):
        dataclasses.replace(TAPE, depth=depth)


def test_a_view_of_one_row_or_none_at_all_cannot_be_played() -> None:
    short = dataclasses.replace(TAPE.views[0], stop=TAPE.views[0].start + 1)
    with pytest.raises(ConfigError, match="a step needs two"):
        BatchSimulator(dataclasses.replace(TAPE, views=(short,)), 1)
    with pytest.raises(ConfigError, match="no views"):
        BatchSimulator(dataclasses.replace(TAPE, views=()), 1)


def test_a_long_shortest_episode_leaves_random_starts_inside() -> None:
    odd = dataclasses.replace(TAPE, min_episode_length=10**6)
    sim = simulator(odd, n_envs=32, random_start=True)
    for _ in range(30):
        sim.step(np.zeros(32, int))


def test_a_tape_is_never_copied_in_a_process() -> None:
    assert copy.deepcopy(MANY) is MANY


def test_a_pickled_tape_is_checked_and_closed_to_writing() -> None:
    def made(tape: Tape) -> Tape:
        again: Tape = pickle.loads(pickle.dumps(tape))
        return again

    again = made(MANY)
    for array in (*again.arrays, again.ts_ms, again.mark2, again.flow_offsets):
        assert not array.flags.writeable
    np.testing.assert_array_equal(again.rows, MANY.rows)
    edited = dataclasses.replace(TAPE)
    rows = TAPE.rows.copy()
    row_views(rows).i64[:, layout.ROW_FLOW] += 10**9
    edited.__dict__["rows"] = rows
    with pytest.raises(ConfigError, match="tape: flow"):
        made(edited)

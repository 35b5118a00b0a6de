"""The tops of a tape's rows repeat its arrays, whoever made them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from kalshi_sim import Tape, build_tape
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.tops import LINE_BYTES, empty_tops, tops_fit
from kalshi_sim.synthetic.session import generate_session

pytestmark = pytest.mark.kernel


def expected_tops(tape: Tape) -> npt.NDArray[np.int64]:
    """The tops of each row from the public arrays."""
    rows = []
    for row in range(len(tape)):
        top = [tape.ts_ms[row], tape.mark2[row], tape.flow_offsets[row], tape.flow_offsets[row + 1]]
        for side in range(2):
            for level in range(layout.TOP_LEVELS):
                shown = level < tape.depth
                top += [tape.px[row, side, level], tape.qty[row, side, level]] if shown else [0, 0]
        rows.append(top)
    return np.array(rows, np.int64)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 10])
def test_tops_repeat_the_arrays(depth: int) -> None:
    tape = build_tape([generate_session(1, markets=3, deltas=600, seed=depth)], depth=depth)
    assert len(tape.views) == 3
    assert np.array_equal(tape.tops, expected_tops(tape))
    again = replace(tape, tops=empty_tops(0))
    assert np.array_equal(again.tops, tape.tops)
    assert again.tops.ctypes.data % LINE_BYTES == tape.tops.ctypes.data % LINE_BYTES == 0


def test_a_skipped_market_leaves_no_flow_behind() -> None:
    session = generate_session(1, markets=4, deltas=800, seed=2)
    rows = [len(view) for view in build_tape([session]).views]
    tape = build_tape([session], min_episode_length=max(rows))
    assert len(tape.skipped) == 3
    assert np.array_equal(tape.tops, expected_tops(tape))


def test_tops_of_other_arrays_do_not_fit() -> None:
    tape = build_tape([generate_session(1, markets=2, deltas=300, seed=3)])
    names = ("ts_ms", "mark2", "flow_offsets", "px", "qty")
    arrays: dict[str, npt.NDArray[np.int64]] = {name: getattr(tape, name) for name in names}
    assert tops_fit(tape.tops, **arrays)
    assert not tops_fit(tape.tops[1:], **arrays)
    for name in names:
        other = arrays[name].copy()
        other.reshape(-1)[0] += 1
        assert not tops_fit(tape.tops, **{**arrays, name: other})

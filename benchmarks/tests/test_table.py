"""The benchmarks measure equal things, and their table says what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import bench_baselines, sessions, table
from benchmarks.figures import Figure, figure, in_turn, ratios
from kalshi_sim import Tape, build_tape
from kalshi_sim.synthetic.session import generate_session


@pytest.fixture(scope="module")
def tape() -> Tape:
    return build_tape([generate_session(1, markets=6, minutes=10)])


def test_what_is_compared_computes_equal_numbers() -> None:
    bench_baselines.gates(n_envs=2, steps=40)


def test_a_resized_tape_repeats_views_with_their_flow(tape: Tape) -> None:
    large = sessions.resized(tape, 2 * len(tape) + 5)
    n = len(tape.views)
    assert 2 * len(tape) - tape.min_episode_length < len(large) <= 2 * len(tape) + 5
    for original, view in zip(tape.views * 2, large.views[: 2 * n], strict=True):
        for name in ("ts_ms", "px", "qty", "mark2", "features"):
            column, copied = getattr(tape, name), getattr(large, name)
            assert np.array_equal(column[original.rows], copied[view.rows])
        for t in range(len(view)):
            assert np.array_equal(_flow(tape, original.start + t), _flow(large, view.start + t))


def _flow(tape: Tape, row: int) -> Any:
    return tape.flow[tape.flow_offsets[row] : tape.flow_offsets[row + 1]]


def test_a_small_resized_tape_is_cut(tape: Tape) -> None:
    small = sessions.resized(tape, 20)
    assert 20 - tape.min_episode_length < len(small) <= 20
    assert len(small.flow) == small.flow_offsets[-1]


def test_works_take_turns_after_one_untimed_round() -> None:
    calls: list[str] = []
    times = in_turn([lambda: calls.append("a"), lambda: calls.append("b")], rounds=2)
    assert calls == ["a", "b"] * 3
    assert [len(t) for t in times] == [2, 2]


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


@pytest.mark.parametrize(
    ("targets", "reached"),
    [
        ({}, None),
        ({"at_least": 2.0}, True),
        ({"at_least": 2.1}, False),
        ({"at_most": 2.0}, True),
        ({"at_most": 1.9}, False),
    ],
)
def test_the_median_is_held_against_the_target(targets: Any, reached: bool | None) -> None:
    assert figure("g", "n", "s", [1.0, 2.0, 5.0], **targets).reached is reached


def results(*figures: Figure) -> dict[str, Any]:
    return {
        "machine": table.machine(),
        "command": "make bench",
        "date": "2026-01-01",
        "figures": [vars(f) for f in figures],
    }


def test_one_table_has_the_headlines_and_the_other_all() -> None:
    shown = figure("g", "shown", "steps/s", [8e6, 9e6, 9.5e6], at_least=8e6, headline=True)
    other = figure("g", "other", "s", [0.25], at_most=0.1)
    headlines = table.render(results(shown, other), headline=True)
    assert "| shown | 9 000 000 steps/s | 8 000 000 to 9 500 000 | ≥ 8 000 000 ✓ |" in headlines
    assert "other" not in headlines
    everything = table.render(results(shown, other), headline=False)
    assert "| other | 0.25 s |  | ≤ 0.1 ✗ |" in everything


def test_the_table_tells_machine_versions_and_command() -> None:
    text = table.render(results(), headline=True)
    about = table.machine()
    for expected in (about["processor"], about["numba"], about["torch"], "make bench"):
        assert expected in text


def test_a_run_replaces_the_former_of_its_machine_and_keeps_the_others(tmp_path: Path) -> None:
    kept, page = tmp_path / "results.json", tmp_path / "page.md"
    page.write_text("\n".join(mark for marks in table.MARKS.values() for mark in marks))
    here = results(figure("g", "first", "s", [1.0], headline=True))
    there = results(figure("g", "elsewhere", "s", [2.0], headline=True))
    there["machine"] = there["machine"] | {"processor": "Another", "cores": 16}
    again = results(figure("g", "again", "s", [3.0], headline=True))
    for run in (here, there, again):
        table.write(run, kept, page)
    assert [run["figures"][0]["name"] for run in json.loads(kept.read_text())] == [
        "again",
        "elsewhere",
    ]
    text = page.read_text()
    headlines, all_figures = text.split(table.MARKS["headlines"][1])
    assert "again" in headlines
    assert "elsewhere" not in headlines
    assert "first" not in text
    assert "### Another, 16 cores, 2026-01-01" in all_figures
    assert "| elsewhere | 2 s |" in all_figures


def test_only_what_is_between_the_marks_is_replaced() -> None:
    marks = table.MARKS["all"]
    document = f"before\n{marks[0]}\nold\n{marks[1]}\nafter\n"
    replaced = table.between_marks(document, "new\n", marks)
    assert replaced == f"before\n{marks[0]}\nnew\n{marks[1]}\nafter\n"
    assert table.between_marks(replaced, "new\n", marks) == replaced


def test_a_document_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no lines"):
        table.between_marks("nothing here", "new\n", table.MARKS["all"])


def test_figures_come_from_a_pytest_benchmark_run(tmp_path: Path) -> None:
    stats = {"median": 2.0, "min": 1.0, "max": 4.0, "rounds": 3}
    info = {
        "group": "g",
        "figure": "build",
        "unit": "events/s",
        "amount": 8,
        "at_least": 2.0,
        "headline": True,
        "processor_seconds": [1.0, 2.0, 4.0],
        "row_bytes": 320.0,
    }
    times = {"times_faster": 6.5, "times_faster_least": 6.0, "times_faster_most": 7.0}
    turns = {"group": "g", "figure": "import", "ratios": [3.0, 2.0, 1.0], "at_least": 2.0}
    entries = [
        {"name": "test_turns", "stats": stats, "extra_info": {**turns, "headline": True}},
        {"name": "test_build", "stats": stats, "extra_info": info},
        {"name": "test_copy_beats_fetch", "stats": stats, "extra_info": times},
        {"name": "test_step", "stats": stats, "extra_info": {}},
    ]
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"benchmarks": entries}))
    turn, core, wall, row, loading = table.pytest_figures(path)
    assert (turn.median, turn.low, turn.high, turn.unit) == (2.0, 1.0, 3.0, "×")
    assert turn.reached
    assert turn.headline
    assert (core.median, core.low, core.high, core.reached) == (4.0, 2.0, 8.0, True)
    assert (wall.median, wall.low, wall.high, wall.headline) == (4.0, 2.0, 8.0, False)
    assert (row.median, row.at_most) == (320.0, 400)
    assert (loading.low, loading.median, loading.high) == (6.0, 6.5, 7.0)
    assert loading.at_least == 5


def test_the_page_has_both_pairs_of_marks() -> None:
    text = table.DOCUMENT.read_text(encoding="utf-8")
    for mark in (mark for marks in table.MARKS.values() for mark in marks):
        assert text.count(mark) == 1

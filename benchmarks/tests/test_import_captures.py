"""Imports of generated captures, a few; `python -m benchmarks.import_captures` does more."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import import_captures as benchmark
from kalshi_sim.session import Session
from support.captures import Recording
from support.imported import imported
from support.layouts import LAYOUTS


def test_a_few_captures_are_told_by_what_came_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--seed", "30000001", "--captures", "24"]) == 0
    counts = _counts(capsys.readouterr().out)
    assert counts["imports"] == sum(counts[name] for name in benchmark.OUTCOMES) == 24
    assert counts[benchmark.RIGHT] > 12
    assert counts[benchmark.RIGHT_NOTED] > 0
    assert counts[benchmark.REFUSED] > 0


def test_a_wrong_book_without_a_note_is_silent_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(folder: Path, files: list[list[str]]) -> Session:
        return imported(folder, [lines[:-1] for lines in files])

    monkeypatch.setattr(benchmark, "imported", wrong)
    assert benchmark.main(["--seed", "30000005", "--captures", "3", "--layout", "one"]) == 1
    out = capsys.readouterr().out
    assert _counts(out)[benchmark.SILENT] > 0
    assert f"{benchmark.SILENT}: 30000005 one" in out


def test_captures_of_two_sockets_under_equal_sids_are_chosen() -> None:
    chosen = list(benchmark.cases(range(30000000, 30000100), benchmark.ALL, benchmark.EQUAL_SIDS))
    assert {layout for _, layout in chosen} == {*LAYOUTS}
    assert all(Recording(seed).equal_sids for seed, _ in chosen)
    assert len(chosen) % len(LAYOUTS) == 0


def _counts(out: str) -> dict[str, int]:
    """The numbers of the table, by the names of its lines."""
    width = len(f"{'':<28}")
    lines = [line for line in out.splitlines() if len(line) >= width + 8]
    return {line[:width].rstrip(): _number(line[width : width + 8]) for line in lines}


def _number(text: str) -> int:
    return int(text.replace(",", "")) if text.strip().replace(",", "").isdigit() else -1

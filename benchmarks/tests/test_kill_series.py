"""The kills of `benchmarks.kill_series`, a few of each."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks import kill_series
from kalshi_sim.files import make_folder
from support.kills import Series, run_series


@pytest.mark.parametrize("kind", kill_series.KINDS, ids=lambda kind: kind.name)
def test_a_few_kills_leave_nothing_half(kind: type[Series], tmp_path: Path) -> None:
    sessions = kill_series.make_sessions(tmp_path, minutes=4)
    with ExitStack() as stack:
        # Trainings take long, and have kills of their own in tests/training/test_kill.py.
        kills = 2 if kind is kill_series.Train else 5
        seen, most, wrong = run_series(kind(tmp_path, sessions, stack), kills)
    assert wrong == []
    assert sum(seen.values()) == kills
    assert most <= 1


class Halves(Series):
    """Writes in place, so that a kill leaves half."""

    name = "halves"

    def command(self, overwrite: bool) -> list[str]:
        return ["python", "-c", f"{self.folder}"]

    def state(self) -> str:
        (self.folder / ".left.tmp").write_text("")
        return "half"

    def product(self) -> str:
        return "always"

    def finish(self, overwrite: bool) -> None:
        make_folder(self.folder)


def test_what_is_half_or_left_is_told(tmp_path: Path) -> None:
    with ExitStack() as stack:
        _, _, wrong = run_series(Halves(tmp_path, tmp_path, stack), 1)
    assert any("half" in line for line in wrong)
    assert any("1 left-overs" in line for line in wrong)

"""Damage of every kind of file, a little of each; `python -m benchmarks.byte_flips` does more."""

from __future__ import annotations

import random
from pathlib import Path

from benchmarks.byte_flips import RIGHT, cases, damage


def test_damage_is_found_or_without_effect(tmp_path: Path) -> None:
    rng = random.Random(1)
    for case in cases(tmp_path):
        good = case[2]()
        outcomes = {damage(case, good, rng) for _ in range(30)}
        assert outcomes <= {*RIGHT}, case[0]
        assert "found" in outcomes, case[0]


def test_damage_that_is_taken_is_told(tmp_path: Path) -> None:
    path = tmp_path / "unchecked"
    path.write_bytes(b"numbers")
    case = ("unchecked", [path], path.read_bytes)
    assert damage(case, b"numbers", random.Random(0)) == "TAKEN"
    assert path.read_bytes() == b"numbers"

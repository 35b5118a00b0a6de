from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kalshi_sim import open_store, validation
from kalshi_sim.cli.validate import run_validation
from kalshi_sim.features import FEATURES
from kalshi_sim.session import Session
from kalshi_sim.validation import validate_session


def test_a_generated_session_is_valid(
    store_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_validation(str(store_folder), 9, True) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["valid"]
    assert {c["held"] for c in report["checks"]} == {True}
    assert [c["name"] for c in report["checks"]] == [
        "52 features",
        "5 actions",
        "gymnasium's checker",
        "Stable-Baselines3's checker",
        "an episode",
        "finite and in bounds",
        "no constant feature",
        "no duplicated feature",
        "invariants",
        "agreement with the reference",
    ]


def test_the_newest_session_is_taken_and_shown(
    store_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_validation(open_store(str(store_folder)), None, False) == 0
    out = capsys.readouterr().out
    assert "Session 9" in out
    assert "FAILS" not in out


def test_what_cannot_be_validated_is_told(
    store_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_validation(str(store_folder), 77, False) == 2
    assert "no session 77" in capsys.readouterr().err
    assert run_validation(str(tmp_path / "nowhere"), 1, False) == 2


def test_a_broken_feature_is_named(edge_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feature that repeats another, one that stands still and one out of bounds."""
    play = validation._Rollout._play

    def spoiled(self: validation._Rollout, config: object) -> list[np.ndarray]:
        rows = play(self, config)  # type: ignore[arg-type]  # a stand-in
        for obs in rows:
            obs[:, 5] = -2.0 * obs[:, 7]
            obs[:, 31] = 0.25
            obs[:, 22] = 7.0 * obs[:, 22]
        return rows

    monkeypatch.setattr(validation._Rollout, "_play", spoiled)
    checks = {c.name: c for c in validate_session(edge_session)}
    assert checks["no constant feature"].held is False
    assert FEATURES[31].name in checks["no constant feature"].detail
    assert "bid_size = top_imbalance" in checks["no duplicated feature"].detail
    assert "quote_age" in checks["finite and in bounds"].detail
    assert checks["invariants"].held


def test_a_session_without_close_times_or_one_sided_books_is_excused(
    edge_session: Session,
) -> None:
    markets = tuple(replace(m, close_time_ms=None, close_updates=()) for m in edge_session.markets)
    checks = {c.name: c for c in validate_session(replace(edge_session, markets=markets))}
    assert checks["no constant feature"].held
    assert "time_to_close" in checks["no constant feature"].detail


def test_features_of_two_values_each_are_no_duplicates(
    edge_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a quiet session the spread is one or two cents, and so is the cost of a trade."""
    play = validation._Rollout._play

    def steady(self: validation._Rollout, config: object) -> list[np.ndarray]:
        rows = play(self, config)  # type: ignore[arg-type]  # a stand-in
        for obs in rows:
            obs[:, 5] = np.where(obs[:, 7] > 0, 0.25, 0.5)
            obs[:, 6] = 3.0 * obs[:, 5]
        return rows

    monkeypatch.setattr(validation._Rollout, "_play", steady)
    duplicated = {c.name: c for c in validate_session(edge_session)}["no duplicated feature"]
    assert duplicated.held
    assert f"{FEATURES[5].name}, {FEATURES[6].name}: of two values here" in duplicated.detail


def test_a_copy_of_a_feature_of_two_values_is_a_duplicate(
    edge_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = validation._Rollout._play

    def copied(self: validation._Rollout, config: object) -> list[np.ndarray]:
        rows = play(self, config)  # type: ignore[arg-type]  # a stand-in
        for obs in rows:
            obs[:, 5] = obs[:, 7] > 0
            obs[:, 6] = obs[:, 5]
        return rows

    monkeypatch.setattr(validation._Rollout, "_play", copied)
    duplicated = {c.name: c for c in validate_session(edge_session)}["no duplicated feature"]
    assert duplicated.held is False
    assert f"{FEATURES[5].name} = {FEATURES[6].name}" in duplicated.detail

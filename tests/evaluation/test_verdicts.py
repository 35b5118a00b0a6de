"""One rule for every verdict: training, evaluation, comparison, page and the listing of runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kalshi_sim.errors import ConfigError
from kalshi_train.evaluation.heldout import HeldoutResult
from kalshi_train.evaluation.tries import EVALUATIONS, read_evaluations, tries_beside, tries_of
from kalshi_train.evaluation.verdicts import judge


def heldout(profit: np.ndarray, events: list[str]) -> HeldoutResult:
    n = len(profit)
    return HeldoutResult(
        tickers=tuple(f"M{k}" for k in range(n)),
        events=tuple(events),
        profit=profit,
        rewards=profit,
        lengths=np.ones(n, np.int64),
        drawdown=np.zeros(n),
        columns={"fills": np.ones(n)},
    )


def test_two_events_make_no_verdict() -> None:
    """Their percentile bootstrap, 10 to 12, would be far above zero."""
    found = judge(np.array([10.0, 12.0]), ["a", "b"])
    assert (found.above, found.below) == (False, False)
    assert found.doubt == "2 events are too few for a verdict (5 at least)"
    text = heldout(np.array([10.0, 12.0]), ["a", "b"]).verdict()
    assert text.endswith("2 markets, 2 events, 1 try): " + found.doubt)


def test_training_says_events_and_tries() -> None:
    rng = np.random.default_rng(4)
    good = heldout(rng.normal(300.0, 100.0, 12), [f"E{k // 2}" for k in range(12)])
    text = good.verdict(7)
    assert "95 % interval +$" in text
    assert "12 markets, 6 events, 7 tries): above zero, more than chance explains" in text
    none = heldout(rng.normal(0.0, 100.0, 12), [f"E{k // 2}" for k in range(12)])
    assert "zero is inside: no more than chance explains" in none.verdict()
    bad = heldout(-good.profit, list(good.events))
    assert "below zero, more than chance explains" in bad.verdict()


def test_the_best_of_many_must_be_better_than_their_number_explains() -> None:
    """A profit 2.3 standard errors above zero: clear if it stood alone, not as the best of 50."""
    values = np.random.default_rng(8).standard_normal(40)
    values += 2.3 * values.std(ddof=1) / np.sqrt(40) - values.mean()
    groups = [str(k) for k in range(40)]
    alone, told = judge(values, groups), judge(values, groups, tries=50)
    assert alone.above
    assert told.above
    chosen = judge(values, groups, tries=50, chosen=True)
    assert not chosen.above
    assert chosen.doubt == "no more than so many tries explain"
    assert chosen.basis == "40 events, the best of 50 tries"


def a_run(folder: Path, evaluations: int) -> Path:
    (folder / "eval_logs").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    np.savez_compressed(
        folder / EVALUATIONS,
        timesteps=np.arange(evaluations),
        profit_cents=np.random.default_rng(evaluations).normal(size=(evaluations, 6)),
        tickers=np.array([f"T{k}" for k in range(6)]),
        events=np.array([""] * 6),
    )
    return folder


def test_a_model_is_one_of_the_tries_of_its_run(tmp_path: Path) -> None:
    run = a_run(tmp_path / "alone", 4)
    assert tries_beside(run / "trained_model.zip") == 4
    assert tries_beside(run / "best_model" / "best_model.zip") == 4
    assert tries_beside(tmp_path / "elsewhere.zip") == 1
    several = tmp_path / "several"
    for k in (1, 2):
        a_run(several / f"seed-{k}", 4 + k)
    assert tries_beside(several / "seed-1" / "trained_model.zip") == 5
    (several / "runs.json").write_text("{}")
    assert tries_beside(several / "seed-1" / "trained_model.zip") == 11


DAMAGES = ("truncated", "text", "empty", "flipped", "another array", "no numbers")


def damage(path: Path, kind: str) -> None:
    whole = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "text":
        path.write_text("no archive")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "flipped":
        place = whole.index(b"profit_cents.npy") + 40
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
    else:
        profit = np.full((4, 5 if kind == "another array" else 6), np.nan)
        names = np.array([f"T{k}" for k in range(6)])
        np.savez(path, timesteps=np.arange(4), profit_cents=profit, tickers=names, events=names)


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_evaluations_are_named_and_not_counted(tmp_path: Path, kind: str) -> None:
    runs = [a_run(tmp_path / name, 4) for name in ("whole", "broken")]
    damage(runs[1] / EVALUATIONS, kind)
    with pytest.raises(ConfigError, match=r"broken.*is damaged"):
        read_evaluations(runs[1])
    notes: list[str] = []
    found = tries_of(runs, notes)
    assert found is not None
    assert (found.runs, found.tries) == (1, 4)
    assert len(notes) == 1
    assert str(runs[1] / EVALUATIONS) in notes[0]
    with pytest.raises(ConfigError, match="is damaged"):
        tries_of(runs)


def test_no_flipped_byte_ends_the_listing(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", 2)
    whole = (run / EVALUATIONS).read_bytes()
    for place in range(0, len(whole), 7):
        flipped = whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :]
        (run / EVALUATIONS).write_bytes(flipped)
        notes: list[str] = []
        assert (tries_of([run], notes) is None) is bool(notes)

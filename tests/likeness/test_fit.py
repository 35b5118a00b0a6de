"""Profiles that are fitted to a session: what is measured, and what is found by generating."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kalshi_sim.errors import DataError
from kalshi_sim.likeness import fit as fitting
from kalshi_sim.likeness.figures import Measured
from kalshi_sim.likeness.fit import Lever, distance, first_guess, fit, fit_times, with_levers
from kalshi_sim.likeness.measure import flows_of, measure, measure_flows
from kalshi_sim.session import Session
from kalshi_sim.synthetic.profile import Profile, read_profile
from kalshi_sim.synthetic.session import generate_session


@pytest.fixture(scope="module")
def session() -> Session:
    """A recording of which every parameter is known."""
    return generate_session(5, markets=6, minutes=2.0, profile="fight")


@pytest.fixture(scope="module")
def guess(session: Session) -> tuple[Profile, Measured]:
    flows, cent = flows_of(session)
    target = measure_flows(flows, cent, trades=True)
    return first_guess(session, flows, cent, target, "mine"), target


def test_what_can_be_is_measured(guess: tuple[Profile, Measured], session: Session) -> None:
    profile, target = guess
    assert profile.figures == dict(target.values)
    assert profile.trades_recorded
    assert not profile.sub_penny
    assert not profile.fractional
    assert np.interp(0.5, (0.0, 1.0), (profile.gaps[0], profile.gaps[-1])) >= 1
    assert sum(profile.places) == pytest.approx(1.0)
    assert profile.levels[0] == target.values["size_1"]


def test_times_are_fitted_without_trading(guess: tuple[Profile, Measured]) -> None:
    profile, target = guess
    fitted = fit_times(replace(profile, markets=10, minutes=4.0), target)
    keys = ("lull", "slow", "fast")
    assert any(getattr(fitted, k) != getattr(profile, k) for k in keys)
    made = measure(generate_session(1, profile=fitted))
    for key in ("rows_per_minute", "burst_1s"):
        assert made.values[key] == pytest.approx(target.values[key], rel=0.5)


def test_a_step_brings_the_figures_nearer() -> None:
    """Of figures that answer to their parameters in a straight line."""
    rng = np.random.default_rng(2)
    slopes = rng.standard_normal((9, 4))
    missed = slopes @ rng.uniform(-0.1, 0.1, 4)
    step = fitting._step(slopes, missed, 0.03)
    assert np.linalg.norm(missed + slopes @ step) < 0.1 * np.linalg.norm(missed)


def test_levers_change_their_parameters_alone() -> None:
    profile = read_profile("nba")
    levers = (Lever("news"), Lever("places", 2), Lever("takers", None, 1.0, 1e9))
    values = np.array([0.02, 0.5, 2.0 * np.mean(profile.takers)])
    changed = with_levers(profile, levers, values)
    assert changed.news == 0.02
    assert changed.places == (*profile.places[:2], 0.5, *profile.places[3:])
    assert changed.takers == pytest.approx([max(1.0, 2.0 * n) for n in profile.takers])
    same = replace(changed, news=profile.news, places=profile.places, takers=profile.takers)
    assert same == profile


def test_a_fit_comes_closer_and_is_the_same_again(
    session: Session, guess: tuple[Profile, Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "LEAST_MARKETS", 3)
    monkeypatch.setattr(fitting, "LEAST_MINUTES", 1.0)
    monkeypatch.setattr(fitting, "WHOLE_ROWS", 5_000)
    first = replace(guess[0], markets=6, minutes=1.0)
    told: list[tuple[int, int, float]] = []
    fitted = fit(session, "mine", 1, lambda *round_: told.append(round_))
    assert [(done, of) for done, of, _ in told] == [(1, 1)]
    target = Measured(fitted.figures, fitted.errors)
    before = distance(target, measure(generate_session(1, profile=first)))
    after = distance(target, measure(generate_session(1, profile=fitted)))
    assert after == told[-1][2] < before
    assert fit(session, "mine", 1) == fitted


def test_a_recording_of_few_rows_is_refused() -> None:
    short = generate_session(3, markets=5, minutes=5.0, making=True)
    with pytest.raises(DataError, match=r"session 3 has \d+ rows in \d of its markets, too few"):
        fit(short, "mine")

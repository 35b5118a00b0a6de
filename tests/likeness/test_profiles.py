"""The likeness of each profile, and that its recorded figures are those of its recording."""

from __future__ import annotations

import pytest

from kalshi_sim.likeness.figures import Measured, compare
from kalshi_sim.likeness.measure import measure
from kalshi_sim.session import Session
from kalshi_sim.synthetic.profile import profile_names, read_profile
from kalshi_sim.synthetic.session import generate_session
from tests.support.recorded import Recorded

RECORDINGS = {
    "nba": ("nba", ""),
    "fight": ("ufc", ""),
    "crypto-15m": ("btc", ""),
    "quiet": ("nba", "OKCBKN"),
}
"""Profile -> (recording, what the tickers of its markets have in them)."""
SLICE_MARKETS = 10
SLICE_TOLERANCE = 0.6
"""Ten markets of a profile are a quarter of its session: chance is twice as large."""


@pytest.mark.parametrize("name", profile_names())
def test_a_slice_of_a_profiles_session_is_like_its_recording(name: str) -> None:
    profile = read_profile(name)
    made = generate_session(1, markets=SLICE_MARKETS, profile=profile)
    found = compare(Measured(profile.figures, profile.errors), measure(made))
    compared = {c.figure.key: c.difference for c in found if c.difference is not None}
    assert len(compared) > 18
    off = {key: d for key, d in compared.items() if abs(d) > SLICE_TOLERANCE}
    assert off == {}


@pytest.mark.parametrize("name", sorted(RECORDINGS))
def test_a_profiles_session_is_like_its_recording(recorded: Recorded, name: str) -> None:
    """Every figure within a quarter, against the recording as it is measured now."""
    recording = chosen(recorded, name)
    profile = read_profile(name)
    target = measure(recording)
    assert dict(profile.figures) == pytest.approx(dict(target.values), nan_ok=False)
    assert profile.errors == pytest.approx(target.errors)
    found = compare(target, measure(generate_session(1, profile=profile)))
    assert not [c.figure.key for c in found if not c.alike]


def chosen(recorded: Recorded, name: str) -> Session:
    recording, text = RECORDINGS[name]
    session = recorded.session(recording)
    return session.select([m.ticker for m in session.markets if text in m.ticker])

"""What a session offers: the same figures from its cached tape and market by market."""

from __future__ import annotations

import pytest

from kalshi_sim import Session, build_tape
from kalshi_sim.analysis import analyze_session
from kalshi_sim.synthetic.session import generate_session


@pytest.fixture(scope="module", params=[0.0, 0.5], ids=["cents", "some sub-penny"])
def session(request: pytest.FixtureRequest) -> Session:
    return generate_session(
        3, markets=8, minutes=10, seed=2, deltas=900, sub_penny_share=request.param
    )


@pytest.mark.parametrize("shortest", [3, 60])
def test_a_tape_of_all_markets_gives_what_each_alone_gives(session: Session, shortest: int) -> None:
    tape = build_tape([session], min_episode_length=shortest)
    alone = analyze_session(session, min_episode_length=shortest)
    together = analyze_session(session, min_episode_length=shortest, tape=tape)
    assert together == alone
    assert together.suitable_markets == len(tape.views)
    if shortest > 3:
        assert 0 < together.suitable_markets < 8

"""Random actions on real recordings: no invariant breaks, and they lose what trading costs."""

from __future__ import annotations

import pytest

from benchmarks.random_actions import prove, settings
from kalshi_sim import Tape, build_tape
from tests.recorded import Recorded

EPISODES = 300
STEPS = 60


@pytest.fixture(scope="module", params=["nba", "ufc", "btc"])
def tape(request: pytest.FixtureRequest, recorded: Recorded) -> Tape:
    return build_tape([recorded.session(request.param)])


def test_every_fill_model_pricing_and_valuation_keeps_the_invariants(tape: Tape) -> None:
    for config in settings(STEPS):
        proof = prove(tape, config, EPISODES)
        assert proof.broken == (), config
        assert proof.fills > 0, config
        if config.pricing == "cross" and config.valuation == "mid":
            assert proof.holds, (config, proof)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kalshi_sim import KalshiVecEnv, SimConfig, Tape, build_tape
from kalshi_sim.errors import ConfigError
from kalshi_sim.session import Session
from kalshi_train.data.prepare import mean_spread_cents
from kalshi_train.environments.curriculum import SimpleSessionCurriculum, easiest_first


@pytest.fixture(scope="module")
def tape(edge_session: Session) -> Tape:
    return build_tape([edge_session])


def info(view: int, equity: float, reward: float = 0.0) -> dict[str, Any]:
    return {
        "episode": {"r": reward, "l": 10, "t": 0.0},
        "market": {
            "view": view,
            "equity_cents": equity,
            "fees_cents": 2.0,
            "fills": 3,
            "contracts_traded": 30,
        },
    }


def test_results_add_up_per_market_and_session(tape: Tape) -> None:
    curriculum = SimpleSessionCurriculum(tape)
    curriculum.record([info(0, 10_100, 1.0), info(0, 9_700, -3.0), info(2, 10_500, 5.0)])
    first = curriculum.market_results()[0]
    assert (first.episodes, first.profit, first.fills, first.contracts) == (2, -200.0, 6, 60)
    assert (first.win_rate, first.mean_profit, first.timesteps) == (0.5, -100.0, 20)
    assert curriculum.market_results()[1].win_rate == 0.0
    summary = curriculum.get_overall_summary()
    assert summary["total_episodes"] == 3
    assert summary["avg_profit_cents"] == pytest.approx(100.0)
    assert summary["markets_played"] == 2
    assert summary["total_sessions"] == 1
    assert curriculum.get_session_summary(9) == {
        **{k: v for k, v in summary.items() if k != "total_sessions"},
        "session_id": 9,
    }
    assert curriculum.get_session_summary(8) is None
    assert len(curriculum.to_json()) == len(tape.views)


def test_easiest_is_narrow_and_busy(tape: Tape) -> None:
    order = easiest_first(tape)
    assert sorted(order) == list(range(len(tape.views)))
    spread, rows = mean_spread_cents(tape), np.array([len(v) for v in tape.views])
    dominated = (spread > spread[order[0]]) & (rows < rows[order[0]])
    rivals = (spread < spread[order[0]]) & (rows > rows[order[0]])
    assert dominated.sum() >= rivals.sum() == 0


def test_need_weighs_bad_and_unplayed_markets_most(tape: Tape) -> None:
    curriculum = SimpleSessionCurriculum(tape, "need")
    curriculum.record([info(0, 10_500), info(1, 9_000), info(2, 10_000)])
    weights = curriculum.weights()
    assert weights[1] == weights[3] == pytest.approx(8.0)
    assert weights[0] == pytest.approx(1.0)
    assert 1.0 < weights[2] < 8.0


def test_the_simulator_hands_views_out_as_told(tape: Tape) -> None:
    easiest = SimpleSessionCurriculum(tape, "easiest")
    env = KalshiVecEnv(tape, n_envs=3, seed=0)
    easiest.start(env)
    env.reset()
    assert env.state()["view"].tolist() == easiest_first(tape)[:3].tolist()

    need = SimpleSessionCurriculum(tape, "need")
    everything_but_5 = [info(v, 20_000 if v != 5 else 0) for v in range(len(tape.views))]
    need.record(everything_but_5)
    env = KalshiVecEnv(tape, n_envs=2000, config=SimConfig(market_order="weighted"), seed=0)
    need.start(env)
    env.reset()
    counts = np.bincount(env.state()["view"], minlength=len(tape.views))
    assert counts.argmax() == 5


def test_state_goes_on_exactly(tape: Tape) -> None:
    one, other = SimpleSessionCurriculum(tape, "need"), SimpleSessionCurriculum(tape, "need")
    one.record([info(0, 10_100), info(4, 9_000)])
    other.load_state(one.state())
    for curriculum in (one, other):
        curriculum.record([info(0, 9_100)])
    assert other.market_results() == one.market_results()
    short = {name: values[:3] for name, values in one.state().items()}
    with pytest.raises(ConfigError, match="3 markets"):
        other.load_state(short)


def test_an_unknown_order_is_refused(tape: Tape) -> None:
    with pytest.raises(ConfigError, match="allowed are sequential"):
        SimpleSessionCurriculum(tape, "hardest")  # type: ignore[arg-type]  # a wrong value is the point

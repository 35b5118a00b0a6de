"""The planted market in which only quotes pay that are cancelled in time: its known best quoter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from kalshi_sim import SimConfig, build_tape
from kalshi_sim.config import FillModel, Pricing
from kalshi_sim.errors import ConfigError
from kalshi_sim.kernels.observation import ASK_SIZE, BID_SIZE
from kalshi_sim.session import EventKind, Session
from kalshi_sim.synthetic import making
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.tape import Tape
from kalshi_train.evaluation.heldout import HeldoutResult, play_heldout
from kalshi_train.evaluation.policies import BASELINES, policy_from_function

Float32Array = npt.NDArray[np.float32]
MAKER = SimConfig(actions="maker")


@pytest.fixture(scope="module")
def session() -> Session:
    return generate_session(1, markets=300, seed=5, making=True)


@pytest.fixture(scope="module")
def tape(session: Session) -> Tape:
    return build_tape([session])


def never_cancels(observations: Float32Array) -> npt.NDArray[np.int64]:
    blind = observations.copy()
    blind[:, [BID_SIZE, ASK_SIZE]] = 1
    return making.best_making_policy(blind)


def played(tape: Tape, act: object, config: SimConfig = MAKER) -> HeldoutResult:
    assert callable(act)
    return play_heldout(tape, config, policy_from_function("quoter", act))


def takers(session: Session, tape: Tape) -> int:
    """Updates at which somebody traded and the fair value did not move."""
    n = 0
    for view in tape.views:
        events = session.market_events(view.market_ticker)
        trades = np.unique(events.ts_ms[events.kind == EventKind.TRADE])
        moves = int(np.count_nonzero(np.diff(tape.mark2[view.start : view.stop])))
        n += len(trades) - moves
    return n


def test_the_best_quoter_earns_what_there_is(session: Session, tape: Tape) -> None:
    result = played(tape, making.best_making_policy)
    most = making.most_profit(takers(session, tape)) / len(tape.views)
    rows = float(np.mean([len(v) - 1 for v in tape.views]))
    expected = making.most_profit(rows * making.TAKER / (1 + making.WARNING))
    assert most == pytest.approx(expected, rel=0.03)
    assert 0.85 * most < result.mean_profit < most + 2 * result.standard_error
    assert result.mean_profit > 10 * result.standard_error


@pytest.mark.parametrize("model", ["through", "queue", "prob", "touch"])
def test_a_quoter_that_does_not_cancel_loses(tape: Tape, model: FillModel) -> None:
    config = SimConfig(actions="maker", fill_model=model)
    naive = played(tape, never_cancels, config)
    best = played(tape, making.best_making_policy, config)
    assert naive.mean_profit < -10 * naive.standard_error
    if model == "through":  # takers who know nothing fill no order in it
        assert best.mean_profit == 0
    else:
        assert best.mean_profit > 10 * best.standard_error


@pytest.mark.parametrize("pricing", ["cross", "join"])
@pytest.mark.parametrize("name", ["random", "always-buy", "join-both-sides", "imbalance"])
def test_nothing_of_five_pays(tape: Tape, name: str, pricing: Pricing) -> None:
    result = play_heldout(tape, SimConfig(pricing=pricing), BASELINES[name])
    assert result.mean_profit <= 2 * result.standard_error


def test_prices_cannot_be_foretold(tape: Tape) -> None:
    """The warning says that a jump comes and not where to; a jump comes after every warning."""
    up = total = 0
    for view in tape.views:
        rows = slice(view.start, view.stop)
        thin = tape.features[rows, BID_SIZE] < making.THRESHOLD
        assert (thin == (tape.features[rows, ASK_SIZE] < making.THRESHOLD)).all()
        moves = np.diff(tape.mark2[rows])
        assert ((moves != 0) == thin[:-1]).all()
        up += int((moves > 0).sum())
        total += int((moves != 0).sum())
    assert abs(up - total / 2) < 3 * np.sqrt(total) / 2


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, again = (generate_session(2, markets=5, seed=3, making=True) for _ in range(2))
    assert first.events.equals(again.events)
    assert not first.events.equals(generate_session(2, markets=5, seed=3).events)


@pytest.mark.parametrize("other", ["edge", "sub_penny_share"])
def test_it_goes_alone(other: str) -> None:
    with pytest.raises(ConfigError, match="making goes with neither"):
        generate_session(1, markets=2, making=True, **{other: 0.5})  # type: ignore[arg-type]  # by name

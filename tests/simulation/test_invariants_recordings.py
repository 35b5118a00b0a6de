"""Random actions on the real recordings: nothing breaks, and what they lose is explained."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest

from kalshi_sim import BatchSimulator, SimConfig, Tape, build_tape
from kalshi_sim.config import FillModel, Pricing, Valuation
from kalshi_sim.units import money_per_cent
from tests.support.modes import INTERPRETED
from tests.support.recorded import Recorded

pytestmark = pytest.mark.kernel

NAMES = ["mixed"] if INTERPRETED else ["nba", "ufc", "btc"]
"""Without compilation, importing the large recordings takes too long."""
N_ENVS = 20 if INTERPRETED else 1_000
STEPS = 20 if INTERPRETED else 60
Array = npt.NDArray[Any]

_TAPES: dict[str, Tape] = {}


def tape_of(recorded: Recorded, name: str) -> Tape:
    """The tape of a recording, built once a process."""
    if name not in _TAPES:
        _TAPES[name] = build_tape([recorded.session(name)])
    return _TAPES[name]


def starts(tape: Tape, views: Array) -> Array:
    """The first tape row of each environment's view."""
    first: Array = np.array([view.start for view in tape.views])
    return first[views]


def value2(tape: Tape, config: SimConfig, state: dict[str, Array]) -> Array:
    """Twice the value of each position."""
    at = starts(tape, state["view"]) + state["row"]
    position = state["position"]
    if config.valuation == "liquidation":
        best2 = 2 * tape.px[at, np.where(position >= 0, 0, 1), 0]
    else:
        best2 = np.where(position >= 0, tape.mark2[at], 2 * tape.payout - tape.mark2[at])
    value: Array = abs(position) * best2
    return value


@pytest.mark.parametrize("valuation", get_args(Valuation))
@pytest.mark.parametrize("pricing", get_args(Pricing))
@pytest.mark.parametrize("model", get_args(FillModel))
@pytest.mark.parametrize("name", NAMES)
def test_no_invariant_breaks(
    recorded: Recorded, name: str, model: FillModel, pricing: Pricing, valuation: Valuation
) -> None:
    tape = tape_of(recorded, name)
    config = SimConfig(
        fill_model=model,
        pricing=pricing,
        valuation=valuation,
        random_start=True,
        max_episode_steps=STEPS,
    )
    sim = BatchSimulator(tape, n_envs=N_ENVS, config=config, seed=1)
    sim.reset()
    rng = np.random.default_rng(1)
    start = config.cash_start * money_per_cent(tape.payout)
    ended = 0
    for _ in range(STEPS):
        masks = sim.action_masks()
        observations, _, _, finished = sim.step(rng.integers(0, 5, N_ENVS))
        state = sim.state()
        assert masks[:, 0].all()
        assert (state["cash"] >= 0).all()
        assert (state["free_cash"] >= 0).all()
        assert (abs(state["position"]) <= config.max_position).all()
        value = value2(tape, config, state)
        assert (state["equity2"] == 2 * state["cash"] + value).all()
        kept = start + state["realized"] - state["fees_paid"] - state["cost"]
        assert (state["equity2"] == 2 * kept + value).all()
        assert (abs(observations) <= 1).all()
        both = (state["order_size"] > 0).all(axis=1)
        assert (state["order_price"].sum(axis=1)[both] < tape.payout).all()
        ended += 0 if finished is None else len(finished.envs)
    assert ended >= N_ENVS
    sim.close()


def profits_and_costs(tape: Tape, config: SimConfig) -> tuple[Array, Array]:
    """Of each random episode, in cents: its profit; half spreads and fees of its fills."""
    sim = BatchSimulator(tape, n_envs=N_ENVS, config=config, seed=2)
    sim.reset()
    rng = np.random.default_rng(2)
    cent2 = 2 * money_per_cent(tape.payout)
    costs2 = np.zeros(N_ENVS, np.int64)
    profits, costs = [], []
    for _ in range(3 * STEPS):
        views = sim.state()["view"]
        _, _, _, finished = sim.step(rng.integers(0, 5, N_ENVS))
        fills = sim.fills()
        yes2 = tape.mark2[starts(tape, views[fills["env"]]) + fills["row"]]
        mark2 = np.where(fills["side"] == 0, yes2, 2 * tape.payout - yes2)
        paid2 = fills["qty"] * (2 * fills["price"] - mark2) + 2 * fills["fee"]
        np.add.at(costs2, fills["env"], paid2)
        for k, i in enumerate([] if finished is None else finished.envs):
            assert finished is not None
            profits.append(sim.episode(finished, k)["equity_cents"] - config.cash_start)
            costs.append(costs2[i] / cent2)
            costs2[i] = 0
    sim.close()
    return np.array(profits), np.array(costs)


@pytest.mark.parametrize("model", get_args(FillModel))
@pytest.mark.parametrize("name", NAMES)
def test_random_actions_lose_what_spread_and_fees_cost(
    recorded: Recorded, name: str, model: FillModel
) -> None:
    """The mean profit is below zero by what half spreads and fees cost, within 3 standard errors.

    What is left is selection, some 1 or 2 % of the costs: a taker gets most where the level it
    takes from is large, which is where the mid is about to move against it.
    """
    config = SimConfig(
        fill_model=model, random_start=True, max_episode_steps=STEPS, record_fills=True
    )
    profits, costs = profits_and_costs(tape_of(recorded, name), config)
    error = profits.std() / np.sqrt(len(profits))
    assert profits.mean() < -3 * error
    assert abs(profits.mean() + costs.mean()) <= 3 * error

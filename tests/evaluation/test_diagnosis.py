"""Why a policy trades as it does: drawn actions, parts of the profit, the permutation null."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN, PPO

from kalshi_sim import KalshiVecEnv, SimConfig, Tape, build_tape
from kalshi_sim.errors import ConfigError
from kalshi_sim.kernels import layout
from kalshi_sim.synthetic.edge import best_edge_policy
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.units import mirror
from kalshi_train.evaluation import BASELINES, evaluate
from kalshi_train.evaluation.diagnosis import BUCKETS, Diagnosis
from kalshi_train.evaluation.episodes import play_all
from kalshi_train.evaluation.explain import lines
from kalshi_train.evaluation.measure import event_of
from kalshi_train.evaluation.permutation import permuted
from kalshi_train.evaluation.played import Played
from kalshi_train.evaluation.policies import Policy, policy_from_function, policy_from_model
from kalshi_train.evaluation.sampled import Drawn, can_be_drawn
from kalshi_train.evaluation.split import held_at_end, profit_split
from kalshi_train.learner.algorithms import FastPPO


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def episodes(tape: Tape, policy: Policy, config: SimConfig | None = None) -> list[Played]:
    return play_all(tape, config or SimConfig(), policy, lambda e: e)


def biased(tape: Tape, logits: list[float], kind: Any = PPO, **settings: Any) -> Any:
    """A model whose distribution is the same everywhere."""
    env = KalshiVecEnv(tape, n_envs=2)
    model = kind("MlpPolicy", env, n_steps=8, batch_size=16, seed=3, **settings)
    with torch.no_grad():
        model.policy.action_net.weight.zero_()
        model.policy.action_net.bias.copy_(torch.tensor(logits))
    return model


@pytest.mark.parametrize("name", ["random", "always-buy", "momentum", "join-both-sides"])
@pytest.mark.parametrize("valuation", ["mid", "liquidation"])
def test_the_parts_are_the_profit(tape: Tape, name: str, valuation: Any) -> None:
    config = SimConfig(valuation=valuation, order_size=3)
    seen = set()
    for played in episodes(tape, BASELINES[name], config):
        split = profit_split(tape, 10_000, played)
        profit2 = int(played.equity2[-1]) - 20_000
        assert split.closed2 + split.settled2 + split.marked2 - split.fees2 == profit2
        assert split.fees2 == 2 * int(played.core[layout.A_FEES])
        if played.view.settlement_value is not None:
            assert split.marked2 == 0
        seen |= {part for part, value in split._asdict().items() if value}
    assert {"closed2", "settled2"} <= seen or name == "always-buy"


def test_what_is_only_bought_is_all_settled(tape: Tape) -> None:
    """Buys of one side alone: the cost is what was paid, nothing was closed."""
    settled = 0
    for played in episodes(tape, BASELINES["always-buy"], SimConfig(order_size=2)):
        paid = int((played.fills[:, layout.R_QTY] * played.fills[:, layout.R_PRICE]).sum())
        held = int(played.fills[:, layout.R_QTY].sum())
        assert held_at_end(played.fills, tape.payout) == (held, paid)
        split = profit_split(tape, 10_000, played)
        value = played.view.settlement_value
        if value is not None and len(played.equity2) == len(played.view):
            assert (split.closed2, split.settled2) == (0, 2 * (held * value - paid))
            settled += 1
    assert settled > 3


def test_cost_of_what_is_left_is_the_ledgers(tape: Tape) -> None:
    """Of episodes that are cut short, where the agent still has its cost."""
    config = replace(SimConfig(), end_of_data="truncate")
    unsettled = tape.with_arrays(views=tuple(replace(v, settlement_value=None) for v in tape.views))
    open_ends = 0
    for played in episodes(unsettled, BASELINES["random"], config):
        position, cost = held_at_end(played.fills, tape.payout)
        assert position == played.core[layout.A_POSITION]
        assert cost == played.core[layout.A_COST]
        open_ends += position != 0
    assert open_ends > 0
    assert mirror(30, tape.payout) == tape.payout - 30


def test_draws_have_the_models_probabilities(tape: Tape) -> None:
    shares = np.array([0.5, 0.2, 0.1, 0.15, 0.05])
    drawn = Drawn(policy_from_model(biased(tape, np.log(shares).tolist()), "m"), seed=1)
    counts = np.zeros(5)
    for played in episodes(tape, drawn.policy):
        counts += np.bincount(played.actions[:-1], minlength=5)
    n = counts.sum()
    assert n == drawn.rows > 1000
    assert (abs(counts / n - shares) < 4 * np.sqrt(shares * (1 - shares) / n)).all()
    assert drawn.entropy / n == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-5)


def test_draws_belong_to_the_market_and_the_seed(tape: Tape, model: PPO) -> None:
    def actions(seed: int, views: list[int]) -> list[list[int]]:
        policy = Drawn(policy_from_model(model, "m"), seed).policy
        return play_all(tape, SimConfig(), policy, lambda e: e.actions.tolist(), views=views)

    whole = actions(1, [0, 2, 3])
    assert actions(1, [2]) == whole[1:2]
    assert actions(2, [0]) != whole[:1]


def test_masks_hold_and_are_counted(tape: Tape) -> None:
    uniform = [0.0] * 5
    free = Drawn(policy_from_model(biased(tape, uniform), "m"), 0)
    masked = Drawn(policy_from_model(biased(tape, uniform, FastPPO, mask=True), "m"), 0)
    for drawn in (free, masked):
        invalid = sum(int(e.core[layout.A_INVALID]) for e in episodes(tape, drawn.policy))
        marked = sum(int((~valid).sum()) for valid in drawn.valid.values())
        assert 0 < drawn.masked / drawn.rows < 0.8
        if drawn is masked:
            assert invalid == 0
        else:
            assert invalid > 100
            assert marked >= invalid  # rows that an early end left are not valid either
            assert invalid / drawn.rows == pytest.approx(drawn.masked / drawn.rows, abs=0.03)
    assert masked.entropy < free.entropy


def test_what_has_no_probabilities_is_not_drawn(tape: Tape) -> None:
    env = KalshiVecEnv(tape, n_envs=1)
    dqn = DQN("MlpPolicy", env, buffer_size=10, learning_starts=0, train_freq=1)
    assert not can_be_drawn(policy_from_model(dqn, "dqn"))
    assert not can_be_drawn(BASELINES["random"])
    found = evaluate({"dqn": dqn}, tape, stochastic=2).diagnoses[0]
    assert (found.seeds, found.entropy, found.buckets) == (0, None, ())


def test_advantage_by_spread_is_what_the_rows_say(tape: Tape) -> None:
    """Against a plain sum over every later row, event by event."""
    model = biased(tape, [1.0, 0.5, 0.2, 0.5, 0.2])
    model.gamma = 0.9
    found = evaluate({"m": model}, tape, stochastic=1, seed=7).diagnoses[0]
    drawn = Drawn(policy_from_model(model, "m"), 7)
    rows: list[tuple[str, float, float, str]] = []
    for played in episodes(tape, drawn.policy):
        cents = played.equity2 / 2
        view = played.view
        valid = drawn.valid[view.session_id, view.market_ticker]
        for t, action in enumerate(played.actions[:-1].tolist()):
            steps = range(t, len(cents) - 1)
            gain = sum(0.9 ** (k - t) * (cents[k + 1] - cents[k]) for k in steps)
            spread = tape.payout - int(tape.px[view.start + t, :, 0].sum())
            kind = "hold" if action == 0 else "order" if valid[t] else "invalid"
            rows.append((event_of(view), spread, gain, kind))
    said = 0
    for bucket, (above, most, _) in zip(found.buckets, BUCKETS, strict=True):
        mine = [r for r in rows if above < r[1] <= most]
        assert bucket.rows == len(mine)
        assert bucket.orders == sum(r[3] == "order" for r in mine)
        if bucket.advantage_cents is None:
            continue
        said += 1
        total, weight = 0.0, 0
        for event in {r[0] for r in mine}:
            orders = [r[2] for r in mine if r[0] == event and r[3] == "order"]
            holds = [r[2] for r in mine if r[0] == event and r[3] == "hold"]
            if orders and holds:
                total += len(orders) * (float(np.mean(orders)) - float(np.mean(holds)))
                weight += len(orders)
        assert bucket.advantage_cents == pytest.approx(total / weight)
    assert said >= 2


def test_a_policy_that_only_holds_is_told_why(tape: Tape) -> None:
    sure = biased(tape, [12.0, 0.0, 0.0, 0.0, 0.0])
    open_minded = biased(tape, [1.0, 0.9, 0.0, 0.9, 0.0])
    clumsy = biased(tape, [0.0, 0.0, 1.0, 0.0, 0.0])
    found = evaluate({"a": sure, "b": open_minded, "c": clumsy}, tape, stochastic=1)
    texts = [d.sentence for d in found.diagnoses]
    assert "sure of holding" in texts[0]
    assert "drawn orders gain nothing at any spread" in texts[1]
    assert "its most probable action is invalid, which --mask rules out" in texts[2]
    for told in found.diagnoses:
        assert told.profit_cents == 0
        assert Diagnosis.from_json(told.to_json()) == told
        labels = [label for label, _ in lines(told)]
        assert labels[:2] == ["most probable action", "of it"]
        assert len(labels) == 5 + len(BUCKETS)
    undrawn = evaluate({"a": sure}, tape).diagnoses[0]
    assert "--stochastic" in undrawn.sentence


def test_a_policy_that_trades_is_told_of_what(tape: Tape, model: PPO) -> None:
    found = evaluate({"m": model}, tape, stochastic=2)
    total, told = found.run("m").total, found.diagnoses[0]
    parts = told.closed_cents + told.settled_cents + told.marked_cents - told.fees_cents
    assert parts == pytest.approx(told.profit_cents)
    assert told.profit_cents == total.profit_per_market_cents
    assert told.entropy is not None
    assert 0 <= told.entropy <= math.log(5)
    assert told.sentence.startswith("m trades, and its ")
    assert found.to_json()["diagnoses"][0]["policy"] == "m"


def test_features_are_those_of_another_event(tape: Tape) -> None:
    other = permuted(tape, np.random.default_rng(0))
    np.testing.assert_array_equal(other.px, tape.px)
    sources = {}
    for view in tape.views:
        mine, shown = tape.features[view.rows], other.features[view.rows]
        assert not np.array_equal(mine, shown)
        for donor in tape.views:
            rows = np.arange(len(view)) * len(donor) // len(view)
            if np.array_equal(shown, tape.features[donor.start + rows]):
                sources[view.market_ticker] = event_of(donor)
                assert event_of(donor) != event_of(view)
    assert len(sources) == len(tape.views)
    with pytest.raises(ConfigError, match="one event alone"):
        permuted(tape.select([0]), np.random.default_rng(0))


def test_the_null_tells_an_edge_from_none() -> None:
    edge = build_tape([generate_session(1, markets=30, minutes=15, seed=2, edge=0.6)])

    def sees(obs: Any) -> Any:
        return best_edge_policy(obs, 0.6, order_size=10)

    def blind(obs: Any) -> Any:
        return np.full(len(obs), layout.BUY_YES)

    given = [policy_from_function("sees", sees), policy_from_function("blind", blind)]
    found = evaluate(given, edge, permutations=9)
    seeing, other = found.nulls
    assert seeing.profit_cents == found.run("sees").total.profit_per_market_cents
    assert seeing.p_value == 0.1
    assert max(seeing.null_profits_cents) < seeing.profit_cents
    assert set(other.null_profits_cents) == {other.profit_cents}
    assert other.p_value == 1
    assert "reached by 9 of 9 permutations (p = 1" in other.sentence
    assert found.to_json()["permutations"][0]["p_value"] == 0.1

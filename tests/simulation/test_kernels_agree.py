"""Compiled and slow: the kernels give what the oracle gives, exactly."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kalshi_sim import FEATURES, BatchSimulator, KalshiVecEnv, SimConfig
from kalshi_sim.config import MAX_CASH_CENTS, MAX_CONTRACTS
from kalshi_sim.quality import audit_events
from kalshi_sim.reference.agreement import (
    assert_features_equal,
    assert_tapes_equal,
    oracle_views,
    twins,
)
from kalshi_sim.reference.comparing import assert_same_episode
from kalshi_sim.reference.engines import run_compiled_batch, run_oracle_on
from kalshi_sim.reference.simulator import OracleEnv
from kalshi_sim.reference.tape import OracleView, replay
from kalshi_sim.reference.terms import oracle_payout
from kalshi_sim.session import Session
from tests.support.modes import examples
from tests.support.strategies import maker_config, random_actions, random_config, sessions

# Hypothesis warns of it where a drawn tape fails; the tape is large.
pytestmark = [
    pytest.mark.kernel,
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),
]
DEPTHS = st.sampled_from((1, 2, 3, 10))
INTERVALS = st.sampled_from((1, 1, 10, 1000))
SEEDS = st.integers(0, 2**32)

TAPES = examples(125)
CONFIGS_PER_TAPE = 5
ENVS_PER_CONFIG = 4
"""125 x 5 x 4: at least 2 000 (tape, actions) cases in a compiled run."""


@settings(max_examples=examples(300))
@given(session=sessions(), depth=DEPTHS, interval=INTERVALS)
def test_tapes_agree(session: Session, depth: int, interval: int) -> None:
    views = oracle_views([session], depth=depth, row_interval_ms=interval)
    assume(views)
    tape, views = twins([session], depth=depth, row_interval_ms=interval)
    assert_tapes_equal(tape, views)


@settings(max_examples=examples(100))
@given(session=sessions(nasty=True))
def test_quality_counts_agree(session: Session) -> None:
    """What replay drops, clamps, raises and judges is counted, event by event."""
    payout = oracle_payout([session])
    counted = audit_events(session.events, session.market_offsets, payout)
    for market, quality in zip(session.markets, counted, strict=True):
        expected = replay(session, market.ticker, payout=payout).counts
        told = {name: count for name, count in asdict(quality).items() if count}
        assert told == {name: count for name, count in expected.items() if count}


@settings(max_examples=examples(40))
@given(first=sessions(), second=sessions(session_id=2))
def test_tapes_of_several_sessions_agree(first: Session, second: Session) -> None:
    """One money unit for all of them, views in the order given."""
    assume(oracle_views([first, second]))
    assert_tapes_equal(*twins([first, second]))


@settings(max_examples=TAPES)
@given(
    session=sessions(max_moments=80, max_markets=2), seed=SEEDS, depth=DEPTHS, interval=INTERVALS
)
def test_episodes_agree(session: Session, seed: int, depth: int, interval: int) -> None:
    views = oracle_views([session], depth=depth, row_interval_ms=interval)
    assume(views)
    tape, views = twins([session], depth=depth, row_interval_ms=interval)
    rng = random.Random(seed)
    for k in range(CONFIGS_PER_TAPE):
        config = maker_config(rng) if k < 2 else random_config(rng)
        actions = [random_actions(rng, 90) for _ in range(ENVS_PER_CONFIG)]
        compiled = run_compiled_batch(tape, config, actions)
        for i in range(ENVS_PER_CONFIG):
            slow = run_oracle_on(views[i % len(views)], config, actions[i])
            assert_same_episode(compiled[i], slow)


@settings(max_examples=examples(40))
@given(session=sessions(max_moments=25), seed=SEEDS, n_envs=st.integers(1, 5))
def test_restarts_agree(session: Session, seed: int, n_envs: int) -> None:
    """Finished environments go on with the next view by the shared cursor, in index order."""
    assume(oracle_views([session]))
    tape, views = twins([session])
    rng = random.Random(seed)
    config = random_config(rng)
    sim = BatchSimulator(tape, n_envs=n_envs, config=config, seed=0, n_threads=1)
    seen = sim.reset()
    slow = [OracleEnv(views[i % len(views)], config) for i in range(n_envs)]
    cursor = n_envs
    for _ in range(80):
        actions = random_actions(rng, n_envs)
        seen, rewards, _, finished = sim.step(actions)
        ended = []
        for i, env in enumerate(slow):
            change, _, truncated = env.step(actions[i])
            assert float(rewards[i]) == float(np.float32(env.reward(change)))
            if env.done:
                assert finished is not None
                k = finished.envs.tolist().index(i)
                assert_features_equal(
                    finished.observations[k].tolist(),
                    env.observation(),
                    range(len(FEATURES)),
                    f"last {i}",
                )
                assert bool(finished.truncated[k]) == truncated
                slow[i] = OracleEnv(views[cursor % len(views)], config)
                cursor += 1
                ended.append(i)
            assert_features_equal(
                seen[i].tolist(), slow[i].observation(), range(len(FEATURES)), f"env {i}"
            )
        assert ended == ([] if finished is None else finished.envs.tolist())
    sim.close()


@settings(max_examples=examples(40))
@given(
    session=sessions(max_moments=25),
    seed=SEEDS,
    order=st.sampled_from(("sequential", "shuffle", "weighted")),
)
def test_random_starts_agree(session: Session, seed: int, order: str) -> None:
    """Wherever an episode starts, it is the oracle's from there on."""
    assume(oracle_views([session]))
    tape, views = twins([session])
    rng = random.Random(seed)
    config = random_config(rng, random_start=True, market_order=order)
    sim = BatchSimulator(tape, n_envs=3, config=config, seed=seed, n_threads=1)
    sim.reset()
    state = sim.state()
    slow = _restarted(state, range(3), views, config)
    for _ in range(40):
        actions = random_actions(rng, 3)
        _, rewards, _, _ = sim.step(actions)
        state = sim.state()
        for i, env in slow.items():
            change, _, _ = env.step(actions[i])
            assert float(rewards[i]) == float(np.float32(env.reward(change)))
            if not env.done:
                assert env.state()["cash"] == state["cash"][i]
                assert env.row == state["row"][i]
        slow |= _restarted(state, [i for i, env in slow.items() if env.done], views, config)
    sim.close()


def _restarted(
    state: dict[str, Any], envs: Iterable[int], views: list[OracleView], config: SimConfig
) -> dict[int, OracleEnv]:
    """Slow twins of environments that have just started, wherever the batch put them."""
    fresh = {}
    for i in envs:
        view = views[int(state["view"][i])]
        start = int(state["row"][i])
        assert 0 <= start <= len(view.rows) - 3
        fresh[i] = OracleEnv(view, config)
        fresh[i].reset(start)
    return fresh


@settings(max_examples=examples(40))
@given(session=sessions(max_moments=25), seed=SEEDS)
def test_vec_env_infos_agree(session: Session, seed: int) -> None:
    """What a finished episode tells through Stable-Baselines3 is what the oracle says of it."""
    assume(oracle_views([session]))
    tape, views = twins([session])
    rng = random.Random(seed)
    config = random_config(rng)
    env = KalshiVecEnv(tape, n_envs=3, config=config, seed=0)
    env.reset()
    slow = [OracleEnv(views[i % len(views)], config) for i in range(3)]
    cursor = 3
    for _ in range(60):
        actions = random_actions(rng, 3)
        _, _, dones, infos = env.step(np.array(actions))
        for i, twin in enumerate(slow):
            _, _, truncated = twin.step(actions[i])
            assert bool(dones[i]) == twin.done
            if not twin.done:
                assert infos[i] == {}
                continue
            info, market = infos[i], twin.market_info()
            assert info["TimeLimit.truncated"] == truncated
            assert {name: info["market"][name] for name in market} == market
            assert info["episode"]["r"] == twin.reward(twin.equity2 - twin.start_equity2)
            assert info["episode"]["l"] == twin.steps
            last = info["terminal_observation"].tolist()
            assert_features_equal(last, twin.observation(), range(len(FEATURES)), f"last {i}")
            slow[i] = OracleEnv(views[cursor % len(views)], config)
            cursor += 1
    env.close()


@settings(max_examples=examples(40))
@given(session=sessions(max_moments=40, max_markets=1), seed=SEEDS)
def test_the_largest_numbers_agree(session: Session, seed: int) -> None:
    """Millions of contracts, the most cash and the highest fees stay exact in 64 bits."""
    events = session.events
    session = replace(
        session,
        events=replace(events, size=events.size * 20_000, traded=events.traded * 20_000),
        markets=tuple(
            replace(market, taker_multiplier=50_000, maker_multiplier=50_000)
            for market in session.markets
        ),
    )
    assume(oracle_views([session]))
    tape, views = twins([session])
    assert_tapes_equal(tape, views)
    rng = random.Random(seed)
    config = random_config(
        rng,
        cash_start=MAX_CASH_CENTS,
        order_size=MAX_CONTRACTS,
        max_position=MAX_CONTRACTS,
        max_episode_steps=None,
    )
    actions = [random_actions(rng, 60) for _ in range(ENVS_PER_CONFIG)]
    compiled = run_compiled_batch(tape, config, actions)
    for i, episode in enumerate(compiled):
        assert_same_episode(episode, run_oracle_on(views[0], config, actions[i]))

"""What must not matter: the side's name, the batch around an environment, the future."""

from __future__ import annotations

import random
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kalshi_sim import BatchSimulator, Tape
from kalshi_sim.config import SimConfig
from kalshi_sim.features import FEATURES
from kalshi_sim.reference.engines import Trajectory
from kalshi_sim.reference.simulator import BUY_NO, BUY_YES, HOLD, SELL_NO, SELL_YES
from kalshi_sim.session import EventKind, GridUpdate, MarketInfo, PriceRanges, Session
from kalshi_sim.units import PRICE_SCALE
from tests.support.action_tables import (
    mirrored_table,
    random_table,
    table_actions,
    table_config,
)
from tests.support.cases import ENVS, run_episodes, tape_of, tapes
from tests.support.modes import examples
from tests.support.strategies import random_actions, random_config, sessions

# Hypothesis warns of it where a drawn tape fails; the tape is large.
pytestmark = [
    pytest.mark.kernel,
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),
]
SEEDS = st.integers(0, 2**32)
MIRRORED_ACTION = {
    HOLD: HOLD,
    BUY_YES: BUY_NO,
    SELL_YES: SELL_NO,
    BUY_NO: BUY_YES,
    SELL_NO: SELL_YES,
}
COMPLEMENTS = {"mid"}
NEGATED = {
    "microprice_offset",
    "top_imbalance",
    "depth_imbalance_5",
    "depth_imbalance",
    "mid_change_1",
    "momentum_10s",
    "momentum_60s",
    "momentum_300s",
    "order_flow_10s",
    "order_flow_60s",
    "position",
}


def mirrored_session(session: Session) -> Session:
    """The session in which YES and NO have changed places."""
    events = session.events
    return replace(
        session,
        markets=tuple(_mirrored_market(market) for market in session.markets),
        events=replace(events, side=(1 - events.side).astype(np.int8)),
    )


def _mirrored_market(market: MarketInfo) -> MarketInfo:
    value = market.settlement_value
    return replace(
        market,
        settlement_value=None if value is None else PRICE_SCALE - value,
        price_ranges=_mirrored_ranges(market.price_ranges),
        first_price_ranges=_mirrored_ranges(market.first_price_ranges),
        grid_updates=tuple(
            GridUpdate(u.known_ms, _mirrored_ranges(u.price_ranges) or ())
            for u in market.grid_updates
        ),
    )


def _mirrored_ranges(ranges: PriceRanges | None) -> PriceRanges | None:
    if ranges is None:
        return None
    ends = [(PRICE_SCALE - end, PRICE_SCALE - start, step) for start, end, step in ranges]
    return tuple(sorted(ends))


def mirrored_features(features: list[float]) -> list[float]:
    """The observation of the mirrored market that shows the same."""
    named = {f.name: value for f, value in zip(FEATURES, features, strict=True)}
    out = {}
    for name, value in named.items():
        if name in ("yes_bid", "yes_ask"):
            out[name] = 1 - named["yes_ask" if name == "yes_bid" else "yes_bid"]
        elif name in COMPLEMENTS:
            out[name] = 1 - value
        elif name in NEGATED:
            out[name] = -value
        elif name.startswith("bid_"):
            out[name] = named["ask_" + name[4:]]
        elif name.startswith("ask_"):
            out[name] = named["bid_" + name[4:]]
        elif name in ("buy_impact", "sell_impact"):
            out[name] = named["sell_impact" if name == "buy_impact" else "buy_impact"]
        else:
            out[name] = value
    return [out[f.name] for f in FEATURES]


def mirrored_run(run: Trajectory, masks: list[list[bool]]) -> Trajectory:
    """What the mirrored episode must be; `masks` are those of the mirrored actions."""
    pairs = ("order_price", "order_size", "order_ahead")
    states = [
        state | {"position": -state["position"]} | {name: state[name][::-1] for name in pairs}
        for state in run.states
    ]
    return Trajectory(
        states=states,
        masks=masks,
        observations=[mirrored_features(o) for o in run.observations],
        rewards=run.rewards,
        terminated=run.terminated,
        truncated=run.truncated,
        last_observation=mirrored_features(run.last_observation),
        fills=[replace(fill, side=1 - fill.side) for fill in run.fills],
        info=run.info | ({"position": -run.info["position"]} if run.info else {}),
    )


@settings(max_examples=examples(200))
@given(
    session=sessions(max_moments=60, max_markets=2),
    seed=SEEDS,
    depth=st.sampled_from((1, 2, 10)),
    interval=st.sampled_from((1, 1, 1000)),
)
def test_mirroring_market_and_actions_mirrors_everything(
    session: Session, seed: int, depth: int, interval: int
) -> None:
    tape = tape_of(session, depth=depth, row_interval_ms=interval)
    mirrored = tape_of(mirrored_session(session), depth=depth, row_interval_ms=interval)
    assume(tape is not None)
    assert tape is not None
    assert mirrored is not None
    rng = random.Random(seed)
    config = random_config(rng)
    actions = [random_actions(rng, 60) for _ in range(ENVS)]
    ours = run_episodes(tape, config, actions)
    theirs = run_episodes(mirrored, config, [[MIRRORED_ACTION[a] for a in x] for x in actions])
    for one, other in zip(ours, theirs, strict=True):
        masks = [[m[MIRRORED_ACTION[a]] for a in range(5)] for m in one.run.masks]
        assert_mirrored(mirrored_run(one.run, masks), other.run)


@settings(max_examples=examples(60))
@given(session=sessions(max_moments=60, max_markets=2), seed=SEEDS)
def test_mirroring_a_market_and_its_action_table_mirrors_everything(
    session: Session, seed: int
) -> None:
    """Cancels, prices behind the best and sizes too."""
    rng = random.Random(seed)
    interval = rng.choice((1, 1, 1000))
    tape = tape_of(session, row_interval_ms=interval)
    mirrored = tape_of(mirrored_session(session), row_interval_ms=interval)
    assume(tape is not None)
    assert tape is not None
    assert mirrored is not None
    table = random_table(rng)
    config = table_config(rng, table)
    actions = [table_actions(rng, table, 60) for _ in range(ENVS)]
    ours = run_episodes(tape, config, actions)
    theirs = run_episodes(mirrored, replace(config, actions=mirrored_table(table)), actions)
    for one, other in zip(ours, theirs, strict=True):
        assert_mirrored(mirrored_run(one.run, one.run.masks), other.run)


def assert_mirrored(wanted: Trajectory, got: Trajectory) -> None:
    """Money, orders, fills and masks are equal, features nearly."""
    assert got.states == wanted.states
    # From flat, of two orders filled by one row either may come first in the list.
    assert sorted(map(astuple, got.fills)) == sorted(map(astuple, wanted.fills))
    assert got.masks == wanted.masks
    assert (got.rewards, got.info) == (wanted.rewards, wanted.info)
    assert (got.terminated, got.truncated) == (wanted.terminated, wanted.truncated)
    seen = np.array([*got.observations, got.last_observation])
    expected = np.array([*wanted.observations, wanted.last_observation])
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-6)


def assert_same_bits(one: Trajectory, other: Trajectory) -> None:
    """Equal to the last bit, but for the number of the view in its tape."""
    for run in (one, other):
        for state in run.states:
            state.pop("view", None)
        run.info.pop("view", None)
    assert one == other


@settings(max_examples=examples(60))
@given(tape=tapes(max_markets=3), seed=SEEDS, n_threads=st.integers(2, 5))
def test_the_number_of_threads_does_not_matter(tape: Tape, seed: int, n_threads: int) -> None:
    rng = random.Random(seed)
    config = random_config(rng)
    actions = [random_actions(rng, 60) for _ in range(7)]
    serial = run_episodes(tape, config, actions)
    threaded = run_episodes(tape, config, actions, n_threads=n_threads)
    for one, other in zip(serial, threaded, strict=True):
        assert_same_bits(one.run, other.run)


@settings(max_examples=examples(60))
@given(tape=tapes(max_markets=3), seed=SEEDS, n_envs=st.integers(2, 9))
def test_the_batch_around_an_environment_does_not_matter(
    tape: Tape, seed: int, n_envs: int
) -> None:
    """Alone on a tape of its own view, an environment does what it does in company."""
    rng = random.Random(seed)
    config = random_config(rng)
    actions = [random_actions(rng, 60) for _ in range(n_envs)]
    together = run_episodes(tape, config, actions)
    for i, episode in enumerate(together):
        only = tape.select([i % len(tape.views)])
        [alone] = run_episodes(only, config, [actions[i]])
        assert_same_bits(alone.run, episode.run)


@settings(max_examples=examples(60))
@given(
    tape=tapes(max_markets=3),
    seed=SEEDS,
    order=st.sampled_from(("sequential", "shuffle", "weighted")),
)
def test_one_seed_fixes_everything(tape: Tape, seed: int, order: str) -> None:
    """Through restarts, random starts and every order of markets, for any number of threads."""
    rng = random.Random(seed)
    config = random_config(rng, market_order=order, random_start=rng.random() < 0.5)
    actions = [random_actions(rng, 5) for _ in range(60)]
    first = _everything(tape, config, actions, seed, 1)
    for n_threads in (1, 3):
        again = _everything(tape, config, actions, seed, n_threads)
        for one, other in zip(first, again, strict=True):
            assert np.array_equal(one, other)


def _everything(
    tape: Tape, config: SimConfig, actions: list[list[int]], seed: int, n_threads: int
) -> list[npt.NDArray[Any]]:
    sim = BatchSimulator(tape, n_envs=5, config=config, seed=seed, n_threads=n_threads)
    out: list[npt.NDArray[Any]] = [sim.reset().copy()]
    for chosen in actions:
        observations, rewards, done, _ = sim.step(chosen)
        out += [observations.copy(), rewards.copy(), done.copy(), sim.action_masks(), sim.fills()]
        out += list(sim.state().values())
    sim.close()
    return out


@settings(max_examples=examples(40))
@given(tape=tapes(), seed=SEEDS)
def test_whether_fills_are_recorded_does_not_matter(tape: Tape, seed: int) -> None:
    rng = random.Random(seed)
    config = random_config(rng)
    actions = [random_actions(rng, 60) for _ in range(ENVS)]
    recorded = run_episodes(tape, config, actions)
    silent = run_episodes(tape, replace(config, record_fills=False), actions)
    for one, other in zip(recorded, silent, strict=True):
        assert other.run.fills == []
        assert_same_bits(replace(one.run, fills=[]), other.run)


@settings(max_examples=examples(150))
@given(
    session=sessions(max_moments=60, max_markets=1),
    seed=SEEDS,
    interval=st.sampled_from((1, 1, 10, 1000)),
    share=st.floats(0.2, 0.95),
)
def test_truncating_later_rows_changes_nothing_before(
    session: Session, seed: int, interval: int, share: float
) -> None:
    whole = tape_of(session, row_interval_ms=interval)
    assume(whole is not None)
    assert whole is not None
    kept = max(3, int(len(whole) * share))
    timed = ~np.isin(session.events.kind, (EventKind.TRADE, EventKind.GAP))
    times = np.maximum.accumulate(np.where(timed, session.events.ts_ms, 0))
    wanted = times // interval <= whole.ts_ms[kept - 1] // interval
    cut = replace(
        session, events=session.events[wanted], market_offsets=np.array([0, int(wanted.sum())])
    )
    tape = tape_of(cut, row_interval_ms=interval)
    assert tape is not None
    assume(tape.payout == whole.payout)
    for name in ("ts_ms", "px", "qty", "mark2", "features"):
        assert np.array_equal(getattr(tape, name), getattr(whole, name)[: len(tape)]), name
    assert np.array_equal(tape.flow, whole.flow[: tape.flow_offsets[-1]])
    rng = random.Random(seed)
    config = random_config(rng)
    actions = random_actions(rng, len(tape) - 2)
    if not actions:
        return
    [short], [long] = (run_episodes(t, config, [actions]) for t in (tape, whole))
    assert_same_bits(short.run, long.run)

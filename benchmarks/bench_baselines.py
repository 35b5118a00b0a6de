"""The same numbers computed as people compute them today, beside KalshiVecEnv.

    python -m benchmarks.bench_baselines [--full]

The rows: the reference simulator in plain Python (kalshi_sim/reference), and an environment in
stable-baselines3's DummyVecEnv and SubprocVecEnv. A gate stands before every time: for the same
actions on the same views each must give the rewards of KalshiVecEnv, and its observations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from benchmarks.figures import Figure, figure, in_turn, main
from kalshi_sim import KalshiVecEnv, MarketAgnosticKalshiEnv, SimConfig, Tape, build_tape
from kalshi_sim.actions import FIVE
from kalshi_sim.reference.agreement import FEATURE_TOLERANCE
from kalshi_sim.reference.simulator import OracleEnv
from kalshi_sim.reference.tape import OracleView, replay
from kalshi_sim.reference.terms import oracle_payout
from kalshi_sim.session import Session
from kalshi_sim.synthetic.session import generate_session

GROUP = "Against what people use today"
N_ENVS = 8
STEPS = 100
ROUNDS = 5
CONFIG = SimConfig()

Actions = npt.NDArray[np.int64]
Step = Callable[[Actions], tuple[npt.NDArray[Any], npt.NDArray[Any]]]
"""Actions [n_envs] to observations [n_envs, 52] and rewards [n_envs]."""


def small(n_envs: int, steps: int) -> tuple[Session, Tape]:
    """A session of one market per environment, none of which ends within `steps`."""
    session = generate_session(3, markets=16 * n_envs, minutes=35, seed=3)
    views = sorted(build_tape([session], min_episode_length=steps + 2).views, key=len)
    chosen = session.select([v.market_ticker for v in views[:n_envs]])
    return chosen, build_tape([chosen])


class OracleBatch:
    """Environments of plain Python, one a view; observations and rewards of all."""

    def __init__(self, views: list[OracleView]) -> None:
        self.envs = [OracleEnv(view, CONFIG) for view in views]
        for env in self.envs:
            env.reset()

    def step(self, actions: Actions) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        obs, rewards = [], []
        for env, action in zip(self.envs, actions.tolist(), strict=True):
            if env.done:
                env.reset()
            rewards.append(env.reward(env.step(action)[0]))
            obs.append(env.observation())
        return np.array(obs), np.array(rewards)


def _step_of(env: VecEnv) -> Step:
    env.reset()
    return lambda actions: env.step(actions)[:2]  # type: ignore[return-value]  # of four


def _make_env(tape: Tape, view: int) -> MarketAgnosticKalshiEnv:
    return MarketAgnosticKalshiEnv(tape.select([view]), CONFIG)


def _oracle_views(session: Session, tape: Tape) -> list[OracleView]:
    payout = oracle_payout([session])
    return [
        replay(
            session,
            v.market_ticker,
            payout=payout,
            min_episode_length=tape.min_episode_length,
            depth=tape.depth,
            row_interval_ms=1,
        )
        for v in tape.views
    ]


def gate(name: str, expected: Step, step: Step, n_envs: int, steps: int, tolerance: float) -> None:
    """The rewards are equal and the observations too, within `tolerance`.

    Raises:
        AssertionError: they are not.
    """
    rng = np.random.default_rng(1)
    for t in range(steps):
        actions = rng.integers(0, len(FIVE), n_envs)
        want_obs, want_rewards = (np.array(a) for a in expected(actions))
        obs, rewards = step(actions)
        same = np.array_equal(np.float32(rewards), want_rewards)
        assert same, f"{name}: rewards of step {t} differ from KalshiVecEnv's"
        far = np.abs(obs - want_obs).max()
        assert far <= tolerance, f"{name}: observations of step {t} differ by {far}"


def gates(n_envs: int, steps: int) -> None:
    """Every way of stepping gives the numbers of KalshiVecEnv.

    Raises:
        AssertionError: one does not.
    """
    session, tape = small(n_envs, steps)
    for name, make in _ways(session, tape):
        step, close = make()
        _gate(name, tape, step, steps)
        close()


def _gate(name: str, tape: Tape, step: Step, steps: int) -> None:
    n = len(tape.views)
    ours = KalshiVecEnv(tape, n, CONFIG)
    gate(name, _step_of(ours), step, n, steps, FEATURE_TOLERANCE if "oracle" in name else 0.0)
    ours.close()


def _ways(session: Session, tape: Tape) -> Iterator[tuple[str, Callable[[], tuple[Step, Any]]]]:
    makers = [partial(_make_env, tape, i) for i in range(len(tape.views))]

    def oracle() -> tuple[Step, Any]:
        return OracleBatch(_oracle_views(session, tape)).step, lambda: None

    def vec(kind: Callable[[Any], VecEnv]) -> tuple[Step, Any]:
        env = kind(makers)
        return _step_of(env), env.close

    def sync() -> tuple[Step, Any]:
        env = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
        env.reset()
        return (lambda actions: env.step(actions)[:2]), env.close

    yield "plain Python (the tests' oracle)", oracle
    yield "gymnasium environments in SyncVectorEnv", sync
    yield "gymnasium environments in DummyVecEnv", partial(vec, DummyVecEnv)
    # kernels must not be run by a process forked from one with threads
    yield (
        "gymnasium environments in SubprocVecEnv",
        partial(vec, partial(SubprocVecEnv, start_method="forkserver")),
    )


def measure(full: bool) -> list[Figure]:
    session, tape = small(N_ENVS, STEPS)
    n = len(tape.views)
    rng = np.random.default_rng(2)
    actions = [rng.integers(0, len(FIVE), n) for _ in range(16)]

    def run(step: Step, steps: int) -> None:
        for i in range(steps):
            step(actions[i & 15])

    made = [(name, *make()) for name, make in _ways(session, tape)]
    for name, step, _ in made:
        _gate(name, tape, step, STEPS)
    ours = KalshiVecEnv(tape, n, CONFIG)
    made.append(("KalshiVecEnv", _step_of(ours), ours.close))
    steps = [STEPS // 5, STEPS, STEPS, STEPS, 20 * STEPS]
    works = [partial(run, step, k) for (_, step, _), k in zip(made, steps, strict=True)]
    rounds = in_turn(works, ROUNDS)
    out = []
    for (name, _, close), k, times in zip(made, steps, rounds, strict=True):
        close()
        rates = [n * k / t for t in times]
        out.append(figure(GROUP, f"{name}, {n} environments", "env-steps/s", rates, headline=True))
    return out


if __name__ == "__main__":
    main(measure, __doc__)

"""One way to run an episode, by the slow twin or compiled, and what both report of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kalshi_sim.config import SimConfig
from kalshi_sim.episodes import ORDER_COLUMNS, STATE_COLUMNS, Finished
from kalshi_sim.kernels import layout
from kalshi_sim.reference.agreement import oracle_views
from kalshi_sim.reference.simulator import OracleEnv, OracleFill
from kalshi_sim.reference.tape import OracleView
from kalshi_sim.session import Session
from kalshi_sim.simulator import BatchSimulator
from kalshi_sim.tape import Tape
from kalshi_sim.tape_build import build_tape

State = dict[str, Any]


@dataclass
class Trajectory:
    """An episode: states[t], masks[t] and observations[t] before action t; the rest after it."""

    states: list[State] = field(default_factory=list)
    masks: list[list[bool]] = field(default_factory=list)
    observations: list[list[float]] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    terminated: bool = False
    truncated: bool = False
    last_observation: list[float] = field(default_factory=list)
    fills: list[OracleFill] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)
    """The statistics of the finished episode; empty if the actions ended before it."""


Runner = Callable[..., Trajectory]


def run_oracle_on(
    view: OracleView, config: SimConfig, actions: Sequence[int], start_row: int = 0
) -> Trajectory:
    """An episode of the slow twin, to its end or that of the actions.

    Args:
        view: the market to play.
        config: of the simulation.
        actions: one a step.
        start_row: row of the view to begin at.
    """
    env = OracleEnv(view, config)
    out = Trajectory()
    observation = env.reset(start_row)
    for action in actions:
        out.states.append(env.state())
        out.masks.append(env.mask())
        out.observations.append(observation)
        change, out.terminated, out.truncated = env.step(action)
        out.rewards.append(env.reward(change))
        observation = env.observation()
        if env.done:
            out.info = env.market_info()
            out.info["return"] = env.reward(env.equity2 - env.start_equity2)
            break
    out.states.append(env.state())
    out.last_observation = observation
    out.fills = list(env.fills)
    return out


def run_compiled_batch(
    tape: Tape,
    config: SimConfig,
    actions: Sequence[Sequence[int]],
    *,
    n_threads: int = 1,
    seed: int = 0,
) -> list[Trajectory]:
    """The first episode of each environment of a batch; environment i acts by actions[i].

    Args:
        tape: what to play.
        config: of the simulation.
        actions: of each environment, one a step.
        n_threads: of the simulator.
        seed: of the batch.
    """
    n_envs = len(actions)
    sim = BatchSimulator(tape, n_envs=n_envs, config=config, seed=seed, n_threads=n_threads)
    out = [Trajectory() for _ in range(n_envs)]
    open_envs = {i for i in range(n_envs) if actions[i]}
    observations = sim.reset()
    state, masks = sim.state(), sim.action_masks()
    for t in range(max(len(a) for a in actions)):
        for i in open_envs:
            out[i].states.append(_state_of(state, i))
            out[i].masks.append(masks[i].tolist())
            out[i].observations.append(observations[i].tolist())
        chosen = [a[t] if i in open_envs else 0 for i, a in enumerate(actions)]
        observations, rewards, _, finished = sim.step(chosen)
        state, masks = sim.state(), sim.action_masks()
        for fill in sim.fills():
            if int(fill["env"]) in open_envs:
                out[int(fill["env"])].fills.append(_fill_of(fill))
        for i in open_envs:
            out[i].rewards.append(float(rewards[i]))
        for k, i in enumerate([] if finished is None else finished.envs.tolist()):
            assert finished is not None
            if i in open_envs:
                open_envs.remove(i)
                _finish(out[i], sim, finished, k)
        for i in list(open_envs):
            if t + 1 == len(actions[i]):
                open_envs.remove(i)
                out[i].states.append(_state_of(state, i))
                out[i].last_observation = observations[i].tolist()
        if not open_envs:
            break
    sim.close()
    return out


def _finish(out: Trajectory, sim: BatchSimulator, finished: Finished, k: int) -> None:
    out.truncated = bool(finished.truncated[k])
    out.terminated = not out.truncated
    out.last_observation = finished.observations[k].tolist()
    out.info = sim.episode(finished, k)
    out.info["return"] = sim.episode_return(finished, k)
    core = finished.core
    ended = {name: core[:, column] for name, column in STATE_COLUMNS.items()}
    ended["row"] = core[:, layout.A_ROW] - core[:, layout.A_START]
    for name, column in ORDER_COLUMNS.items():
        ended[name] = core[:, column : column + 2]
    out.states.append(_state_of(ended, k))


def _state_of(arrays: dict[str, Any], i: int) -> State:
    return {name: values[i].tolist() for name, values in arrays.items()}


def _fill_of(fill: Any) -> OracleFill:
    return OracleFill(
        int(fill["row"]),
        int(fill["side"]),
        int(fill["price"]),
        int(fill["qty"]),
        int(fill["fee"]),
        bool(fill["maker"]),
    )


def run_oracle(
    session: Session,
    config: SimConfig,
    actions: Sequence[int],
    *,
    depth: int = 10,
    row_interval_ms: int = 1,
) -> Trajectory:
    """An episode on a session's first view by the slow twin.

    Args:
        session: its first view is played.
        config: of the simulation.
        actions: one a step.
        depth: price levels a row shows on each side.
        row_interval_ms: least distance between two rows, in ms.
    """
    views = oracle_views([session], depth=depth, row_interval_ms=row_interval_ms)
    return run_oracle_on(views[0], config, actions)


def run_compiled(
    session: Session,
    config: SimConfig,
    actions: Sequence[int],
    *,
    depth: int = 10,
    row_interval_ms: int = 1,
) -> Trajectory:
    """An episode on a session's first view by the compiled simulator; arguments as of `run_oracle`.

    Args:
        session: its first view is played.
        config: of the simulation; fills are recorded.
        actions: one a step.
        depth: price levels a row shows on each side.
        row_interval_ms: least distance between two rows, in ms.
    """
    tape = build_tape([session], min_episode_length=3, depth=depth, row_interval_ms=row_interval_ms)
    config = replace(config, record_fills=True)
    return run_compiled_batch(tape, config, [actions])[0]

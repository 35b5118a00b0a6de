"""Playing every view of a tape once, from its first row, and keeping what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from kalshi_sim import gate
from kalshi_sim.config import SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_sim.kernels import batch as kernel
from kalshi_sim.kernels import layout
from kalshi_sim.simulator import BatchSimulator, make_buffers
from kalshi_sim.tape import Tape
from kalshi_sim.threads import usable_cpus
from kalshi_train.evaluation import kernels
from kalshi_train.evaluation.contrib import Choose
from kalshi_train.evaluation.played import Played, make_track, played_of
from kalshi_train.evaluation.policies import Policy

Int64Array = npt.NDArray[np.int64]
T = TypeVar("T")

FILL_ROOM: Final = 16_384
"""Fills an episode can have before the compiled loop comes back to make room."""
ROUND: Final = 1024
"""Views whose agents a compiled policy holds at a time."""
BATCH: Final = 256
"""Views that a policy which is not compiled plays side by side."""


def evaluation_config(config: SimConfig, *, record_fills: bool = True) -> SimConfig:
    """The same settings for whole episodes from the first row.

    Args:
        config: of the simulation.
        record_fills: keep the fills.

    Returns:
        A changed copy.
    """
    return replace(
        config,
        random_start=False,
        max_episode_steps=None,
        market_order="sequential",
        record_fills=record_fills,
    )


def play_all(
    tape: Tape,
    config: SimConfig,
    policy: Policy,
    use: Callable[[Played], T],
    *,
    seed: int = 0,
    views: list[int] | None = None,
    detail: bool = False,
    record_fills: bool = True,
    n_threads: int | None = None,
    device: str = "cpu",
) -> list[T]:
    """Play the views of a tape, each once, from its first row, and hand each episode to `use`.

    Args:
        tape: the markets.
        config: settings of the simulation; those of the policy go before them.
        policy: what chooses the actions.
        use: called as soon as an episode is over, possibly in another thread, so that not all
            have to be held at once.
        seed: of the random baseline.
        views: indices of the views to play; by default all.
        detail: also keep orders, cash and observations at each row.
        record_fills: keep the fills; without them `Played.fills` is empty.
        n_threads: episodes of a compiled policy played at the same time; by default as many as
            there are processors to use. The results do not depend on it.
        device: cuda plays compiled policies on a graphics card, without `detail`; others are
            played on the processor whatever it says.

    Returns:
        What `use` returned, in the order of the views.

    Raises:
        ConfigError: there is no such view, or a function returned something that is not an action
            for each observation.
    """
    gate.check_playable(tape)
    if views is None:
        chosen = list(range(len(tape.views)))
    else:
        chosen = gate.check_indices("the views to play", views, len(tape.views)).tolist()
    rules = evaluation_config(policy.config(config), record_fills=record_fills)
    if not policy.is_compiled:
        return list(_play_in_lockstep(tape, rules, policy, use, chosen, detail))
    if device == "cuda" and not detail:
        from kalshi_train.evaluation.card_play import Card

        card = Card(tape)
        return card.play([rules], policy, lambda _, one: use(one), seed=seed, views=chosen)[0]
    threads = n_threads or usable_cpus()
    return [
        result
        for begin in range(0, len(chosen), ROUND)
        for result in _play_compiled(
            tape, rules, policy, use, chosen[begin : begin + ROUND], seed, detail, threads
        )
    ]


def _play_compiled(
    tape: Tape,
    config: SimConfig,
    policy: Policy,
    use: Callable[[Played], T],
    views: list[int],
    seed: int,
    detail: bool,
    threads: int,
) -> list[T]:
    simulator = BatchSimulator(tape, len(views), config, n_threads=1)
    buffers = _buffers_of_one_step(simulator)
    actions = np.zeros(len(views), np.int64)

    def run(env: int) -> T:
        view = tape.views[views[env]]
        tape.will_read([views[env]])
        kernel.start_agents(
            tape.arrays,
            simulator.settings,
            simulator.agents,
            np.array([env], np.int64),
            np.array([views[env]], np.int64),
            np.zeros(1, np.int64),
            buffers,
        )
        room = FILL_ROOM if config.record_fills else 0
        track = make_track(len(view), room, detail, buffers.obs.shape[1])
        decider = policy.decider(view, seed, simulator.n_actions)
        parts, done = [], 0
        while done == 0:
            done = kernels.play(
                tape.arrays,
                simulator.settings,
                simulator.agents,
                actions,
                buffers,
                env,
                decider,
                track,
            )
            parts.append(track.fills[: track.counts[1]].copy())
        core = simulator.agents.core[env]
        fills = np.concatenate(parts)
        return use(played_of(view, views[env], config.table, track, fills, core, done))

    # Long views first: the threads then end together.
    order = sorted(range(len(views)), key=lambda i: (-len(tape.views[views[i]]), i))
    with ThreadPoolExecutor(max_workers=threads) as pool:
        results = dict(zip(order, pool.map(run, order), strict=True))
    return [results[i] for i in range(len(views))]


def _play_in_lockstep(
    tape: Tape,
    config: SimConfig,
    policy: Policy,
    use: Callable[[Played], T],
    views: list[int],
    detail: bool,
) -> Iterator[T]:
    for begin in range(0, len(views), BATCH):
        batch = views[begin : begin + BATCH]
        for played in _play_batch(tape, config, policy, batch, detail):
            yield use(played)


def _play_batch(
    tape: Tape, config: SimConfig, policy: Policy, views: list[int], detail: bool
) -> list[Played]:
    """Play some views side by side; those that are over stand still on HOLD."""
    simulator = BatchSimulator(tape, len(views), config, features=policy.features)
    simulator.schedule.set_order(views)
    obs = simulator.reset()
    width = obs.shape[1]
    tracks = [make_track(len(tape.views[i]), 0, detail, width) for i in views]
    _note(simulator, tracks, np.arange(len(views)), obs)
    ended: dict[int, tuple[Int64Array, int]] = {}
    fills: list[npt.NDArray[Any]] = []
    live = np.arange(len(views))
    choose = policy.chooser([tape.views[i] for i in views])
    while len(live):
        actions = np.zeros(len(views), np.int64)
        masks = simulator.action_masks()[live]
        actions[live] = _ask(policy.name, choose, live, obs[live], masks)
        rows = (
            simulator.agents.core[live, layout.A_ROW] - simulator.agents.core[live, layout.A_START]
        )
        obs, _, done, finished = simulator.step(actions, restart=False)
        new = simulator.fills()
        fills.append(new[np.isin(new["env"], live)])
        _note(simulator, tracks, live, obs)
        for env, row in zip(live.tolist(), rows.tolist(), strict=True):
            tracks[env].actions[row] = actions[env]
        if finished is not None:
            for k, env in enumerate(finished.envs.tolist()):
                if env not in ended:
                    ended[env] = (finished.core[k], int(done[env]))
                # Stands on its first row again, out of the way of the others.
                simulator.reset_one(env, views[env])
            live = np.array([i for i in live if i not in ended], np.int64)
    simulator.close()
    table = np.concatenate(fills)
    played = []
    for env, index in enumerate(views):
        mine = table[table["env"] == env]
        records = np.stack(
            [mine[n].astype(np.int64) for n in ("row", "side", "price", "qty", "fee", "maker")],
            axis=1,
        )
        core, bits = ended[env]
        view = tape.views[index]
        played.append(played_of(view, index, config.table, tracks[env], records, core, bits))
    return played


def _ask(
    name: str,
    choose: Choose,
    episodes: Int64Array,
    obs: npt.NDArray[np.float32],
    masks: npt.NDArray[np.bool_],
) -> npt.NDArray[Any]:
    actions = np.asarray(choose(episodes, obs, masks))
    whole = np.issubdtype(actions.dtype, np.integer)
    last = masks.shape[1] - 1
    if actions.shape != (len(obs),) or not whole or actions.min() < 0 or actions.max() > last:
        raise ConfigError(
            f"{name}: for {len(obs)} observations the policy must give as many whole "
            f"numbers from 0 to {last}; it gave {actions.dtype} of shape {actions.shape}"
        )
    return actions


def _buffers_of_one_step(simulator: BatchSimulator) -> layout.Buffers:
    """Where each observation takes the place of the one before."""
    buffers, _ = make_buffers(simulator.n_envs, simulator.observations.shape[1])
    return buffers._replace(before=buffers.obs)


def _note(
    simulator: BatchSimulator,
    tracks: list[kernels.Track],
    envs: npt.NDArray[Any],
    obs: npt.NDArray[np.float32],
) -> None:
    for env in envs.tolist():
        kernels.note_row(tracks[env], simulator.agents.core[env], obs[env])

"""The faces of a card's batch against the processor's, run in a process of its own.

NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 python -m tests.support.card_faces
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from kalshi_sim import KalshiVecEnv, SimConfig, Tape, build_tape
from kalshi_sim.cuda.memory import MIB, env_bytes, tape_bytes
from kalshi_sim.cuda.torch_env import TorchVecEnv
from kalshi_sim.errors import ConfigError
from kalshi_sim.kernels import layout
from kalshi_sim.synthetic.session import generate_session

ENVS, STEPS = 4, 12
CONFIG = SimConfig(random_start=True, max_episode_steps=5, market_order="shuffle")


def actions() -> np.ndarray:
    """int64 [STEPS, ENVS]"""
    return np.random.default_rng(0).integers(0, 5, (STEPS, ENVS))


def vec_env(tape: Tape) -> None:
    """`KalshiVecEnv` gives the same on both devices, infos included."""
    both: Any = [KalshiVecEnv(tape, ENVS, CONFIG, seed=3, device=d) for d in ("cpu", "cuda")]
    np.testing.assert_array_equal(both[0].reset(), both[1].reset())
    for chosen in actions():
        (obs, rewards, dones, infos), card = (env.step(chosen) for env in both)
        np.testing.assert_array_equal(obs, card[0])
        np.testing.assert_array_equal(rewards, card[1])
        np.testing.assert_array_equal(dones, card[2])
        for mine, theirs in zip(infos, card[3], strict=True):
            assert mine.get("market") == theirs.get("market")
            if "episode" in mine:
                assert mine["episode"]["r"] == theirs["episode"]["r"]
                np.testing.assert_array_equal(
                    mine["terminal_observation"], theirs["terminal_observation"]
                )


def torch_env(tape: Tape) -> None:
    """`TorchVecEnv` gives what the processor does; episodes beyond the room are counted."""
    own, card = KalshiVecEnv(tape, ENVS, CONFIG, seed=3), TorchVecEnv(tape, ENVS, CONFIG, seed=3)
    np.testing.assert_array_equal(own.reset(), card.reset().numpy())
    ended = 0
    for chosen in actions():
        np.testing.assert_array_equal(own.action_masks(), card.action_masks().numpy())
        obs, rewards, dones, infos = own.step(chosen)
        seen, paid, terminated, truncated = card.step(torch.from_numpy(chosen))
        np.testing.assert_array_equal(obs, seen.numpy())
        np.testing.assert_array_equal(rewards, paid.numpy())
        np.testing.assert_array_equal(dones, (terminated | truncated).numpy())
        for i in np.flatnonzero(dones):
            ended += 1
            assert infos[i]["TimeLimit.truncated"] == bool(truncated[i])
            last = infos[i]["terminal_observation"]
            np.testing.assert_array_equal(last, card.terminal[i].numpy())
    finished, lost = card.fetch_finished()
    assert finished is not None
    assert len(finished.envs) + lost == ended
    assert lost == max(0, ended - 2 * ENVS)
    card.step(torch.full((ENVS,), 99))
    raised = ""
    try:
        card.fetch_finished()
    except ValueError as error:
        raised = str(error)
    assert "from 0 to 4" in raised


def memory(tape: Tape) -> None:
    """A card without room is refused with both sizes; one with just enough is not."""
    needed = tape_bytes(tape) + ENVS * env_bytes(tape, CONFIG)

    enough = -(-needed // MIB)
    os.environ["KALSHI_SIM_CARD_MIB"] = str(enough)
    TorchVecEnv(tape, ENVS, CONFIG)
    os.environ["KALSHI_SIM_CARD_MIB"] = str(enough - 1)
    message = ""
    try:
        TorchVecEnv(tape, ENVS, CONFIG)
    except ConfigError as error:
        message = str(error)
    assert message.startswith(f"the card has {enough - 1} MiB free, but the tape takes"), message
    assert f"{ENVS} environments take" in message
    assert message.endswith("choose fewer sessions, fewer environments or device cpu")


def fills(tape: Tape) -> None:
    """Steps on the card keep their fills there, in the processor's order; those beyond the room are
    counted."""
    config = replace(CONFIG, record_fills=True)
    own, card = (TorchVecEnv(tape, ENVS, config, seed=3, device=d) for d in ("cpu", "cuda"))
    for _ in range(2):
        own.reset()
        card.reset()
        for chosen in map(torch.from_numpy, actions()):
            own.step(chosen)
            card.step(chosen)
        made = own.simulator.fills()
        kept: Any = card.simulator
        if kept.lost_fills == 0 and kept._fill_log.rows.shape[0] > 1:
            theirs = kept.fills()
            np.testing.assert_array_equal(np.asarray(made), np.asarray(theirs))
            np.testing.assert_array_equal(made.views, theirs.views)
            kept._fill_log = kept._fill_kernels.empty_log(1, kept._cuda)
    assert len(made) > 2
    np.testing.assert_array_equal(np.asarray(made)[:1], np.asarray(kept.fills()))
    assert kept.lost_fills == len(made) - 1


if __name__ == "__main__":
    assert layout.TRUNCATED == 2
    made = build_tape([generate_session(1, markets=3, minutes=3, deltas=300, seed=2)])
    vec_env(made)
    torch_env(made)
    fills(made)
    memory(made)

"""Runs that are killed at random moments end with the weights of the one that was not."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim.session import Session
from kalshi_train.config import TrainConfig
from kalshi_train.training.run import train
from tests.training.test_training import weights

KILLS = 20
# Children come from a process that has imported everything and runs no threads.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])


def config(folder: Path, **settings: Any) -> TrainConfig:
    return TrainConfig().changed(
        algorithm=settings.pop("algorithm"),
        total_timesteps=40_000,
        n_envs=8,
        n_steps=32,
        seed=5,
        num_threads=1,
        log_level="ERROR",
        model_save_path=folder / "model.zip",
        save_freq=500,
        eval_freq=1500,
        tensorboard=False,
        curriculum="need",
        **settings,
    )


def life(settings: TrainConfig, session: Session) -> None:
    """What the killed process does."""
    train(settings, sessions=[session])


def newest(folder: Path) -> int:
    """Steps of the newest checkpoint."""
    names = (folder / "checkpoints").glob("model_*_steps.zip")
    return max((int(p.stem.split("_")[1]) for p in names), default=0)


@pytest.mark.parametrize("algorithm", ["ppo", "a2c"])
def test_killed_runs_end_as_the_one_that_was_not(
    tmp_path: Path, edge_session: Session, algorithm: Any
) -> None:
    whole = train(config(tmp_path / "whole", algorithm=algorithm), sessions=[edge_session])
    chance = random.Random(7)
    killed = tmp_path / "killed"
    kills = 0
    while kills < KILLS // 2:  # the other algorithm has the other half
        resume = killed if newest(killed) else None
        process = CONTEXT.Process(
            target=life,
            args=(config(killed, algorithm=algorithm, resume_from=resume), edge_session),
        )
        before = newest(killed)
        process.start()
        # Sometimes before the first new checkpoint, mostly after some, at any moment of the next.
        wanted = before + 1000 * chance.randrange(4)
        while process.is_alive() and newest(killed) < wanted:
            time.sleep(0.005)
        time.sleep(chance.random() * 0.1)
        assert process.pid is not None
        assert process.is_alive(), "the run was over before it was killed"
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1
    assert 0 < newest(killed) < whole.num_timesteps
    resumed = config(killed, algorithm=algorithm, resume_from=killed)
    rest = train(resumed, sessions=[edge_session])
    assert weights(rest.model) == weights(whole.model)
    assert rest.results["markets"] == whole.results["markets"]
    assert rest.heldout == whole.heldout

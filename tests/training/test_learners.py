"""One model trained by several processes: as exact, and as safe, as by one."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed import HashStore  # type: ignore[attr-defined]  # not in its __all__

from kalshi_sim.errors import ConfigError
from kalshi_sim.vec_env import KalshiVecEnv
from kalshi_train import FastPPO
from kalshi_train.cli.train import train_main
from kalshi_train.config import TrainConfig
from kalshi_train.data.prepare import prepare
from kalshi_train.environments.curriculum import SimpleSessionCurriculum
from kalshi_train.learner.group import Group, LostLearnerError
from kalshi_train.models import model_weights
from kalshi_train.training.checkpoints import find_checkpoint
from kalshi_train.training.metrics import read_metrics
from kalshi_train.training.model import make_model
from kalshi_train.training.resume import restore
from kalshi_train.training.run import METRICS_FILE, train
from kalshi_train.training.together import Boundary, LearnersApartError
from kalshi_train.warm_up import small_tape

STEPS, ROLLOUT = 4096, 1024


def config_of(store: Path, folder: Path, **changes: Any) -> TrainConfig:
    settings: dict[str, Any] = {
        "store": str(store),
        "session": 9,
        "learners": 2,
        "n_envs": 16,
        "n_steps": ROLLOUT // 16,
        "batch_size": 512,
        "total_timesteps": STEPS,
        "eval_freq": 2 * ROLLOUT,
        "save_freq": 2 * ROLLOUT,
        "num_threads": 1,
        "max_episode_steps": 100,
        "curriculum": "need",
        "tensorboard": False,
        "model_save_path": folder / "m.zip",
    }
    return TrainConfig().changed(**settings | changes)


def other_processes() -> set[int]:
    """The processes that this one has started."""
    tasks = Path("/proc/self/task").iterdir()
    return {int(p) for task in tasks for p in (task / "children").read_text().split()}


def test_a_killed_learner_ends_all_and_the_resumed_run_ends_as_if_none_was(
    store_folder: Path, tmp_path: Path
) -> None:
    whole = train(config_of(store_folder, tmp_path / "whole"))
    assert whole.num_timesteps == STEPS
    records = read_metrics(tmp_path / "whole" / METRICS_FILE)
    assert records[-1]["rollout/episodes"] == whole.episodes
    # Episodes end after 100 steps at the latest: those of all learners are counted.
    assert STEPS - 16 * 100 <= whole.training["total_timesteps"] <= STEPS
    kept = find_checkpoint(tmp_path / "whole")
    starts = kept.arrays["last_obs"], kept.arrays["others/1/last_obs"]
    assert starts[0].shape == starts[1].shape == (8, starts[0].shape[1])
    assert not np.array_equal(*starts)

    before = other_processes()

    def kill(steps: int, result: Any) -> None:
        if steps == 2 * ROLLOUT:
            (other,) = other_processes() - before
            os.kill(other, signal.SIGKILL)

    begun = time.monotonic()
    with pytest.raises(LostLearnerError) as lost:
        train(config_of(store_folder, tmp_path / "cut"), after_evaluation=kill)
    assert time.monotonic() - begun < 60
    said = str(lost.value)
    assert "learner 1 (process " in said
    assert "was killed (SIGKILL)" in said
    assert f"--resume-from {tmp_path / 'cut'}" in said
    assert "\n" not in said
    assert other_processes() == before

    again = config_of(store_folder, tmp_path / "cut", resume_from=tmp_path / "cut")
    assert train(again).num_timesteps == STEPS
    one, other = (model_weights(tmp_path / n / "m.zip", "cpu") for n in ("whole", "cut"))
    for name, values in one["policy"].items():
        assert torch.equal(values, other["policy"][name]), name


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--n-envs 9", "n_envs 9 cannot be divided by 2 learners; take 8"),
        ("--batch-size 511", "batch_size 511 cannot be divided by 2 learners; take 512"),
        ("--algorithm dqn", "dqn has one learner; ppo and a2c have several"),
        ("--stock-sb3", "stock_sb3 ppo has one learner"),
        ("--device cuda", "several learners train on device cpu"),
        ("--normalize", "leave out one of the two"),
        ("--learners 0", "learners"),
    ],
)
def test_what_cannot_be_divided_is_said_in_a_line(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_main(["--session", "9", "--learners", "2", *words.split()]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert message in said


def agreed(words: list[dict[str, Any]], *, apart: bool = False) -> list[Any]:
    """What two learners come to at a boundary; `apart`: with other parameters."""
    store = HashStore()

    def learn(rank: int) -> Any:
        env = KalshiVecEnv(small_tape(), 2)
        model = FastPPO("MlpPolicy", env, n_steps=8, batch_size=8, seed=0, device="cpu")
        group = Group.meet(store, rank, 2)
        model.join(group)
        if apart and rank:
            with torch.no_grad():
                next(model.policy.parameters())[0, 0] += 1e-6
        boundary = Boundary(group, model, env)
        try:
            return boundary.agree(**words[rank]), boundary.waits, len(boundary.others)
        except LearnersApartError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(learn, range(2)))


def test_learners_decide_together() -> None:
    nothing: dict[str, Any] = {"signum": None}
    assert agreed([nothing, nothing]) == [(None, False, 0)] * 2
    for words in ([nothing, {"signum": 15}], [{"signum": 15, "needs_states": True}, nothing]):
        assert agreed(words) == [(15, False, 1)] * 2
    needed = {"signum": None, "needs_states": True}
    assert agreed([needed, nothing]) == [(None, True, 1)] * 2


def test_learners_that_have_come_to_differ_are_an_error() -> None:
    nothing = {"signum": None}
    said = agreed([nothing, nothing], apart=True)
    assert said[0] == said[1]
    assert "learner 1 has other parameters than learner 0" in said[0]


def test_a_learner_that_the_checkpoint_has_not_begins_with_numbers_of_its_own(
    store_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alone = config_of(store_folder, tmp_path, learners=1, total_timesteps=ROLLOUT)
    train(alone)
    config = alone.changed(learners=2, total_timesteps=STEPS).resolve()
    tape = prepare(config).train
    drawn = set()
    for rank in (0, 1, 2):
        env = KalshiVecEnv(tape, 8, config.simulation)
        model = make_model(config.share, env)
        curriculum = SimpleSessionCurriculum(tape, "need")
        state = restore(find_checkpoint(tmp_path), config, model, env, curriculum, rank)
        assert state is not None
        assert model.num_timesteps == ROLLOUT
        assert model._last_obs is None
        numbers = float(torch.rand(1)), float(np.random.random())  # noqa: NPY002 (SB3 draws there)
        drawn.add((*numbers, np.asarray(env.reset()).tobytes()))
    assert len({d[0] for d in drawn}) == len({d[1] for d in drawn}) == 3
    assert len({d[2] for d in drawn}) == 3
    assert caplog.text.count("number of learners: the episodes start anew") == 3


def test_no_learner_waits_where_the_data_cannot_be_had(tmp_path: Path, store_folder: Path) -> None:
    with pytest.raises(ConfigError, match="no session named"):
        train(config_of(store_folder, tmp_path, session=None))

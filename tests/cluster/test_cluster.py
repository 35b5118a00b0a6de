"""A real Ray cluster of two nodes on loopback: the same results as here, and a node killed."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from kalshi_sim.cli.commands import main
from kalshi_sim.cluster import ATTEMPTS, Job, Resources, Send, Tasks, connection
from kalshi_sim.cluster import tasks as tasks_module
from kalshi_sim.errors import ClusterError, ConfigError, MissingExtraError, SessionNotFoundError
from kalshi_sim.interrupts import Interrupted, watched
from kalshi_sim.tape_cache import cache_folder
from kalshi_train.cli.evaluate import main as evaluate_main
from kalshi_train.cli.train import train_main
from kalshi_train.config import TrainConfig
from kalshi_train.evaluation import on_cluster
from kalshi_train.models import model_weights
from kalshi_train.training.checkpoints import find_checkpoint, read_checkpoint
from kalshi_train.tune import TuneOptions, tune
from support.ray_cluster import RayCluster, ray_cluster

RUN = "--total-timesteps 512 --n-envs 8 --n-steps 32 --eval-freq 256 --n-epochs 1 --no-tensorboard"
SEEDS = ["--session", "9", "--seeds", "3", "--num-threads", "1", *RUN.split(), "--json"]
LEARNERS = (
    "--session 9 --learners 2 --n-envs 8 --n-steps 32 --batch-size 128 --n-epochs 1 "
    "--num-threads 1 --save-freq 256 --total-timesteps 100000000 --no-tensorboard"
)
TIMES = {
    "training_duration_seconds",
    "evaluation_seconds",
    "timesteps_per_second",
    "steps_per_second",
    "made_at",
    "command",
    "digest",
    "run_started_ns",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """Two nodes of one processor each."""
    with ray_cluster() as found:
        yield found


@pytest.fixture
def two_nodes(cluster: RayCluster) -> RayCluster:
    """Both of them, whatever was killed before."""
    if cluster.second is None:
        cluster.add()
    return cluster


class _Killer(logging.Filter):
    """Kills the second node once so many jobs have begun; two of them run on two nodes then."""

    def __init__(self, cluster: RayCluster, begun: int) -> None:
        super().__init__()
        self.cluster, self.left, self.lines = cluster, begun, list[str]()

    def filter(self, record: logging.LogRecord) -> bool:
        self.lines.append(record.getMessage())
        self.left -= "begins on the node" in record.getMessage()
        if self.left == 0 and self.cluster.second is not None:
            self.cluster.kill()
        return True


@pytest.fixture
def killer(two_nodes: RayCluster) -> Iterator[_Killer]:
    """Hears what is said of jobs, and kills a node when two of them have begun."""
    logger, made = logging.getLogger("kalshi_sim.cluster.tasks"), _Killer(two_nodes, begun=2)
    logger.addFilter(made)  # handlers are set by commands
    yield made
    logger.removeFilter(made)


def without_times(value: Any) -> Any:
    """What JSON holds but for times, and the command that had an address."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in TIMES}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def written(folder: Path) -> dict[str, Any]:
    """What lies in a folder of runs: figures, settings and parameters, by file."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*.json*")):
        if path.name == "metrics.jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            timed = ("time/", "crc32")
            found[str(path.relative_to(folder))] = [
                {k: v for k, v in line.items() if not any(t in k for t in timed)} for line in lines
            ]
        else:
            found[str(path.relative_to(folder))] = without_times(json.loads(path.read_text()))
    for path in sorted(folder.rglob("*.zip")):
        weights = model_weights(path, "cpu")
        name = str(path.relative_to(folder))
        for key, values in weights.items():
            found[f"{name}/{key}"] = _plain(values)
        run = without_times(read_checkpoint(path).run)
        found[f"{name}/run"] = {k: v for k, v in run.items() if k in ("config", "num_timesteps")}
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value.numpy().tobytes() if isinstance(value, torch.Tensor) else value


ACT = """
import numpy as np
def act(observations):
    return (observations[:, 0] > observations[:, 1]).astype(np.int64)
"""


def run_all(address: str, jobs: list[Job]) -> list[Any]:
    found = dict(Tasks(address, jobs).results())
    return [found[i] for i in range(len(jobs))]


def test_a_killed_node_ends_the_training_of_its_learners_in_a_line(
    two_nodes: RayCluster, store_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, killed = tmp_path / "run", list[float]()

    def kill() -> None:
        while not list(folder.glob("checkpoints/*.zip")):
            time.sleep(0.05)
        killed.append(time.monotonic())
        two_nodes.kill()

    threading.Thread(target=kill, daemon=True).start()
    words = ["--store", str(store_folder), "--model-save-path", str(folder), *LEARNERS.split()]
    assert train_main([*words, "--ray", two_nodes.address]) == 2
    assert time.monotonic() - killed[0] < 60
    said = capsys.readouterr().err
    (line,) = [text for text in said.splitlines() if "kalshi-train: " in text]
    assert re.search(
        r"learner [01] was lost with its node or worker, which ends the training", line
    )
    assert f"--resume-from {folder} --ray {two_nodes.address}" in line
    assert "Traceback" not in said
    # What was written on the lost node is here, whole; the states of both learners are in it.
    found = find_checkpoint(folder)
    assert found.run["num_timesteps"] >= 256
    assert found.arrays["others/1/last_obs"].shape == found.arrays["last_obs"].shape
    assert not list(folder.rglob("*.tmp"))
    assert train_main([*words, "--ray", two_nodes.address, "--num-threads", "2"]) == 2
    assert "2 learners need 2 processors each at the same time" in capsys.readouterr().err


def _waiting(given: int, send: Send) -> None:
    send(os.getpid())
    time.sleep(given)


def _doubled(given: int, send: Send) -> int:
    send(f"{given}!")
    return 2 * given


def _failing(kind: str, send: Send) -> None:
    if kind == "store":
        raise SessionNotFoundError("no session 9")
    if kind == "disk":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/x")
    if kind == "extra":
        raise ModuleNotFoundError("No module named 'optuna'", name="optuna")
    if kind == "setting":
        raise ConfigError("n_envs: too many")
    raise ValueError("of the program")


def _of_no_module(given: int, send: Send) -> None:
    """Pickled as a function of a module that nodes cannot have."""


@pytest.mark.parametrize(
    ("kind", "error", "said"),
    [
        ("store", SessionNotFoundError, r"^no session 9 \(on the node \S+; is the store one"),
        ("disk", ClusterError, r"^on the node \S+: /tmp/x: No space left on device$"),
        ("extra", MissingExtraError, r"^on the node \S+: this needs optuna.*kalshi-sim\[tune\]"),
        ("setting", ConfigError, r"^n_envs: too many$"),
        ("program", RuntimeError, r"(?s)^one failed on the node .*ValueError: of the program"),
    ],
)
def test_what_fails_on_a_node_fails_here(
    two_nodes: RayCluster, kind: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as raised:
        run_all(two_nodes.address, [Job("one", _failing, kind)])
    assert raised.type is error


def test_what_no_node_can_run_is_said_at_once(two_nodes: RayCluster) -> None:
    for needs, text in ((Resources(3), "3 processors"), (Resources(1, 1), "1 graphics card")):
        with pytest.raises(ConfigError, match=f"a task needs .*{text}"):
            Tasks(two_nodes.address, [Job("one", _doubled, 1, needs)])


def test_a_password_on_the_command_line_is_refused(
    monkeypatch: pytest.MonkeyPatch, two_nodes: RayCluster
) -> None:
    monkeypatch.setattr(sys, "argv", ["kalshi-train", "--store", "postgresql://me:geheim@h/x"])
    with pytest.raises(ConfigError, match="name the store by DATABASE_URL") as raised:
        connection._check_command_line()
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--ray", "127.0.0.2:9"], "--ray spreads several runs over a cluster"),
        (["--seeds", "2", "--ray", "127.0.0.2:9"], "no Ray cluster at 127.0.0.2:9: Connection ref"),
        (["--seeds", "2", "--ray", "ray://127.0.0.2:9"], "give host:port of the cluster's head"),
        (["--seeds", "2", "--ray", "127.0.0.2"], "give host:port of the cluster's head"),
    ],
)
def test_a_mistake_in_the_address_is_said_in_one_line(
    flags: list[str],
    said: str,
    store_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["--store", str(store_folder), "--session", "9", "--model-save-path", str(tmp_path)]
    assert train_main([*given, *flags, "--log-level", "ERROR"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_an_evaluation_on_the_nodes_has_the_bytes_of_one_machine(
    two_nodes: RayCluster,
    store_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "sessions").symlink_to(store_folder)
    (tmp_path / "mine.py").write_text(ACT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(on_cluster, "PART", 12)  # of 20 markets, so that there are two parts
    run = ["--session", "9", *RUN.split(), "--model-save-path", "run", "--log-level", "ERROR"]
    assert train_main([*run, "--num-threads", "1"]) == 0
    words = ["run", "mine.py:act", "--sessions", "6,9", "--baselines", "random,join-both-sides"]
    how = ["--stress", "--stochastic", "1", "--permutations", "1", "--resamples", "100"]
    found = []
    for more in ([], ["--ray", two_nodes.address]):
        capsys.readouterr()
        assert evaluate_main([*words, *how, "--report", "None", "--json", *more]) == 0
        shown = json.loads(capsys.readouterr().out)
        for when in ("made_at", "command"):
            del shown["provenance"][when]
        found.append(json.dumps(shown))
    assert found[1] == found[0]


def test_tapes_that_nodes_make_are_those_of_one_machine(
    two_nodes: RayCluster,
    store_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    theirs = cache_folder()  # of the nodes, which have the environment of this process's start
    monkeypatch.chdir(store_folder.parent)
    words = ["replay", "--store", store_folder.name, "--depth", "7", "--json"]  # made by no other
    assert main([*words, "--sessions", "6-7,9", "--ray", two_nodes.address]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [s["how"] for s in found["sessions"]] == ["replayed", "failed", "replayed"]
    assert "has no session 7" in found["sessions"][1]["reason"]
    assert "caches of the nodes that made them" in found["notes"][0]
    monkeypatch.setenv("KALSHI_SIM_TAPES", str(tmp_path))
    assert main([*words, "--jobs", "1"]) == 0
    for session in json.loads(capsys.readouterr().out)["sessions"]:
        key = session["key"]
        assert session["how"] == "replayed"
        for name in ("rows.npy", "flow.npy", "tape.json"):
            assert (theirs / key / name).read_bytes() == (tmp_path / key / name).read_bytes()


def test_trials_of_a_study_run_on_the_nodes(
    two_nodes: RayCluster, store_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sessions").symlink_to(store_folder)
    monkeypatch.chdir(tmp_path)
    settings: dict[str, Any] = {
        "session": 9,
        "eval_fraction": 0.4,
        "total_timesteps": 512,
        "n_envs": 8,
        "n_steps": 32,
        "eval_freq": 256,
        "n_epochs": 1,
        "store": "sessions",
    }
    how: dict[str, Any] = {"trials": 1, "sampler": "random", "pruner": "none", "final": False}
    found = []
    for options in (
        TuneOptions(study=Path("alone"), workers="threads", **how),
        TuneOptions(study=Path("cluster"), ray=two_nodes.address, **how),
    ):
        result = tune(TrainConfig().changed(**settings), options)
        found.append([(t.state, t.value, t.settings, t.profits) for t in result.trials])
    assert found[1] == found[0]
    assert [state for state, *_ in found[1]] == ["complete"]
    assert Path("cluster/trial-0000/seed-0/trained_model.zip").is_file()  # here all see it
    with pytest.raises(ConfigError, match="a task needs 64 processors"):
        tune(
            TrainConfig().changed(num_threads=64, **settings),
            TuneOptions(study=Path("third"), ray=two_nodes.address, **how),
        )


def test_a_node_without_the_package_is_named(
    two_nodes: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = ModuleType("kalshi_train.absent")
    monkeypatch.setitem(sys.modules, absent.__name__, absent)
    monkeypatch.setattr(_of_no_module, "__module__", absent.__name__)
    monkeypatch.setattr(absent, "_of_no_module", _of_no_module, raising=False)
    with pytest.raises(ConfigError, match="lacks kalshi_train, or has an earlier version"):
        run_all(two_nodes.address, [Job("one", _of_no_module, 1)])


def test_seeds_on_two_nodes_one_of_them_killed_are_those_of_one_machine(
    killer: _Killer,
    store_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found, printed = {}, {}
    for where in ("alone", "cluster"):
        folder = tmp_path / where
        folder.mkdir()
        (folder / "sessions").symlink_to(store_folder)
        monkeypatch.chdir(folder)  # paths that are not from the root mean what they mean here
        monkeypatch.delenv("DATABASE_URL", raising=False)
        arguments = [*SEEDS, "--model-save-path", "runs"]
        if where == "cluster":
            arguments += ["--ray", killer.cluster.address]
        assert train_main(arguments) == 0
        printed[where] = without_times(json.loads(capsys.readouterr().out))
        found[where] = written(folder / "runs")
    (lost,) = [line for line in killer.lines if "lost" in line]
    assert "was lost; it begins anew" in lost
    assert printed["cluster"] == printed["alone"]
    assert [run["seed"] for run in printed["cluster"]["runs"]] == [0, 1, 2]
    assert found["cluster"].keys() == found["alone"].keys()
    for name, value in found["alone"].items():
        assert found["cluster"][name] == value, name
    assert sum(name.endswith("/policy") for name in found["alone"]) == 12
    assert not list((tmp_path / "cluster" / "runs").rglob("*.tmp"))


def test_a_node_with_another_version_is_named(
    cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks_module, "__version__", "0.0")
    with pytest.raises(ConfigError, match=r"has kalshi-sim \S+, this machine 0\.0; install"):
        run_all(cluster.address, [Job("one", _doubled, 1)])


def test_a_signal_ends_what_runs_on_the_nodes(cluster: RayCluster) -> None:
    pids = []

    def interrupt_soon(index: int, message: object) -> None:
        if isinstance(message, int):
            pids.append(message)
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()

    tasks = Tasks(cluster.address, [Job("one", _waiting, 600)], interrupt_soon)
    with watched("test", grace_s=60), pytest.raises(Interrupted) as stop:
        list(tasks.results())
    assert stop.value.signum == signal.SIGTERM  # which Ray forgets
    until = time.monotonic() + 30
    while Path(f"/proc/{pids[0]}").exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_worker_that_dies_is_replaced_three_times_at_most(cluster: RayCluster) -> None:
    pids = []

    def kill(index: int, message: object) -> None:
        if isinstance(message, int):
            pids.append(message)
            os.kill(message, signal.SIGKILL)

    tasks = Tasks(cluster.address, [Job("one", _waiting, 600)], kill)
    with pytest.raises(ClusterError, match=r"one: its worker on the node .* was lost, as 2 before"):
        list(tasks.results())
    assert len(set(pids)) == ATTEMPTS

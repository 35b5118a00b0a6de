"""Checkpoints: plain Stable-Baselines3 models that also carry all of a run's state.

A checkpoint is one zip, written whole or not at all. `PPO.load` opens it as any model; two more
members hold what an exact resume needs: `run.json` (settings and counters) and `state.npz`
(random states, the simulation, the curriculum).
"""

from __future__ import annotations

import io
import json
import logging
import re
import shlex
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import ConfigError
from kalshi_sim.files import write_whole
from kalshi_train.models import (
    STATE_MEMBER,
    algorithm_of,
    model_data,
    note_if_unsealed,
    open_model,
    seal,
)

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

logger = logging.getLogger(__name__)

FOLDER: Final = "checkpoints"
RUN_MEMBER: Final = "kalshi_train/run.json"
_NAME: Final = re.compile(r"model_(\d+)_steps\.zip")
# Batch-sized arrays that state.npz has anyway; SB3 would store them pickled.
_EXCLUDED: Final = (
    "_last_obs",
    "_last_episode_starts",
    "_last_original_obs",
    "_last_lstm_states",
)

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and found whole."""

    path: Path
    run: dict[str, Any]
    """Settings and counters; empty for a model of plain Stable-Baselines3."""
    arrays: Arrays

    @property
    def exact(self) -> bool:
        """Whether it carries all that an exact resume needs."""
        return bool(self.run)

    @property
    def config(self) -> dict[str, Any]:
        """The settings of the run, as JSON has them.

        Raises:
            ConfigError: there are none.
        """
        config = self.run.get("config")
        if not isinstance(config, dict):
            raise ConfigError(f"{self.path} holds no settings of a run; start anew")
        return config


def checkpoint_path(run_folder: Path, num_timesteps: int) -> Path:
    """Where the checkpoint after `num_timesteps` steps lies.

    Args:
        run_folder: of the run.
        num_timesteps: environment steps at the checkpoint.
    """
    return run_folder / FOLDER / f"model_{num_timesteps}_steps.zip"


def resume_command(run_folder: Path) -> str:
    """The command that goes on with a run from its newest checkpoint.

    Args:
        run_folder: of the run.
    """
    return f"kalshi-train --resume-from {shlex.quote(str(run_folder))}"


def is_saved_since(run_folder: Path, begun: float) -> bool:
    """Whether a checkpoint was written after a time.

    Args:
        run_folder: of the run.
        begun: seconds since the epoch.
    """
    found = (run_folder / FOLDER).glob("*.zip")
    return any(_NAME.fullmatch(f.name) and f.stat().st_mtime >= begun for f in found)


def write_checkpoint(
    path: Path, model: BaseAlgorithm, run: Mapping[str, Any], arrays: Arrays
) -> None:
    """Write model and state into one zip, whole or not at all.

    Args:
        path: the zip; one that is there is replaced.
        model: as stable-baselines3 saves it.
        run: what JSON can hold of the run's state.
        arrays: the state's arrays by name.

    Raises:
        ConfigError: the folder cannot be written.
        StoreError: the disk is full.
    """
    content = io.BytesIO()
    model.save(content, exclude=list(_EXCLUDED))
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]  # by name
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr(RUN_MEMBER, json.dumps(run), zipfile.ZIP_DEFLATED)
        archive.writestr(STATE_MEMBER, packed.getvalue())
    write_whole(path, seal(content.getvalue()))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, or a plain model without the state of a run.

    Raises:
        ConfigError: there is no such file, it is damaged, or it is no model.
    """
    with open_model(path) as archive:
        if RUN_MEMBER not in archive.namelist():
            return Checkpoint(path, {}, {})
        run = json.loads(archive.read(RUN_MEMBER))
        with np.load(io.BytesIO(archive.read(STATE_MEMBER)), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if not isinstance(run, dict):
            raise ConfigError(f"{path} holds no state of a run; start anew")
        return Checkpoint(path, run, arrays)


def find_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at `path`; of a folder the newest good one, by run and then by steps.

    Damaged files are passed over with a warning.

    Raises:
        ConfigError: there is none.
    """
    if path.is_file():
        chosen = read_checkpoint(path)
        note_if_unsealed(path)
        return chosen
    if not path.is_dir():
        raise ConfigError(f"--resume-from {path}: no such file or folder")
    good = []
    for file in [*path.glob("*.zip"), *(path / FOLDER).glob("*.zip")]:
        named = _NAME.fullmatch(file.name)
        if not named:
            continue
        try:
            found = read_checkpoint(file)
        except ConfigError as error:
            logger.warning("passed over: %s", error)
            continue
        good.append((found.run.get("run_started_ns", 0), int(named[1]), found))
    if not good:
        raise ConfigError(
            f"--resume-from {path}: no good checkpoint (model_<n>_steps.zip) in this folder "
            f"or its folder {FOLDER}"
        )
    chosen = max(good, key=lambda entry: entry[:2])[2]
    note_if_unsealed(chosen.path)
    return chosen


def check_model(path: Path, algorithm: str, history: int, actions: int) -> None:
    """Check that a saved model can go on training here.

    Args:
        path: the model's zip.
        algorithm: name of the algorithm to train with.
        history: rows that an observation shows.
        actions: number of actions.

    Raises:
        ConfigError: it is another algorithm's, or has other observations or actions.
    """
    data = model_data(path)
    theirs = algorithm_of(data)
    if theirs != algorithm:
        raise ConfigError(
            f"{path} is a model of {theirs}, this run trains {algorithm}; "
            f"resume with --algorithm {theirs}, or start anew"
        )
    from kalshi_sim.spaces import history_of_space, observation_space

    space = data.get("observation_space")
    theirs_seen = history_of_space(space)
    if theirs_seen != history:
        shape, here = getattr(space, "shape", None), observation_space(history=history).shape
        advice = f"give --history {theirs_seen}" if theirs_seen else "start anew"
        raise ConfigError(
            f"{path} sees observations of shape {shape}, the simulator gives {here}; {advice}"
        )
    count = getattr(data.get("action_space"), "n", None)
    if count != actions:
        raise ConfigError(
            f"{path} chooses from {count} actions, the simulator has {actions}; "
            "give the --actions it was trained with"
        )


def flatten(values: Mapping[str, Any], prefix: str = "") -> Arrays:
    """Nested mappings as arrays under `outer/inner` names.

    Args:
        values: arrays, plain values and mappings of such.
        prefix: put before each name.

    Returns:
        The arrays, numbers as arrays [] of their own dtype.
    """
    arrays: Arrays = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            arrays |= flatten(value, f"{prefix}{name}/")
        else:
            arrays[f"{prefix}{name}"] = np.asarray(value)
    return arrays


def unflatten(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """What `flatten` made arrays of; arrays without an axis become plain values."""
    nested: dict[str, Any] = {}
    for path, array in arrays.items():
        *outer, name = path.split("/")
        place = nested
        for step in outer:
            place = place.setdefault(step, {})
        place[name] = array.item() if array.ndim == 0 else array
    return nested

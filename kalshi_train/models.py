"""Saved models: zip files as Stable-Baselines3 writes them, read without running code of theirs."""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kalshi_sim.errors import ConfigError
from kalshi_sim.extras import import_module
from kalshi_sim.text import printable
from kalshi_train.safe_pickle import read_attributes

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

_log = logging.getLogger(__name__)

OWN_FOLDER: Final = b"kalshi_train/"
"""Where in a zip our members lie."""
STATE_MEMBER: Final = "kalshi_train/state.npz"
"""Arrays of a run's state, and what observations are scaled by."""
_SEAL: Final = b"kalshi-train sha256 "
_SEAL_BYTES: Final = len(_SEAL) + 2 * hashlib.sha256().digest_size
_END: Final = b"PK\x05\x06"
"""Begins the last record of a zip, which ends with the length of the comment and the comment."""
_END_BYTES: Final = 22
_MOST_BYTES: Final = 2**34
"""Largest model that is unpacked: a zip can claim to hold more than any disk."""
_NEEDED: Final = ("observation_space", "action_space", "policy_class", "policy_kwargs")
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    ValueError,
    KeyError,
    IndexError,
    EOFError,
    RuntimeError,
    OverflowError,
    RecursionError,
)
"""What Python's and NumPy's readers raise for damaged bytes."""


def seal(archive: bytes) -> bytes:
    """A zip without a comment, with a checksum of all its bytes as its comment."""
    opened = bytearray(archive)
    opened[-2:] = struct.pack("<H", _SEAL_BYTES)  # the comment's length ends a zip
    return bytes(opened) + _SEAL + hashlib.sha256(opened).hexdigest().encode()


def _is_whole(archive: bytes) -> bool:
    """Whether a zip's bytes are those that `seal` saw; of one without a seal its end alone."""
    comment = archive[-_SEAL_BYTES:]
    if comment.startswith(_SEAL):
        sealed = archive[:-_SEAL_BYTES]
        return hashlib.sha256(sealed).hexdigest().encode() == comment[len(_SEAL) :]
    if OWN_FOLDER in archive or _SEAL in archive:
        return _ends_without_comment(archive)
    return True  # of others, who write what they like


def _ends_without_comment(archive: bytes) -> bool:
    """Whether a zip ends as it did before `seal`: a sealed one names the length of its comment."""
    return archive[-_END_BYTES:].startswith(_END) and archive.endswith(b"\0\0")


@functools.cache
def note_if_unsealed(path: Path) -> None:
    """Log, once for a file, that a checkpoint is older than checksums.

    Raises:
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    if OWN_FOLDER in content and _ends_without_comment(content):
        _log.warning("%s carries no checksum (it is of an earlier version); read as it is", path)


@contextmanager
def open_model(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip of a saved model, all of whose members were read and found undamaged.

    Errors of reading it inside the block are reported as those of a damaged file.

    Raises:
        ConfigError: there is no such file, it is damaged, or it is no model.
    """
    try:
        content = path.read_bytes()
        if not _is_whole(content):
            raise ConfigError(f"{path} is damaged; use an earlier checkpoint")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MOST_BYTES:
                raise ConfigError(f"{path} would unpack to more than {_MOST_BYTES >> 30} GiB")
            bad = archive.testzip()
            if bad is not None:
                raise ConfigError(f"{path} is damaged at {printable(bad)}; use an earlier one")
            if "policy.pth" not in archive.namelist():
                raise ConfigError(f"{path} is no model of Stable-Baselines3")
            yield archive
    except OSError as error:
        raise ConfigError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    except _DAMAGE as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path} is no whole checkpoint: {printable(str(error))}") from error


def model_data(path: Path) -> dict[str, Any]:
    """The attributes of a saved model, by name, without those that only code could restore.

    Raises:
        ConfigError: they cannot be read.
    """
    return _attributes(path)[0]


def _attributes(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    with open_model(path) as archive:
        return read_attributes(archive.read("data"))


def model_weights(path: Path, device: str) -> dict[str, Any]:
    """The state dicts of a saved model (`policy`, `policy.optimizer`), read as tensors alone.

    Args:
        path: the model's zip.
        device: where the tensors are put, as torch names it.

    Raises:
        ConfigError: they cannot be read, or hold more than tensors.
    """
    import torch

    weights: dict[str, Any] = {}
    with open_model(path) as archive:
        for name in archive.namelist():
            if not name.endswith(".pth") or name in ("pytorch_variables.pth", "tensors.pth"):
                continue
            try:
                data = io.BytesIO(archive.read(name))
                weights[name.removesuffix(".pth")] = torch.load(
                    data, map_location=device, weights_only=True
                )
            except Exception as error:  # torch raises what its readers raise
                text = (str(error).splitlines() or [""])[0]
                raise ConfigError(f"{path}: {name} is no set of tensors: {text}") from error
    return weights


def algorithm_of(data: Mapping[str, Any]) -> str:
    """The algorithm a saved model belongs to, recognized by its attributes."""
    kinds = (data.get("policy_class"), data.get("rollout_buffer_class"))
    names = [_class_name(kind) for kind in kinds]
    if any(name.startswith("Maskable") for name in names):
        return "maskable-ppo"
    if any(name.startswith("Recurrent") for name in names):
        return "recurrent-ppo"
    if "cg_max_steps" in data:
        return "trpo"
    if "clip_range" in data or "clip_range_vf" in data:
        return "ppo"
    if "n_steps" in data and "normalize_advantage" in data:
        return "a2c"
    if "exploration_rate" in data and _class_name(data.get("policy_class")) != "QRDQNPolicy":
        return "dqn"
    return "another algorithm"


def _class_name(kind: object) -> str:
    """Of a class, or of one that was left out, whose full name stands for it."""
    return getattr(kind, "__name__", str(kind).rpartition(".")[2])


def load_model(path: Path, *, trust: bool = False) -> BaseAlgorithm:
    """A model saved by Stable-Baselines3 or `kalshi-train`.

    One that was trained with `--normalize` scales its observations in `predict` itself. Weights
    are read as tensors and attributes through a list of what they may name: no code of
    the file is run.

    Args:
        path: the zip.
        trust: let Stable-Baselines3 unpickle all of it, which runs whatever code it holds. For
            policies of your own, from files you made yourself.

    Raises:
        ConfigError: there is no such file, it is damaged, it is no model of PPO, A2C, DQN,
            MaskablePPO or RecurrentPPO, or it needs code that is not trusted.
        MissingExtraError: it is a model of sb3-contrib, which is not installed.
    """
    if not path.exists() and path.with_suffix(".zip").exists():
        path = path.with_suffix(".zip")
    data, left_out = _attributes(path)
    note_if_unsealed(path)
    kind = _algorithm(path, {**left_out, **data})
    if trust:
        try:
            model = kind.load(path, device="cpu")
            if hasattr(model.policy, "lstm_actor"):  # only a policy's parts show it
                model = import_module("sb3_contrib").RecurrentPPO.load(path, device="cpu")
            return _normalizing(model, path)
        except Exception as error:  # a pickle of another version can raise anything
            raise ConfigError(f"{path} cannot be read as a model: {error}") from error
    for name in _NEEDED:
        if name in left_out:
            raise ConfigError(
                f"{path}: its {name} can only be restored by running code of the file "
                f"({printable(left_out[name], 100)}); if you trust who made it, say so: --trust"
            )
    weights = model_weights(path, "cpu")
    try:
        return _normalizing(_made(kind, data, weights), path)
    except Exception as error:  # attributes of another version can be anything
        raise ConfigError(f"{path} cannot be read as a model: {printable(str(error))}") from error


def _algorithm(path: Path, attributes: Mapping[str, Any]) -> type[BaseAlgorithm]:
    from stable_baselines3 import A2C, DQN, PPO

    name = algorithm_of(attributes)
    contrib = {"maskable-ppo": "MaskablePPO", "recurrent-ppo": "RecurrentPPO"}
    if name in contrib:
        kind: type[BaseAlgorithm] = getattr(import_module("sb3_contrib"), contrib[name])
        return kind
    kinds: dict[str, type[BaseAlgorithm]] = {"ppo": PPO, "a2c": A2C, "dqn": DQN}
    if attributes.get("mask") is True:  # their `predict` takes masks
        from kalshi_train.learner.algorithms import FastA2C, FastPPO

        kinds |= {"ppo": FastPPO, "a2c": FastA2C}
    found = kinds.get(name)
    if found is None:
        policy = _class_name(attributes.get("policy_class"))
        raise ConfigError(
            f"{path}: a model of {name} (its policy: {printable(policy, 100)}); what can be read "
            "is PPO, A2C, DQN, and MaskablePPO and RecurrentPPO of sb3-contrib"
        )
    return found


def _normalizing(model: BaseAlgorithm, path: Path) -> BaseAlgorithm:
    """The model, whose `predict` scales observations if its training did."""
    with open_model(path) as archive:
        if STATE_MEMBER not in archive.namelist():
            return model
        with np.load(io.BytesIO(archive.read(STATE_MEMBER)), allow_pickle=False) as stored:
            prefix = "model/normalization/"
            kept = {n.removeprefix(prefix): stored[n] for n in stored.files if n.startswith(prefix)}
    if not kept:
        return model
    from kalshi_train.learner.normalization import Normalizer

    normalizer, predict = Normalizer.from_arrays(kept), model.predict

    @functools.wraps(predict)  # with its arguments, by which a live market asks it
    def scaled(observation: Any, *args: Any, **kwargs: Any) -> Any:
        return predict(normalizer(observation), *args, **kwargs)

    changed: Any = model
    changed.normalizer, changed.predict = normalizer, scaled
    return model


def _made(
    kind: type[BaseAlgorithm], data: Mapping[str, Any], weights: dict[str, Any]
) -> BaseAlgorithm:
    """As `BaseAlgorithm.load` makes it, from attributes and weights that were read safely."""
    kwargs = dict(data.get("policy_kwargs") or {})
    kwargs.pop("device", None)
    model: Any = kind(
        policy=data["policy_class"],
        env=None,
        device="cpu",
        _init_setup_model=False,  # type: ignore[call-arg]  # as SB3's own load calls it
    )
    kept = {k: v for k, v in data.items() if not callable(getattr(kind, k, None))}
    model.__dict__.update(kept | {"policy_kwargs": kwargs})
    if "buffer_size" in data:
        model.buffer_size = 1  # nothing is learned from it here
    model._setup_model()
    model.set_parameters(weights, exact_match=True, device="cpu")
    return model  # type: ignore[no-any-return]  # see above

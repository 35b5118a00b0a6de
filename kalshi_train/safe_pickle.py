"""Pickles of saved models, read through a list of what they may name: nothing in them is run.

Stable-Baselines3 writes a model's attributes as JSON, objects among them as pickles. A pickle can
call any function there is. Here it may name plain containers, NumPy's arrays and generators,
gymnasium's spaces, and the classes of policies, networks and schedules that come with the
libraries, no more.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import pickle
from typing import Any, Final

from kalshi_sim.errors import MissingExtraError
from kalshi_sim.extras import import_module

_ALLOWED: Final[dict[str, frozenset[str]]] = {
    module: frozenset(names.split())
    for module, names in {
        "builtins": "bool bytes complex dict float frozenset int list set slice str tuple",
        "collections": "OrderedDict deque defaultdict",
        "numpy": "dtype ndarray",
        "numpy.core.multiarray": "_reconstruct scalar",
        "numpy._core.multiarray": "_reconstruct scalar",
        "numpy.core.numeric": "_frombuffer",
        "numpy._core.numeric": "_frombuffer",
        "numpy.random._pickle": "__generator_ctor __bit_generator_ctor __randomstate_ctor",
        "numpy.random._pcg64": "PCG64",
        "numpy.random._philox": "Philox",
        "numpy.random._mt19937": "MT19937",
        "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence",
        "gymnasium.spaces.box": "Box",
        "gymnasium.spaces.discrete": "Discrete",
        "kalshi_sim.spaces": "TableSpace",
        "gymnasium.spaces.multi_discrete": "MultiDiscrete",
        "gymnasium.spaces.multi_binary": "MultiBinary",
        "stable_baselines3.common.buffers": "RolloutBuffer ReplayBuffer",
        "stable_baselines3.common.policies": "ActorCriticPolicy",
        "stable_baselines3.common.torch_layers": "FlattenExtractor MlpExtractor",
        "stable_baselines3.common.type_aliases": "TrainFreq TrainFrequencyUnit",
        "stable_baselines3.common.utils": "ConstantSchedule FloatSchedule LinearSchedule",
        "stable_baselines3.common.sb2_compat.rmsprop_tf_like": "RMSpropTFLike",
        "stable_baselines3.dqn.policies": "DQNPolicy",
        "sb3_contrib.common.maskable.buffers": "MaskableRolloutBuffer",
        "sb3_contrib.common.maskable.policies": "MaskableActorCriticPolicy",
        "sb3_contrib.common.recurrent.buffers": "RecurrentRolloutBuffer",
        "sb3_contrib.common.recurrent.policies": "RecurrentActorCriticPolicy",
        "torch.nn.modules.activation": "ELU GELU LeakyReLU ReLU SiLU Sigmoid Tanh",
        "torch.optim.adam": "Adam",
        "torch.optim.adamw": "AdamW",
        "torch.optim.rmsprop": "RMSprop",
    }.items()
}


class UntrustedError(Exception):
    """A pickle names something that is not on the list; the message is its name."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name not in _ALLOWED.get(module, ()):
            raise UntrustedError(f"{module}.{name}")
        return getattr(import_module(module), name)

    def persistent_load(self, pid: Any) -> Any:
        raise UntrustedError("a persistent id")


def read_pickle(data: bytes) -> Any:
    """The object in a pickle that names nothing but what is on the list.

    Raises:
        UntrustedError: it names something else.
        MissingExtraError: it names what an extra that is not installed brings.
        ValueError: it is damaged.
    """
    try:
        return _Reader(io.BytesIO(data)).load()
    except (UntrustedError, MissingExtraError):
        raise
    except Exception as error:  # damaged pickles raise whatever their calls raise
        raise ValueError(f"a damaged pickle ({type(error).__name__})") from error


def read_attributes(text: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """The attributes in a model's JSON, and what could not be read: {attribute: why}.

    Returns:
        The attributes by name, and why others were left out, by name.

    Raises:
        MissingExtraError: they name what an extra that is not installed brings.
        ValueError: it is no such JSON.
    """
    try:
        items = json.loads(text)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    if not isinstance(items, dict):
        raise ValueError("its attributes are no JSON object")
    values: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name, item in items.items():
        if not (isinstance(item, dict) and ":serialized:" in item):
            values[name] = item
            continue
        try:
            values[name] = read_pickle(base64.b64decode(item[":serialized:"]))
        except UntrustedError as error:
            left_out[name] = str(error)
        except (ValueError, TypeError, binascii.Error) as error:
            left_out[name] = str(error)
    return values, left_out

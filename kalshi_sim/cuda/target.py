"""The card: whether there is one, and the forms of `kernels.targets` for it.

With NUMBA_ENABLE_CUDASIM=1 and NUMBA_DISABLE_JIT=1 Numba's CUDA simulator takes its place: plain
Python, thread by thread, for tests on machines without a card.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numba

from kalshi_sim.errors import ConfigError
from kalshi_sim.kernels.targets import rounded_sum

_settings: Any = numba.config
SIMULATED = bool(_settings.ENABLE_CUDASIM)
"""Whether Numba's CUDA simulator is in use."""
BLOCK = 8 if SIMULATED else 128
"""Threads of a block; each is a thread of Python in the simulator."""


def require_card() -> None:
    """See to it that kernels can run on a card.

    Raises:
        ConfigError: there is none, or what it needs is not installed; the message says which.
    """
    if SIMULATED:
        if not _settings.DISABLE_JIT:
            raise ConfigError(
                "NUMBA_ENABLE_CUDASIM=1 needs NUMBA_DISABLE_JIT=1 beside it: the simulator runs "
                "kernels as plain Python"
            )
        return
    if importlib.util.find_spec("numba_cuda") is None:
        raise ConfigError(
            "device cuda needs numba-cuda, which is not installed; pip install 'kalshi-sim[cuda]'"
        )
    cuda: Any = importlib.import_module("numba.cuda")
    if not cuda.is_available():
        raise ConfigError(
            "device cuda: no usable NVIDIA card or driver here; use device cpu, or install the "
            "driver (nvidia-smi must list the card)"
        )
    _register()


def has_card() -> bool:
    """Whether kernels can run on a card here."""
    try:
        require_card()
    except ConfigError:
        return False
    return True


def chosen_device(device: str) -> str:
    """The device that a word stands for.

    Args:
        device: cpu, cuda, or auto for the card if there is one.

    Returns:
        cpu or cuda.

    Raises:
        ConfigError: it is no such word, or there is no card.
    """
    if device not in ("cpu", "cuda", "auto"):
        raise ConfigError(
            f"device={device!r}: must be cpu, cuda or auto (the variable CUDA_VISIBLE_DEVICES "
            "chooses one of several cards)"
        )
    if device == "auto":
        return "cuda" if has_card() else "cpu"
    if device == "cuda":
        require_card()
    return device


_registered: list[bool] = []


def rounded_form(libdevice: Any) -> Any:
    """The card's form of `rounded_sum`.

    Args:
        libdevice: the module `numba.cuda.libdevice`.

    Returns:
        Gives an implementation for two types. It has no annotations: numba passes over, without a
        word, what has others than its implementation.
    """
    single: Any = numba.types.float32

    def rounded(a, b):  # type: ignore[no-untyped-def]  # see above
        if a == single and b == single:
            return lambda a, b: libdevice.fadd_rn(a, b)  # noqa: PLW0108 (numba compiles it)
        return lambda a, b: libdevice.dadd_rn(a, b)  # noqa: PLW0108 (numba compiles the lambda)

    return rounded


def _register() -> None:
    """Give the card's compiler what `kernels.targets` means for it, once."""
    if _registered:
        return
    extending: Any = importlib.import_module("numba.cuda.extending")
    form = rounded_form(importlib.import_module("numba.cuda.libdevice"))
    extending.overload(rounded_sum)(form)
    _registered.append(True)

"""The one decorator of all kernels, and where their machine code is cached.

Numba's own on-disk cache does not notice changes in other files that a kernel calls, so the
cache folder is named by a hash of every kernel source, the versions and the flags: a stale
kernel cannot be loaded. Kernels outside this folder (the generator's, the learner's) have a
folder of their own that also depends on the files beside them: changing those moves no tape.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
import platformdirs
from numba.core import config as numba_config

from kalshi_sim.kernels.announce import announce
from kalshi_sim.kernels.cache_folders import take_folder
from kalshi_sim.kernels.compiled_cache import guard
from kalshi_sim.kernels.dispatcher import share_callees, share_with_python

F = TypeVar("F", bound=Callable[..., Any])

FLAGS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}
_ONLY_PRANGE = {
    "prange": True,
    **dict.fromkeys(
        ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"),
        False,
    ),
}

_KERNELS = Path(__file__).parent
_SOURCES = [*sorted(_KERNELS.glob("*.py")), _KERNELS.parent / "units.py"]


def cache_root() -> Path:
    """Where this package caches: KALSHI_SIM_CACHE, else the user's cache folder."""
    named = os.environ.get("KALSHI_SIM_CACHE")
    return Path(named or platformdirs.user_cache_dir("kalshi-sim"))


def source_digest(*more: Path) -> str:
    """A hash of every kernel source, of `more` files, the versions and the flags."""
    digest = hashlib.sha256()
    for path in (*_SOURCES, *more):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    versions = (numba.__version__, np.__version__, sys.version, repr(sorted(FLAGS.items())))
    bounds = os.environ.get("NUMBA_BOUNDSCHECK", "")
    digest.update(repr((*versions, bounds)).encode())
    return digest.hexdigest()


def cache_folder(package: Path = _KERNELS) -> Path:
    """The folder of a package's compiled kernels; another for any other code or version."""
    more = [] if package == _KERNELS else sorted(package.glob("*.py"))
    return cache_root() / "kernels" / source_digest(*more)[:16]


_FOLDER = cache_folder()
_CACHE = take_folder(_FOLDER)


@functools.cache
def _folder_of(package: Path) -> Path:
    return _FOLDER if package in (_KERNELS, _KERNELS.parent) else cache_folder(package)


def _compile(function: F, **flags: Any) -> F:
    folder = _folder_of(Path(function.__code__.co_filename).parent)
    if not _CACHE or not take_folder(folder):
        compiled: F = numba.njit(**FLAGS, **flags)(function)
        share_callees(compiled)
        return compiled
    settings: Any = numba_config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder)
    try:
        compiled = numba.njit(cache=True, **FLAGS, **flags)(function)
        guard(compiled)
        share_callees(compiled)
    finally:
        settings.CACHE_DIR = before
    return compiled


def jit(function: F) -> F:
    """Compile `function` on first use: no GIL, no fast-math, cached on disk where possible."""
    return _compile(function)


def hot_jit(function: F) -> F:
    """Like `jit` for code that allocates nothing: arrays are not reference-counted.

    Counting takes atomic operations on counters that all threads share: without it a step of
    the simulation is two to three times faster.
    """
    return _compile(function, _nrt=False)


def entry_jit(function: F) -> F:
    """Like `hot_jit`, for what both Python and other kernels call: they share its code."""
    compiled = _compile(function, _nrt=False)
    share_with_python(compiled)
    return compiled


def inlined_jit(function: F) -> F:
    """Like `hot_jit`, always inlined: a call would copy the arrays' descriptors each time."""
    return _compile(function, _nrt=False, forceinline=True)


def parallel_jit(function: F) -> F:
    """Like `jit`, with the iterations of `prange` shared among Numba's threads, nothing else."""
    return _compile(function, parallel=_ONLY_PRANGE)


def is_warm(kernel: str, package: Path = _KERNELS) -> bool:
    """Whether a kernel of exactly this code is compiled on disk.

    Args:
        kernel: its function's name.
        package: folder of the sources it was compiled from.
    """
    return _CACHE and any(_folder_of(package).rglob(f"*.{kernel}-*.nbc"))


def say_if_compiling(kernel: str, what: str, package: Path = _KERNELS) -> None:
    """Log that a first call will compile, unless the kernel is on disk.

    Args:
        kernel: its function's name.
        what: it does, for the message.
        package: folder of the sources it was compiled from.
    """
    if not is_warm(kernel, package):
        announce(what)

"""The product of a matrix of rows and a weight, by the quicker of torch's two libraries.

Torch multiplies float32 matrices with MKL, which leaves AVX-512 unused on other makers'
processors; oneDNN, the library behind torch's convolutions, uses it and may be twice as quick. That
depends on processor, shape and versions, so it is measured: once on a machine for each shape, and
kept beside the compiled kernels, since the two may round differently. A model keeps what it began
with, so that its results repeat wherever it goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import torch as th

from kalshi_sim.files import write_json
from kalshi_sim.kernels.jit import cache_root

Shape = tuple[int, int]
"""Rows and columns of a weight: what a product gives, and what it takes."""

MIN_ROWS: Final = 384
"""oneDNN takes some 10 µs per call before it starts."""
_ROWS: Final = 1024
"""Rows of the products that are timed: as many as a lane handles at a time."""
_TURNS: Final = 15
_CLEARLY: Final = 0.9
"""oneDNN must take less than this share of the time."""


def _onednn(x: th.Tensor, weight: th.Tensor) -> th.Tensor:
    product: th.Tensor = th.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return product


@functools.cache
def has_onednn() -> bool:
    """Whether oneDNN is there and computes what it should."""
    if not th.backends.mkldnn.is_available() or not hasattr(th.ops, "mkldnn"):
        return False
    x, weight = th.linspace(-1, 1, 64 * 24).view(64, 24), th.linspace(-2, 1, 32 * 24).view(32, 24)
    try:
        product = _onednn(x, weight)
    except (AttributeError, RuntimeError, TypeError):
        # The operator is torch's own affair and may change between its releases.
        return False
    return bool(th.allclose(product, x @ weight.t(), rtol=1e-4, atol=1e-4))


def quicker_with_onednn(shapes: Sequence[Shape]) -> list[Shape]:
    """The weights that oneDNN multiplies more quickly on this machine, as measured once.

    Args:
        shapes: of the weights.

    Returns:
        Those of them, each once, in order.
    """
    wanted = sorted(set(shapes))
    if not has_onednn():
        return []
    with _measured() as known:
        for shape in wanted:
            if _name(shape) not in known:
                known[_name(shape)] = _is_quicker(shape)
        return [shape for shape in wanted if known[_name(shape)]]


def _name(shape: Shape) -> str:
    return f"{shape[0]} x {shape[1]}"


@contextlib.contextmanager
def _measured() -> Iterator[dict[str, bool]]:
    """What was measured on this machine; what a block adds is kept. One process at a time."""
    about = (
        platform.node(),
        platform.processor(),
        th.__version__,
        th.backends.cpu.get_cpu_capability(),
    )
    name = hashlib.sha256(repr(about).encode()).hexdigest()[:16]
    path = cache_root() / "products" / f"{name}.json"
    known: dict[str, bool] = {}
    with contextlib.ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context(path.with_suffix(".lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = _read(path)
        except OSError:  # not to be kept there: measured for this process alone
            yield known
            return
        before = dict(known)
        yield known
        if known != before:
            with contextlib.suppress(OSError):
                write_json(path, known)


def _read(path: Path) -> dict[str, bool]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):  # damaged: measured again
        return {}
    return {str(k): bool(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _is_quicker(shape: Shape) -> bool:
    """Whether oneDNN is, on one thread; both take turns, and the least time of each counts."""
    threads = th.get_num_threads()
    th.set_num_threads(1)
    try:
        x, weight = th.ones(_ROWS, shape[1]), th.ones(shape)
        out = th.empty(_ROWS, shape[0])
        ways: tuple[Callable[[], th.Tensor], ...] = (
            lambda: _onednn(x, weight),
            lambda: th.mm(x, weight.t(), out=out),
        )
        best = [float("inf"), float("inf")]
        for _ in range(_TURNS):
            for nth, way in enumerate(ways):
                start = time.perf_counter()
                way()
                best[nth] = min(best[nth], time.perf_counter() - start)
        return best[0] < _CLEARLY * best[1]
    finally:
        th.set_num_threads(threads)


def linear(x: th.Tensor, weight: th.Tensor, out: th.Tensor, onednn: bool) -> th.Tensor:
    """x times the transpose of weight.

    Args:
        x: float32 [n, in].
        weight: float32 [out, in].
        out: float32 [n, out], which may be used for the result.
        onednn: by oneDNN, where there are rows enough.

    Returns:
        float32 [n, out]: `out` or a new tensor.
    """
    if onednn and x.shape[0] >= MIN_ROWS and has_onednn():
        return _onednn(x, weight)
    return th.mm(x, weight.t(), out=out)

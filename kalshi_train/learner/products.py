"""The product of a matrix of rows and a weight, by the quicker of torch's two libraries.

Torch multiplies float32 matrices with MKL, which leaves AVX-512 unused on other makers'
processors; oneDNN, the library behind torch's convolutions, uses it and is then twice as quick.
Which one is taken depends on processor and shape only, never on a measurement, so results repeat.
"""

from __future__ import annotations

import functools

import torch as th

# oneDNN takes some 10 µs per call before it starts.
MIN_ROWS = 384
MIN_WIDTH = 24


def _onednn(x: th.Tensor, weight: th.Tensor) -> th.Tensor:
    product: th.Tensor = th.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return product


@functools.cache
def has_onednn() -> bool:
    """Whether oneDNN is there, pays on this processor and computes what it should."""
    if not th.backends.mkldnn.is_available() or not hasattr(th.ops, "mkldnn"):
        return False
    if "AVX512" not in th.backends.cpu.get_cpu_capability():
        return False
    x, weight = th.linspace(-1, 1, 64 * 24).view(64, 24), th.linspace(-2, 1, 32 * 24).view(32, 24)
    try:
        product = _onednn(x, weight)
    except (AttributeError, RuntimeError, TypeError):
        # The operator is torch's own affair and may change between its releases.
        return False
    return bool(th.allclose(product, x @ weight.t(), rtol=1e-4, atol=1e-4))


def linear(x: th.Tensor, weight: th.Tensor, out: th.Tensor) -> th.Tensor:
    """x times the transpose of weight.

    Args:
        x: float32 [n, in].
        weight: float32 [out, in].
        out: float32 [n, out], which may be used for the result.

    Returns:
        float32 [n, out]: `out` or a new tensor.
    """
    if x.shape[0] >= MIN_ROWS and min(weight.shape) >= MIN_WIDTH and has_onednn():
        return _onednn(x, weight)
    return th.mm(x, weight.t(), out=out)

"""Activations and their gradients: what torch does slowly, or only in many small passes.

All take float32 arrays [n, width], C-contiguous, rows are samples. They release the GIL, so that
two threads can each work on their own rows. No kernel here calls one of another file: numba's
cache on disk would not see it change.
Long sums over rows are kept in float64: their order then hardly shows in the result's float32.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.jit import jit

F32 = npt.NDArray[np.float32]

# Rational approximation of tanh on [-7.905, 7.905] (the one of the Eigen library): within
# 2.5e-7 relative, and some twenty times quicker than torch's where AVX-512 is at hand.
_T_MAX = np.float32(7.90531110763549805)
_A1, _A3, _A5, _A7, _A9, _A11, _A13 = (
    np.float32(a)
    for a in (
        4.89352455891786e-03,
        6.37261928875436e-04,
        1.48572235717979e-05,
        5.12229709037114e-08,
        -8.60467152213735e-11,
        2.00018790482477e-13,
        -2.76076847742355e-16,
    )
)
_B0, _B2, _B4, _B6 = (
    np.float32(b)
    for b in (
        4.89352518554385e-03,
        2.26843463243900e-03,
        1.18534705686654e-04,
        1.19825839466702e-06,
    )
)
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)

# Rows summed in float32 before the sum goes to float64.
_SUMMED = 16


@jit
def bias_tanh(z: F32, bias: F32) -> None:
    """z becomes tanh(z + bias).

    Args:
        z: float32 [n, width], changed in place.
        bias: float32 [width].
    """
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            x = min(max(z[i, j] + bias[j], -_T_MAX), _T_MAX)
            s = x * x
            p = s * _A13 + _A11
            p = s * p + _A9
            p = s * p + _A7
            p = s * p + _A5
            p = s * p + _A3
            p = s * p + _A1
            q = s * _B6 + _B4
            q = s * q + _B2
            q = s * q + _B0
            z[i, j] = x * p / q


@jit
def bias_relu(z: F32, bias: F32) -> None:
    """z becomes max(z + bias, 0).

    Args:
        z: float32 [n, width], changed in place.
        bias: float32 [width].
    """
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] = max(z[i, j] + bias[j], _ZERO)


@jit
def tanh_backward(d: F32, h: F32, bias_gradient: F32) -> None:
    """The gradient by h = tanh(z) becomes that by z; its sum goes to the bias.

    Args:
        d: float32 [n, width] the gradient, changed in place.
        h: float32 [n, width].
        bias_gradient: float32 [width], added to.
    """
    n, width = d.shape
    total, part = np.zeros(width), np.empty(width, np.float32)
    for start in range(0, n, _SUMMED):
        part[:] = _ZERO
        for i in range(start, min(start + _SUMMED, n)):
            for j in range(width):
                g = d[i, j] * (_ONE - h[i, j] * h[i, j])
                d[i, j] = g
                part[j] += g
        for j in range(width):
            total[j] += part[j]
    for j in range(width):
        bias_gradient[j] += np.float32(total[j])


@jit
def relu_backward(d: F32, h: F32, bias_gradient: F32) -> None:
    """The gradient by h = relu(z) becomes that by z; its sum goes to the bias.

    Args:
        d: float32 [n, width] the gradient, changed in place.
        h: float32 [n, width].
        bias_gradient: float32 [width], added to.
    """
    n, width = d.shape
    total, part = np.zeros(width), np.empty(width, np.float32)
    for start in range(0, n, _SUMMED):
        part[:] = _ZERO
        for i in range(start, min(start + _SUMMED, n)):
            for j in range(width):
                g = d[i, j] if h[i, j] > _ZERO else _ZERO
                d[i, j] = g
                part[j] += g
        for j in range(width):
            total[j] += part[j]
    for j in range(width):
        bias_gradient[j] += np.float32(total[j])

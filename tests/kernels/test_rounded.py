"""tanh32 and log1p32 give the very bits that rounding the C library's results gives."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_sim.kernels import rounded
from kalshi_sim.kernels.features import LOG_CENTS, LOG_SIZE
from kalshi_sim.kernels.jit import jit
from kalshi_sim.kernels.portfolio import LOG_POSITION, LOG_QUEUE

pytestmark = pytest.mark.kernel

SCALES = (LOG_CENTS, LOG_SIZE, LOG_POSITION, LOG_QUEUE)
TINY = float(np.finfo(np.float64).tiny)


@jit
def tanh_of_all(x: npt.NDArray[np.float64], out: npt.NDArray[np.float32]) -> None:
    for i in range(len(x)):
        out[i] = rounded.tanh32(x[i])


@jit
def log_of_all(x: npt.NDArray[np.float64], scale: float, out: npt.NDArray[np.float32]) -> None:
    for i in range(len(x)):
        out[i] = rounded.log1p32(x[i], scale)


def same_bits(found: npt.NDArray[np.float32], expected: list[float]) -> bool:
    return found.tobytes() == np.array(expected, dtype=np.float64).astype(np.float32).tobytes()


def check_tanh(x: npt.NDArray[np.float64]) -> None:
    out = np.empty(len(x), np.float32)
    tanh_of_all(x, out)
    assert same_bits(out, [math.tanh(value) for value in x.tolist()])


def check_log(x: npt.NDArray[np.float64], scale: float) -> None:
    out = np.empty(len(x), np.float32)
    log_of_all(x, scale, out)
    assert same_bits(out, [math.log1p(value) * scale for value in x.tolist()])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_tanh_of_any_number(values: list[float]) -> None:
    check_tanh(np.array(values))


@pytest.mark.parametrize("spread", [1e-9, 1e-3, 0.1, 0.25, 1.0, 5.0])
def test_tanh_of_many_numbers(spread: float) -> None:
    check_tanh(np.random.default_rng(0).normal(scale=spread, size=20_000))


def test_tanh_at_the_seams() -> None:
    seams = [rounded.SERIES_BELOW, rounded.EXP_BELOW, TINY, 5e-324, 1e300]
    near = [f(s) for s in seams for f in (lambda s: s, lambda s: math.nextafter(s, 0.0))]
    check_tanh(np.array([0.0, *near, *(-x for x in near)]))


@pytest.mark.parametrize("x", [0.2, 0.3])
def test_tanh_between_two_floats_is_the_library_s(x: float) -> None:
    """Arguments whose tanh lies within the margin of the middle between two float32."""
    found = []
    for start in np.linspace(x, x + 0.04, 200, dtype=np.float32).tolist():
        middle = (start + float(np.nextafter(np.float32(start), np.float32(1)))) / 2
        guess = math.atanh(middle)
        found += [guess, math.nextafter(guess, 0.0), math.nextafter(guess, 1.0)]
    check_tanh(np.array(found))


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=50), st.sampled_from(SCALES))
def test_log_of_any_number(values: list[float], scale: float) -> None:
    check_log(np.array(values), scale)


@pytest.mark.parametrize("scale", SCALES)
def test_log_of_counts_and_fractions(scale: float) -> None:
    rng = np.random.default_rng(0)
    check_log(np.arange(20_000.0), scale)
    check_log(np.arange(20_000.0) / 1000, scale)
    check_log(10.0 ** rng.uniform(-12, 12, 20_000), scale)
    edge = rounded.LOG_ABOVE
    check_log(np.array([0.0, edge, math.nextafter(edge, 0.0), 5e-324]), scale)

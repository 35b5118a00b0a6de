"""What stands in for a card's own form of a function is one that numba takes."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import numba
import pytest

from kalshi_sim.cuda.target import chosen_device, rounded_form
from kalshi_sim.errors import ConfigError

DEVICE = SimpleNamespace(
    fadd_rn=lambda a, b: ("single", a, b), dadd_rn=lambda a, b: ("double", a, b)
)


def test_sums_are_rounded_by_an_instruction_of_their_own() -> None:
    """Numba passes over a form whose signature differs from its implementation's."""
    form = rounded_form(DEVICE)
    single, double = numba.types.float32, numba.types.float64
    for types, name in (
        ((single, single), "single"),
        ((double, double), "double"),
        ((single, double), "double"),
    ):
        implementation = form(*types)
        assert inspect.signature(form) == inspect.signature(implementation)
        assert implementation(1, 2) == (name, 1, 2)


@pytest.mark.parametrize("word", ["gpu", "cuda:1", "", "CUDA"])
def test_a_device_that_is_none_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="must be cpu, cuda or auto"):
        chosen_device(word)

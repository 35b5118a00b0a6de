"""Docstrings of the public interface state arguments, what comes back, shapes and errors."""

from __future__ import annotations

import ast

import pytest

import kalshi_sim
import kalshi_train
from tests.support.docstrings import Public, missing, public_functions

EVERY = [p for package in ("kalshi_sim", "kalshi_train") for p in public_functions(package)]
EXPORTED = {*kalshi_sim.__all__, *kalshi_train.__all__, "FastOnPolicy", "import_captures"}
INTERFACE = [p for p in EVERY if p.name.partition(".")[0] in EXPORTED]


@pytest.mark.parametrize("item", INTERFACE, ids=lambda item: item.name)
def test_the_interface_is_documented(item: Public) -> None:
    assert missing(item) == []


def test_the_interface_is_found() -> None:
    functions = {p.name for p in INTERFACE}
    assert {"open_store", "build_tape", "BatchSimulator.step", "KalshiVecEnv.__init__"} <= functions
    assert {"train", "evaluate", "SessionBasedEnvironment.initialize"} <= functions


def test_what_any_public_function_raises_is_documented() -> None:
    """But for commands, whose docstrings are help texts."""
    found = [p for p in EVERY if ".cli." not in p.module and "Raises" in missing(p)]
    assert [f"{p.module}.{p.name}" for p in found] == []


GOOD = '''
def f(a: Int64Array, b: int) -> Float32Array:
    """Something.

    Args:
        a: int64 [n] numbers.
        b: how many.

    Returns:
        float32 [n] shares.

    Raises:
        ValueError: b is negative.
    """
    if b < 0:
        raise ValueError("b")
    return a / b
'''


@pytest.mark.parametrize(
    ("left_out", "named"),
    [
        ("", []),
        ("        b: how many.\n", ["Args: b"]),
        ("int64 [n] ", ["shape and dtype: a"]),
        ("    Returns:\n        float32 [n] shares.\n", ["Returns"]),
        ("float32 [n] ", ["shape and dtype: Returns"]),
        ("    Raises:\n        ValueError: b is negative.\n", ["Raises"]),
    ],
)
def test_what_is_left_out_is_found(left_out: str, named: list[str]) -> None:
    assert left_out in GOOD
    node = ast.parse(GOOD.replace(left_out, "", 1) if left_out else GOOD).body[0]
    assert isinstance(node, ast.FunctionDef)
    assert missing(Public("m", "f", node, ast.get_docstring(node) or "")) == named

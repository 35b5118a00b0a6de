"""Docstrings of the public interface state arguments, what comes back, shapes and errors."""

from __future__ import annotations

import ast

import pytest

import kalshi_sim
import kalshi_train
from tests.support.docstrings import Public, is_command, missing, public_functions, unsaid

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


def test_every_public_function_is_documented() -> None:
    """Also those that no package exports: whoever reads a module finds what it takes and gives."""
    found = {f"{p.module}.{p.name}": unsaid(p) for p in EVERY if not is_command(p)}
    assert len(found) > 800
    assert {name: left for name, left in found.items() if left} == {}


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


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("def f(a: int) -> int:\n    'The double of `a`.'", []),
        ("def f(a: int, b: int) -> int:\n    'The sum.'", ["Args: a", "Args: b"]),
        ("def f(a: int, b: int) -> int:\n    'Add.'", ["Args: a", "Args: b", "Returns"]),
        ("def f(a: int, b: int) -> int:\n    '`g` of the sum: same arguments.'", []),
        ("def f(a: int) -> tuple[int, int]:\n    'The halves.'", ["Returns"]),
        ("def f(a: int) -> Int64Array:\n    'The parts.'", ["Returns"]),
        ("def f(a: int) -> Int64Array:\n    'The parts, int64 [n].'", []),
    ],
)
def test_what_a_summary_says_need_not_be_repeated(text: str, named: list[str]) -> None:
    node = ast.parse(text).body[0]
    assert isinstance(node, ast.FunctionDef)
    assert unsaid(Public("m", "f", node, ast.get_docstring(node) or "")) == named


def test_arguments_may_stand_once_for_a_module() -> None:
    node = ast.parse("def f(a: int, b: int) -> None:\n    'Add `b`.'").body[0]
    assert isinstance(node, ast.FunctionDef)
    item = Public("m", "f", node, ast.get_docstring(node) or "", "    a: the sum.\n")
    assert unsaid(item) == ["Args: b"]

"""The public functions and methods of the packages, and what their docstrings leave out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.imports import modules

Function = ast.FunctionDef | ast.AsyncFunctionDef
_ARRAY = re.compile(r"NDArray|\bndarray|Int\d+Array|Float\d+Array|BoolArray")
_DTYPE = re.compile(r"\b(?:u?int\d*|integers|float\d*|bool|object|dtype)\b")
_SHAPE = re.compile(r"\[[^\]]+\]")


@dataclass(frozen=True)
class Public:
    """One public function or method, and the docstring that speaks of its arguments."""

    module: str
    name: str
    node: Function
    text: str

    @property
    def parameters(self) -> list[ast.arg]:
        spec = self.node.args
        found = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
        return [a for a in found if a.arg not in ("self", "cls") and not a.arg.startswith("_")]


def public_functions(package: str) -> Iterator[Public]:
    """Every public function of a package's modules, and every public method of its classes.

    A constructor is documented by its own docstring and its class's.
    """
    for module, path in modules(package).items():
        yield from _public(module, "", ast.parse(path.read_text("utf-8")), "")


def _public(module: str, prefix: str, parent: ast.AST, outer: str) -> Iterator[Public]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public(module, f"{node.name}.", node, ast.get_docstring(node) or "")
        elif isinstance(node, Function) and (
            not node.name.startswith("_") or node.name == "__init__"
        ):
            own = ast.get_docstring(node) or ""
            text = f"{outer}\n{own}" if node.name == "__init__" else own
            yield Public(module, f"{prefix}{node.name}", node, text)


def section(text: str, title: str) -> str:
    """The indented lines under `title:`; empty if there are none."""
    found = re.search(rf"^{title}:\n((?:[ ]+.*\n?|\n)+)", text, re.MULTILINE)
    return found[1] if found else ""


def raises(node: Function) -> bool:
    """Whether the function itself raises something that it does not handle itself."""
    pending: list[ast.AST] = list(ast.iter_child_nodes(node))
    while pending:
        found = pending.pop()
        if isinstance(found, ast.Raise) and found.exc is not None:
            return True
        if isinstance(found, ast.Try) and found.handlers:
            pending += [*found.handlers, *found.orelse, *found.finalbody]
        elif not isinstance(found, Function | ast.Lambda | ast.ClassDef):
            pending += ast.iter_child_nodes(found)
    return False


def _is_array(annotation: ast.expr | None) -> bool:
    """Whether it is an array, or several by name or place; not a list that may hold some."""
    text = "" if annotation is None else ast.unparse(annotation)
    return not text.startswith(("Sequence[", "list[")) and _ARRAY.search(text) is not None


def _describes_array(text: str) -> bool:
    return _DTYPE.search(text) is not None and _SHAPE.search(text) is not None


def missing(item: Public) -> list[str]:
    """What the docstring leaves out: arguments, what is returned or raised, shapes and dtypes."""
    found = []
    arguments = section(item.text, "Args")
    for parameter in item.parameters:
        stated = re.search(
            rf"^ *(?:\w+, )*{parameter.arg}(?:, \w+)*: .*\n?(?:^ {{8,}}.*\n?)*",
            arguments,
            re.MULTILINE,
        )
        if stated is None:
            found.append(f"Args: {parameter.arg}")
        elif _is_array(parameter.annotation) and not _describes_array(stated[0]):
            found.append(f"shape and dtype: {parameter.arg}")
    returns = item.node.returns
    decorators = {ast.unparse(d).rpartition(".")[2] for d in item.node.decorator_list}
    gives = returns is not None and ast.unparse(returns) not in ("None", "NoReturn", "Never")
    if gives and not decorators & {"property", "cached_property"}:
        stated_return = section(item.text, "Returns") or section(item.text, "Yields")
        if not stated_return:
            found.append("Returns")
        elif _is_array(returns) and not _describes_array(stated_return):
            found.append("shape and dtype: Returns")
    if raises(item.node) and not section(item.text, "Raises"):
        found.append("Raises")
    return found

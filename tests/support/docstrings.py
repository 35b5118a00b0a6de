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
_COMMON = "Args of the functions here, unless they say more"
_GIVES = re.compile(
    r"\W*(?:The|An?|Whether|How|Which|What|Why|Where|When|One|Two|Twice|Both|Every|Each|All|None)\b"
    r"|.*\breturns\b",
    re.DOTALL,
)
_DELEGATES = re.compile(r"(?:same arguments|arguments as of)\b")


@dataclass(frozen=True)
class Public:
    """One public function or method, and the docstring that speaks of its arguments."""

    module: str
    name: str
    node: Function
    text: str
    common: str = ""
    """What the docstrings of its module and packages say of arguments by name."""

    @property
    def parameters(self) -> list[ast.arg]:
        spec = self.node.args
        found = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
        return [a for a in found if a.arg not in ("self", "cls") and not a.arg.startswith("_")]


def public_functions(package: str) -> Iterator[Public]:
    """Every public function of a package's modules, and every public method of its classes.

    A constructor is documented by its own docstring and its class's.
    """
    trees = {name: ast.parse(path.read_text("utf-8")) for name, path in modules(package).items()}
    common = {name: section(ast.get_docstring(t) or "", _COMMON) for name, t in trees.items()}
    for module, tree in trees.items():
        words = module.split(".")
        above = [".".join(words[: i + 1]) for i in range(len(words))]
        yield from _public(module, "", tree, "", "\n".join(common.get(name, "") for name in above))


def _public(module: str, prefix: str, parent: ast.AST, outer: str, common: str) -> Iterator[Public]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            own = ast.get_docstring(node) or ""
            yield from _public(module, f"{node.name}.", node, own, common)
        elif isinstance(node, Function) and (
            not node.name.startswith("_") or node.name == "__init__"
        ):
            own = ast.get_docstring(node) or ""
            text = f"{outer}\n{own}" if node.name == "__init__" else own
            yield Public(module, f"{prefix}{node.name}", node, text, common)


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


def is_command(item: Public) -> bool:
    """Whether the arguments are options of the command line, documented by their help."""
    kinds = [ast.unparse(p.annotation) for p in item.parameters if p.annotation is not None]
    return any("arg(" in kind or kind.endswith("Option") for kind in kinds)


def unsaid(item: Public) -> list[str]:
    """What `missing` names, but for what the rest of a docstring says already.

    Of a function of at most one argument the summary says what that is and what comes back. Of
    others it says the latter if it is a noun phrase ("The fee of …", "Whether …") or has the word
    "returns". Of a tuple it does not, and of an array only with shape and dtype. Arguments that
    mean the same in every function of a module or package may stand once, in its docstring; and a
    function may refer to another's ("same arguments").
    """
    found = missing(item)
    if _DELEGATES.search(item.text):
        return []
    simple = len(item.parameters) < 2
    if simple:
        found = [f for f in found if not f.startswith("Args: ")]
    returns = "" if item.node.returns is None else ast.unparse(item.node.returns)
    summary = item.text.partition("\n\n")[0]
    if (simple or _GIVES.match(summary)) and not returns.startswith("tuple["):
        said = _describes_array(summary) or not _is_array(item.node.returns)
        found = [f for f in found if f != "Returns" or not said]
    return found


def missing(item: Public) -> list[str]:
    """What the docstring leaves out: arguments, what is returned or raised, shapes and dtypes."""
    found = []
    arguments = f"{section(item.text, 'Args')}\n{item.common}"
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

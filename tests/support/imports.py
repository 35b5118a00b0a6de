"""Which module imports which: the source files read as text, none of them run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Import:
    """One import statement's edge; `level` is module, function or typing."""

    importer: str
    imported: str
    level: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported} ({self.level} level)"


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(*packages: str) -> dict[str, Path]:
    """Every module of the packages, by its dotted name."""
    return {
        module_name(path): path
        for package in packages
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def room(module: str) -> str:
    """The first two names: `kalshi_sim.store` of `kalshi_sim.store.postgres.copy`."""
    return ".".join(module.split(".")[:2])


def imports(module: str, tree: ast.Module, known: Iterable[str]) -> Iterator[Import]:
    """Every import of a module; `known` says which imported names are modules themselves."""
    names = frozenset(known)

    def visit(node: ast.AST, level: str) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            below = level
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                below = "function"
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                below = "typing"
            elif isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(module, alias.name, level, child.lineno)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{module}:{child.lineno} imports relatively"
                for alias in child.names:
                    full = f"{child.module}.{alias.name}"
                    target = full if full in names else str(child.module)
                    yield Import(module, target, level, child.lineno)
            yield from visit(child, below)

    return visit(tree, "module")


def all_imports(*packages: str) -> list[Import]:
    """The imports of every module of the packages."""
    found = modules(*packages)
    return [
        edge
        for name, path in found.items()
        for edge in imports(name, ast.parse(path.read_text("utf-8")), found)
    ]


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The strongly connected parts of more than one node (Tarjan's algorithm)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for target in graph.get(node, ()):
            if target not in number:
                visit(target)
                lowest[node] = min(lowest[node], lowest[target])
            elif target in stack:
                lowest[node] = min(lowest[node], number[target])
        if lowest[node] == number[node]:
            part = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(part) > 1:
                found.append(sorted(part))

    for node in graph:
        if node not in number:
            visit(node)
    return found

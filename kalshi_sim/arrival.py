"""Work to be done as soon as somebody imports a module, without importing it oneself."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Arrival(MetaPathFinder):
    """Steps aside when its module is imported, and has the work done once it is loaded."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._name, self._work = name, work

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_work(module: ModuleType) -> None:
                load(module)
                self._work()

            spec.loader.exec_module = load_and_work  # type: ignore[method-assign]  # of this spec's own loader
        return spec


def when_imported(name: str, work: Callable[[], None]) -> None:
    """Do the work now if a module is imported already, else right after it is.

    Args:
        name: of a top-level module; if it is never imported, or not installed, nothing is done.
        work: called once, without arguments.
    """
    if sys.modules.get(name):
        work()
    else:
        sys.meta_path.insert(0, _Arrival(name, work))

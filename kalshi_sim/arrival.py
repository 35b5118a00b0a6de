"""Work to be done as soon as somebody imports a module, without importing it oneself."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from importlib.abc import Loader  # to import it takes longer than the package


class _Loader:
    """Loads a module as its own loader does, and has the work done after it."""

    def __init__(self, own: Loader, loaded: Callable[[], None]) -> None:
        self._own, self._loaded = own, loaded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._own
        if module.__spec__ is not None:
            module.__spec__.loader = self._own
        self._own.exec_module(module)
        self._loaded()


class _Arrival:
    """Finds a module by the other finders until it has been loaded once.

    It stays in `sys.meta_path`: other threads may be walking along that list.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._name, self._work, self._done = name, work, False
        self._asking = threading.local()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name or self._done or getattr(self._asking, "others", False):
            return None
        import importlib.util  # whoever asks for a module has it already

        self._asking.others = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._asking.others = False
        if spec is not None and spec.loader is not None:
            spec.loader = cast("Loader", _Loader(spec.loader, self._loaded))
        return spec

    def _loaded(self) -> None:
        if not self._done:
            self._done = True
            self._work()


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

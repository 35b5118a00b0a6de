"""What Numba compiles of a kernel: once for calls from Python, once for calls from kernels.

Of a function that other kernels call Numba makes, unasked, a wrapper that unpacks the arguments
of a call from Python, and one version for each constant it is called with. Most kernels are only
called by kernels, with many constants: without those a cold start takes 27
processor-seconds instead of 39, with the same results.
"""

from __future__ import annotations

import copy
from typing import Any

from numba.core import sigutils, types
from numba.core.caching import FunctionCache
from numba.core.registry import CPUDispatcher

_Dispatcher: Any = CPUDispatcher
_Cache: Any = FunctionCache
_unliteral: Any = types.unliteral
_normalize_signature: Any = sigutils.normalize_signature

_NO_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


class CalleeCache(_Cache):  # type: ignore[misc]  # numba has no types
    """The callees beside the kernels of the same name, in the same files."""

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (*super()._index_key(sig, codegen), "callee")


class KernelDispatcher(_Dispatcher):  # type: ignore[misc]  # numba has no types
    """A compiled kernel; kernels that call it get code without what only Python needs."""

    _callee: Any = None
    _is_entry = False

    def _called_by_kernels(self) -> Any:
        if self._callee is None:
            self._callee = _Dispatcher(self.py_func, self.locals, self.targetoptions | _NO_WRAPPERS)
            if isinstance(self._cache, FunctionCache):
                cache = copy.copy(self._cache)
                cache.__class__ = CalleeCache
                self._callee._cache = cache
        return self._callee

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """The function of some types, for a call from another kernel.

        Args:
            args: numba types of the arguments by place.
            kws: numba types of the arguments by name.

        Returns:
            What numba's own dispatcher gives.
        """
        args = tuple(_unliteral(a) for a in args)
        kws = {name: _unliteral(kind) for name, kind in kws.items()}
        _, folded = self.fold_argument_types(args, kws)
        if self._is_entry or tuple(folded) in self.overloads:
            return super().get_call_template(args, kws)
        return self._called_by_kernels().get_call_template(args, kws)

    def get_overload(self, sig: Any) -> Any:
        """Numba asks for what `get_call_template` compiled."""
        if self._is_entry or _normalize_signature(sig)[0] in self.overloads:
            return super().get_overload(sig)
        return self._called_by_kernels().get_overload(sig)


def share_callees(kernel: Any) -> None:
    """Let kernels that call `kernel` get code for that alone; nothing where nothing compiles."""
    if isinstance(kernel, CPUDispatcher):
        kernel.__class__ = KernelDispatcher


def share_with_python(kernel: Any) -> None:
    """Let kernels that call `kernel` use the code that is compiled for Python."""
    if isinstance(kernel, KernelDispatcher):
        kernel._is_entry = True

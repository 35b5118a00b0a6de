"""Prefetching memory that an environment further on will need.

Environments stand at unrelated rows of a tape far larger than any cache, so a step would spend
most of its time waiting for memory; asking early for the rows of the environments a few places
on hides that (`make bench` measures it). It changes no result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic


def _prefetch_python(array: npt.NDArray[Any], index: int, offset: int) -> None:
    """What `prefetch` means where nothing is compiled."""


@intrinsic
def _prefetch_compiled(typingctx: Any, array: Any, index: Any, offset: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, args[0])
        stride = builder.extract_value(view.strides, 0)
        at, plus = (
            context.cast(builder, value, kind, types.intp)
            for value, kind in zip(args[1:], signature.args[1:], strict=True)
        )
        byte = ir.IntType(8).as_pointer()
        i32 = ir.IntType(32)
        start = builder.bitcast(view.data, byte)
        address = builder.gep(start, [builder.add(builder.mul(at, stride), plus)])
        kind = ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        read, keep, data = (ir.Constant(i32, n) for n in (0, 3, 1))
        builder.call(function, [address, read, keep, data])
        return context.get_dummy_value()

    return types.void(array, index, offset), codegen


_compiled: Any = _prefetch_compiled
_settings: Any = numba.config

prefetch: Callable[[npt.NDArray[Any], int, int], None]
prefetch = _prefetch_python if _settings.DISABLE_JIT else _compiled
"""prefetch(array, index, offset): ask for the line `offset` bytes into `array[index]`."""

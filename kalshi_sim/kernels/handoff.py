"""Handing steps to threads that wait awake: numbers in shared memory instead of locks.

Waking a thread takes as long as a third of a step of 4096 environments, so a thread that has
done its share looks for the next ticket for a while before it sleeps (as OpenMP's threads do).
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from kalshi_sim.kernels.jit import hot_jit
from kalshi_sim.kernels.layout import Agents, Buffers, Settings, TapeArrays
from kalshi_sim.kernels.step import step_agents

Int64Array = npt.NDArray[np.int64]

LINE = 8
"""int64 in a line of memory: each number has one to itself."""
POSTED, TURN, DONE = 0, LINE, 2 * LINE
"""Places in the control array: the last ticket, whose buffers it fills, and (from DONE on, one
a line) the last ticket that each thread has done."""
_HAS_PAUSE = platform.machine().lower() in ("x86_64", "amd64", "i686")


def _look_python(control: Int64Array, at: int) -> int:
    """What `look` means where nothing is compiled."""
    return int(control[at])


def _tell_python(control: Int64Array, at: int, value: int) -> None:
    """What `tell` means where nothing is compiled."""
    control[at] = value


@intrinsic
def _look_compiled(typingctx: Any, control: Any, at: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _HAS_PAUSE:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), kind), [])
        view = context.make_array(signature.args[0])(context, builder, args[0])
        place = context.cast(builder, args[1], signature.args[1], types.intp)
        address = builder.gep(view.data, [place])
        return builder.load_atomic(address, "acquire", 8)

    return types.int64(control, at), codegen


@intrinsic
def _tell_compiled(typingctx: Any, control: Any, at: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, args[0])
        place = context.cast(builder, args[1], signature.args[1], types.intp)
        address = builder.gep(view.data, [place])
        told = context.cast(builder, args[2], signature.args[2], types.int64)
        builder.store_atomic(told, address, "release", 8)
        return context.get_dummy_value()

    return types.void(control, at, value), codegen


_settings: Any = numba.config
_look_machine: Any = _look_compiled
_tell_machine: Any = _tell_compiled

look: Callable[[Int64Array, int], int]
look = _look_python if _settings.DISABLE_JIT else _look_machine
"""look(control, at): the number another thread told last, with all that it wrote before."""
tell: Callable[[Int64Array, int, int], None]
tell = _tell_python if _settings.DISABLE_JIT else _tell_machine
"""tell(control, at, value): tell other threads a number, and all that was written before."""


@hot_jit
def post(control: Int64Array, ticket: int, turn: int) -> None:
    """Tell the threads to step, into the buffers whose turn it is."""
    control[TURN] = turn
    tell(control, POSTED, ticket)


@hot_jit
def is_done(control: Int64Array, done_at: int, ticket: int, looks: int) -> bool:
    """Whether a thread has done a ticket; looks so many times before it says no."""
    for _ in range(looks):
        if look(control, done_at) == ticket:
            return True
    return False


@hot_jit
def serve(
    control: Int64Array,
    done_at: int,
    tape: TapeArrays,
    settings: Settings,
    agents: Agents,
    actions: Int64Array,
    even: Buffers,
    odd: Buffers,
    begin: int,
    end: int,
    looks: int,
) -> None:
    """Step environments `begin:end` at every ticket, until none came in so many looks."""
    ticket = control[done_at] + 1
    looked = 0
    while looked < looks:
        looked += 1
        if look(control, POSTED) < ticket:
            continue
        buffers = even if control[TURN] == 0 else odd
        step_agents(tape, settings, agents, actions, buffers, begin, end)
        tell(control, done_at, ticket)
        ticket += 1
        looked = 0

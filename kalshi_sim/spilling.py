"""Arrays of more than memory should hold, in a file that has no name.

NumPy asks an allocator for the memory of an array's data, and lets programs give it another one
(NumPy enhancement proposal 49). The one here takes large arrays from a temporary file that is
mapped into memory: the system writes them to disk when it needs their memory, and reads them back
when they are used. The file has no name, so nothing stays of it however the process ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import mmap
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kalshi_sim.errors import StoreError

LARGE_BYTES: Final = 1 << 20
"""Arrays of so many bytes lie in the file; smaller ones in memory."""
_SET_HANDLER: Final = 304
"""The place of `PyDataMem_SetHandler` in NumPy's table of functions, which keeps its order."""
_HEADER: Final = 64
"""Bytes before an array's data that say how it was allocated; data stay aligned to a line."""
_FD, _END, _LIVE, _LARGE, _OWNER = range(5)
"""What the allocator keeps: the file, its end, how many arrays it holds, bytes of a large one, and
the process that made it."""
_NEVER: Final = 2**62
"""No array is so large: the block is over."""
_MAPPED, _OFFSET, _SIZE = range(3)
"""What stands before an array: bytes mapped (0: of the heap), their place, bytes asked for."""
_PUNCH: Final = 0x02 | 0x01
"""FALLOC_FL_PUNCH_HOLE and FALLOC_FL_KEEP_SIZE: give the disk back, whatever lies behind."""


class _Handler(ctypes.Structure):
    """NumPy's `PyDataMem_Handler`, version 1."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("ctx", ctypes.c_void_p),
        ("malloc", ctypes.c_void_p),
        ("calloc", ctypes.c_void_p),
        ("realloc", ctypes.c_void_p),
        ("free", ctypes.c_void_p),
    )


@contextlib.contextmanager
def spilled(folder: Path | None = None, large_bytes: int = LARGE_BYTES) -> Iterator[None]:
    """Let large arrays that NumPy makes in a block lie in a file; those that remain stay there.

    Threads that are to do so too run in a copy of this one's context. A process that is forked
    later shares the arrays with its parent, also what either writes into them.

    Args:
        folder: where the file is; None: where TMPDIR says, else /var/tmp, which is on a disk.
        large_bytes: the size of arrays from which on they lie in it.

    Yields:
        None.

    Raises:
        StoreError: there was no room, in memory or on disk.
    """
    if sys.platform != "linux":
        yield
        return
    if folder is None:
        on_disk = Path(os.environ.get("TMPDIR") or "/var/tmp")
        folder = on_disk if os.access(on_disk, os.W_OK) else Path(tempfile.gettempdir())
    with tempfile.TemporaryFile(dir=folder) as file:
        fd = os.dup(file.fileno())
    state = (ctypes.c_int64 * 5)(fd, 0, 0, large_bytes, os.getpid())
    functions = _functions()
    handler = _Handler(
        b"kalshi_sim", 1, ctypes.addressof(state), *(function.address for function in functions)
    )
    name = ctypes.c_char_p(b"mem_handler")
    for kept in (state, handler, name, *functions):  # as long as any array: to the very end
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    before = _set_handler()(_capsule(handler, name))
    try:
        yield
    except MemoryError as error:
        raise StoreError(
            f"no room for the import in memory, or in {folder} for what memory does not hold; "
            "make room there, or name another folder (TMPDIR)"
        ) from error
    finally:
        _set_handler()(before)
        state[_LARGE] = _NEVER
        if state[_LIVE] == 0:
            os.close(fd)


def _capsule(handler: _Handler, name: ctypes.c_char_p) -> Any:
    new = ctypes.pythonapi.PyCapsule_New
    new.restype = ctypes.py_object
    new.argtypes = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
    return new(ctypes.addressof(handler), name, None)


@functools.cache
def _set_handler() -> Any:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype = ctypes.c_void_p
    get.argtypes = ctypes.py_object, ctypes.c_char_p
    functions: Any = importlib.import_module("numpy._core._multiarray_umath")
    table = ctypes.cast(get(functions._ARRAY_API, None), ctypes.POINTER(ctypes.c_size_t))
    return ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[_SET_HANDLER])


def _load_at(_: Any, address: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], ir.IntType(64).as_pointer()))

    return types.int64(types.int64), code


def _store_at(_: Any, address: Any, value: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], ir.IntType(64).as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


_load: Any = intrinsic(_load_at)
_store: Any = intrinsic(_store_at)


def _of_system(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(ctypes.CDLL(None), name)
    function.restype, function.argtypes = result, arguments
    return function


def _in_file() -> tuple[Any, Any]:
    """Compiled: memory of the file, zero and with its header, or 0; and to give it back."""
    word, number = ctypes.c_int64, ctypes.c_int
    map_file = _of_system("mmap", word, word, word, number, number, number, word)
    unmap = _of_system("munmap", number, word, word)
    reserve = _of_system("posix_fallocate", number, number, word, word)
    punch = _of_system("fallocate", number, number, number, word, word)
    close = _of_system("close", number, number)
    process = _of_system("getpid", number)
    at_fd, at_end, at_live, at_large, at_owner = (8 * i for i in (_FD, _END, _LIVE, _LARGE, _OWNER))
    at_mapped, at_offset = (8 * i for i in (_MAPPED, _OFFSET))
    page, how, never = mmap.PAGESIZE, _PUNCH, _NEVER
    protection, shared = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED

    @numba.njit(nogil=True)
    def take(state: int, size: int) -> int:
        length = (size + page - 1) // page * page
        offset, fd = int(_load(state + at_end)), int(_load(state + at_fd))
        if reserve(fd, offset, length) != 0:
            return 0
        base = int(map_file(0, length, protection, shared, fd, offset))
        if base == -1:
            punch(fd, how, offset, length)
            return 0
        _store(state + at_end, offset + length)
        _store(state + at_live, _load(state + at_live) + 1)
        _store(base + at_mapped, length)
        _store(base + at_offset, offset)
        return base

    @numba.njit(nogil=True)
    def give_back(state: int, base: int) -> None:
        length, offset = int(_load(base + at_mapped)), int(_load(base + at_offset))
        unmap(base, length)
        if process() == _load(state + at_owner):  # a child's arrays are its parent's too
            punch(int(_load(state + at_fd)), how, offset, length)
        _store(state + at_live, _load(state + at_live) - 1)
        if _load(state + at_large) == never and _load(state + at_live) == 0:
            close(int(_load(state + at_fd)))

    return take, give_back


@functools.cache
def _functions() -> tuple[Any, Any, Any, Any]:
    """The allocator's functions, compiled: they need nothing of Python, which may be gone."""
    word = ctypes.c_int64
    zeroed, release = _of_system("calloc", word, word, word), _of_system("free", None, word)
    copy = _of_system("memcpy", word, word, word, word)
    take, give_back = _in_file()
    at_large, at_mapped, at_size = 8 * _LARGE, 8 * _MAPPED, 8 * _SIZE
    header = _HEADER

    @numba.njit(nogil=True)
    def allocate(state: int, size: int) -> int:
        if size < _load(state + at_large):
            base = int(zeroed(1, size + header))
        else:
            base = int(take(state, size + header))
        if base == 0:
            return 0
        _store(base + at_size, size)
        return base + header

    @numba.njit(nogil=True)
    def let_go(state: int, data: int) -> None:
        if data != 0 and _load(data - header + at_mapped) != 0:
            give_back(state, data - header)
        elif data != 0:
            release(data - header)

    @numba.cfunc("int64(int64, int64)")
    def malloc(state: int, size: int) -> int:
        return int(allocate(state, size))

    @numba.cfunc("int64(int64, int64, int64)")
    def calloc(state: int, count: int, size: int) -> int:
        return int(allocate(state, count * size))

    @numba.cfunc("int64(int64, int64, int64)")
    def realloc(state: int, data: int, size: int) -> int:
        moved = int(allocate(state, size))
        if moved != 0 and data != 0:
            copy(moved, data, min(size, _load(data - header + at_size)))
            let_go(state, data)
        return moved

    @numba.cfunc("void(int64, int64, int64)")
    def free(state: int, data: int, size: int) -> None:
        let_go(state, data)

    return malloc, calloc, realloc, free

"""A tape as files of a folder: its arrays, and a description with a checksum of each.

They are written under a temporary name and renamed, and mapped into memory where they are opened.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from zlib_ng import zlib_ng

from kalshi_sim.files import room_for, whole_folder
from kalshi_sim.mapped import MappedFiles
from kalshi_sim.tape import MarketSessionView, SkippedView, Tape

ARRAYS: Final = ("rows", "flow")
_HEADER: Final = "tape.json"
_NPY_HEADER_BYTES: Final = 1 << 16
"""At most so long is the header of a file of `np.save`, version 1."""
_BLOCK_BYTES: Final = 1 << 26
"""So much of a file is compared with its checksum at a time."""


class _Header(msgspec.Struct):
    payout: int
    depth: int
    row_interval_ms: int
    min_episode_length: int
    views: tuple[MarketSessionView, ...]
    skipped: tuple[SkippedView, ...]
    checksums: dict[str, int]
    """CRC-32 of each array's file."""


def save_tape(tape: Tape, folder: Path) -> None:
    """Write a tape to `folder`, whole or not at all; if it is already there, leave it.

    Args:
        tape: what to write.
        folder: where; its parent must exist.

    Raises:
        OSError: the folder cannot be written.
        StoreError: the disk is full.
    """
    with room_for(folder), whole_folder(folder) as temporary:
        for name in ARRAYS:
            _save_array(temporary / f"{name}.npy", np.ascontiguousarray(getattr(tape, name)))
        described = {n: getattr(tape, n) for n in _Header.__struct_fields__ if n != "checksums"}
        save_header(temporary, described)


def save_header(folder: Path, described: Mapping[str, Any]) -> None:
    """Describe a tape whose arrays lie in `folder`.

    Args:
        folder: which holds them.
        described: all of a `Tape` but its arrays, by name.

    Raises:
        OSError: it cannot be written.
    """
    files = MappedFiles()
    sums = {n: _checksum(files.map(folder / f"{n}.npy"), files) for n in ARRAYS}
    header = msgspec.json.encode(_Header(**described, checksums=sums))
    digest = hashlib.sha256(header).hexdigest().encode()
    (folder / _HEADER).write_bytes(digest + b"\n" + header + b"\n")


def _save_array(path: Path, array: np.ndarray) -> None:
    """As `np.save` does, whose error on a full disk does not say that it is full."""
    with path.open("wb") as file:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        file.write(array.data)


def open_tape(folder: Path) -> Tape:
    """Map a saved tape into memory, read-only; its pages are shared by all processes.

    Every byte is compared with the checksums that were written with it. Of a tape larger than
    `mapped.MOST_BYTES` no more than that and the views just played are kept mapped.

    Raises:
        OSError: it is not there or cannot be read.
        ValueError: it is damaged.
    """
    digest, _, text = (folder / _HEADER).read_bytes().partition(b"\n")
    if not text.endswith(b"\n") or hashlib.sha256(text[:-1]).hexdigest().encode() != digest:
        raise ValueError(f"{_HEADER} is damaged")
    header = msgspec.json.decode(text, type=_Header)
    parts: dict[str, Any] = {n: getattr(header, n) for n in header.__struct_fields__}
    checksums = parts.pop("checksums")
    files = MappedFiles()
    for name in ARRAYS:  # as plain arrays: numba knows those at once
        path = folder / f"{name}.npy"
        if not path.exists():
            raise ValueError(f"{path.name} is missing")
        file = files.map(path)
        if _checksum(file, files) != checksums.get(name):
            raise ValueError(f"{path.name} is damaged")
        parts[name] = _array_in(file)
    tape = Tape(**parts, mapped=files if files.are_large else None)
    object.__setattr__(tape, "saved_in", folder.absolute())
    return tape


def _checksum(file: npt.NDArray[np.uint8], files: MappedFiles) -> int:
    """CRC-32 of a file: at the speed of memory, and sure to find what disks and cables do.

    Args:
        file: its bytes, uint8 [n].
        files: what it belongs to.
    """
    found = 0
    for begin in range(0, len(file), _BLOCK_BYTES):
        block = file[begin : begin + _BLOCK_BYTES]
        files.will_read(len(block))
        found = zlib_ng.crc32(block.data, found)
    return found


def _array_in(file: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """The array that a file of `np.save` holds, where it lies: read anew, it would be mapped twice.

    Args:
        file: its bytes, uint8 [n].
    """
    header = io.BytesIO(file[:_NPY_HEADER_BYTES].tobytes())
    np.lib.format.read_magic(header)
    shape, _, dtype = np.lib.format.read_array_header_1_0(header)
    return file[header.tell() :].view(dtype).reshape(shape)

"""Files that travel as messages: a long one in several pieces."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from kalshi_sim.files import room_for, sync_file

_BLOCK_BYTES: Final = 2**25
"""A longer file travels in several messages."""


@dataclass(frozen=True)
class Piece:
    """A part of a file that a run has written."""

    path: str
    """In the folder of the run."""
    data: bytes
    is_first: bool
    is_last: bool


def send_file(file: BinaryIO, name: str, send: Callable[[object], None]) -> None:
    """Send a file.

    Args:
        file: open at its beginning.
        name: in the folder of the run.
        send: sends a message.
    """
    first, data = True, file.read(_BLOCK_BYTES)
    while True:
        after = file.read(_BLOCK_BYTES)
        send(Piece(name, data, first, not after))
        if not after:
            return
        first, data = False, after


def keep_piece(piece: Piece, folder: Path) -> None:
    """Write a piece behind those before it.

    Args:
        piece: what came.
        folder: where files lie until they are whole.

    Raises:
        StoreError: the disk is full.
    """
    path = folder / piece.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with room_for(path), path.open("wb" if piece.is_first else "ab") as file:
        file.write(piece.data)


def put_whole(name: str, arrived: Path, folder: Path) -> None:
    """Give a file that has come its place, whole or not at all.

    Args:
        name: in both folders.
        arrived: where it lies.
        folder: where it belongs.

    Raises:
        OSError: it cannot be put there.
    """
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    sync_file(arrived / name)
    os.replace(arrived / name, target)

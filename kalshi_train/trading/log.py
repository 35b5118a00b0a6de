"""The log of a run: one JSON object a line, only ever appended, each line chained to all before."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from kalshi_sim.errors import ConfigError, StoreError
from kalshi_sim.files import make_folder

NAME: Final = "decisions.jsonl"
_DIGEST_BYTES: Final = 8
_SEAL: Final = b',"chain":"'
_END: Final = b'"}\n'


def _chained(before: bytes, text: bytes) -> bytes:
    return hashlib.blake2b(before + text, digest_size=_DIGEST_BYTES).hexdigest().encode()


class DecisionLog:
    """Appends; what was appended is with the operating system after `flush`."""

    def __init__(self, folder: Path, *, resume: bool = False) -> None:
        """Begin the log of a run, or go on with one.

        Args:
            folder: of the run; made if it is not there.
            resume: whether it has a log, which is gone on with; a last line that was cut short is
                taken out of it.

        Raises:
            ConfigError: the folder has a log already, has none to go on with or one that was
                changed, or cannot be written.
        """
        self.path = folder / NAME
        self._chain = b""
        self.lines = 0
        if resume:
            self._file = self._go_on(folder)
            return
        make_folder(folder)
        try:
            self._file = self.path.open("xb")
        except FileExistsError:
            raise ConfigError(
                f"{folder} has the log of a run already; choose another --out"
            ) from None
        except OSError as error:
            raise ConfigError(f"{self.path}: {error.strerror}; choose another --out") from error

    def _go_on(self, folder: Path) -> BinaryIO:
        self.lines = sum(1 for _ in read_log(folder))
        whole = self.path.read_bytes()
        whole = whole[: whole.rfind(b"\n") + 1]
        self._chain = whole[-len(_END) - 2 * _DIGEST_BYTES : -len(_END)]
        file = self.path.open("r+b")
        file.truncate(len(whole))
        file.seek(0, os.SEEK_END)
        return file

    def write(self, what: Mapping[str, Any]) -> None:
        """Append a line.

        Args:
            what: what JSON can hold, by name.

        Raises:
            StoreError: the disk failed.
        """
        text = msgspec.json.encode(what)[:-1]
        self._chain = _chained(self._chain, text)
        self._do(lambda: self._file.write(text + _SEAL + self._chain + _END))
        self.lines += 1

    def flush(self) -> None:
        """Hand on what was written, so that a kill of the process loses nothing.

        Raises:
            StoreError: the disk failed.
        """
        self._do(self._file.flush)

    def sync(self) -> None:
        """Have it on the disk, so that a power cut loses nothing.

        Raises:
            StoreError: the disk failed.
        """
        self._do(self._file.flush)
        self._do(lambda: os.fsync(self._file.fileno()))

    def close(self) -> None:
        """Sync and close.

        Raises:
            StoreError: the disk failed.
        """
        self.sync()
        self._file.close()

    def _do(self, work: Any) -> None:
        try:
            work()
        except OSError as error:
            raise StoreError(f"cannot write {self.path}: {error.strerror}") from error


def read_log(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run's log; a last line that a kill cut short is passed over.

    Args:
        folder: of the run.

    Yields:
        What was written.

    Raises:
        ConfigError: there is no log, or a line was changed, left out or put in.
    """
    path = folder / NAME
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; name the folder of a run of kalshi-trade"
        ) from error
    chain = b""
    for number, line in enumerate(lines, start=1):
        text, seal, rest = line.rpartition(_SEAL)
        if number == len(lines) and not line.endswith(b"\n"):
            return
        chain = _chained(chain, text)
        if not seal or rest != chain + _END:
            raise ConfigError(f"{path} is damaged, or was changed by hand, at line {number}")
        yield msgspec.json.decode(text + b"}")

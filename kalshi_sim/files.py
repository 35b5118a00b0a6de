"""The one way files are written: whole, on the disk, under their name, or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from kalshi_sim.errors import ConfigError, StoreError

_TEMPORARY: Final = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.tmp")
_LONGEST: Final = 80
"""Characters of a file's name that its temporary name repeats; file systems allow 255 bytes."""
_ADVICE: Final = {
    errno.ENOSPC: "free some space and try again",
    errno.EDQUOT: "free some space and try again",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f)",
}


@contextmanager
def whole_file(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well.

    The file is on the disk before it has its name, so that neither a kill nor a power cut leaves
    half of it. What killed writers left behind is removed first.

    Args:
        path: the file to write.
        replace: whether a file of that name is replaced.

    Raises:
        ConfigError: the folder cannot be made or written.
        StoreError: the file cannot be written, as the disk is full.
        FileExistsError: there is one already, and it is not to be replaced.
    """
    make_folder(path.parent)
    remove_leftovers(path.parent)
    with room_for(path):
        temporary, handle = _create(path)
        try:
            temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner reads
            yield temporary
            sync_file(temporary)
            if replace:
                os.replace(temporary, path)
            else:
                os.link(temporary, path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Report a disk without room as a file that cannot be written.

    Raises:
        StoreError: there was no room for what the block wrote.
    """
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0)
        if advice is None:
            raise
        raise StoreError(f"cannot write {path}: {error.strerror}; {advice}") from error


def is_without_room(error: BaseException) -> bool:
    """Whether an error, or the one it came from, is that of a disk without room."""
    cause = error.__cause__ or error
    return isinstance(cause, OSError) and cause.errno in _ADVICE


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; errors as of `whole_file`.

    Args:
        path: the file; one that is there is replaced.
        data: its bytes.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, indented, with a line feed at its end; errors as of `whole_file`.

    Args:
        path: the file; one that is there is replaced.
        value: what JSON can hold; NaN and infinities it cannot (ValueError).
    """
    write_whole(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


@contextmanager
def whole_folder(folder: Path, *, exist_ok: bool = True) -> Iterator[Path]:
    """A temporary folder beside `folder` that becomes it when the block ends well.

    Args:
        folder: the folder to make; what the block writes into it are files.
        exist_ok: if `folder` is there by then with something in it, it stays and the temporary
            one is dropped.

    Raises:
        OSError: it cannot be written, or it is there and `exist_ok` is false.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder.parent, folder.name) as temporary:
        yield temporary
        for path in temporary.iterdir():
            sync_file(path)
        sync_folder(temporary)
        temporary.chmod(0o777 & ~_umask())
        try:
            temporary.rename(folder)
        except OSError:
            if not (exist_ok and folder.is_dir()):  # else another process was faster
                raise
        sync_folder(folder.parent)


@contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder that is gone after the block; one that a killed process left is removed later.

    Args:
        parent: folder to make it in; it must exist.
        name: beginning of the folder's name, so that a person sees what it is for.

    Yields:
        Path of the folder, locked for as long as the block runs.

    Raises:
        OSError: it cannot be made.
    """
    remove_leftovers(parent)
    while True:
        prefix = f".{name[:_LONGEST]}."
        temporary = Path(tempfile.mkdtemp(prefix=prefix, suffix=".tmp", dir=parent))
        handle = os.open(temporary, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if temporary.exists():  # else it was taken for a left-over before it was locked
            break
        os.close(handle)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(handle)


def _nothing() -> None:
    """What is called if the caller has nothing to be called."""


@contextmanager
def taking_turns(path: Path, waiting: Callable[[], None] = _nothing) -> Iterator[None]:
    """Inside the block nobody else on this machine is inside one for the same path.

    Args:
        path: of a file that is there meanwhile; its folder must exist.
        waiting: called once if others are inside just now.

    Yields:
        None.

    Raises:
        OSError: the file cannot be made.
    """
    handle = _turn_of(path, waiting)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _turn_of(path: Path, waiting: Callable[[], None]) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(handle, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(handle).st_ino:
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its owner removed it between the two calls
        waiting = _nothing


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files and folders in `folder` whose writers are gone.

    A writer holds a lock on what it writes; the system lets go of it when the writer dies.
    """
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if _TEMPORARY.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _remove_if_left(Path(entry.path))


def _remove_if_left(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _create(path: Path) -> tuple[Path, int]:
    """A new temporary file for `path`, and a handle that holds a lock on it."""
    while True:
        prefix = f".{path.name[:_LONGEST]}."
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=path.parent)
        fcntl.flock(handle, fcntl.LOCK_EX)
        temporary = Path(name)
        if temporary.exists():  # else it was taken for a left-over before it was locked
            return temporary, handle
        os.close(handle)


def sync_file(path: Path) -> None:
    """Put a file's content on the disk.

    Raises:
        OSError: the disk cannot take it.
    """
    with path.open("rb") as written:
        os.fsync(written.fileno())


def sync_folder(folder: Path) -> None:
    """Put a folder's names on the disk; not every file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_folder(folder: Path) -> None:
    """Make `folder`, and check that files can be written there.

    Raises:
        ConfigError: it cannot be made, is no folder, or is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"cannot write into the folder {folder}: {error.strerror}; choose another path"
        ) from error


def _umask() -> int:
    """The permissions new files go without; setting it, the other way to read it, is global."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

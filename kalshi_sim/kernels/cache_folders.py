"""The folders of compiled kernels: one for each version of the code; old ones go."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import time
import uuid
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

KEPT_DAYS: Final = 30
"""A folder that no process has used for so long is of a version that nobody runs."""
KEPT_FOLDERS: Final = 40
"""Of the others the last used ones stay, at most so many: about 100 MB."""
_MARK: Final = ".used"
"""A file in each folder: when it was last used; a process that uses the folder holds a lock."""
_REMOVED: Final = ".removed-"

_held: dict[Path, int] = {}
"""The open marks of the folders that this process uses."""


def take_folder(folder: Path) -> bool:
    """Make the folder and keep it from removal while this process lives.

    Where it is new, folders beside it that are no longer used are removed.

    Args:
        folder: where kernels of one version are kept.

    Returns:
        Whether kernels can be kept there.
    """
    if folder in _held and folder.is_dir():
        return os.access(folder, os.W_OK)
    is_new = not folder.is_dir()
    try:
        while not _hold(folder):
            pass
    except OSError:
        return False
    if is_new:
        with contextlib.suppress(OSError):
            remove_unused(folder.parent)
    return os.access(folder, os.W_OK)


def _hold(folder: Path) -> bool:
    """Lock the folder's mark for this process; False if the folder was removed meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = -1
    try:
        mark = os.open(folder / _MARK, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(mark, fcntl.LOCK_SH)
        os.utime(folder / _MARK)
    except FileNotFoundError:
        if mark >= 0:
            os.close(mark)
        return False
    _held[folder] = mark
    return True


def remove_unused(root: Path) -> list[Path]:
    """Remove the folders of versions that nobody runs.

    Args:
        root: the folder of all folders of kernels.

    Returns:
        What was removed.
    """
    now = time.time()
    by_use = sorted(((_last_used(f), f) for f in root.iterdir() if f.is_dir()), reverse=True)
    removed = []
    for place, (used, folder) in enumerate(by_use):
        old = now - used > KEPT_DAYS * 86_400 or place >= KEPT_FOLDERS
        if _REMOVED in folder.name or (old and _set_aside(folder)):
            removed.append(folder)
    for leftover in root.glob(f"*{_REMOVED}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    return removed


def _last_used(folder: Path) -> float:
    """Seconds since 1970 of the last use; of the last change where no use was noted."""
    mark = folder / _MARK
    return (mark if mark.exists() else folder).stat().st_mtime


def _set_aside(folder: Path) -> bool:
    """Rename the folder unless a process uses it; whether that was done."""
    try:
        with (folder / _MARK).open("ab") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder.rename(folder.with_name(f"{folder.name}{_REMOVED}{uuid.uuid4().hex[:8]}"))
    except OSError:
        return False
    _log.info("removed the compiled kernels of a version no longer used: %s", folder.name)
    return True

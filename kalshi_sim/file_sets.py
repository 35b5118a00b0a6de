"""Several files of one folder that appear together, or not at all.

A new folder is renamed as a whole. In one that is there already, files are renamed one by one
while a note beside them names the set: what a kill leaves half renamed is known as such, refused
by readers (`check_finished`), and taken up by the next writer of the set.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from kalshi_sim.errors import DataError
from kalshi_sim.files import (
    make_folder,
    remove_leftovers,
    room_for,
    sync_file,
    sync_folder,
    temporary_folder,
    whole_folder,
    write_json,
)

_NOTE: Final = re.compile(r"\.(.+)\.unfinished")
_LONGEST: Final = 80


@contextmanager
def whole_set(folder: Path, names: Sequence[str], *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder whose files take their place in `folder` when the block ends well.

    Args:
        folder: made if it is not there; other files in it stay.
        names: of the files that the block writes, all of them.
        replace: whether files of these names are replaced; those of a set that was cut short are
            in any case.

    Raises:
        FileExistsError: one is there and not to be replaced; nothing was changed.
        ConfigError: the folder cannot be made or written.
        StoreError: the disk is full; nothing was changed.
    """
    with room_for(folder):
        if not folder.exists():
            with whole_folder(folder, exist_ok=False) as temporary:
                yield temporary
            return
        make_folder(folder)
        unfinished = _unfinished(folder)
        for name in names:
            if not replace and name not in unfinished and (folder / name).exists():
                raise FileExistsError(f"{folder / name} is there already")
        remove_leftovers(folder.parent)  # of a writer that was to make the folder
        with temporary_folder(folder, names[0]) as temporary:
            yield temporary
            for name in names:
                sync_file(temporary / name)
            write_json(folder / f".{names[0][:_LONGEST]}.unfinished", list(names))
            for name in names:
                os.replace(temporary / name, folder / name)
        sync_folder(folder)
        _finish(folder, names)


def _finish(folder: Path, names: Sequence[str]) -> None:
    """Strike files off the notes of sets that were cut short; they are whole now."""
    for note, named in _notes(folder):
        left = [name for name in named if name not in names]
        if not left:
            note.unlink()
        elif len(left) < len(named):
            write_json(note, left)
    sync_folder(folder)


def check_finished(paths: Iterable[Path]) -> None:
    """Be sure that no file belongs to a set whose writer was killed.

    Raises:
        DataError: one does; the message says what to do.
    """
    known: dict[Path, dict[str, Path]] = {}
    for path in paths:
        folder = path.parent
        if folder not in known:
            known[folder] = _unfinished(folder)
        note = known[folder].get(path.name)
        if note is not None:
            raise DataError(
                f"{path} is one of several files whose writing was cut short; write them again "
                f"(or delete {note}, if they are whole all the same)"
            )


def _unfinished(folder: Path) -> dict[str, Path]:
    """Files of sets that were cut short, each with a note that names it."""
    return {name: note for note, names in _notes(folder) for name in names}


def _notes(folder: Path) -> list[tuple[Path, list[str]]]:
    found: list[tuple[Path, list[str]]] = []
    with suppress(OSError):
        for entry in os.scandir(folder):
            if _NOTE.fullmatch(entry.name):
                with suppress(OSError, ValueError):
                    names = json.loads(Path(entry.path).read_bytes())
                    found.append((Path(entry.path), [str(name) for name in names]))
    return found

"""Curves for TensorBoard; a disk without room is one error, as of every file of a run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import TensorBoardOutputFormat

from kalshi_sim.errors import ConfigError
from kalshi_sim.files import is_without_room, room_for
from kalshi_sim.text import printable


class TensorBoardWriter(TensorBoardOutputFormat):
    """Stable-Baselines3's writer of event files."""

    def __init__(self, folder: Path) -> None:
        """Begin a file.

        Args:
            folder: made if absent.

        Raises:
            ConfigError: the folder's name is no UTF-8.
            StoreError: there is no room for it.
        """
        self._folder = folder
        try:
            with room_for(folder):
                super().__init__(str(folder))
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"{printable(str(folder))}: TensorBoard needs a name in UTF-8; choose another "
                "folder, or --no-tensorboard"
            ) from error

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        """Add a record.

        Args:
            key_values: values by name.
            key_excluded: formats that leave a value out, by its name.
            step: environment steps so far.

        Raises:
            StoreError: there is no room for it.
        """
        with room_for(self._folder):
            super().write(key_values, key_excluded, step)

    def close(self) -> None:
        """Close the file.

        Raises:
            StoreError: there is no room for what is left to write.
        """
        with room_for(self._folder):
            super().close()


@contextmanager
def quiet_threads() -> Iterator[None]:
    """Inside the block a full disk ends a thread without a traceback.

    TensorBoard writes in a thread and raises the thread's error again where a record is added.
    """
    before = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is None or not is_without_room(args.exc_value):
            before(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before

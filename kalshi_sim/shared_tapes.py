"""Tapes in a shared place, from which machines fill their caches: replayed once for all of them.

A tape's arrays are written first and its description last, so that a tape is there whole or not
at all; every byte is compared with its checksums once it lies in the cache.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Final

from kalshi_sim.errors import KalshiSimError
from kalshi_sim.files import whole_folder
from kalshi_sim.store.places import ObjectPlace

VARIABLE: Final = "KALSHI_SIM_SHARED_TAPES"
_FILES: Final = ("rows.npy", "flow.npy", "tape.json")
"""Of a tape, the description last."""
_BLOCK_BYTES: Final = 2**24

_log = logging.getLogger(__name__)


def named_place() -> str:
    """What KALSHI_SIM_SHARED_TAPES is in this process; empty where it is not set."""
    return os.environ.get(VARIABLE, "").strip()


def use_place(named: str) -> None:
    """Share tapes where another machine does, which hands on what a command is to do.

    Args:
        named: the variable there; empty leaves it as it is here.
    """
    if named:
        os.environ[VARIABLE] = named


def shared_place() -> ObjectPlace | None:
    """The place that KALSHI_SIM_SHARED_TAPES names, as a store in object storage is named.

    Returns:
        None if the variable is not set.

    Raises:
        ConfigError: the address cannot be understood.
    """
    address = named_place()
    return ObjectPlace(address) if address else None


def fetch(folder: Path) -> bool:
    """Fetch a tape into the cache, if the shared place has it.

    Args:
        folder: of the tape in the cache; its name is the tape's key.

    Returns:
        Whether it lies there now; a place that cannot be read is a warning.
    """
    try:
        place = shared_place()
        if place is None or not place.exists(f"{folder.name}/{_FILES[-1]}"):
            return False
        with whole_folder(folder) as temporary:
            for name in _FILES:
                with (
                    place.open(f"{folder.name}/{name}") as stream,
                    (temporary / name).open("wb") as out,
                ):
                    shutil.copyfileobj(stream, out, _BLOCK_BYTES)
    except (OSError, KalshiSimError) as error:
        _log.warning("the shared tape %s was not fetched: %s", folder.name, error)
        return False
    return True


def share(folder: Path) -> None:
    """Put a tape of the cache into the shared place, if there is one that lacks it.

    Args:
        folder: of the tape; a place that cannot be written is a warning.
    """
    try:
        place = shared_place()
        if place is None or place.exists(f"{folder.name}/{_FILES[-1]}"):
            return
        for name in _FILES:
            with (
                (folder / name).open("rb") as stream,
                place.writing(f"{folder.name}/{name}") as out,
            ):
                shutil.copyfileobj(stream, out, _BLOCK_BYTES)
    except (OSError, KalshiSimError) as error:
        _log.warning("the tape %s was not shared: %s", folder.name, error)

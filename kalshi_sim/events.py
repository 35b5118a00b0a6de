"""The event table: what happened to the books of a recording, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.frames import Tabular, events_table

Int8Array = npt.NDArray[np.int8]
Int64Array = npt.NDArray[np.int64]

NO_TIME: Final = -(2**62)
"""`ts_ms` of an event whose market has no time at all."""


class EventKind(IntEnum):
    """What an event does to its market's book."""

    SNAPSHOT = 0
    """Clears the book; its LEVEL events follow."""
    LEVEL = 1
    """Absolute `size` at (`side`, `price`), part of a snapshot."""
    DELTA = 2
    """Signed change `size` at (`side`, `price`); `traded` of a removal were known trades."""
    TRADE = 3
    """`size` contracts taken from the resting `side` at `price`; changes no book by itself.
    `traded` = `size` if it was matched to a removal, else 0."""
    GAP = 4
    """Messages are missing here: the book is invalid until the next SNAPSHOT."""
    DROP_LEVEL = 5
    """The level's size is unknown from here to the next SNAPSHOT: it leaves the book, no flow; its
    later changes are left out of the table or DROP_LEVEL too."""


KIND_NAMES: Final = tuple(kind.name.lower() for kind in EventKind)
"""Names of the kinds, by number."""


class EventFlag(IntEnum):
    """Bits of the `flags` column."""

    WHOLE_SECOND = 1
    """The recorded time has whole seconds only; `ts_ms` is that second's first millisecond."""
    TIME_INFERRED = 2
    """The record had no time; `ts_ms` was resolved from the events around it."""
    REBUILT = 4
    """Not recorded: part of the smallest book that a recording without a first snapshot allows."""


def _dtype(name: str) -> type[np.int8 | np.int64]:
    return np.int8 if name in ("kind", "side", "flags") else np.int64


@dataclass(frozen=True, eq=False, repr=False)
class Events(Tabular):
    """The event table: arrays of shape [n_events]; `to_pandas` and the like show it readably.

    kind int8 (`EventKind`) · side int8 (0 YES, 1 NO) · price int64 (1/100 cent) · size int64
    (1/100 contract) · traded int64 (1/100 contract, see `EventKind`) · ts_ms int64 (UTC) ·
    seq int64 (the exchange's number, -1 if none) · sid int64 (subscription, -1 if none) ·
    frame int64 (rank of the frame in the session's merged stream; events of one frame share it)
    · flags int8 (`EventFlag` bits).
    """

    kind: Int8Array
    side: Int8Array
    price: Int64Array
    size: Int64Array
    traded: Int64Array
    ts_ms: Int64Array
    seq: Int64Array
    sid: Int64Array
    frame: Int64Array
    flags: Int8Array

    def __len__(self) -> int:
        return len(self.kind)

    def __repr__(self) -> str:
        counts = np.bincount(self.kind, minlength=len(KIND_NAMES))
        kinds = [f"{n:,} {name}" for name, n in zip(KIND_NAMES, counts, strict=False) if n]
        return f"Events({len(self):,}: {', '.join(kinds) or 'none'})"

    def __getitem__(self, rows: slice | Int64Array | npt.NDArray[np.bool_]) -> Events:
        return Events(*(getattr(self, f.name)[rows] for f in fields(self)))

    def _arrow(self) -> Any:
        return events_table(self, KIND_NAMES)

    def equals(self, other: Events) -> bool:
        """Whether every column holds the same values."""
        return all(
            np.array_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)
        )

    @staticmethod
    def from_columns(**columns: npt.ArrayLike) -> Events:
        """An event table from columns by name; absent ones take their default."""
        defaults = {"traded": 0, "seq": -1, "sid": -1, "flags": 0, "frame": None}
        n = len(np.asarray(columns["kind"]))
        out: dict[str, Any] = {}
        for f in fields(Events):
            dtype = _dtype(f.name)
            if f.name in columns:
                out[f.name] = np.ascontiguousarray(columns[f.name], dtype=dtype)
            elif f.name == "frame":
                out[f.name] = np.arange(n, dtype=np.int64)
            else:
                out[f.name] = np.full(n, defaults[f.name], dtype=dtype)
        return Events(**out)

    @staticmethod
    def zeros(n: int) -> Events:
        """A table of `n` events to be filled, every column 0."""
        return Events.from_columns(**{f.name: np.zeros(n, _dtype(f.name)) for f in fields(Events)})

    @staticmethod
    def concatenate(parts: Sequence[Events]) -> Events:
        """All events of `parts`, one after the other."""
        if not parts:
            return Events.from_columns(kind=[], side=[], price=[], size=[], ts_ms=[])
        return Events(
            *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Events))
        )

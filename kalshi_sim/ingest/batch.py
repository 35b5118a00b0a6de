"""Decoded frames as columns: what every kind of frame says, before frames are merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from kalshi_sim.ingest.lifecycle_frames import Lifecycle
from kalshi_sim.parallel import in_order
from kalshi_sim.session import Int8Array, Int64Array

OTHER: Final = 100
"""Kind of a frame that is no event; the event kinds are those of `EventKind`."""
BLOCK_TRADE: Final = 101
LIFECYCLE: Final = 102
CONTROL: Final = 103
"""A frame that may end the subscription of a market: `Control` says of which."""


@dataclass(frozen=True)
class Control:
    """What a control frame says of a subscription: it ended, or these are all of its markets."""

    markets: frozenset[str] | None
    """The tickers that remain; None: the subscription ended for all markets."""


@dataclass(frozen=True)
class Batch:
    """Decoded frames in file order: arrays [n_frames], then the levels of their snapshots.

    `market` is -1 for frames of no market; side, price, size are 0 where the kind has none, for
    snapshots a checksum and the number of levels.
    """

    kind: Int8Array
    market: Int64Array
    sid: Int64Array
    seq: Int64Array
    ts_ms: Int64Array
    recv_ns: Int64Array
    """When the frame was received, in ns; NO_TIME where its envelope does not say."""
    trade_id: Int64Array
    """The number of its `trade_id` (`trade_numbers`), -1 for frames without one."""
    flags: Int8Array
    side: Int8Array
    price: Int64Array
    size: Int64Array
    level_side: Int8Array
    level_price: Int64Array
    level_size: Int64Array
    lifecycles: tuple[Lifecycle, ...]
    other_types: tuple[str, ...]
    channels: tuple[str, ...]
    """Channels that `subscribed` frames confirm."""
    controls: tuple[Control, ...]
    """Of the frames of kind CONTROL, in their order."""

    def __len__(self) -> int:
        return len(self.kind)


_SMALL: Final = frozenset({"kind", "flags", "side", "level_side"})


ENOUGH: Final = 1 << 18
"""So many frames are kept as one batch: columns so long may lie in a file (`spilled`)."""


class Joined:
    """Batches one after the other, the short ones put together as they come."""

    def __init__(self) -> None:
        self._long: list[Batch] = []
        self._short: list[Batch] = []

    def add(self, batch: Batch) -> None:
        """The next batch."""
        self._short.append(batch)
        if sum(map(len, self._short)) >= ENOUGH:
            self._long.append(concatenate(self._short))
            self._short.clear()

    def all(self, threads: int = 1) -> Batch:
        """All of them as one; there are none left then.

        Args:
            threads: how many columns are joined at once.
        """
        parts = [*self._long, *self._short]
        self._long, self._short = [], []
        return parts[0] if len(parts) == 1 else concatenate(parts, threads)


def concatenate(batches: Sequence[Batch], threads: int = 1) -> Batch:
    """All frames of the batches, one after the other.

    Args:
        batches: of one import.
        threads: how many columns are joined at once.
    """
    names = [f.name for f in fields(Batch)]

    def column(name: str) -> Any:
        parts = [getattr(batch, name) for batch in batches]
        if name in ("lifecycles", "other_types", "channels", "controls"):
            return tuple(item for part in parts for item in part)
        none = np.empty(0, dtype=np.int8 if name in _SMALL else np.int64)
        return np.concatenate([none, *parts])

    columns = in_order(names, column, threads)
    return Batch(**dict(zip(names, columns, strict=True)))

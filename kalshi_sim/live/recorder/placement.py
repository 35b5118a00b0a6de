"""Which markets are recorded on which connection: each on one with room, where it stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kalshi_sim.live.recorder.connection import Connection
from kalshi_sim.live.recorder.options import RecorderOptions
from kalshi_sim.live.recorder.subscriber import Want


class Slot:
    """Part of the markets, on one connection after the other."""

    def __init__(self, want: Want) -> None:
        """Not connected yet.

        Args:
            want: what its connections subscribe to.
        """
        self.want = want
        self.connection: Connection | None = None
        self.limit: int | None = None
        """How many markets the exchange takes on one connection; None: it has not said."""

        self.ended = 0
        """Connections that were lost."""

    @property
    def known_books(self) -> set[str]:
        """Markets whose book is known now."""
        return self.connection.known_books if self.connection is not None else set()

    @property
    def connected(self) -> bool:
        """Whether it has a connection now."""
        return self.connection is not None and self.connection.opened_ns > 0


class Placement:
    """The slots, and the markets on them."""

    def __init__(self, options: RecorderOptions, opened: Callable[[Slot], None]) -> None:
        """No markets yet.

        Args:
            options: what to record, and how many markets a connection takes.
            opened: called with each new slot.
        """
        self.slots: list[Slot] = []
        self.over: set[str] = set()
        """Markets that send nothing more; they are let go at once."""
        self._options = options
        self._opened = opened
        self._missed: set[str] = set()

    def apply(self, found: Iterable[str]) -> tuple[int, set[str]]:
        """Add markets that are new; let those go that are over, or twice not listed.

        Args:
            found: tickers of the markets listed now.

        Returns:
            How many are new, and those that were let go.
        """
        wanted = set(found) - self.over
        now = {ticker for slot in self.slots for ticker in slot.want.markets}
        gone = now - wanted
        leaving = gone & (self._missed | self.over)
        self._missed = gone - leaving
        for slot in self.slots:
            slot.want.markets -= leaving
            if leaving and slot.connection is not None:
                slot.connection.changed()
        new = sorted(wanted - now)
        self._place(new)
        return len(new), leaving

    def move_what_is_too_much(self, slot: Slot, connection: Connection) -> None:
        """Markets beyond what the exchange takes on one connection go to another.

        Args:
            slot: whose markets they are.
            connection: the one that was refused some.
        """
        limit = connection.subscriber.market_limit
        if limit is None:
            return
        slot.limit = max(1, limit)
        over = sorted(slot.want.markets)[slot.limit :]
        slot.want.markets -= set(over)
        connection.subscriber.market_limit = None
        self._place(over)

    def _place(self, tickers: list[str]) -> None:
        """Each on the first connection with room; a market stays where it is."""
        changed: set[int] = set()
        for ticker in tickers:
            at = next((i for i, slot in enumerate(self.slots) if self._has_room(slot)), None)
            if at is None:
                at = self._new_slot()
            self.slots[at].want.markets.add(ticker)
            changed.add(at)
        if not self.slots:  # the life of markets is recorded also before there are any
            self._new_slot()
        for at in changed:
            connection = self.slots[at].connection
            if connection is not None:
                connection.changed()

    def _has_room(self, slot: Slot) -> bool:
        limit = self._options.markets_per_connection
        return len(slot.want.markets) < min(limit, slot.limit or limit)

    def _new_slot(self) -> int:
        options = self._options
        want = Want(
            market_channels=options.market_channels,
            other_channels=() if self.slots else options.other_channels,
            use_yes_price=options.use_yes_price,
            index_ids=options.index_ids,
        )
        self.slots.append(Slot(want))
        self._opened(self.slots[-1])
        return len(self.slots) - 1

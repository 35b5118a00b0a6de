"""A session's metadata as JSON: every field of a `Session` but its events, the same in all stores.

The JSON is versioned: a store written by a newer version is refused by name, never misread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import msgspec
import numpy as np

from kalshi_sim.errors import DataError, SessionNotFoundError
from kalshi_sim.session import Events, MarketInfo, QualityReport, Session

METADATA_VERSION: Final = 1


@dataclass(frozen=True)
class SessionMetadata:
    """A `Session` without its events; the fields mean what they mean there."""

    session_id: int
    markets: tuple[MarketInfo, ...]
    market_offsets: tuple[int, ...]
    first_book_ms: int
    last_message_ms: int
    trades_recorded: bool
    source: str
    quality: QualityReport
    started_ms: int | None
    name: str = ""
    note: str = ""
    version: int = METADATA_VERSION

    @staticmethod
    def of(session: Session) -> SessionMetadata:
        """The metadata of a session."""
        return SessionMetadata(
            session_id=session.session_id,
            markets=session.markets,
            market_offsets=tuple(session.market_offsets.tolist()),
            first_book_ms=session.first_book_ms,
            last_message_ms=session.last_message_ms,
            trades_recorded=session.trades_recorded,
            source=session.source,
            quality=session.quality,
            started_ms=session.started_ms,
            name=session.name,
            note=session.note,
        )

    def market_rows(self, markets: Sequence[str] | None) -> list[tuple[int, int]]:
        """(first, one past the last) event row of each market asked for; None: of all.

        Raises:
            SessionNotFoundError: the session has no such market.
        """
        place = {market.ticker: i for i, market in enumerate(self.markets)}
        tickers = [market.ticker for market in self.markets] if markets is None else markets
        for ticker in tickers:
            if ticker not in place:
                raise SessionNotFoundError(f"session {self.session_id} has no market {ticker!r}")
        indices = [place[ticker] for ticker in tickers]
        return [(self.market_offsets[i], self.market_offsets[i + 1]) for i in indices]

    def session(self, events: Events, markets: Sequence[str] | None = None) -> Session:
        """The session that these metadata and events make.

        Args:
            events: those of `market_rows(markets)`, one market after the other.
            markets: tickers wanted, which gives what `Session.select` does; None for all.
        """
        rows = self.market_rows(markets)
        chosen, quality = self.markets, self.quality
        if markets is not None:
            known = {market.ticker: market for market in self.markets}
            chosen = tuple(known[ticker] for ticker in markets)
            counts = {t: quality.markets[t] for t in markets if t in quality.markets}
            quality = replace(quality, markets=counts)
        lengths = [stop - start for start, stop in rows]
        return Session(
            session_id=self.session_id,
            markets=chosen,
            events=events,
            market_offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            first_book_ms=self.first_book_ms,
            last_message_ms=self.last_message_ms,
            trades_recorded=self.trades_recorded,
            source=self.source,
            quality=quality,
            started_ms=self.started_ms,
            name=self.name,
            note=self.note,
        )


def content_digest(session: Session) -> str:
    """A hash of all of a session but its name and note: metadata and every column of its events."""
    unnamed = replace(session, name="", note="")
    digest = hashlib.blake2b(encode_metadata(unnamed), digest_size=20)
    for column in fields(Events):
        values: np.ndarray = np.ascontiguousarray(getattr(session.events, column.name))
        digest.update(values.data)
    return digest.hexdigest()


def encode_metadata(session: Session) -> bytes:
    """The JSON of a session's metadata."""
    return msgspec.json.encode(SessionMetadata.of(session))


def decode_metadata(data: bytes | str) -> SessionMetadata:
    """The metadata in `data`.

    Raises:
        DataError: not such JSON, or written by a newer version; the caller adds where it lay.
    """
    try:
        metadata = msgspec.json.decode(data, type=SessionMetadata)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataError(f"metadata cannot be read: {error}") from error
    if metadata.version > METADATA_VERSION:
        raise DataError(
            f"metadata has version {metadata.version}, this version reads up to "
            f"{METADATA_VERSION}; update kalshi-sim"
        )
    return metadata

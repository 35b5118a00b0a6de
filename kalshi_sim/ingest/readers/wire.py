"""Captures of the WebSocket: a frame a line, bare or in an envelope of a known recorder."""

from __future__ import annotations

from collections.abc import Iterator

from kalshi_sim.ingest.readers.protocol import Block, Head, ReadOptions
from kalshi_sim.ingest.sources import Source


class WireReader:
    """Lines as they are: the decoder knows frames and envelopes itself."""

    name = "wire"
    record = "line"

    def knows(self, head: Head) -> bool:
        """All text but tables that no other reader knows: the decoder names what it cannot read."""
        return not head.columns

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Block]:
        """The file's lines.

        Args:
            source: the text file.
            options: not used.
        """
        for first, text in source.blocks():
            yield Block(first, text)

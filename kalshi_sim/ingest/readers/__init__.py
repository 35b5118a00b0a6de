"""Readers of recordings, one format a file.

To add one: write a class with the attributes and methods of `protocol.Reader` into a file of this
folder, and put an instance into `READERS` before `WireReader`. A reader turns each record of a
file (a line, a row) into one line of JSON as the exchange's WebSocket sends it, so that prices,
sizes and times are read in one place; `docs/formats.md` shows the shapes and an example.
"""

from __future__ import annotations

from typing import Final

from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.ingest.readers.absolute import AbsoluteReader
from kalshi_sim.ingest.readers.envelope import EnvelopeReader
from kalshi_sim.ingest.readers.event_log import EventLogReader
from kalshi_sim.ingest.readers.kalshibook import KalshibookReader
from kalshi_sim.ingest.readers.polls import PollsReader
from kalshi_sim.ingest.readers.protocol import Block, Head, Reader, ReadOptions
from kalshi_sim.ingest.readers.refused import CANDLES, TRADES
from kalshi_sim.ingest.readers.segments import SegmentsReader
from kalshi_sim.ingest.readers.sqlite import SqliteReader
from kalshi_sim.ingest.readers.wire import WireReader
from kalshi_sim.ingest.sources import Source

READERS: Final[tuple[Reader, ...]] = (
    SegmentsReader(),
    SqliteReader(),
    KalshibookReader(),
    AbsoluteReader(),
    CANDLES,
    TRADES,
    EventLogReader(),
    PollsReader(),
    EnvelopeReader(),
    WireReader(),
)
"""All readers; with `--format auto` the first that knows a file reads it."""


def find_reader(source: Source, options: ReadOptions) -> Reader:
    """The reader of a file.

    Args:
        source: the file.
        options: `format` and `envelope` choose; "auto" asks each reader.

    Raises:
        DataError: there is none.
        ConfigError: there is none of the name that the options give.
    """
    name = options.format
    if options.envelope is not None:
        if name not in ("auto", EnvelopeReader.name):
            raise ConfigError(f"--envelope describes lines of another format than --format {name}")
        name = EnvelopeReader.name
    if name != "auto":
        for reader in READERS:
            if reader.name == name:
                return reader
        known = ", ".join(["auto", *(r.name for r in READERS)])
        raise ConfigError(f"--format {options.format}: there is no such format; known are {known}")
    head = Head(source.path, source.head())
    for reader in READERS:
        if reader.knows(head):
            return reader
    raise DataError(
        f"{source.path}: a table of {', '.join(head.columns)}, which no reader knows; "
        "docs/formats.md says which columns are known and how to add a reader"
    )


__all__ = ["CANDLES", "READERS", "TRADES", "Block", "Head", "ReadOptions", "Reader", "find_reader"]

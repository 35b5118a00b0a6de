"""What a reader of recordings is: it knows its files, and turns them into frames of the wire."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.formats import Limits
from kalshi_sim.ingest.sources import Source
from kalshi_sim.ingest.unknown import RECEIVE_KEYS
from kalshi_sim.ingest.wire_time import time_of_any_unit

PARQUET_MAGIC: Final = b"PAR1"
MARKET_KEYS: Final = ("market_ticker", "ticker", "market", "symbol")
"""What recorders call a market."""
TIME_KEYS: Final = (
    "ts_ms",
    "ts",
    "timestamp",
    "timestamp_ms",
    "time",
    "fetched_at",
    "polled_at",
    "captured_at",
    "recorded_at",
    "created_at",
)
"""What recorders call when they received something, besides the keys of known envelopes."""


@dataclass(frozen=True)
class ReadOptions:
    """What a user says about the files of an import."""

    format: str = "auto"
    """A reader's name, or auto: each file's own reader is found by its beginning."""
    envelope: str | None = None
    """FIELD[=recv:FIELD]: where envelopes hold the frame, and their receive time."""
    nearest_tick: bool = False
    """Round prices and sizes that miss a tick by no more than a float's binary noise."""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Head:
    """The beginning of a file, by which a reader knows its own."""

    path: Path
    text: bytes
    """The first bytes of its content, unpacked."""

    @cached_property
    def first(self) -> dict[str, Any]:
        """Its first JSON object; empty if it does not begin with one."""
        text = self.text.decode(errors="replace").lstrip("[ \t\r\n")
        try:
            found, _ = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table (Parquet, or the first line of a CSV file); empty if none.

        Raises:
            DataError: it begins as Parquet and is none.
        """
        if self.text.startswith(PARQUET_MAGIC):
            import pyarrow as pa
            import pyarrow.parquet as pq

            try:
                with pa.OSFile(os.fsencode(self.path)) as stream:
                    return tuple(pq.read_schema(stream).names)
            except (pa.ArrowException, OSError) as error:
                raise DataError(
                    f"{self.path} cannot be read as Parquet ({error}); unpack it if it is packed, "
                    "else fetch it again"
                ) from error
        line = self.text.split(b"\n", 1)[0].decode(errors="replace").strip("\r")
        if "," not in line or line.lstrip().startswith(("{", "[")):
            return ()
        try:
            return tuple(name.strip() for name in next(csv.reader(io.StringIO(line)), []))
        except csv.Error:
            return ()


@dataclass(frozen=True)
class Block:
    """Some records of a file as frames of the wire: JSON, one a line.

    A record that cannot be read is an empty line, and is named in `bad`.
    """

    first: int
    """The number of the first record (line or row), from 1."""
    text: bytes
    bad: tuple[tuple[int, str], ...] = ()
    """(record number, what is wrong with it)."""
    notes: tuple[str, ...] = ()
    """What there is to say of the file as a whole."""


class Reader(Protocol):
    """One format. Add yours to `kalshi_sim.ingest.readers.READERS`."""

    name: str
    """What `--format` calls it."""
    record: str
    """What its records are called in messages: line or row."""

    def knows(self, head: Head) -> bool:
        """Whether a file that begins so is of this format."""
        ...

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Block]:
        """The file's records as frames of the wire, one line a record, in the file's order.

        Args:
            source: the file.
            options: what the user chose for reading.

        Raises:
            DataError: the file as a whole cannot be read.
        """
        ...


def json_object(text: bytes) -> dict[str, Any]:
    """The JSON object in `text`.

    Raises:
        ValueError: there is none.
    """
    found: object = msgspec.json.decode(text)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


def receive_time(record: dict[str, Any]) -> dict[str, Any]:
    """The keys of the known envelope that say when a record was received; empty if none does.

    Raises:
        ValueError: its time is none.
    """
    known = {key: record[key] for key in RECEIVE_KEYS if record.get(key) is not None}
    if known:
        return known
    for key in TIME_KEYS:
        if record.get(key) is not None:
            return {"recv_ts_ms": time_of_any_unit(record[key])[0]}
    return {}


def convert_lines(source: Source, convert: Callable[[bytes], bytes]) -> Iterator[Block]:
    """The lines of a text file, each converted; a ValueError of `convert` names the line.

    Args:
        source: the text file.
        convert: makes a frame of a line that is not blank; its ValueError names the line as
            malformed.

    Yields:
        Blocks of lines with their numbers.
    """
    for first, text in source.blocks():
        out: list[bytes] = []
        bad: list[tuple[int, str]] = []
        for i, line in enumerate(text.split(b"\n")):
            try:
                out.append(convert(line) if line.strip() else b"")
            except (ValueError, ArithmeticError, RecursionError) as error:
                out.append(b"")
                bad.append((first + i, str(error)))
        yield Block(first, b"\n".join(out), tuple(bad))

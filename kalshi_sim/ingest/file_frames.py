"""One file of an import to decoded frames: malformed records by number."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from kalshi_sim.ingest.batch import Batch, Joined, concatenate
from kalshi_sim.ingest.decoding import MALFORMED, FrameDecoder
from kalshi_sim.ingest.readers import Block, Head, ReadOptions, find_reader
from kalshi_sim.ingest.scanning.batches import scanned_batch
from kalshi_sim.ingest.scanning.scanner import Scanned
from kalshi_sim.ingest.scanning.scanner import scan as scan_block
from kalshi_sim.ingest.sources import Source
from kalshi_sim.ingest.unknown import unread_in_first
from kalshi_sim.parallel import ahead

_MOSTLY: Final = 0.5
"""A file of which the scanner leaves a larger share of a block is read by the decoder alone."""

_AHEAD: Final = 4
"""So many blocks of a file are unpacked before the first of them is needed."""


@dataclass
class FileFrames:
    """What one file holds; markets have numbers of this file."""

    frames: Batch
    tickers: list[str]
    """By number."""
    polled: bool
    """Whether there was a REST order book."""
    noticed: Counter[str]
    """Sentences on what was left unread, and for how many frames."""
    rounded: int
    """Prices and sizes that were rounded to a tick."""
    notes: list[str]
    bad: list[tuple[str, str]]
    """Malformed records: where, and why."""
    failure: Exception | None
    """Why it was read no further, after its malformed records."""


class FileReader:
    """Reads files of one import, each alike whatever was read before; several threads may.

    Args:
        options: what the user says of the files.
        use_yes_price: NO prices are in YES terms.
        scan: whether lines that are as usual are read by the compiled scanner.
        max_bad_lines: beyond so many malformed records a file is read no further.
        pool: scans blocks while others are unpacked and decoded; None: each as it comes.
    """

    def __init__(
        self,
        options: ReadOptions,
        *,
        use_yes_price: bool,
        scan: bool,
        max_bad_lines: int,
        pool: Executor | None = None,
    ) -> None:
        self._options = options
        self._use_yes_price = use_yes_price
        self._scan = scan
        self._allowed = max_bad_lines
        self._pool = pool
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End what other threads are reading: nobody waits for it any more."""
        self._stopped.set()

    def read(self, source: Source, progress: Callable[[], None]) -> FileFrames:
        """All frames of a file.

        Args:
            source: the file.
            progress: called after each block.
        """
        decoder = FrameDecoder(
            use_yes_price=self._use_yes_price, nearest_tick=self._options.nearest_tick
        )
        batches = Joined()
        notes: list[str] = []
        bad: list[tuple[str, str]] = []
        failure: Exception | None = None
        try:
            for batch in self._batches(source, decoder, notes, bad):
                batches.add(batch)
                progress()
                if self._stopped.is_set() or len(bad) > self._allowed:
                    break
        except Exception as error:  # is raised where the results are taken, in the files' order
            failure = error
        return FileFrames(
            frames=batches.all(),
            tickers=[str(ticker) for ticker in decoder.tickers],
            polled=decoder.polled,
            noticed=decoder.noticed,
            rounded=decoder.values.rounded,
            notes=notes,
            bad=bad,
            failure=failure,
        )

    def _batches(
        self, source: Source, decoder: FrameDecoder, notes: list[str], bad: list[tuple[str, str]]
    ) -> Iterator[Batch]:
        reader = find_reader(source, self._options)
        unread = unread_in_first(Head(source.path, source.head()).first)
        if unread:
            notes.append(f"{source.name}: {unread}")
        where = f"{source.path}, {reader.record}"
        scanning = self._scan

        def scanned_of(block: Block) -> Scanned | None:
            return scan_block(block.text) if scanning else None

        blocks = reader.blocks(source, self._options)
        for block, scanned in ahead(blocks, scanned_of, self._pool, _AHEAD):
            bad += [(f"{where} {number}", why) for number, why in block.bad]
            notes += block.notes
            if not scanning:
                scanned = None  # others were ahead
            elif scanned is not None and len(scanned.left) > _MOSTLY * scanned.columns.shape[1]:
                scanned, scanning = None, False  # of a kind that only the decoder reads
            try:
                if scanned is None:
                    yield decoder.decode(block.text)
                else:
                    yield scanned_batch(scanned, decoder)
            except MALFORMED:
                yield concatenate(self._search(decoder, _lines(block, where), bad))

    def _search(
        self,
        decoder: FrameDecoder,
        lines: list[tuple[str, bytes]],
        bad: list[tuple[str, str]],
    ) -> list[Batch]:
        """Decode lines of which some are malformed, by halves, so that few are read alone."""
        if not lines or len(bad) > self._allowed:
            return []
        try:
            return [decoder.decode(b"\n".join(line for _, line in lines))]
        except MALFORMED as error:
            if len(lines) > 1:
                half = len(lines) // 2
                return [
                    *self._search(decoder, lines[:half], bad),
                    *self._search(decoder, lines[half:], bad),
                ]
            where, line = lines[0]
            try:
                return [decoder.decode_other(line)]
            except MALFORMED:
                bad.append((where, str(error)))
                return []


def _lines(block: Block, where: str) -> list[tuple[str, bytes]]:
    """The records of a block that are not blank, each with its place."""
    return [
        (f"{where} {block.first + i}", line)
        for i, line in enumerate(block.text.split(b"\n"))
        if line.strip()
    ]

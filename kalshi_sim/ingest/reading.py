"""Recordings to decoded frames: a reader a file, malformed records by number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

import numpy as np

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.ahead import read_ahead
from kalshi_sim.ingest.decoding import MALFORMED, OTHER, Batch, FrameDecoder
from kalshi_sim.ingest.readers import Block, Head, ReadOptions, find_reader
from kalshi_sim.ingest.readers.segments import header_of, is_segment
from kalshi_sim.ingest.scanning.batches import scanned_batch
from kalshi_sim.ingest.scanning.scanner import Scanned, pays
from kalshi_sim.ingest.scanning.scanner import scan as scan_block
from kalshi_sim.ingest.sources import Source
from kalshi_sim.ingest.unknown import unread_in_first
from kalshi_sim.session import EventKind
from kalshi_sim.threads import usable_cpus

Progress = Callable[[int, int], None]
"""Called with (bytes read, bytes in all) of the files as they lie on disk."""

_SHOWN: Final = 5
_MOSTLY: Final = 0.5
"""A file of which the scanner leaves a larger share of a block is read by the decoder alone."""


@dataclass
class Recording:
    """All frames of an import in file order, and what its lines were."""

    tickers: list[str]
    frames: Batch
    file_of: np.ndarray
    """int64 [n_frames]: which file a frame lies in."""
    files: list[str]
    polled: bool = False
    """Its books are polls of the REST order book, without any change between them."""
    segments: bool = False
    """All files are segments of `kalshi-sim record`: they hold whole subscriptions."""
    bad_lines: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass
class _Errors:
    allowed: int
    found: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, where: str, why: str) -> None:
        self.found += 1
        if len(self.first) < _SHOWN:
            self.first.append(f"{where}: {why}")
        if self.found > self.allowed:
            raise DataError(
                "; ".join(self.first) + ". Nothing was imported. Mend the "
                f"{'lines' if self.found > 1 else 'line'}, or skip up to N malformed lines with "
                "--max-bad-lines N"
            )


def read_captures(
    paths: Sequence[str | Path],
    *,
    use_yes_price: bool = False,
    max_bad_lines: int = 0,
    options: ReadOptions | None = None,
    progress: Progress | None = None,
    scan: bool | None = None,
    threads: int | None = None,
) -> Recording:
    """Every frame of the files.

    Args:
        paths: the files, in the order of their frames.
        use_yes_price: NO prices are in YES terms.
        max_bad_lines: how many malformed lines to skip.
        options: what the user says of the files.
        progress: called with (bytes read, bytes in all).
        scan: whether lines that are as usual are read by the compiled scanner, which changes no
            result; None: where that pays.
        threads: how many files are read at once; None: as this process has processors.

    Raises:
        DataError: a file cannot be read, or more than `max_bad_lines` lines are malformed.
    """
    options = options or ReadOptions()
    errors = _Errors(max_bad_lines)
    batches: list[Batch] = []
    lengths: list[int] = []
    notes: list[str] = []
    sources, done = _different([Source(path, options.limits) for path in paths], notes)
    segments = [source for source in sources if is_segment(source)]
    decoder = FrameDecoder(
        use_yes_price=_in_yes_terms(sources, segments, use_yes_price),
        nearest_tick=options.nearest_tick,
    )
    total = done + sum(source.size for source in sources)
    if scan is None:
        scan = pays(total)
    read = _Reading(options, scan)
    before = 0
    for source, part in read_ahead(sources, read, threads or usable_cpus()):
        if part is not None:
            batches += _decode(decoder, part, str(source.path), errors)
            if progress is not None:
                progress(done + part.read_so_far, total)
            continue
        notes += read.notes[source]
        lengths.append(sum(len(b) for b in batches[before:]))
        before = len(batches)
        done += source.size
    notes += [f"skipped malformed line: {text}" for text in errors.first]
    notes += [f"{said} ({n} frames)" for said, n in sorted(decoder.noticed.items())]
    if decoder.values.rounded:
        notes.append(f"{decoder.values.rounded} prices and sizes were rounded to the nearest tick")
    frames = concatenate(batches)
    return Recording(
        tickers=[str(t) for t in decoder.tickers],
        frames=frames,
        file_of=np.repeat(np.arange(len(sources)), lengths),
        files=[source.name for source in sources],
        polled=decoder.polled and not (frames.kind == EventKind.DELTA).any(),
        segments=len(segments) == len(sources),
        bad_lines=errors.found,
        notes=notes,
    )


def _in_yes_terms(sources: list[Source], segments: list[Source], asked: bool) -> bool:
    """Whether NO prices are in YES terms: as the user says, or the headers of all segments.

    Raises:
        DataError: they differ.
    """
    known = {header_of(source).use_yes_price for source in segments}
    if len(segments) < len(sources):
        known.add(asked)
    if len(known) > 1:
        raise DataError(
            "some of the files state NO prices in YES terms (use_yes_price) and some do not; "
            "import them as sessions of their own"
        )
    return asked or any(known)


def _different(sources: list[Source], notes: list[str]) -> tuple[list[Source], int]:
    """The sources without those that repeat another, and how many bytes those have."""
    read: list[Source] = []
    skipped = 0
    for source in sources:
        same = next((other for other in read if source.same_as(other)), None)
        if same is None:
            read.append(source)
        else:
            notes.append(f"{source.name} is the same file as {same.name}: read once")
            skipped += source.size
    return read, skipped


@dataclass(frozen=True)
class _Part:
    """A block of a file, and what the scanner read of it."""

    block: Block
    record: str
    read_so_far: int
    scanned: Scanned | None


class _Reading:
    """Gives the parts of a file; several files may be read at once."""

    def __init__(self, options: ReadOptions, scan: bool) -> None:
        self._options = options
        self._scan = scan
        self.notes: dict[Source, list[str]] = {}
        """Sentences on each file."""

    def __call__(self, source: Source) -> Iterator[_Part]:
        reader = find_reader(source, self._options)
        unread = unread_in_first(Head(source.path, source.head()).first)
        self.notes[source] = [f"{source.name}: {unread}"] if unread else []
        scanning = self._scan
        for block in reader.blocks(source, self._options):
            scanned = scan_block(block.text) if scanning else None
            if scanned is not None and len(scanned.left) > _MOSTLY * scanned.columns.shape[1]:
                scanned, scanning = None, False  # of a kind that only the decoder reads
            yield _Part(block, reader.record, source.read_so_far, scanned)


def _decode(decoder: FrameDecoder, part: _Part, name: str, errors: _Errors) -> list[Batch]:
    block = part.block
    for number, why in block.bad:
        errors.add(f"{name}, {part.record} {number}", why)
    try:
        if part.scanned is None:
            return [decoder.decode(block.text)]
        return [scanned_batch(part.scanned, decoder)]
    except MALFORMED:
        lines = [
            (f"{name}, {part.record} {block.first + i}", line)
            for i, line in enumerate(block.text.split(b"\n"))
            if line.strip()
        ]
        return _search(decoder, lines, errors)


def _search(decoder: FrameDecoder, lines: list[tuple[str, bytes]], errors: _Errors) -> list[Batch]:
    """Decode lines of which some are malformed, by halves, so that few are read alone."""
    if not lines:
        return []
    try:
        return [decoder.decode(b"\n".join(line for _, line in lines))]
    except MALFORMED as error:
        if len(lines) > 1:
            half = len(lines) // 2
            return [
                *_search(decoder, lines[:half], errors),
                *_search(decoder, lines[half:], errors),
            ]
        where, line = lines[0]
        try:
            return [decoder.decode_other(line)]
        except MALFORMED:
            errors.add(where, str(error))
            return []


def concatenate(batches: list[Batch]) -> Batch:
    """All frames of the batches, one after the other."""

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(b, name) for b in batches])

    if not batches:
        batches = [FrameDecoder().decode(b"")]
    joined: dict[str, object] = {
        "lifecycles": _flat([b.lifecycles for b in batches]),
        "other_types": _flat([b.other_types for b in batches]),
        "channels": _flat([b.channels for b in batches]),
        "controls": _flat([b.controls for b in batches]),
    }
    names = [f.name for f in fields(Batch) if f.name not in joined]
    return Batch(**{name: column(name) for name in names}, **joined)  # type: ignore[arg-type]  # by name


def _flat(parts: Sequence[tuple[object, ...]]) -> tuple[object, ...]:
    return tuple(item for part in parts for item in part)


__all__ = ["OTHER", "Progress", "Recording", "concatenate", "read_captures"]

"""Recordings to decoded frames: a reader a file, malformed records by number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

import numpy as np

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.decoding import MALFORMED, OTHER, Batch, FrameDecoder
from kalshi_sim.ingest.readers import Block, Head, ReadOptions, find_reader
from kalshi_sim.ingest.sources import Source
from kalshi_sim.ingest.unknown import unread_in_first
from kalshi_sim.session import EventKind

Progress = Callable[[int, int], None]
"""Called with (bytes read, bytes in all) of the files as they lie on disk."""

_SHOWN: Final = 5


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
) -> Recording:
    """Every frame of the files.

    Raises:
        DataError: a file cannot be read, or more than `max_bad_lines` lines are malformed.
    """
    options = options or ReadOptions()
    decoder = FrameDecoder(use_yes_price=use_yes_price, nearest_tick=options.nearest_tick)
    errors = _Errors(max_bad_lines)
    batches: list[Batch] = []
    lengths: list[int] = []
    read: list[Source] = []
    notes: list[str] = []
    sources = [Source(path, options.limits) for path in paths]
    total = sum(source.size for source in sources)
    done = 0
    for source in sources:
        same = next((other for other in read if source.same_as(other)), None)
        if same is not None:
            notes.append(f"{source.name} is the same file as {same.name}: read once")
        else:
            before = len(batches)
            reader = find_reader(source, options)
            unread = unread_in_first(Head(source.path, source.head()).first)
            notes += [f"{source.name}: {unread}"] if unread else []
            for block in reader.blocks(source, options):
                batches += _decode(decoder, block, reader.record, str(source.path), errors)
                if progress is not None:
                    progress(done + source.read_so_far, total)
            read.append(source)
            lengths.append(sum(len(b) for b in batches[before:]))
        done += source.size
    notes += [f"skipped malformed line: {text}" for text in errors.first]
    notes += [f"{said} ({n} frames)" for said, n in sorted(decoder.noticed.items())]
    if decoder.values.rounded:
        notes.append(f"{decoder.values.rounded} prices and sizes were rounded to the nearest tick")
    frames = concatenate(batches)
    return Recording(
        tickers=[str(t) for t in decoder.tickers],
        frames=frames,
        file_of=np.repeat(np.arange(len(read)), lengths),
        files=[source.name for source in read],
        polled=decoder.polled and not (frames.kind == EventKind.DELTA).any(),
        bad_lines=errors.found,
        notes=notes,
    )


def _decode(
    decoder: FrameDecoder, block: Block, record: str, name: str, errors: _Errors
) -> list[Batch]:
    for number, why in block.bad:
        errors.add(f"{name}, {record} {number}", why)
    try:
        return [decoder.decode(block.text)]
    except MALFORMED:
        lines = [
            (f"{name}, {record} {block.first + i}", line)
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

"""Recordings to decoded frames: all files of an import, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.batch import OTHER, Batch, Joined, concatenate
from kalshi_sim.ingest.file_frames import FileFrames, FileReader
from kalshi_sim.ingest.readers import ReadOptions
from kalshi_sim.ingest.readers.segments import header_of, is_segment
from kalshi_sim.ingest.scanning.scanner import pays
from kalshi_sim.ingest.sources import Source
from kalshi_sim.parallel import in_order
from kalshi_sim.session import EventKind, Int64Array
from kalshi_sim.threads import usable_cpus

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
    notes: list[str] = []
    sources, done = _different([Source(path, options.limits) for path in paths], notes)
    segments = [source for source in sources if is_segment(source)]
    total = done + sum(source.size for source in sources)
    shown = done

    def show() -> None:
        nonlocal shown
        shown = max(shown, done + sum(source.read_so_far for source in sources))
        if progress is not None:
            progress(shown, total)

    threads = threads or usable_cpus()
    joined = _Joined()
    with ExitStack() as ended:
        pool = ended.enter_context(ThreadPoolExecutor(threads)) if threads > 1 else None
        reader = FileReader(
            options,
            use_yes_price=_in_yes_terms(sources, segments, use_yes_price),
            scan=pays(total) if scan is None else scan,
            max_bad_lines=max_bad_lines,
            pool=pool,
        )
        alone = min(threads, len(sources)) == 1
        read = partial(reader.read, progress=show if alone else _nothing)
        # Closed at once on an error: its traceback would keep the threads waiting.
        found_in = in_order(sources, read, threads, waiting=show, stop=reader.stop)
        for found in ended.enter_context(closing(found_in)):
            for where, why in found.bad:
                errors.add(where, why)
            if found.failure is not None:
                raise found.failure
            notes += found.notes
            joined.add(found)
            show()
    notes += [f"skipped malformed line: {text}" for text in errors.first]
    notes += [f"{said} ({n} frames)" for said, n in sorted(joined.noticed.items())]
    if joined.rounded:
        notes.append(f"{joined.rounded} prices and sizes were rounded to the nearest tick")
    frames = joined.frames.all(usable_cpus())
    return Recording(
        tickers=list(joined.tickers),
        frames=frames,
        file_of=np.repeat(np.arange(len(sources)), joined.lengths),
        files=[source.name for source in sources],
        polled=joined.polled and not (frames.kind == EventKind.DELTA).any(),
        segments=len(segments) == len(sources),
        bad_lines=errors.found,
        notes=notes,
    )


class _Joined:
    """Files one after the other: their markets by the numbers of the import."""

    def __init__(self) -> None:
        self.frames = Joined()
        self.lengths: list[int] = []
        self.tickers: dict[str, int] = {}
        self.noticed: Counter[str] = Counter()
        self.rounded = 0
        self.polled = False

    def add(self, found: FileFrames) -> None:
        """The next file."""
        markets = [self.tickers.setdefault(name, len(self.tickers)) for name in found.tickers]
        frames = found.frames
        self.frames.add(
            replace(
                frames,
                market=_renumbered(frames.market, markets),
                lifecycles=tuple(
                    replace(life, market=[*markets, -1][life.market]) for life in frames.lifecycles
                ),
            )
        )
        self.lengths.append(len(frames))
        self.noticed.update(found.noticed)
        self.rounded += found.rounded
        self.polled |= found.polled


def _renumbered(numbers: Int64Array, new: list[int]) -> Int64Array:
    """What `new` has for each of `numbers`, -1 for -1."""
    return np.array([*new, -1], dtype=np.int64)[numbers]


def _nothing() -> None:
    """The progress of one file among several, which is not shown."""


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


__all__ = ["OTHER", "Progress", "Recording", "concatenate", "read_captures"]

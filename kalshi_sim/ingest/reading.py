"""Capture files to decoded frames: decompression, blocks of lines, malformed lines by number."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.decoding import OTHER, Batch, FrameDecoder, Lifecycle

Progress = Callable[[int, int], None]
"""Called with (bytes read, bytes in all) of the files as they lie on disk."""

_GZIP_MAGIC: Final = b"\x1f\x8b"
_BLOCK: Final = 1 << 18
"""Bytes of lines decoded at a time: enough to amortise the call, little enough for the cache."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_SHOWN: Final = 5
MALFORMED: Final = (ValueError, ArithmeticError, RecursionError, msgspec.MsgspecError)
"""What decoding a malformed line raises; arithmetic: a number beyond 64 bits."""


@dataclass
class Recording:
    """All frames of an import in file order, and what its lines were."""

    tickers: list[str]
    frames: Batch
    file_of: np.ndarray
    """int64 [n_frames]: which file a frame lies in."""
    files: list[str]
    bad_lines: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass
class _Errors:
    allowed: int
    found: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str, line: int, why: str) -> None:
        self.found += 1
        if len(self.first) < _SHOWN:
            self.first.append(f"{name}, line {line}: {why}")
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
    progress: Progress | None = None,
) -> Recording:
    """Every frame of the files.

    Raises:
        DataError: a file cannot be read, or more than `max_bad_lines` lines are malformed.
    """
    decoder = FrameDecoder(use_yes_price=use_yes_price)
    errors = _Errors(max_bad_lines)
    batches: list[Batch] = []
    lengths: list[int] = []
    files: list[str] = []
    notes: list[str] = []
    seen: dict[bytes, Path] = {}
    sizes = [_size(Path(p)) for p in paths]
    done = 0
    for path, size in zip(map(Path, paths), sizes, strict=True):
        data = _read(path)
        digest = hashlib.blake2b(data).digest()
        if digest in seen:
            notes.append(f"{path.name} is the same file as {seen[digest].name}: read once")
        else:
            seen[digest] = path
            before = len(batches)
            text = _decompress(path, data).removeprefix(_BYTE_ORDER_MARK)
            for start, stop in _blocks(text):
                batches += _decode(decoder, text, start, stop, str(path), errors)
                if progress is not None:
                    progress(done + size * stop // len(text), sum(sizes))
            files.append(path.name)
            lengths.append(sum(len(b) for b in batches[before:]))
        done += size
    notes += [f"skipped malformed line: {text}" for text in errors.first]
    return Recording(
        tickers=[str(t) for t in decoder.tickers],
        frames=_concatenate(batches),
        file_of=np.repeat(np.arange(len(files)), lengths),
        files=files,
        bad_lines=errors.found,
        notes=notes,
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; check the path") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; give capture files") from error


def _decompress(path: Path, data: bytes) -> bytes:
    if not data.startswith(_GZIP_MAGIC):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{path} is a damaged or cut-short gzip file ({error}); fetch it again, or unpack what "
            f"is left (zcat {path.name} > part.jsonl) and import that with --max-bad-lines 1"
        ) from error


def _blocks(text: bytes) -> Iterator[tuple[int, int]]:
    """Where blocks of whole lines begin and end in `text`."""
    start = 0
    while start < len(text):
        stop = text.find(b"\n", min(start + _BLOCK, len(text)))
        stop = len(text) if stop < 0 else stop + 1
        yield start, stop
        start = stop


def _decode(
    decoder: FrameDecoder, text: bytes, start: int, stop: int, name: str, errors: _Errors
) -> list[Batch]:
    block = text[start:stop]
    try:
        return [decoder.decode(block)]
    except MALFORMED:
        first = text.count(b"\n", 0, start) + 1
        lines = [(first + i, line) for i, line in enumerate(block.split(b"\n")) if line.strip()]
        return _search(decoder, lines, name, errors)


def _search(
    decoder: FrameDecoder, lines: list[tuple[int, bytes]], name: str, errors: _Errors
) -> list[Batch]:
    """Decode lines of which some are malformed, by halves, so that few are read alone."""
    if not lines:
        return []
    try:
        return [decoder.decode(b"\n".join(line for _, line in lines))]
    except MALFORMED as error:
        if len(lines) > 1:
            half = len(lines) // 2
            return [
                *_search(decoder, lines[:half], name, errors),
                *_search(decoder, lines[half:], name, errors),
            ]
        number, line = lines[0]
        try:
            return [decoder.decode_other(line)]
        except MALFORMED:
            errors.add(name, number, str(error))
            return []


def _concatenate(batches: list[Batch]) -> Batch:
    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(b, name) for b in batches])

    if not batches:
        batches = [FrameDecoder().decode(b"")]
    joined: dict[str, object] = {
        "lifecycles": _flat([b.lifecycles for b in batches]),
        "other_types": _flat([b.other_types for b in batches]),
        "channels": _flat([b.channels for b in batches]),
    }
    names = [f.name for f in fields(Batch) if f.name not in joined]
    return Batch(**{name: column(name) for name in names}, **joined)  # type: ignore[arg-type]  # by name


def _flat(parts: Sequence[tuple[Lifecycle, ...] | tuple[str, ...]]) -> tuple[object, ...]:
    return tuple(item for part in parts for item in part)


__all__ = ["OTHER", "Progress", "Recording", "read_captures"]

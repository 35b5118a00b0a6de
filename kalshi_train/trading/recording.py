"""The recording of a run, as the run knew it: without the account's own orders in its books."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from kalshi_sim.ingest.segments import HEAD, MARKER, SUM, Header, run_of, segments_in
from kalshi_sim.live.orders.own_frames import Levels, cleaned

SEGMENTS: Final = "segments"
_SUM: Final = b'"marker":"%b"' % SUM.encode()


def segments_of(run: Path, start: dict[str, Any]) -> list[Path]:
    """The segments of one leg of a run, in order.

    Args:
        run: its folder.
        start: the line that the leg began with.
    """
    folder = run / SEGMENTS
    found = segments_in(folder) if folder.is_dir() else []
    if "segments" not in start:
        return found
    return [path for path in found if run_of(path) == start["segments"]]


def sends_orders(start: dict[str, Any]) -> bool:
    """Whether the leg that began with this line sent orders."""
    return bool(start.get("orders", "paper") != "paper")


def taken_out(lines: list[dict[str, Any]]) -> dict[int, Levels]:
    """Own orders that were taken out of snapshots, by the number of the frame.

    Args:
        lines: of a leg.
    """
    return {line["n"]: line["levels"] for line in lines if line["t"] == "cleaned"}


def lines_of(path: Path) -> list[bytes]:
    """The lines of a segment, as far as it is whole.

    Args:
        path: of the segment.
    """
    parts: list[bytes] = []
    with gzip.open(path) as file:
        try:
            while part := file.read1():
                parts.append(part)
        except EOFError:  # of a run that was killed
            pass
    whole = b"".join(parts)
    return whole[: whole.rfind(b"\n") + 1].splitlines(keepends=True)


@contextmanager
def recording_of(run: Path, lines: list[dict[str, Any]]) -> Iterator[list[Path]]:
    """The segments of a leg as it knew them.

    Args:
        run: its folder.
        lines: of the leg.

    Yields:
        Their paths; of a leg that sent orders, copies that last as long as the block.
    """
    segments = segments_of(run, lines[0])
    if not sends_orders(lines[0]):
        yield segments
        return
    with tempfile.TemporaryDirectory(prefix="kalshi-trade-") as folder:
        recorded = (line for path in segments for line in lines_of(path))
        known = (after for _, after in cleaned(recorded, taken_out(lines)))
        yield [write_segment(Path(folder) / segments[0].name, known)] if segments else []


def write_segment(path: Path, lines: Iterator[bytes]) -> Path:
    """A segment of lines that were changed, so without their checksums.

    Args:
        path: of the file.
        lines: of segments of one leg; the first header stays.

    Returns:
        Its path.
    """
    begun = False
    with gzip.open(path, "wb", compresslevel=1) as out:
        for line in lines:
            if line.startswith(HEAD):
                if not begun:
                    header = msgspec.structs.replace(
                        msgspec.json.decode(line, type=Header), sums=False
                    )
                    out.write(msgspec.json.encode(header) + b"\n")
                begun = True
            elif not (line.startswith(MARKER) and _SUM in line):
                out.write(line)
    return path

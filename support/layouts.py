"""The files that a recording may lie in."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from support.captures import Line, Recording

LAYOUTS: Final = (
    "one",
    "market",
    "channel",
    "type",
    "socket",
    "cut",
    "overlap",
    "market and cut",
    "market and overlap",
    "contained",
    "socket and cut",
)


def files_of(recording: Recording, layout: str, draw: random.Random) -> list[list[Line]]:
    """The frames in files, in any order."""
    files = [part for part in _parts(recording, layout, draw) if part]
    draw.shuffle(files)
    return files


def texts_of(recording: Recording, layout: str, draw: random.Random) -> list[list[str]]:
    """The lines of `files_of` as they were written."""
    return [[line.text for line in part] for part in files_of(recording, layout, draw)]


def _parts(recording: Recording, layout: str, draw: random.Random) -> Iterator[list[Line]]:
    lines = recording.lines
    if layout.startswith("market"):
        rest = layout.removeprefix("market").removeprefix(" and ") or "one"
        for market in recording.markets:
            yield from _rotated([x for x in lines if x.market == market], rest, draw)
        yield [x for x in lines if x.market is None]
    elif layout == "channel":
        yield [x for x in lines if x.kind != "trade"]
        yield [x for x in lines if x.kind == "trade"]
    elif layout == "type":
        for kind in dict.fromkeys(x.kind for x in lines):
            yield [x for x in lines if x.kind == kind]
    elif layout.startswith("socket"):
        rest = layout.removeprefix("socket").removeprefix(" and ") or "one"
        for socket in recording.sockets:
            yield from _rotated([x for x in lines if x.socket == socket.number], rest, draw)
    else:
        yield from _rotated(lines, layout, draw)


def _rotated(lines: list[Line], layout: str, draw: random.Random) -> Iterator[list[Line]]:
    """Lines in files one after the other, that may overlap."""
    n = len(lines)
    if layout == "one" or n < 2:
        yield lines
        return
    if layout == "contained":
        start = draw.randrange(n)
        yield lines
        yield lines[start : draw.randint(start + 1, n)]
        return
    cuts = sorted(draw.sample(range(1, n), min(draw.randint(1, 3), n - 1)))
    for start, stop in zip([0, *cuts], [*cuts, n], strict=True):
        extra = draw.randint(0, 8) if layout == "overlap" else 0
        yield lines[start : min(stop + extra, n)]

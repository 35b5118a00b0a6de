"""Frames in an envelope that the user describes: `--envelope FIELD[=recv:FIELD]`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from kalshi_sim.errors import ConfigError
from kalshi_sim.ingest.readers.protocol import Block, Head, ReadOptions, convert_lines, json_object
from kalshi_sim.ingest.sources import Source
from kalshi_sim.ingest.wire_time import time_of_any_unit

_ITSELF: Final = "."
"""The field that means: the line is the frame."""


class EnvelopeReader:
    """Takes the frame, as an object or as JSON text, and the receive time out of named fields."""

    name = "envelope"
    record = "line"

    def knows(self, head: Head) -> bool:
        """None: only `--envelope` chooses it."""
        return False

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Block]:
        """The file's lines, in the known envelope; lines without the field stay as they are.

        Args:
            source: the text file.
            options: `envelope` names the fields of the frame and of its time of receipt.
        """
        frame_path, time_path = _parsed(options.envelope)

        def convert(line: bytes) -> bytes:
            outer = json_object(line)
            frame = outer if frame_path == [_ITSELF] else _at(outer, frame_path)
            if frame is None:
                return line
            out: dict[str, Any] = {"raw": frame}
            out |= {k: outer[k] for k in ("market_ticker", "ticker") if k in outer}
            if time_path:
                value = _at(outer, time_path)
                if not isinstance(value, str | int | float):
                    raise ValueError(f"the receive time {'.'.join(time_path)!r} is missing")
                out["recv_ts_ms"] = time_of_any_unit(value)[0]
            return msgspec.json.encode(out)

        yield from convert_lines(source, convert)


def _parsed(text: str | None) -> tuple[list[str], list[str]]:
    """The paths of the frame and of the receive time (empty: none).

    Raises:
        ConfigError: not FIELD[=recv:FIELD].
    """
    frame, equals, received = (text or "").partition("=")
    key, colon, time = received.partition(":")
    if not frame or (equals and (key != "recv" or not colon or not time)):
        raise ConfigError(
            f"--envelope {text}: write FIELD or FIELD=recv:FIELD, for example "
            "--envelope data=recv:ts_recv (data.frame for a field of a field, . for the line)"
        )
    path = [_ITSELF] if frame == _ITSELF else frame.split(".")
    return path, time.split(".") if time else []


def _at(outer: Any, path: list[str]) -> Any:
    """The value at a path of fields, None if it is not there."""
    for name in path:
        if not isinstance(outer, dict):
            return None
        outer = outer.get(name)
    return outer

"""Event logs: an event a line, the frame as JSON text in its field `payload_json`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from kalshi_sim.ingest.readers.protocol import (
    Block,
    Head,
    ReadOptions,
    convert_lines,
    json_object,
    receive_time,
)
from kalshi_sim.ingest.sources import Source


class EventLogReader:
    """Opens `payload_json`; the event's own time is when the frame was received."""

    name = "event-log"
    record = "line"

    def knows(self, head: Head) -> bool:
        """By the field `payload_json`."""
        return "payload_json" in head.first

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Block]:
        """The file's lines, in the known envelope; other events as frames that are counted.

        Args:
            source: the text file.
            options: not used.
        """
        yield from convert_lines(source, _convert)


def _convert(line: bytes) -> bytes:
    event = json_object(line)
    payload = event.get("payload_json")
    if isinstance(payload, str):
        if not payload.lstrip().startswith("{"):
            payload = None
        elif "\n" in payload:
            payload = json_object(payload.encode())
    if not isinstance(payload, str | dict):
        return msgspec.json.encode({"type": str(event.get("event_type") or "event")})
    out: dict[str, Any] = {"raw": payload, **receive_time(event)}
    out |= {k: event[k] for k in ("market_ticker", "ticker") if isinstance(event.get(k), str)}
    return msgspec.json.encode(out)

"""The format of segments: what `kalshi-sim record` writes, and what an import reads of it.

A segment is JSON lines in gzip. Its first line is a header; every other line is a frame as it was
received, a command that was sent, or a marker of the recorder. A line of a frame is its envelope
around the frame's own bytes, so that a frame is written before anybody has parsed it; one that is
no text in braces on one line is written as a JSON string (`text`) or in base64 (`base64`).
"""

from __future__ import annotations

import base64
import re
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

VERSION: Final = 1
SUFFIX: Final = ".jsonl.gz"
HEAD: Final = b'{"kalshi_sim_segment":'
"""How every segment begins."""
FRAME: Final = b'{"recv_ts_ns":'
COMMAND: Final = b'{"sent_ts_ns":'
MARKER: Final = b'{"marked_ts_ns":'
"""How its other lines begin."""
SUM: Final = "sum"
"""The marker that has a checksum (`kalshi_sim.ingest.segment_sums`)."""
_ENDS: Final = ("rotate", "stop", "disk-full")
"""The markers one of which is a segment's last line but for a checksum."""
_RAW: Final = b',"raw":'
_CONNECTIONS: Final = 1_000_000
"""Connections of a run before their numbers meet those of the next."""
_SIDS: Final = 100_000
"""Subscriptions of a connection before their numbers meet those of the next."""
LISTED: Final = ("ticker", "event_ticker", "close_time", "price_level_structure", "price_ranges")
"""What a `market` marker keeps of the exchange's list of markets."""
_LISTED_GRID: Final = LISTED[-2:]
_SID: Final = re.compile(rb'"sid"\s*:\s*(\d+)')
_NAME: Final = re.compile(r"segment-(\d{4,})-(\d{6,})-\d{8}T\d{6}Z\.jsonl\.gz")
_ENCODE: Final = msgspec.json.Encoder()


class Header(msgspec.Struct, kw_only=True):
    """The first line of a segment."""

    kalshi_sim_segment: int = VERSION
    run: int
    """The run of the recorder in this folder, from 1."""
    number: int
    """The segment of the run, from 1."""
    began_ns: int
    """Wall clock at its beginning, ns since 1970 UTC."""
    url: str
    """Address of the WebSocket."""
    use_yes_price: bool
    """Whether order books were subscribed with `use_yes_price`."""
    channels: list[str] = []
    replay: bool = False
    """Whether a local exchange replayed a session: its frames state the session's times, and when
    they were received means nothing."""
    sums: bool = False
    """Whether markers have checksums of the lines before them; older recorders wrote none."""
    version: str = ""
    """Of kalshi-sim."""
    libraries: dict[str, str] = {}


def segment_name(run: int, number: int, began: str) -> str:
    """The file name of a segment.

    Args:
        run: number of the run.
        number: number of the segment in its run.
        began: its beginning in UTC as YYYYMMDDTHHMMSSZ.
    """
    return f"segment-{run:04d}-{number:06d}-{began}{SUFFIX}"


def segments_in(folder: Path) -> list[Path]:
    """The segments of a folder in the order they were written."""
    found = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return [path for _, _, path in sorted((int(m[1]), int(m[2]), p) for m, p in found if m)]


def run_of(path: Path) -> int:
    """The run that wrote a segment, from its name; 0 for another file."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else 0


def connection_number(run: int, nth: int) -> int:
    """A connection's number in a recording.

    Args:
        run: number of the run.
        nth: the connection within the run, from 1.
    """
    return run * _CONNECTIONS + nth % _CONNECTIONS


def sid_of(connection: int, sid: int) -> int:
    """A subscription's number in a session: unlike on the wire, one of all connections.

    Args:
        connection: number of the connection.
        sid: the exchange's number of the subscription on it.
    """
    return connection * _SIDS + sid % _SIDS


FIRST_SID: Final = _CONNECTIONS * _SIDS
"""Subscriptions of segments have numbers from here on, which no two sockets share."""


def frame_line(wall_ns: int, mono_ns: int, connection: int, frame: bytes) -> bytes:
    """The line of a frame, its line end included.

    Args:
        wall_ns: when it was received, wall clock.
        mono_ns: the same on the monotonic clock.
        connection: number of the connection it came on.
        frame: as received.
    """
    if frame[:1] == b"{" and frame[-1:] == b"}" and b"\n" not in frame and b"\r" not in frame:
        return b'{"recv_ts_ns":%d,"mono_ns":%d,"connection":%d,"raw":%b}\n' % (
            wall_ns,
            mono_ns,
            connection,
            frame,
        )
    try:
        key, text = b"text", frame.decode()
    except UnicodeDecodeError:
        key, text = b"base64", base64.b64encode(frame).decode()
    return b'{"recv_ts_ns":%d,"mono_ns":%d,"connection":%d,"%b":%b}\n' % (
        wall_ns,
        mono_ns,
        connection,
        key,
        _ENCODE.encode(text),
    )


def command_line(wall_ns: int, mono_ns: int, connection: int, command: bytes) -> bytes:
    """The line of a command that was sent, its line end included.

    Args:
        wall_ns: when it was sent, wall clock.
        mono_ns: the same on the monotonic clock.
        connection: number of the connection it was sent on.
        command: its JSON.
    """
    return b'{"sent_ts_ns":%d,"mono_ns":%d,"connection":%d,"command":%b}\n' % (
        wall_ns,
        mono_ns,
        connection,
        command,
    )


def marker_line(wall_ns: int, mono_ns: int, connection: int, name: str, **what: Any) -> bytes:
    """The line of a marker, its line end included.

    Args:
        wall_ns: when it was made, wall clock.
        mono_ns: the same on the monotonic clock.
        connection: number of the connection it is about; 0 for none.
        name: open, close, end (of a subscription), market (as listed), gap, drop, refused,
            clock-jump, audit, sum, rotate, stop, disk-full.
        what: anything else there is to say.
    """
    return b'{"marked_ts_ns":%d,"mono_ns":%d,"connection":%d,"marker":%b,"what":%b}\n' % (
        wall_ns,
        mono_ns,
        connection,
        _ENCODE.encode(name),
        _ENCODE.encode(what),
    )


def frame_of(line: bytes) -> bytes | None:
    """The frame of a line as it was received; None for any other line.

    Raises:
        ValueError: the line is none of a segment.
    """
    if not line.startswith(FRAME):
        return None
    line = line.rstrip(b"\n")
    at = line.find(_RAW)
    if at >= 0 and line.endswith(b"}"):
        return line[at + len(_RAW) : -1]
    outer = msgspec.json.decode(line)
    if isinstance(outer.get("text"), str):
        text: str = outer["text"]
        return text.encode()
    return base64.b64decode(outer["base64"])


class Converter:
    """Lines of one segment as frames of the wire, subscriptions numbered over all connections."""

    def __init__(self, *, replay: bool = False) -> None:
        """Have read nothing yet.

        Args:
            replay: as the segment's header states it.
        """
        self._replay = replay
        self._open: set[int] = set()
        self._latest_ns = 0
        self.closed = False
        """Whether the segment was closed in order (its last line says so)."""
        self.ended = False
        """Whether its recorder ended it, in order or as the disk was full."""

    def __call__(self, line: bytes) -> bytes:
        """One line as a line of frames; markers and commands as frames of a type that is counted.

        Raises:
            ValueError: the line is none of a segment.
        """
        if line.startswith(FRAME):
            return self._frame(line)
        if line.startswith(MARKER):
            return self._marker(line)
        if line.startswith(COMMAND):
            return b'{"type":"sent command"}'
        if line.startswith(HEAD):
            return b""
        raise ValueError("no line of a segment")

    def _frame(self, line: bytes) -> bytes:
        at = line.find(_RAW)
        if at < 0:
            frame = frame_of(line)
            if frame is None or not is_object(frame):
                return b'{"type":"refused frame"}'
            outer = msgspec.json.decode(line)
            line = b'{"recv_ts_ns":%d,"connection":%d,"raw":%b}' % (
                outer["recv_ts_ns"],
                outer["connection"],
                msgspec.json.encode(msgspec.json.decode(frame)),
            )
            at = line.find(_RAW)
        head = line[:at]
        connection = int(head[head.rfind(b":") + 1 :])
        self._latest_ns = int(head[len(FRAME) : head.find(b",")])

        def renumbered(found: re.Match[bytes]) -> bytes:
            sid = sid_of(connection, int(found[1]))
            self._open.add(sid)
            return b'"sid":%d' % sid

        frame = _SID.sub(renumbered, line[at:])
        return b"{" + frame[1:] if self._replay else head + frame

    def _marker(self, line: bytes) -> bytes:
        marker = msgspec.json.decode(line)
        name, what = marker["marker"], marker["what"]
        if name == SUM:
            return b""
        self.ended |= name in _ENDS
        if name in ("rotate", "stop"):
            self.closed = True
        if name == "end":
            sid = sid_of(marker["connection"], what["sid"])
            self._open.discard(sid)
            return self._ended(sid, marker["marked_ts_ns"])
        if name == "market":
            return self._listed(what, marker["marked_ts_ns"])
        return msgspec.json.encode({"type": f"recorder {name}"})

    def ends(self) -> list[bytes]:
        """Ends of the subscriptions that were open where a segment was cut short."""
        if self.closed:
            return []
        return [self._ended(sid, self._latest_ns) for sid in sorted(self._open)]

    def _listed(self, market: dict[str, Any], wall_ns: int) -> bytes:
        """What the exchange's list said of a market, as the change of its life that says it."""
        message: dict[str, Any] = {
            "market_ticker": market["ticker"],
            "event_type": "created",
            **{key: market[key] for key in _LISTED_GRID if market.get(key)},
        }
        if market.get("close_time"):
            message["close_ts"] = datetime.fromisoformat(market["close_time"]).timestamp()
        frame = {"raw": {"type": "market_lifecycle_v2", "msg": message}}
        return msgspec.json.encode(frame if self._replay else {"recv_ts_ns": wall_ns, **frame})

    def _ended(self, sid: int, wall_ns: int) -> bytes:
        if self._replay:
            return b'{"raw":{"type":"unsubscribed","sid":%d}}' % sid
        return b'{"recv_ts_ns":%d,"raw":{"type":"unsubscribed","sid":%d}}' % (wall_ns, sid)


class _Object(msgspec.Struct):
    """Any JSON object."""


OBJECT: Final = msgspec.json.Decoder(_Object)
"""Knows what is one JSON object from anything else, and reads nothing of it."""


def is_object(text: bytes) -> bool:
    """Whether a text is one JSON object."""
    try:
        OBJECT.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True


def is_line(text: bytes) -> bool:
    """Whether a text is a whole line of a segment, without its line end."""
    return text.startswith((FRAME, COMMAND, MARKER, HEAD)) and is_object(text)


def refused(line: bytes) -> bool:
    """Whether a line of a frame holds something that is no JSON, as the exchange never sends."""
    return line.startswith(FRAME) and not is_object(line)

"""Faults on demand: what networks and exchanges do wrong, from a script or a control endpoint.

A fault waits for its turn and happens `count` times. A script is a JSON list of faults:

    [{"fault": "skip_seq", "channel": "orderbook_delta", "after": 200},
     {"fault": "http", "status": 503, "path": "/markets", "count": 3}]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.live.interface import CHANNELS, MAX_MESSAGE_BYTES, ErrorCode

FRAME_FAULTS: Final = {
    "skip_seq": "a frame is lost: its number is used, but nothing is sent",
    "repeat_seq": "a frame is sent twice",
    "reorder_seq": "a frame is sent after the one that follows it",
    "error_10": "the subscription ends with the error of its channel",
    "error_25": "the subscription ends as its buffer overflows",
    "big_frame": "a frame is padded with white space to `bytes`",
    "silence": "nothing at all is sent for `seconds`; what would be is lost",
    "half_close": "the server closes its half of the socket, without a close frame",
    "abort": "the connection breaks without a close frame",
    "close": "the connection is closed in order",
    "maintenance": "all connections are closed with code 1013, and for `seconds` handshakes and "
    "calls are answered with 503",
}
"""Faults that come with a frame of a channel, after `after` frames of it."""
COMMAND_FAULTS: Final = {"ignore_subscribe": "a `subscribe` is never answered"}
REFUSALS: Final = {"refuse_command": "a command is answered with the error `code` and does nothing"}
REST_FAULTS: Final = {
    "http": "a call is answered with `status` and does nothing",
    "fill_before_order": "the answer to an order comes `seconds` after its fills",
}
LASTING_FAULTS: Final = {
    "stop_pongs": "pings of clients are not answered for `seconds`, nor are pings sent",
    "clock_skew": "the server's clock is off by `ms` from now on",
}
"""Faults that begin at once."""
FAULTS: Final = {**FRAME_FAULTS, **COMMAND_FAULTS, **REFUSALS, **REST_FAULTS, **LASTING_FAULTS}


class Fault(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One fault, as scripts and the control endpoint state it."""

    fault: str
    """One of FAULTS."""
    channel: str | None = None
    """Frames of this channel alone; None: of any."""
    after: int = 0
    """So many frames, commands or calls pass first."""
    count: int = 1
    """How often it happens."""
    seconds: float = 1.0
    status: int = 503
    """Of `http`: 404 (as just after `created`), 429 or 500 to 599."""
    code: int = int(ErrorCode.TOO_MANY_REQUESTS)
    """Of `refuse_command`: of the WebSocket API's errors."""
    path: str = ""
    """Of `http`: calls whose path holds this text."""
    ms: int = 0
    """Of `clock_skew`."""
    bytes: int = MAX_MESSAGE_BYTES
    """Of `big_frame`."""

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(f"no fault {self.fault!r}; there are {', '.join(FAULTS)}")
        if self.channel is not None and self.channel not in CHANNELS:
            raise ValueError(f"no channel {self.channel!r}; there are {', '.join(CHANNELS)}")
        if not (self.status in (404, 429) or 500 <= self.status <= 599):
            raise ValueError(f"status {self.status}: allowed are 404, 429 and 500 to 599")
        if self.code not in set(ErrorCode):
            raise ValueError(f"code {self.code}: the interface has no such error")
        if self.after < 0 or self.count < 1 or not 0 <= self.seconds <= 86_400:
            raise ValueError("after must be 0 or more, count 1 or more, seconds 0 to 86400")
        if not 1 <= self.bytes <= 2 * MAX_MESSAGE_BYTES:
            raise ValueError(f"bytes {self.bytes}: allowed are 1 to {2 * MAX_MESSAGE_BYTES}")


@dataclass(frozen=True)
class Happened:
    """A fault that has happened."""

    fault: str
    at: dict[str, Any]
    """Where: connection, sid and seq, or the call."""


class Faults:
    """Faults that wait for their turn, and those that have happened."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []
        self.happened: list[Happened] = []
        self.skew_ms = 0
        self.pongs_stopped_until = 0.0
        """Time of the event loop."""
        self.away_until = 0.0
        """Until then nobody is let in (time of the event loop)."""

    def add(self, fault: Fault, now: float) -> None:
        """Let a fault wait, or begin.

        Args:
            fault: it.
            now: time of the event loop.
        """
        if fault.fault == "clock_skew":
            self.skew_ms = fault.ms
        elif fault.fault == "stop_pongs":
            self.pongs_stopped_until = now + fault.seconds
        else:
            self.waiting.append(msgspec.structs.replace(fault))
            return
        self.happened.append(Happened(fault.fault, {}))

    def take(
        self, kinds: dict[str, str], where: dict[str, Any], *, channel: str = "", path: str = ""
    ) -> Fault | None:
        """The fault that happens now; None: none.

        Args:
            kinds: faults of which kinds.
            where: what to note of it.
            channel: of the frame.
            path: of the call.
        """
        chosen = None
        for fault in self.waiting:
            if fault.fault not in kinds or fault.channel not in (None, channel):
                continue
            if fault.path not in path:
                continue
            if fault.after > 0:
                fault.after -= 1
            elif chosen is None:
                chosen = fault
        if chosen is None:
            return None
        chosen.count -= 1
        if chosen.count == 0:
            self.waiting.remove(chosen)
        self.happened.append(Happened(chosen.fault, where))
        return chosen


def read_faults(data: bytes, source: str) -> list[Fault]:
    """The faults that JSON holds: one, or a list of them.

    Args:
        data: the text.
        source: where it came from, for messages.

    Raises:
        DataError: it is none.
    """
    try:
        return msgspec.json.decode(data, type=list[Fault])
    except msgspec.MsgspecError as error:
        if not data.lstrip().startswith(b"{"):
            raise DataError(f"{source}: {error}") from error
    try:
        return [msgspec.json.decode(data, type=Fault)]
    except msgspec.MsgspecError as error:
        raise DataError(f"{source}: {error}") from error


def load_faults(path: Path) -> list[Fault]:
    """The faults of a script.

    Raises:
        ConfigError: the file cannot be read.
        DataError: it holds something else.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    return read_faults(data, str(path))

"""What a recorder is to do, and the key it does it with."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from kalshi_sim.live import interface as names
from kalshi_sim.live.keys import PrivateKey, request_headers
from kalshi_sim.live.recorder.discovery import SignedHeaders
from kalshi_sim.live.recorder.selection import Selection
from kalshi_sim.live.recorder.subscriber import Timing

_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True)
class Credentials:
    """Names a key; the key itself is in no message and in no `repr`."""

    key_id: str = field(repr=False)
    key: PrivateKey = field(repr=False)


@dataclass(frozen=True)
class RecorderOptions:
    """What to record, from where, and how carefully."""

    websocket: str
    """Address of the exchange's WebSocket: scheme, host, port."""
    rest: str
    selection: Selection
    market_channels: tuple[str, ...] = (names.ORDERBOOK.name, names.TRADE.name)
    other_channels: tuple[str, ...] = (names.LIFECYCLE.name,)
    index_ids: tuple[str, ...] = ()
    use_yes_price: bool = False
    markets_per_connection: int = 500
    discover_every_s: float = 60.0
    audit_every_s: float = 300.0
    """0: never."""
    timing: Timing = field(default_factory=Timing)


def signer(credentials: Credentials | None) -> SignedHeaders:
    """What signs requests; no headers where there is no key.

    Args:
        credentials: the key, or None.

    Returns:
        A function of (method, path below the root of the API, or the WebSocket's path).
    """

    def signed(method: str, path: str) -> dict[str, str]:
        if credentials is None:
            return {}
        whole = path if path.startswith(names.WS_PATH) else names.REST_ROOT + path
        now_ms = time.time_ns() // _NS_PER_MS
        return request_headers(credentials.key_id, credentials.key, method, whole, now_ms)

    return signed

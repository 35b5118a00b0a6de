"""The only places orders are sent to: the exchange's demo environment, and this machine.

Everything that sends an order asks here where to. What is allowed is listed as it is written, and
nothing is read generously: another spelling of a listed name is refused like any other name.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

from kalshi_sim.errors import ConfigError
from kalshi_sim.live.interface import DEMO, REST_ROOT
from kalshi_sim.text import printable

DEMO_HOSTS: Final = (DEMO.rest.removeprefix("https://"), "demo-api.kalshi.co")
LOOPBACK: Final = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "[::1]": "::1"}
"""Names of this machine, and the address each stands for: none is looked up."""
HTTPS_PORT: Final = 443
_LOCAL: Final = re.compile(
    rf"http://(127\.0\.0\.1|localhost|\[::1\]):([1-9][0-9]{{0,4}})({re.escape(REST_ROOT)})?"
)
_MAX_PORT: Final = 65_535


@dataclass(frozen=True)
class OrderPlace:
    """Where orders go; `order_place` alone makes one."""

    root: str
    """Scheme, host and port."""
    host: str
    port: int
    demo: bool
    """The exchange's demo environment; else a local exchange."""

    @property
    def kind(self) -> str:
        """demo or local."""
        return "demo" if self.demo else "local"


def order_place(address: str) -> OrderPlace:
    """The place that an address names, if orders may be sent there.

    Args:
        address: `demo`, the root of the demo environment's REST interface, or that of a local
            exchange (http://127.0.0.1:8765).

    Returns:
        The place.

    Raises:
        ConfigError: it is any other place, or written in any other way.
    """
    named = DEMO.rest if address == "demo" else address
    for host in DEMO_HOSTS:
        if named in (f"https://{host}", f"https://{host}{REST_ROOT}"):
            return OrderPlace(f"https://{host}", host, HTTPS_PORT, demo=True)
    local = _LOCAL.fullmatch(named)
    if local is not None and int(local[2]) <= _MAX_PORT:
        host, port = local[1], int(local[2])
        return OrderPlace(f"http://{host}:{port}", host.strip("[]"), port, demo=False)
    raise ConfigError(
        f"orders are not sent to {printable(address, 100)}: only to demo (https://{DEMO_HOSTS[0]}) "
        "and to a local exchange (http://127.0.0.1:8765), written like that"
    )


class OnePlace(AbstractResolver):
    """Gives the addresses of one place, looked up once, and refuses to look up any other."""

    def __init__(self, place: OrderPlace) -> None:
        """Nothing is looked up yet.

        Args:
            place: the only one there is.
        """
        self._place = place
        self._found: list[ResolveResult] | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of the place.

        Args:
            host: must be the place's.
            port: must be the place's.
            family: is passed over; of this machine each name has one address.

        Returns:
            Its addresses, the same ones every time.

        Raises:
            ConfigError: another host or port is asked for.
        """
        if host != self._place.host or port != self._place.port:
            raise ConfigError(f"orders go to {self._place.root} alone, not to {printable(host)}")
        if self._found is None:
            self._found = await self._addresses(host, port)
        return self._found

    async def _addresses(self, host: str, port: int) -> list[ResolveResult]:
        if not self._place.demo:
            address = LOOPBACK.get(host, LOOPBACK.get(f"[{host}]", ""))
            kind = socket.AF_INET6 if ":" in address else socket.AF_INET
            return [_result(host, address, port, kind)]
        from aiohttp.resolver import ThreadedResolver

        return list(await ThreadedResolver().resolve(host, port, socket.AF_UNSPEC))

    async def close(self) -> None:
        """There is nothing to close."""


def _result(host: str, address: str, port: int, family: Any) -> ResolveResult:
    return {
        "hostname": host,
        "host": address,
        "port": port,
        "family": family,
        "proto": 0,
        "flags": socket.AI_NUMERICHOST,
    }

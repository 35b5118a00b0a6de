"""The page of a run served on this machine, by a process of its own beside the trading.

It reads what the run writes into its folder and nothing else, so that decisions never wait
for it. It ends when its standard input does, which is when the run ends or dies, and leaves the
whole page in the run's folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kalshi_sim.errors import ConfigError, KalshiSimError
from kalshi_sim.live.loopback import Answer, Loopback
from kalshi_train.report.html import shown
from kalshi_train.report.trading.page import PAGE_NAME, make_page, security_policy, write_page
from kalshi_train.report.trading.so_far import RunSoFar

_READ_S: Final = 0.5
_WRITE_S: Final = 5.0
_SHARE: Final = 20
"""Writing the page takes at most one part in so many of the time."""
_WATCHED_S: Final = 4.0
"""Who asked within so long is looking."""
_LAST_S: Final = 2.0
"""At the end whoever is looking can ask once more for so long."""
_NICE: Final = 19


class PageServer:
    """Reads a run, answers a browser and writes the page."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet.

        Args:
            folder: of the run.
        """
        self.run = RunSoFar(folder)
        self._asked = 0.0

    def answers(self) -> dict[str, Answer]:
        """What answers, by path."""
        return {"/": self._page, "/figures": self._figures, "/rows": self._rows}

    def _page(self, query: Mapping[str, str]) -> tuple[str, str]:
        return "text/html", make_page(self.run, served=True)

    def _figures(self, query: Mapping[str, str]) -> tuple[str, str]:
        self._asked = time.monotonic()
        return _json(self.run.figures() | {"served": True})

    def _rows(self, query: Mapping[str, str]) -> tuple[str, str]:
        try:
            market, begin = (int(query[name]) for name in ("market", "from"))
        except (KeyError, ValueError):
            raise ConfigError("ask for /rows?market=0&from=0") from None
        return _json(self.run.blocks(market, begin))

    async def work(self, ended: asyncio.Event) -> None:
        """Read and write until the run has ended.

        Args:
            ended: set when it has.
        """
        written, pause = time.monotonic(), _WRITE_S
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _READ_S)
            self.run.read()
            if time.monotonic() - written >= pause and not ended.is_set():
                before = time.monotonic()
                await asyncio.to_thread(self._write)
                written = time.monotonic()
                pause = max(_WRITE_S, _SHARE * (written - before))
        self._write()
        if time.monotonic() - self._asked < _WATCHED_S:
            await asyncio.sleep(_LAST_S)

    def _write(self) -> None:
        if self.run.start is not None:
            write_page(self.run, self.run.folder / PAGE_NAME)


def _json(value: Any) -> tuple[str, str]:
    text = json.dumps(shown(value), allow_nan=False, separators=(",", ":"))
    return "application/json", text


async def _serve(folder: Path, listening: socket.socket) -> None:
    server = PageServer(folder)
    policy = f"{security_policy(served=True)}; frame-ancestors 'none'"
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    async with Loopback(listening, server.answers(), {"Content-Security-Policy": policy}):
        await server.work(ended)


def main() -> int:
    """The process: serves the run in the folder it is given, on the socket it is given."""
    folder, handle = Path(sys.argv[1]), int(sys.argv[2])
    os.nice(_NICE)
    try:
        asyncio.run(_serve(folder, socket.socket(fileno=handle)))
    except KalshiSimError as error:
        print(f"the page: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

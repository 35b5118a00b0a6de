"""What a recorder shows while it works, written by a thread of its own.

A terminal that is held (Ctrl-S), or a pipe that nobody reads, stops whoever writes to it. Here that
is never the recorder: what has no room is not shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from kalshi_sim.live.recorder.status import Status, as_json, plain_line, rows
from kalshi_sim.text import json_text, printable

_WAITING: Final = 1_000
"""Texts that may wait to be written."""
_TABLE_S: Final = 1.0
_END_S: Final = 2.0
"""At the end what waits is written at most so long."""


class Output:
    """Lines, and a table on a terminal; nothing here waits for who reads it."""

    def __init__(self) -> None:
        """Write nothing yet."""
        self._work: queue.Queue[Callable[[], None] | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._write, name="output", daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """A line for a log, with the time.

        Args:
            text: the sentence.
        """
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._put(lambda: print(f"{stamp} {printable(text)}", file=sys.stderr, flush=True))

    async def show(self, status: Callable[[], Status], every_s: float, *, json: bool) -> None:
        """Show the status now and then: JSON lines, a table on a terminal, else lines.

        Args:
            status: gives the status.
            every_s: seconds between lines; a table is made anew each second.
            json: write JSON lines.
        """
        while json:
            await asyncio.sleep(every_s)
            self._json_line(as_json(status()))
        await self.keep(lambda: plain_line(status()), lambda: _table(status()), every_s)

    async def keep(self, line: Callable[[], str], table: Callable[[], Any], every_s: float) -> None:
        """Show something again and again: a table on a terminal, else lines.

        Args:
            line: gives a line.
            table: gives a table of rich.
            every_s: seconds between lines; a table is made anew each second.
        """
        while not sys.stderr.isatty():
            await asyncio.sleep(every_s)
            self.say(line())
        from rich.console import Console
        from rich.live import Live

        live = Live(console=Console(stderr=True), auto_refresh=False)
        self._put(live.start)
        try:
            while True:
                self._put(partial(live.update, table(), refresh=True))
                await asyncio.sleep(_TABLE_S)
        finally:
            self._put(live.stop)

    def close(self) -> None:
        """Write what waits, unless nobody takes it."""
        with contextlib.suppress(queue.Full):
            if self._thread.is_alive():
                self._work.put(None, timeout=_END_S)
        self._thread.join(_END_S)

    def _json_line(self, value: Any) -> None:
        self._put(lambda: print_json(value, indent=0))

    def _put(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(queue.Full):
            self._work.put_nowait(work)

    def _write(self) -> None:
        while (work := self._work.get()) is not None:
            with contextlib.suppress(OSError):  # nobody reads any more
                work()


def print_json(value: Any, indent: int = 2) -> None:
    """Print JSON on standard output.

    Args:
        value: what msgspec can encode.
        indent: 0: on one line.
    """
    sys.stdout.write(json_text(value, indent or None) + "\n")
    sys.stdout.flush()


def _table(status: Status) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, show_header=False)
    for name, value in rows(status):
        table.add_row(Text(name), Text(printable(value)))
    return table

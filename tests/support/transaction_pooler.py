"""A pooler in transaction mode, as pgbouncer is: what a client may not do through one fails.

A client gets a server connection for one transaction only, the next time another one. Startup
parameters that pgbouncer does not know are refused. Clients need no password.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from support.postgres import Database

_SSL_REQUEST = 80877103
_STARTUP = 196608
_KNOWN = {
    "user",
    "database",
    "client_encoding",
    "application_name",
    "datestyle",
    "timezone",
    "standard_conforming_strings",
}

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">i", len(body) + 4) + body


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind = await reader.readexactly(1)
    (length,) = struct.unpack(">i", await reader.readexactly(4))
    return kind, await reader.readexactly(length - 4)


class Pooler:
    """Runs in a thread of its own; `url` is what clients connect to."""

    def __init__(self, database: Database, size: int) -> None:
        self._database, self._size = database, size
        self._loop = asyncio.new_event_loop()
        self._free: asyncio.Queue[Streams] = asyncio.Queue()
        self._hello = b""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._clients: set[asyncio.Task[None]] = set()
        self._opened: list[asyncio.StreamWriter] = []
        self.port = 0
        self.transactions = 0

    @property
    def url(self) -> str:
        return f"postgresql://recorder@127.0.0.1:{self.port}/{self._database.name}?sslmode=prefer"

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        self._stopped = asyncio.Event()
        for _ in range(self._size):
            self._free.put_nowait(await self._login())
        listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        listener.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        for writer in self._opened:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _login(self) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._database.server.port)
        self._opened.append(writer)
        pairs = f"user\0postgres\0database\0{self._database.name}\0\0".encode()
        writer.write(struct.pack(">ii", len(pairs) + 8, _STARTUP) + pairs)
        hello = b""
        while True:
            kind, body = await _read(reader)
            assert kind != b"E", body
            if kind == b"S":
                hello += _message(kind, body)
            if kind == b"Z":
                self._hello = hello
                return reader, writer

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            if await self._greet(reader, writer):
                await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            self._clients.discard(task)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        while True:
            length, code = struct.unpack(">ii", await reader.readexactly(8))
            body = await reader.readexactly(length - 8)
            if code == _SSL_REQUEST:
                writer.write(b"N")
                continue
            if code != _STARTUP:
                return False  # a cancel request
            break
        names = {name.decode() for name in body.rstrip(b"\0").split(b"\0")[::2]}
        if names - _KNOWN:
            text = f"unsupported startup parameter: {min(names - _KNOWN)}".encode()
            writer.write(_message(b"E", b"SFATAL\0C08P01\0M" + text + b"\0\0"))
            await writer.drain()
            return False
        writer.write(_message(b"R", struct.pack(">i", 0)) + self._hello)
        writer.write(_message(b"K", struct.pack(">ii", 1, 1)) + _message(b"Z", b"I"))
        await writer.drain()
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server: Streams | None = None
        back: asyncio.Task[None] | None = None
        state = {"pending": 0}
        try:
            while True:
                kind, body = await _read(reader)
                if kind == b"X":
                    return
                if back is None or back.done():
                    server = await self._free.get()
                    self.transactions += 1
                    back = asyncio.create_task(self._answer(server, writer, state))
                state["pending"] += kind in (b"Q", b"S")
                assert server is not None
                server[1].write(_message(kind, body))
                await server[1].drain()
                await asyncio.sleep(0)
        finally:
            if back is not None and not back.done():
                # A client that leaves in the middle takes its server connection with it.
                back.cancel()
                assert server is not None
                server[1].close()
                self._free.put_nowait(await self._login())

    async def _answer(
        self, server: Streams, writer: asyncio.StreamWriter, state: dict[str, int]
    ) -> None:
        """Pass on what the server says until its transaction is over, then give it back."""
        while True:
            kind, body = await _read(server[0])
            if kind == b"Z":
                state["pending"] -= 1
                if body == b"I" and not state["pending"]:
                    self._free.put_nowait(server)
                    writer.write(_message(kind, body))
                    return
            writer.write(_message(kind, body))
            await writer.drain()


@contextmanager
def pooler(database: Database, size: int = 3) -> Iterator[Pooler]:
    """A running pooler with so many server connections."""
    made = Pooler(database, size)
    made.start()
    try:
        yield made
    finally:
        made.stop()

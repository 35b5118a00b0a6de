"""Connections to PostgreSQL: retries with backoff, and errors in words a user can act on.

Every piece of work is one transaction that is run again as a whole when the connection was cut,
so that nothing is half-loaded or half-saved. No named prepared statement is ever made, and
nothing outlives a transaction: a pgbouncer in transaction mode may stand between.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote, unquote

import asyncpg

from kalshi_sim.errors import KalshiSimError, StoreError
from kalshi_sim.store.urls import UNSHOWN, without_password

T = TypeVar("T")

BACKOFF_SECONDS: Final = (0.2, 0.6, 1.8)
"""Waits before the second, third and last attempt."""
CONNECT_SECONDS: Final = 15.0
WATCH_SECONDS: Final = 0.5
"""How often to look whether the connection is still there."""
TWIN_SECONDS: Final = 2.0
"""How long to wait for a second connection before doing without."""
_HIDDEN: Final = "***"

_CUT = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InternalClientError,  # the driver's own confusion when cut between two statements
)
"""Failures after which a second attempt may succeed."""
_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


@dataclass(frozen=True)
class Target:
    """A database's URL, and how it may be shown."""

    url: str

    @property
    def shown(self) -> str:
        """The URL without its password; a URL of odd shape is not shown at all."""
        return without_password(self.url)

    def scrub(self, text: str) -> str:
        """`text` with every form of the password hidden."""
        secrets = {os.environ.get("PGPASSWORD", "")}
        found = re.match(r"[a-z]+://[^/?#]*?:(.*)@", self.url)
        if found:
            secrets.add(found[1])
        secrets |= set(re.findall(r"[?&]\w*pass\w*=([^&#]*)", self.url))
        for secret in sorted({s for s in secrets if s}, key=len, reverse=True):
            for form in (secret, unquote(secret), quote(unquote(secret), safe="")):
                text = text.replace(form, _HIDDEN)
        return text


def is_cut(error: BaseException) -> bool:
    """Whether a second attempt may help: the connection was refused, cut or timed out."""
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error) or "closing" in str(error)
    return isinstance(error, _CUT)


_ADVICE: Final[tuple[tuple[type[BaseException], str], ...]] = (
    # The first class that fits is taken, so special ones stand before general ones.
    (asyncpg.InvalidPasswordError, "check user and password in the URL, PGPASSWORD or ~/.pgpass"),
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "check the user in the URL and the server's pg_hba.conf",
    ),
    (asyncpg.InvalidCatalogNameError, "check the database's name in the URL"),
    (asyncpg.UndefinedTableError, "check the database in the URL and its search_path"),
    (asyncpg.UndefinedColumnError, "the tables have another shape than the recorder's"),
    (
        asyncpg.InsufficientPrivilegeError,
        "loading needs SELECT on the tables and USAGE of their schema, saving CREATE and INSERT",
    ),
    (asyncpg.DiskFullError, "free some space on the server's disk and try again"),
    (asyncpg.ReadOnlySQLTransactionError, "this server takes no changes: save to its primary"),
    (
        asyncpg.QueryCanceledError,
        "raise statement_timeout (ALTER ROLE ... SET statement_timeout), or ask for fewer markets",
    ),
    (asyncpg.TooManyConnectionsError, "close other clients, or load fewer sessions at once"),
    (asyncpg.InvalidSQLStatementNameError, "connect past the pooler that stands between"),
    (asyncpg.ProtocolViolationError, "connect past the pooler that stands between"),
    (socket.gaierror, "no host of that name; check the host in the URL"),
    (TimeoutError, "no answer in time; check that the server can be reached"),
    (ConnectionRefusedError, "no server answers there; check host and port, and that it runs"),
)


def _advice(error: BaseException) -> str:
    """What happened and what to do, for the errors users meet."""
    text = " ".join(str(error).split()) or type(error).__name__  # DETAIL and HINT in one line
    for kind, advice in _ADVICE:
        if isinstance(error, kind):
            return f"{text}; {advice}" if isinstance(error, asyncpg.PostgresError) else advice
    if is_cut(error):
        return f"the connection was cut ({text}); check the server's log and try again"
    return text


def translate(target: Target, error: BaseException, doing: str, attempts: int = 1) -> StoreError:
    """A `StoreError` that says what failed, where, and what to do; never with the password.

    Args:
        target: the database, whose password never appears.
        error: what the driver or the system raised.
        doing: what was being done, for the message.
        attempts: how often it was tried.
    """
    tried = f" (tried {attempts} times)" if attempts > 1 else ""
    return StoreError(f"{target.shown}: {doing}: {target.scrub(_advice(error))}{tried}")


async def _connect(target: Target) -> Any:
    try:
        if target.shown == UNSHOWN:
            raise ValueError
        return await asyncpg.connect(
            target.url,
            timeout=CONNECT_SECONDS,
            statement_cache_size=0,
            server_settings={"application_name": "kalshi-sim"},
        )
    except (ValueError, OverflowError, asyncpg.ClientConfigurationError):
        # Such an error's own text may quote any part of the URL.
        raise StoreError(
            f"{target.shown}: not a usable database URL; "
            "it must look like postgresql://user:password@host:5432/database, "
            "with @ : / in a password written as %40 %3A %2F"
        ) from None


async def _once(target: Target, body: Callable[[Any], Awaitable[T]], readonly: bool) -> T:
    connection = await _connect(target)

    async def work() -> T:
        # One snapshot for all statements of a load: a recorder may be writing meanwhile.
        isolation = "repeatable_read" if readonly else "read_committed"
        async with connection.transaction(isolation=isolation, readonly=readonly):
            result = await body(connection)
        await connection.close(timeout=CONNECT_SECONDS)
        return result

    try:
        return await _watched(connection, asyncio.ensure_future(work()))
    finally:
        connection.terminate()


async def _watched(connection: Any, work: asyncio.Future[T]) -> T:
    """The result of `work`, or an error soon after its connection was cut.

    The driver may wait for ever to write to a connection that is gone.
    """
    closed = False
    try:
        while not work.done():
            if closed:
                raise ConnectionResetError("closed by the server")
            closed = connection.is_closed()
            await asyncio.wait({work}, timeout=WATCH_SECONDS)
        return work.result()
    finally:
        while not work.done():  # the driver's own clean-up waits too, and is cut short likewise
            work.cancel()
            await asyncio.wait({work}, timeout=WATCH_SECONDS)
        if not work.cancelled():
            work.exception()


async def in_transaction(
    target: Target, body: Callable[[Any], Awaitable[T]], *, doing: str, readonly: bool = True
) -> T:
    """What `body(connection)` returns, run in one transaction, again as a whole if it was cut.

    A cut during COMMIT leaves open whether it took place: a `body` that writes must see on its
    second run that the first one succeeded.

    Args:
        target: the database.
        body: called with a connection; what it returns is returned.
        doing: what is being done, for messages.
        readonly: the transaction writes nothing.

    Returns:
        The result of `body`.

    Raises:
        StoreError: what went wrong, where, and what to do.
    """
    for attempt, wait in enumerate((*BACKOFF_SECONDS, None), start=1):
        try:
            return await _once(target, body, readonly)
        except KalshiSimError:
            raise
        except _FAILURES as error:
            if wait is None or not is_cut(error):
                raise translate(target, error, doing, attempt) from None
        await asyncio.sleep(wait)
    raise AssertionError("unreachable")


Twin = Callable[[], AbstractAsyncContextManager[Any | None]]
"""Opens a second connection that sees what the first one sees, or None where there is none."""


@asynccontextmanager
async def twin(target: Target, connection: Any) -> AsyncIterator[Any | None]:
    """A second connection in the snapshot of `connection`, so that both can read at once.

    It may be refused, or a pooler may have no more to give while the first is held: then it is
    None and all is read through the first.

    Args:
        target: the database.
        connection: in a transaction of isolation level repeatable read.

    Yields:
        The second connection, or None.
    """
    snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
    second = None
    try:
        try:
            async with asyncio.timeout(TWIN_SECONDS):
                second = await _connect(target)
                await second.execute(
                    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
                    f"SET TRANSACTION SNAPSHOT {literal(snapshot)}"
                )
        except _FAILURES:
            if second is not None:
                second.terminate()
            second = None
        yield second
        if second is not None:
            # Left in order, so that a pooler can give the server connection to others.
            with suppress(*_FAILURES):
                await second.execute("ROLLBACK")
                await second.close(timeout=CONNECT_SECONDS)
    finally:
        if second is not None:
            second.terminate()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine from code that is not asynchronous, even inside a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1, thread_name_prefix="kalshi-sim-postgres") as pool:
        return pool.submit(asyncio.run, coroutine).result()


def literal(text: str) -> str:
    """`text` as an SQL literal that means the same under every server setting.

    COPY takes no parameters, and a driver that inlines them for us would prepare a statement.

    Raises:
        ValueError: the text holds a NUL, which PostgreSQL cannot store.
    """
    if "\0" in text:
        raise ValueError("a text for PostgreSQL cannot hold NUL")
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"

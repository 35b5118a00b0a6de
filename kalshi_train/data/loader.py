"""`SessionDataLoader`: recorded sessions from any store, for asynchronous code."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from kalshi_sim.config import TapeOptions
from kalshi_sim.errors import DataError, SessionNotFoundError
from kalshi_sim.store import SessionStore, open_store
from kalshi_sim.tape_cache import load_tape
from kalshi_sim.validated import Within, check_value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from kalshi_sim.session import Session, SessionInfo
    from kalshi_sim.tape import Tape

logger = logging.getLogger(__name__)

OnLoaded = Callable[[int, int, int], None]
"""Called with (sessions loaded, sessions asked for, id of the one just loaded)."""

DEFAULT_CONCURRENCY: Final = 4


class SessionDataLoader:
    """Loads sessions from a store without blocking the event loop.

    Each session is read by a thread of its own, `concurrency` of them at most.

    Args:
        store: a `SessionStore`, a folder or a postgresql:// URL; None: DATABASE_URL, else the
            folder `sessions`.
        concurrency: sessions loaded at the same time, 1 or more.

    Raises:
        ConfigError: `concurrency` is below 1.
        StoreError: there is nothing that can be opened.
    """

    def __init__(
        self,
        store: SessionStore | str | os.PathLike[str] | None = None,
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
    ) -> None:
        check_value("concurrency", concurrency, int, Within(1))
        if store is None or isinstance(store, (str, os.PathLike)):
            store = open_store(store)
        self.store: SessionStore = store
        self.concurrency = concurrency

    def __repr__(self) -> str:
        return f"SessionDataLoader({self.store!r})"

    async def get_available_sessions(self) -> list[SessionInfo]:
        """What the store holds, by id.

        Returns:
            A line of figures for each session, by id.

        Raises:
            StoreError: the store cannot be read.
        """
        return await asyncio.to_thread(self.store.list_sessions)

    async def load_session(self, session_id: int, markets: Sequence[str] | None = None) -> Session:
        """One session, with all of its markets or only those named.

        Args:
            session_id: which session.
            markets: tickers to load; all if omitted.

        Returns:
            The session.

        Raises:
            SessionNotFoundError: no such session, or the session has no such market.
            DataError: recorded rows that cannot be right.
            StoreError: the store cannot be read.
        """
        return await asyncio.to_thread(self.store.load, session_id, markets)

    async def load_sessions(
        self, session_ids: Sequence[int], *, progress: bool | OnLoaded = False
    ) -> list[Session]:
        """Several sessions, in the order asked for.

        `progress`: True draws a bar on standard error; a function is called after each session.

        Args:
            session_ids: which sessions.
            progress: True draws a bar on standard error; a function is called after each session.

        Returns:
            The sessions, in this order.

        Raises:
            SessionNotFoundError, DataError, StoreError: as `load_session`; the first failure
                ends the rest.
        """
        wanted = list(dict.fromkeys(session_ids))
        gate = asyncio.Semaphore(self.concurrency)
        loaded: dict[int, Session] = {}
        bar: AbstractContextManager[OnLoaded]
        if progress is True:
            bar = _bar(len(wanted))
        else:
            bar = nullcontext(progress or (lambda done, total, session_id: None))

        with bar as report:

            async def one(session_id: int) -> None:
                async with gate:
                    loaded[session_id] = await self.load_session(session_id)
                report(len(loaded), len(wanted), session_id)

            tasks = [asyncio.create_task(one(session_id)) for session_id in wanted]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        return [loaded[session_id] for session_id in session_ids]


def load_what_can_be_read(
    store: SessionStore, session_ids: Sequence[int], options: TapeOptions
) -> Tape:
    """`load_tape` of the sessions that the store has and that are not damaged.

    Each session that is left out is logged as a warning.

    Args:
        store: where the sessions are.
        session_ids: those wanted, in the tape's order.
        options: how the tape is built.

    Returns:
        The tape of those sessions that can be read.

    Raises:
        SessionNotFoundError, DataError: none of the sessions can be read.
        StoreError: the store cannot be read.
        NoViewsError: no market has enough rows.
    """
    failed: Exception | None = None
    left = list(session_ids)

    def leave_out(session_id: int, error: Exception) -> None:
        nonlocal failed
        failed = error
        left.remove(session_id)
        logger.warning("left out: %s", error)

    def load(store: SessionStore, ids: Sequence[int]) -> list[Session]:
        return [one(store, session_id) for session_id in ids]

    def one(store: SessionStore, session_id: int) -> Session:
        try:
            return store.load(session_id)  # not kept for another try: hundreds would not fit
        except DataError as error:
            raise _DamagedError(session_id, error) from error

    for session_id in dict.fromkeys(session_ids):
        if not store.exists(session_id):
            leave_out(session_id, _missing(session_id))
    while left:
        try:
            return load_tape(store, left, options, load=load)
        except _DamagedError as damaged:
            leave_out(damaged.session_id, damaged.error)
    assert failed is not None
    raise failed


def _missing(session_id: int) -> SessionNotFoundError:
    return SessionNotFoundError(
        f"the store has no session {session_id}; `kalshi-sim list` shows what it holds"
    )


class _DamagedError(Exception):
    """A session that cannot be read, on its way to who can leave it out."""

    def __init__(self, session_id: int, error: DataError) -> None:
        super().__init__(str(error))
        self.session_id = session_id
        self.error = error


@contextmanager
def _bar(total: int) -> Iterator[OnLoaded]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("loading sessions", total=total)

        def report(done: int, total: int, session_id: int) -> None:
            bar.update(task, completed=done, description=f"loaded session {session_id}")

        yield report

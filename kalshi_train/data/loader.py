"""`SessionDataLoader`: recorded sessions from any store, for asynchronous code."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from kalshi_sim.errors import ConfigError
from kalshi_sim.store import SessionStore, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from kalshi_sim.session import Session, SessionInfo

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
        if concurrency < 1:
            raise ConfigError(f"concurrency={concurrency}: must be a whole number from 1")
        if store is None or isinstance(store, (str, os.PathLike)):
            store = open_store(store)
        self.store: SessionStore = store
        self.concurrency = concurrency

    async def get_available_sessions(self) -> list[SessionInfo]:
        """What the store holds, by id.

        Raises:
            StoreError: the store cannot be read.
        """
        return await asyncio.to_thread(self.store.list_sessions)

    async def load_session(self, session_id: int, markets: Sequence[str] | None = None) -> Session:
        """One session, with all of its markets or only those named.

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


@contextmanager
def _bar(total: int) -> Iterator[OnLoaded]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("loading sessions", total=total)

        def report(done: int, total: int, session_id: int) -> None:
            bar.update(task, completed=done, description=f"loaded session {session_id}")

        yield report

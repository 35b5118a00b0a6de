"""Commands of one socket: sent one by one, each answered by a deadline or the connection fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import count
from typing import Any, Final

import msgspec

from kalshi_sim.live import interface as names
from kalshi_sim.live.recorder.sequence import Head

_RETRIES: Final = 5
_WAIT_S: Final = 0.2


class ConnectionLostError(Exception):
    """The connection is of no more use: connect again."""


class UnansweredError(ConnectionLostError):
    """A command was not answered in time."""


class AuthenticationError(Exception):
    """The exchange does not accept the key."""


class CommandRefusedError(Exception):
    """The exchange answered a command with an error."""

    def __init__(self, command: str, code: int, text: str) -> None:
        """Say which.

        Args:
            command: its name.
            code: of the error.
            text: the exchange's.
        """
        super().__init__(f"{command} was refused: {text} (code {code})")
        self.code = code


class Commands:
    """Sends commands and hands their answers back."""

    def __init__(
        self,
        send: Callable[[str], Awaitable[None]],
        note: Callable[[bytes], None],
        deadline_s: float,
    ) -> None:
        """Send by `send`.

        Args:
            send: a text on the socket.
            note: what was sent, for the recording.
            deadline_s: seconds to an answer.
        """
        self._send = send
        self._note = note
        self._deadline_s = deadline_s
        self.wait_s = _WAIT_S
        """Before a command that came too early is sent again; longer each time."""
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[Head]] = {}

    def answer(self, head: Head) -> None:
        """Take a frame that may answer a command.

        Args:
            head: the frame.
        """
        future = self._waiting.get(head.id) if head.id else None
        if future is not None and not future.done():
            future.set_result(head)

    async def ask(self, command: str, params: dict[str, Any] | None = None) -> Head:
        """Send a command; its answer.

        Args:
            command: its name.
            params: its parameters; None for none.

        Returns:
            The frame that answers it.

        Raises:
            UnansweredError: there is no answer by the deadline.
            CommandRefusedError: the answer is an error.
            AuthenticationError: the answer is that there is no authentication.
        """
        for nth in range(_RETRIES):
            head = await self._once(command, params)
            if head.type != names.ERROR:
                return head
            code = head.message.code or 0
            if code == names.ErrorCode.AUTH_REQUIRED:
                raise AuthenticationError(head.message.msg or "authentication required")
            if code not in (names.ErrorCode.TOO_MANY_REQUESTS, names.ErrorCode.COMMAND_TIMEOUT):
                raise CommandRefusedError(command, code, head.message.msg or "")
            await asyncio.sleep(self.wait_s * 2**nth)
        raise ConnectionLostError(f"{command} was refused {_RETRIES} times as too many")

    async def _once(self, command: str, params: dict[str, Any] | None) -> Head:
        number = next(self._ids)
        what: dict[str, Any] = {"id": number, "cmd": command}
        if params is not None:
            what["params"] = params
        text = msgspec.json.encode(what)
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(self._deadline_s):
                self._note(text)
                await self._send(text.decode())
                answer: Head = await future
                return answer
        except TimeoutError:
            raise UnansweredError(f"{command} unanswered for {self._deadline_s:g} s") from None
        finally:
            del self._waiting[number]


def chunks(tickers: Iterable[str], size: int) -> Iterator[list[str]]:
    """Tickers in order, so many at a time.

    Args:
        tickers: of markets.
        size: at most so many.

    Yields:
        Some of them, sorted.
    """
    ordered = sorted(tickers)
    for at in range(0, len(ordered), size):
        yield ordered[at : at + size]

"""Which markets to record: the exchange's list of markets, and what a user chooses of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import msgspec

from kalshi_sim.errors import ConfigError, KalshiSimError
from kalshi_sim.live import interface as names
from kalshi_sim.live.recorder.selection import Selection, amount

_RETRIES: Final = 6
_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 15.0
_DEADLINE_S: Final = 30.0
_SILENT_S: Final = 1.5
"""An answer that takes longer is said to be waited for."""
GIVE_KEY: Final = (
    "give --key-id-file and --key-file, or set KALSHI_API_KEY_ID and KALSHI_PRIVATE_KEY_FILE"
)
_TOO_MANY: Final = 429
_SERVER: Final = 500
_UNAUTHORIZED: Final = (401, 403)
SignedHeaders = Callable[[str, str], Mapping[str, str]]
"""Headers that authenticate (method, path); none where there is no key."""


class ExchangeError(KalshiSimError, RuntimeError):
    """The exchange's REST interface does not answer as it should."""


class KeyRefusedError(ConfigError):
    """The exchange does not accept the key."""


class Rest:
    """Reads of the exchange's REST interface: retried where that helps, refused in plain words."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        root: str,
        headers: SignedHeaders,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Read from `root`.

        Args:
            http: makes the requests.
            root: scheme, host and port.
            headers: of a request.
            say: called with sentences for a log: what is waited for, and tried again.
        """
        self.waiting_for = f"{root} was not asked yet"
        """What a listing that is not done waits for."""
        self.unlisted: list[str] = []
        """Named markets that the latest listing does not have."""
        self._say = say
        self.http = http
        self._root = root
        self._headers = headers
        self.clock_off_s: float | None = None
        """How far this machine's clock is ahead of the exchange's, as its latest answer says."""

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The answer to GET.

        Args:
            path: below the root of the API.
            params: the query.

        Returns:
            The JSON object.

        Raises:
            ExchangeError: there is no good answer, however often it was asked.
            KeyRefusedError: the key is not accepted.
        """
        why = ""
        for nth in range(_RETRIES):
            try:
                status, body = await self._once(names.REST_ROOT + path, params or {})
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                why = _why(error)
            else:
                if status in _UNAUTHORIZED:
                    raise KeyRefusedError(self._refused(status))
                why = f"status {status}"
                if status < _TOO_MANY and isinstance(body, dict):
                    if status == 200:
                        return body
                    break
                if status != _TOO_MANY and status < _SERVER:
                    break
            if nth + 1 == _RETRIES:
                break
            wait = min(_WAIT_S * 2**nth, _LONGEST_WAIT_S)
            self._wait_for(f"{self._root} does not answer ({why}); asked again in {wait:g} s")
            await asyncio.sleep(wait)
        raise ExchangeError(f"{self._root}{names.REST_ROOT}{path} does not answer: {why}")

    def _wait_for(self, text: str) -> None:
        self.waiting_for = text
        self._say(text)

    async def _once(self, path: str, params: Mapping[str, str]) -> tuple[int, object]:
        silent = asyncio.get_running_loop().call_later(
            _SILENT_S, self._wait_for, f"{self._root} has not answered yet"
        )
        try:
            return await self._asked(path, params)
        finally:
            silent.cancel()

    async def _asked(self, path: str, params: Mapping[str, str]) -> tuple[int, object]:
        async with (
            asyncio.timeout(_DEADLINE_S),
            self.http.get(
                self._root + path, params=params, headers=self._headers("GET", path)
            ) as answer,
        ):
            text = await answer.read()
            self._note_clock(answer.headers.get("Date"))
            try:
                return answer.status, msgspec.json.decode(text)
            except msgspec.MsgspecError:
                return answer.status, None

    def _note_clock(self, date: str | None) -> None:
        if date is not None:
            self.clock_off_s = time.time() - parsedate_to_datetime(date).timestamp()

    def _refused(self, status: int) -> str:
        if not self._headers("GET", ""):
            return f"{self._root} wants a key (status {status}); {GIVE_KEY}"
        said = f"{self._root} refuses the key (status {status}); check --key-id-file and --key-file"
        return said + self.clock_advice()

    def clock_advice(self) -> str:
        """What to say of this machine's clock where a key was refused; empty if it is right."""
        tolerated = names.CLOCK_TOLERANCE_MS / 1000
        if self.clock_off_s is None or abs(self.clock_off_s) <= tolerated:
            return ""
        return f"; this machine's clock is {self.clock_off_s:+.0f} s off: set it"

    async def markets(self, selection: Selection) -> dict[str, dict[str, Any]]:
        """The chosen markets by ticker, as the exchange lists them.

        Args:
            selection: what to choose.

        Returns:
            GET /markets' objects.

        Raises:
            ExchangeError: the list cannot be read.
            KeyRefusedError: the key is not accepted.
        """
        found: dict[str, dict[str, Any]] = {}
        unlisted = dict.fromkeys(selection.tickers)
        now_s = time.time()
        for query in selection.queries():
            cursor = ""
            while True:
                page = dict(query) | ({"cursor": cursor} if cursor else {})
                answer = await self.get("/markets", page)
                for market in answer.get("markets") or ():
                    unlisted.pop(market["ticker"], None)
                    if selection.keeps(market, now_s):
                        found[str(market["ticker"])] = market
                cursor = str(answer.get("cursor") or "")
                if not cursor:
                    break
        self.unlisted = list(unlisted)
        if selection.limit is not None and len(found) > selection.limit:
            most = sorted(
                found,
                key=lambda t: (-amount(found[t].get("volume_fp", found[t].get("volume"))), t),
            )
            found = {ticker: found[ticker] for ticker in most[: selection.limit]}
        return found

    def not_found(self, selection: Selection, found: Mapping[str, object]) -> list[str]:
        """What of a selection the exchange does not have: sentences for people.

        Args:
            selection: what was chosen.
            found: what the latest listing came to.

        Raises:
            ConfigError: none of the named markets exists.
        """
        out = []
        if self.unlisted:
            missing = f"{self._root} has no market {', '.join(self.unlisted)}"
            if len(self.unlisted) == len(set(selection.tickers)):
                raise ConfigError(f"{missing}; check the spelling and --environment")
            out.append(f"warning: {missing}")
        if not found:
            out.append("warning: the selection matches no market now")
        return out

    async def orderbooks(self, tickers: list[str]) -> list[dict[str, Any]]:
        """Order books of at most 100 markets.

        Args:
            tickers: of the markets.

        Returns:
            GET /markets/orderbooks' objects.

        Raises:
            ExchangeError: they cannot be read.
        """
        answer = await self.get("/markets/orderbooks", {"tickers": ",".join(tickers)})
        return list(answer.get("orderbooks") or ())


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


async def is_replay(address: str, within_s: float = 5.0) -> bool:
    """Whether an address is a local exchange, whose frames state the times of a session.

    Args:
        address: of REST: scheme, host, port. Only plain http is asked: no real exchange has it.
        within_s: how long it may take to answer.
    """
    if not address.startswith("http://"):
        return False
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=within_s)) as http,
            http.get(f"{address}{names.STATE_PATH}") as answer,
        ):
            return answer.status == 200 and "now_ms" in await answer.json()
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return False


async def list_markets(
    address: str,
    signed: SignedHeaders,
    selection: Selection,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, dict[str, Any]]:
    """The chosen markets by ticker, by a client of its own.

    Args:
        address: of REST: scheme, host, port.
        signed: headers of a request.
        selection: what to choose.
        say: called with sentences for a log.

    Returns:
        GET /markets' objects.

    Raises:
        ConfigError: none of the named markets exists.
        ExchangeError: the list cannot be read.
        KeyRefusedError: the key is not accepted.
    """
    async with aiohttp.ClientSession() as http:
        rest = Rest(http, address, signed, say)
        found = await rest.markets(selection)
        for text in rest.not_found(selection, found):
            say(text)
        return found

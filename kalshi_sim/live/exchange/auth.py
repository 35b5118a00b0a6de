"""Who asks: the signature of a request, and the error bodies of REST."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aiohttp import web

from kalshi_sim.live.interface import (
    CLOCK_TOLERANCE_MS,
    KEY_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
)
from kalshi_sim.live.keys import signed_text, verify

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.accounts import Account, Keys


class RestError(Exception):
    """A call that is refused: its HTTP status, and what its body says."""

    def __init__(self, status: int, code: str, message: str, details: str = "") -> None:
        """Make a refusal.

        Args:
            status: of HTTP.
            code: a word for programs.
            message: for people.
            details: more of it.
        """
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message, "details": details}

    def response(self) -> web.Response:
        """The answer."""
        if self.status == 429:
            return web.json_response({"error": "too many requests"}, status=429)
        return web.json_response(self.body, status=self.status)


def authenticated(request: web.Request, keys: Keys, skew_ms: int) -> Account:
    """The account whose key signed a request.

    Args:
        request: with its headers.
        keys: which are accepted.
        skew_ms: by which the server's clock is off.

    Raises:
        RestError: nobody's, or signed too long ago.
    """
    headers = request.headers
    key_id, stamp = headers.get(KEY_HEADER, ""), headers.get(TIMESTAMP_HEADER, "")
    signature = headers.get(SIGNATURE_HEADER, "")
    if not (key_id and stamp and signature):
        raise RestError(401, "token_authentication_failure", "the request is not signed")
    found = keys.get(key_id)
    if found is None:
        raise RestError(401, "NOT_FOUND", "the API key is unknown")
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= 15):
        raise RestError(401, "INCORRECT_TIMESTAMP", "the timestamp is no milliseconds")
    late_ms = abs(int(stamp) - (time.time_ns() // 1_000_000 + skew_ms))
    if late_ms > CLOCK_TOLERANCE_MS:
        raise RestError(
            401,
            "INCORRECT_TIMESTAMP",
            f"the timestamp is {late_ms / 1000:.1f} s from the server's time",
        )
    public, account = found
    if not verify(public, signature, signed_text(int(stamp), request.method, request.path)):
        raise RestError(401, "INCORRECT_API_KEY_SIGNATURE", "the signature is wrong")
    return account

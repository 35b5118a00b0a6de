"""Whose a REST call is, and whether its account may make it now."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from kalshi_sim.live.exchange.auth import RestError, authenticated
from kalshi_sim.live.exchange.buckets import Bucket
from kalshi_sim.live.exchange.faults import REST_FAULTS
from kalshi_sim.live.interface import DEFAULT_COST

if TYPE_CHECKING:
    from kalshi_sim.live.exchange.accounts import Account, Keys
    from kalshi_sim.live.exchange.faults import Faults


class Gate:
    """Checks signatures and scopes, and takes tokens."""

    def __init__(self, keys: Keys, faults: Faults) -> None:
        """Make the gate of an exchange.

        Args:
            keys: which are accepted.
            faults: the clock may be off.
        """
        self._keys = keys
        self._faults = faults
        self._buckets: dict[Account, tuple[Bucket, Bucket]] = {}

    def reads(self, request: web.Request, *, balance: bool = False) -> Account:
        """The account of a call that reads.

        Args:
            balance: a key that may read the balance alone may make it.

        Raises:
            RestError: it is not signed, its key may not read, or it came too often.
        """
        account = authenticated(request, self._keys, self._faults.skew_ms)
        scopes = {"read", "read::portfolio_balance"} if balance else {"read"}
        if not account.scopes & scopes:
            raise RestError(403, "insufficient_scope", "the key may not read this")
        self._of(account)[0].take(DEFAULT_COST, asyncio.get_running_loop().time())
        return account

    def writes(self, request: web.Request, cost: int) -> Account:
        """The account of a call that changes something.

        Args:
            cost: tokens it takes.

        Raises:
            RestError: it is not signed, its key may not trade, or it came too often.
        """
        account = authenticated(request, self._keys, self._faults.skew_ms)
        if not account.may_trade:
            raise RestError(403, "insufficient_scope", "the key may not trade")
        self._of(account)[1].take(cost, asyncio.get_running_loop().time())
        return account

    async def late(self, request: web.Request) -> None:
        """Let the answer to an order come late, if a fault says so."""
        kinds = {"fill_before_order": REST_FAULTS["fill_before_order"]}
        fault = self._faults.take(kinds, {"path": request.path}, path=request.path)
        if fault is not None:
            await asyncio.sleep(fault.seconds)

    def _of(self, account: Account) -> tuple[Bucket, Bucket]:
        if account not in self._buckets:
            tier = account.tier
            self._buckets[account] = (
                Bucket(tier.read, tier.read_capacity),
                Bucket(tier.write, tier.write_capacity),
            )
        return self._buckets[account]

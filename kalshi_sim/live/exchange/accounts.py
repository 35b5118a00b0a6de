"""Accounts: their API keys and what each key may do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.live.exchange.auth import RestError
from kalshi_sim.live.exchange.money import Position, cost_of, reserve_of
from kalshi_sim.live.exchange.wire import Message, contracts, dollars, iso, name_of
from kalshi_sim.live.interface import TIERS, Channel, Tier
from kalshi_sim.live.keys import PublicKey, load_public_key
from kalshi_sim.units import PRICE_SCALE, STORED_PER_CENT

if TYPE_CHECKING:
    from kalshi_sim.fees import FeeTerms
    from kalshi_sim.live.exchange.markets import Market
    from kalshi_sim.live.exchange.orders import OwnOrder

SCOPES: Final = ("read", "write", "write::trade", "read::portfolio_balance")
START_CENTS: Final = 1_000_000
"""Cash of a new account: $10 000."""


@dataclass(eq=False)
class Account:
    """One user of the exchange; a local exchange has one key an account."""

    user_id: str
    start_cents: int = START_CENTS
    tier_name: str = "basic"
    scopes: frozenset[str] = frozenset({"read", "write"})

    def __post_init__(self) -> None:
        self.cash = self.start_cents * STORED_PER_CENT
        """In 1/100 cent."""
        self.orders: dict[str, OwnOrder] = {}
        self.client_ids: set[str] = set()
        self.positions: dict[str, Position] = {}
        self.fills: list[Message] = []
        self.settlements: list[Message] = []

    def position(self, ticker: str) -> Position:
        """What it holds in a market."""
        return self.positions.setdefault(ticker, Position(ticker))

    def fill(self, market: Market, side: int, price: int, size: int, fee: int, ms: int) -> int:
        """Book contracts that were bought; returns what they cost, fees apart.

        Args:
            fee: in 1/100 cent.
        """
        position = self.position(market.ticker)
        self.cash += position.fill(side, price, size) - fee
        position.fees += fee
        position.updated_ms = ms
        return cost_of(size, price)

    def check_cash(self, order: OwnOrder, size: int, terms: FeeTerms) -> None:
        """Refuse an order that cash does not cover beside those that rest.

        Args:
            size: of it, that is not filled yet.
            terms: of its market's fees.

        Raises:
            RestError: cash is too low.
        """
        wanted = [(order.market.ticker, order.side, order.price, size, terms)]
        for other in self.orders.values():
            if other.resting is not None and other is not order:
                ticker = other.market.ticker
                wanted.append((ticker, other.side, other.price, other.remaining, terms))
        closing: dict[tuple[str, int], int] = {}
        reserved = 0
        # What is held offsets the cheapest orders on the other side: it frees least.
        for ticker, side, price, left, fees in sorted(wanted, key=lambda w: w[2]):
            held = self.position(ticker).size
            held = closing.setdefault((ticker, side), max(0, -held if side == 0 else held))
            closing[ticker, side] = max(0, held - left)
            reserved += reserve_of(side, price, left, -held if side == 0 else held, fees)
        if reserved > self.cash:
            raise RestError(
                400,
                "available_balance_too_low",
                "available balance too low",
                f"resting orders and this one need {dollars(reserved)} of {dollars(self.cash)}",
            )

    def settle(self, ticker: str, event: str, value: int, ms: int) -> bool:
        """Pay a position out; returns whether there was one.

        Args:
            event: of the market.
            value: of a YES contract, in 1/100 cent.
        """
        position = self.positions.get(ticker)
        if position is None or position.settled:
            return False
        size = position.size
        paid = position.settle(value)
        self.cash += paid
        result = {0: "no", PRICE_SCALE: "yes"}.get(value, "scalar")
        self.settlements.append(
            {
                "ticker": ticker,
                "event_ticker": event,
                "market_result": result,
                "yes_count_fp": contracts(max(0, size)),
                "no_count_fp": contracts(max(0, -size)),
                "revenue": paid // STORED_PER_CENT,
                "revenue_dollars": dollars(paid),
                "settled_time": iso(ms),
                "value_dollars": dollars(value),
            }
        )
        return True

    @property
    def tier(self) -> Tier:
        """Its token buckets."""
        return TIERS[self.tier_name]

    def may_read(self, channel: Channel) -> bool:
        """Whether its key may subscribe to a channel."""
        return "read" in self.scopes or (not channel.private and bool(self.scopes))

    @property
    def may_trade(self) -> bool:
        """Whether its key may place and cancel orders."""
        return bool(self.scopes & {"write", "write::trade"})


class Keys:
    """API keys by their id: the public key, and the account it opens."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[PublicKey, Account]] = {}

    def add(self, key_id: str, public: PublicKey, account: Account | None = None) -> Account:
        """Accept a key.

        Args:
            key_id: its id.
            public: verifies its signatures.
            account: which it opens; None: a new one.

        Returns:
            The account.
        """
        if account is None:
            account = Account(name_of("user", key_id))
        self._found[key_id] = (public, account)
        return account

    def get(self, key_id: str) -> tuple[PublicKey, Account] | None:
        """The key of an id and the account it opens, None if it is unknown.

        Returns:
            The public key, and the account.
        """
        return self._found.get(key_id)

    @property
    def accounts(self) -> list[Account]:
        """All accounts that keys open."""
        return list({account: None for _, account in self._found.values()})

    def __len__(self) -> int:
        return len(self._found)


class _KeyRecord(msgspec.Struct, forbid_unknown_fields=True):
    """A key as a file has it."""

    key_id: Annotated[str, msgspec.Meta(min_length=1)]
    public_key: str = ""
    """PEM text."""
    public_key_file: str = ""
    """Or a file of it, beside this one if it is no whole path; a private key works as well."""
    balance_cents: Annotated[int, msgspec.Meta(ge=0, le=10**12)] = START_CENTS
    scopes: list[str] = msgspec.field(default_factory=lambda: ["read", "write"])
    tier: str = "basic"


def load_keys(path: Path) -> Keys:
    """Keys from a JSON list of objects: key_id, public_key or public_key_file, and options.

    Args:
        path: the file. Options of a key: `balance_cents`, `scopes`, `tier`.

    Raises:
        ConfigError: a file cannot be read or holds no key.
        DataError: the list cannot be right.
    """
    keys = Keys()
    for record in _records(path):
        source = f"{path}: key {record.key_id!r}"
        if (wrong := set(record.scopes) - set(SCOPES)) or record.tier not in TIERS:
            named = f"scopes {sorted(wrong)}" if wrong else f"tier {record.tier!r}"
            raise DataError(
                f"{source}: no {named}; scopes are {', '.join(SCOPES)}, tiers {', '.join(TIERS)}"
            )
        if bool(record.public_key) == bool(record.public_key_file):
            raise DataError(f"{source}: give public_key or public_key_file")
        pem = record.public_key.encode() or _read(path.parent / record.public_key_file)
        account = Account(
            name_of("user", record.key_id),
            start_cents=record.balance_cents,
            tier_name=record.tier,
            scopes=frozenset(record.scopes),
        )
        keys.add(record.key_id, load_public_key(pem, source), account)
    if not len(keys):
        raise DataError(f"{path}: holds no key")
    return keys


def _records(path: Path) -> list[_KeyRecord]:
    try:
        return msgspec.json.decode(_read(path), type=list[_KeyRecord])
    except msgspec.MsgspecError as error:
        raise DataError(f"{path}: {error}; give a JSON list of keys") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error

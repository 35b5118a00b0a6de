"""Accounts: their API keys and what each key may do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.live.exchange.wire import name_of
from kalshi_sim.live.interface import TIERS, Channel, Tier
from kalshi_sim.live.keys import PublicKey, load_public_key
from kalshi_sim.units import STORED_PER_CENT

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

"""Options that several commands share, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from kalshi_sim.errors import ConfigError
from kalshi_sim.store import SessionStore, default_address
from kalshi_sim.store.urls import without_password

StoreOption = Annotated[
    str | None,
    arg(
        metavar="STORE",
        help="Store: a folder, a postgresql:// or s3:// URL; else DATABASE_URL, else ./sessions.",
    ),
]
JsonOption = Annotated[bool, arg(name="json", help="Print JSON.")]
WideOption = Annotated[bool, arg(help="Show all columns, however wide.")]
ColumnsOption = Annotated[
    str | None, arg(metavar="A,B", help="Show only these columns of the tables, by name.")
]
SkipOption = Annotated[
    bool,
    arg(help="Leave out rows of a kalshiflow database that cannot be right; they are counted."),
]

FeesOption = Annotated[
    Path | None,
    arg(
        metavar="FILE",
        help="JSON or CSV file of dated fees that go before the published ones (docs/contract.md).",
    ),
]


def check_free(target: SessionStore, number: int, store: str | None, *, overwrite: bool) -> None:
    """Refuse a number that is taken before the work, not after it.

    Args:
        target: the store to be written to.
        number: the session id to be given.
        store: the store as the user named it, for the message.
        overwrite: allow a number that is taken.

    Raises:
        ConfigError: the store has it.
    """
    if not overwrite and target.exists(number):
        raise ConfigError(
            f"{shown(store)} already has session {number}; choose another --session, or --overwrite"
        )


def checked_id(session_id: int) -> int:
    """A session number from the command line.

    Raises:
        ConfigError: it is negative.
    """
    if session_id < 0:
        raise ConfigError(f"--session {session_id}: must be 0 or more")
    return session_id


def shown(store: str | None) -> str:
    """The store as messages name it: without a password."""
    return without_password(store or default_address())

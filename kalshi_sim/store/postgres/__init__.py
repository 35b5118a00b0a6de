"""Sessions in PostgreSQL: the project's own tables beside a recorder's.

`PostgresStore` is imported when first used: it reads the recorder's tables, whose modules import
the connection from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kalshi_sim.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]


def __getattr__(name: str) -> Any:
    if name == "PostgresStore":
        from kalshi_sim.store.postgres.store import PostgresStore

        return PostgresStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

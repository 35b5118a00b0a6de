"""Sessions in PostgreSQL: the project's own tables beside a recorder's."""

from __future__ import annotations

from kalshi_sim.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]

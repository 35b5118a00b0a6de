"""Small generated sessions that all tests of the training share."""

from __future__ import annotations

from pathlib import Path

import pytest

from kalshi_sim import open_store
from kalshi_sim.session import Session
from kalshi_sim.synthetic.session import generate_session


@pytest.fixture(scope="session")
def edge_session() -> Session:
    """12 markets of 6 events with a planted edge."""
    return generate_session(9, markets=12, minutes=35, seed=9, edge=0.8)


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory, edge_session: Session) -> Path:
    """A store with sessions 6 (8 markets, no edge) and 9 (12 markets)."""
    folder = tmp_path_factory.mktemp("store") / "sessions"
    store = open_store(str(folder))
    store.save(generate_session(6, markets=8, minutes=10, seed=6))
    store.save(edge_session)
    return folder

"""What tests of the card share."""

from __future__ import annotations

from pathlib import Path

import pytest

from kalshi_sim.store import open_store
from kalshi_sim.synthetic.session import generate_session


@pytest.fixture(scope="session")
def short_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Session 1: four short markets of two events."""
    folder = tmp_path_factory.mktemp("store")
    made = generate_session(1, markets=4, minutes=4, deltas=300, seed=3, edge=0.8)
    open_store(str(folder)).save(made)
    return folder

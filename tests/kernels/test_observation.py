"""The columns of an observation have the names and places of the table of features."""

from __future__ import annotations

import pytest

from kalshi_sim import FEATURES
from kalshi_sim.kernels import observation

pytestmark = pytest.mark.kernel


def test_columns_are_the_table_of_features() -> None:
    named = {
        name.lower(): value
        for name, value in vars(observation).items()
        if name.isupper() and not name.startswith(("N_", "TAPE_", "PORTFOLIO_AT"))
    }
    assert named == {f.name: f.index for f in FEATURES}
    assert len(FEATURES) == observation.N_FEATURES == 52


def test_a_tape_holds_all_but_the_portfolio() -> None:
    shared = [f for f in FEATURES if f.group != "portfolio"]
    assert observation.N_TAPE_FEATURES == len(shared) == 40
    for place, feature in enumerate(shared):
        if feature.group == "global":
            assert vars(observation)[f"TAPE_{feature.name.upper()}"] == place
        else:
            assert feature.index == place
    first = next(f.index for f in FEATURES if f.group == "portfolio")
    assert first == observation.PORTFOLIO_AT

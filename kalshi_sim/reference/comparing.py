"""Whether two trajectories are the same episode."""

from __future__ import annotations

import numpy as np

from kalshi_sim.features import FEATURES
from kalshi_sim.reference.agreement import assert_features_equal
from kalshi_sim.reference.engines import Trajectory

SHOWN_ONLY_COMPILED = {"view", "steps"}
"""Figures of a batch that the slow twin's state does not carry."""


def assert_same_episode(compiled: Trajectory, oracle: Trajectory) -> None:
    """Money, orders, fills, rows, masks, done flags and statistics are equal, features nearly.

    Args:
        compiled: by the compiled simulator.
        oracle: by the slow twin.
    """
    assert len(compiled.states) == len(oracle.states)
    for t, (got, expected) in enumerate(zip(compiled.states, oracle.states, strict=True)):
        shown = {name: value for name, value in got.items() if name not in SHOWN_ONLY_COMPILED}
        assert shown == expected, f"state {t}: {_difference(shown, expected)}"
    assert compiled.masks == oracle.masks
    assert compiled.fills == oracle.fills
    assert compiled.rewards == [float(np.float32(reward)) for reward in oracle.rewards]
    assert (compiled.terminated, compiled.truncated) == (oracle.terminated, oracle.truncated)
    info = {name: value for name, value in compiled.info.items() if name != "view"}
    assert info == oracle.info
    observations = zip(
        [*compiled.observations, compiled.last_observation],
        [*oracle.observations, oracle.last_observation],
        strict=True,
    )
    for t, (seen, expected_seen) in enumerate(observations):
        assert_features_equal(seen, expected_seen, range(len(FEATURES)), f"observation {t}")


def _difference(got: dict[str, object], expected: dict[str, object]) -> str:
    names = [name for name in expected if got.get(name) != expected[name]]
    return ", ".join(f"{name} {got.get(name)} is not {expected[name]}" for name in names)

"""The permutation null: what a policy earns where it sees the features of another event.

The market features of each market are those of a market of another event, stretched to its length,
so that each has the distribution and the course that it has in truth but says nothing about this
market. Book, fills, the agent's own features and its masks stay true. A profit that such runs reach
too is none of what the policy saw in the market.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kalshi_sim.config import SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_sim.tape import Tape
from kalshi_sim.text import dollars, numbered
from kalshi_train.evaluation.heldout import play_heldout
from kalshi_train.evaluation.measure import event_of
from kalshi_train.evaluation.policies import Policy

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PermutationNull:
    """A policy's profit beside that with the features of other events; cents a market."""

    policy: str
    fill_model: str
    profit_cents: float
    null_profits_cents: tuple[float, ...]
    """One a permutation."""
    p_value: float
    """(1 + permutations that earned as much or more) / (1 + permutations)."""

    @property
    def sentence(self) -> str:
        """In words."""
        null = np.array(self.null_profits_cents)
        reached = int((null >= self.profit_cents).sum())
        counted = numbered(len(null), "permutation")
        return (
            f"{self.policy} with the market features of other events: "
            f"{dollars(float(null.mean()), signed=True)} a market on average, "
            f"{dollars(float(null.max()), signed=True)} at most; its "
            f"{dollars(self.profit_cents, signed=True)} is reached by {reached} of {counted} "
            f"(p = {self.p_value:.3g}, fill model {self.fill_model})."
        )

    def to_json(self) -> dict[str, Any]:
        """The figures by name, as JSON has them."""
        return asdict(self)


def permutation_null(
    policy: Policy,
    tape: Tape,
    config: SimConfig,
    profit_cents: float,
    *,
    permutations: int,
    seed: int,
    after_each: Callable[[], None] = lambda: None,
    device: str = "cpu",
) -> PermutationNull:
    """Play a policy with the features of other events.

    Args:
        policy: what is played.
        tape: the markets, of two events at least.
        config: settings of the simulation.
        profit_cents: what it earned a market with the true features.
        permutations: how often.
        seed: of the permutations.
        after_each: called after each of them.
        device: as of `play_all`.

    Returns:
        Its profit, those of the permutations, and their share that earned as much.

    Raises:
        ConfigError: the markets are of a single event.
    """
    rng = np.random.default_rng(seed)
    null = []
    for _ in range(permutations):
        found = play_heldout(permuted(tape, rng), config, policy, device=device)
        null.append(found.mean_profit)
        after_each()
    reached = sum(n >= profit_cents for n in null)
    return PermutationNull(
        policy.name,
        policy.config(config).fill_model,
        profit_cents,
        tuple(null),
        (1 + reached) / (1 + permutations),
    )


def permuted(tape: Tape, rng: np.random.Generator) -> Tape:
    """A tape whose markets have the features of markets of other events.

    Args:
        tape: the markets.
        rng: decides which.

    Returns:
        The same rows with other features.

    Raises:
        ConfigError: the markets are of a single event.
    """
    events = [event_of(view) for view in tape.views]
    donors = _others(sorted(set(events)), rng)
    features = tape.features.copy()
    for view, event in zip(tape.views, events, strict=True):
        theirs = [v for v, e in zip(tape.views, events, strict=True) if e == donors[event]]
        donor = theirs[int(rng.integers(len(theirs)))]
        rows = donor.start + np.arange(len(view)) * len(donor) // len(view)
        features[view.start : view.stop] = tape.features[rows]
    return tape.with_arrays(features=features)


def _others(events: list[str], rng: np.random.Generator) -> dict[str, str]:
    """Of each event another one, all of them once: a ring in drawn order."""
    if len(events) < 2:
        raise ConfigError(
            "permutations take the features of another event; the markets are of one event alone"
        )
    ring = rng.permutation(len(events))
    return {events[a]: events[b] for a, b in zip(ring, np.roll(ring, 1), strict=True)}

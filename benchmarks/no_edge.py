"""Nobody makes money by taking where prices are unpredictable.

    python -m benchmarks.no_edge

Plays fixed policies once on each of 2 000 generated markets without an edge, with
`pricing="cross"`, under every fill model: always buy, always sell (from flat that is buying NO),
random, and the four that a price which lags its news would pay: with and against the momentum of
10 s, with and against the imbalance at the best prices. Exit code 0 only if no mean profit is above
zero by more than 3 standard errors.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.resting_study import Int64Array, Policy, play
from kalshi_sim import SimConfig, build_tape
from kalshi_sim.actions import FIVE
from kalshi_sim.config import FillModel
from kalshi_sim.kernels.layout import BUY_NO, BUY_YES, HOLD
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.tape import Tape

LIMIT: Final = 3.0
TOP_IMBALANCE: Final = 7
MOMENTUM_10S: Final = 28
"""Features by number."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Play on generated markets without an edge."""

    episodes: int = 2_000
    minutes: float = 35
    seed: int = 9


class Result(NamedTuple):
    """Profit of one policy under one fill model, in cents an episode."""

    model: FillModel
    policy: str
    mean: float
    error: float

    @property
    def holds(self) -> bool:
        """Whether the profit is not above zero beyond chance."""
        return self.mean <= LIMIT * self.error


def always(action: int) -> Policy:
    """The same action in every environment and row."""

    def act(observations: npt.NDArray[np.float32], _step: int) -> Int64Array:
        return np.full(len(observations), action)

    return act


def at_random(seed: int) -> Policy:
    """Uniform actions."""
    rng = np.random.default_rng(seed)

    def act(observations: npt.NDArray[np.float32], _step: int) -> Int64Array:
        return rng.integers(len(FIVE), size=len(observations))

    return act


def follow(feature: int, sign: int, threshold: float) -> Policy:
    """Buy where a feature is beyond a threshold, sell where its negative is."""

    def act(observations: npt.NDArray[np.float32], _step: int) -> Int64Array:
        shown = sign * observations[:, feature]
        return np.where(shown > threshold, BUY_YES, np.where(shown < -threshold, BUY_NO, HOLD))

    return act


def make_tape(episodes: int, minutes: float, seed: int) -> Tape:
    """A tape with at least `episodes` views without an edge."""
    # One market in twenty is too short for an episode.
    markets = episodes + episodes // 8 + 2
    return build_tape([generate_session(1, markets=markets, minutes=minutes, seed=seed)])


def results(tape: Tape, seed: int) -> Iterator[Result]:
    """Every policy under every fill model."""
    for model in get_args(FillModel):
        policies = {
            "always buy": always(BUY_YES),
            "always sell": always(BUY_NO),
            "random": at_random(seed),
            "with momentum": follow(MOMENTUM_10S, 1, 0.1),
            "against momentum": follow(MOMENTUM_10S, -1, 0.1),
            "with imbalance": follow(TOP_IMBALANCE, 1, 0.5),
            "against imbalance": follow(TOP_IMBALANCE, -1, 0.5),
        }
        for name, policy in policies.items():
            profit = play(tape, SimConfig(pricing="cross", fill_model=model), policy)
            error = float(profit.std() / np.sqrt(len(profit)))
            yield Result(model, name, float(profit.mean()), error)


def main() -> int:
    """Play and print; returns the exit code."""
    arguments = tyro.cli(Arguments)
    tape = make_tape(arguments.episodes, arguments.minutes, arguments.seed)
    table = Table("fill model", "policy", "cents an episode", "standard error", "holds")
    table.title = f"{len(tape.views)} episodes, edge 0, pricing cross"
    holds = True
    for result in results(tape, arguments.seed):
        holds &= result.holds
        verdict = "yes" if result.holds else "NO"
        table.add_row(
            result.model, result.policy, f"{result.mean:+.1f}", f"{result.error:.1f}", verdict
        )
    Console().print(table)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())

"""Random actions on recorded sessions: no invariant breaks, and they lose what trading costs.

    python -m benchmarks.random_actions [--episodes 1000] [--steps 400]

Every fill model, pricing and valuation plays `--episodes` episodes of `--steps` rows from random
rows of the NBA, UFC and BTC15M recordings. After every step the money identities are checked for
every environment. For `pricing="cross"` and mid valuation each fill is charged with half the
spread it crossed plus its fee: that must account for the mean profit within three standard errors
of it. The small rest is adverse selection, a few hundredths of a cent to a tenth of one a
contract: an order takes what a level shows, and more is shown where the price is about to move
through (with orders of one contract nearly all of it goes).
"""

from __future__ import annotations

import argparse
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from kalshi_sim import BatchSimulator, SimConfig, Tape, build_tape
from kalshi_sim.config import FillModel, Pricing, Valuation
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.kernels import layout
from kalshi_sim.units import money_per_cent

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data"
FOLDERS = {"NBA": "nba-2026-03-18", "UFC": "ufc-2026-03-07", "BTC15M": "btc15m-2026-05-13"}
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Proof:
    """One setting's outcome over its episodes; money in cents an episode."""

    episodes: int
    fills: int
    mean: float
    standard_error: float
    explained: float
    """Mean of minus half the spread and the fee of every fill."""
    contracts: int
    broken: tuple[str, ...]
    """Invariants that broke."""

    @property
    def rest(self) -> float:
        """Mean profit that spread and fees do not explain."""
        return self.mean - self.explained

    @property
    def holds(self) -> bool:
        """Random actions lose, and spread and fees account for it within 3 standard errors."""
        return self.mean < 0 and abs(self.rest) <= 3 * self.standard_error


def broken_invariants(sim: BatchSimulator) -> list[str]:
    """The names of the money invariants that do not hold in every environment now."""
    core = sim.agents.core
    payout = sim.tape.payout
    position = core[:, layout.A_POSITION]
    start = int(sim.settings.ints[layout.C_CASH_START])
    rows = core[:, layout.A_ROW]
    mark2 = sim.tape.mark2[rows]
    if sim.config.valuation == "mid":
        value2 = np.where(position >= 0, position * mark2, -position * (2 * payout - mark2))
    else:
        best = sim.tape.px[rows, :, 0]
        value2 = np.where(position >= 0, 2 * position * best[:, 0], -2 * position * best[:, 1])
    unrealized2 = value2 - 2 * core[:, layout.A_COST]
    identity = 2 * (start + core[:, layout.A_REALIZED] - core[:, layout.A_FEES]) + unrealized2
    prices = core[:, layout.A_PRICE : layout.A_PRICE + 2]
    sizes = core[:, layout.A_SIZE : layout.A_SIZE + 2]
    both = (sizes > 0).all(axis=1)
    checks = {
        "cash is not negative": core[:, layout.A_CASH] >= 0,
        "free cash is not negative": core[:, layout.A_FREE] >= 0,
        "equity identity": core[:, layout.A_EQUITY2] == identity,
        "return is the change of equity": core[:, layout.A_RETURN2]
        == core[:, layout.A_EQUITY2] - 2 * start,
        "position within its limit": np.abs(position) <= sim.config.max_position,
        "cost only with a position": (core[:, layout.A_COST] == 0) | (position != 0),
        "own orders do not cross": ~both | (prices.sum(axis=1) < payout),
        "orders have prices": ((sizes > 0) == (prices > 0)).all(axis=1),
        "order sizes within bounds": ((sizes >= 0) & (sizes <= sim.config.order_size)).all(axis=1),
    }
    return [name for name, holds in checks.items() if not holds.all()]


def _fill_costs(sim: BatchSimulator, starts: Int64Array) -> Int64Array:
    """Twice what the last step's fills cost against the mid of their row, fees included [n]."""
    fills = sim.fills()
    mark2 = sim.tape.mark2[starts[fills["env"]] + fills["row"]]
    mid2 = np.where(fills["side"] == 0, mark2, 2 * sim.tape.payout - mark2)
    cost2 = np.zeros(sim.n_envs, np.int64)
    np.add.at(cost2, fills["env"], (2 * fills["price"] - mid2) * fills["qty"] + 2 * fills["fee"])
    return cost2


def prove(tape: Tape, config: SimConfig, episodes: int, seed: int = 0) -> Proof:
    """Play random actions until every environment has finished one episode."""
    sim = BatchSimulator(tape, episodes, config, seed)
    rng = np.random.default_rng(seed)
    sim.reset()
    open_envs = np.ones(episodes, np.bool_)
    cost2 = np.zeros(episodes, np.int64)
    profit2 = np.zeros(episodes, np.int64)
    fills = contracts = 0
    broken: set[str] = set()
    while open_envs.any():
        starts = sim.agents.core[:, layout.A_START].copy()
        _, _, _, finished = sim.step(rng.integers(0, layout.N_ACTIONS, episodes))
        cost2 += np.where(open_envs, _fill_costs(sim, starts), 0)
        broken.update(broken_invariants(sim))
        if finished is not None:
            first = open_envs[finished.envs]
            ended, core = finished.envs[first], finished.core[first]
            profit2[ended] = core[:, layout.A_RETURN2]
            fills += int(core[:, layout.A_FILLS].sum())
            contracts += int(core[:, layout.A_CONTRACTS].sum())
            open_envs[ended] = False
    sim.close()
    cents = 2.0 * money_per_cent(tape.payout)
    profit, explained = profit2 / cents, -cost2 / cents
    root = np.sqrt(episodes)
    return Proof(
        episodes=episodes,
        fills=fills,
        mean=float(profit.mean()),
        standard_error=float(profit.std(ddof=1) / root),
        explained=float(explained.mean()),
        contracts=contracts,
        broken=tuple(sorted(broken)),
    )


def settings(steps: int) -> list[SimConfig]:
    """Every fill model, pricing and valuation, episodes of `steps` rows from random rows."""
    return [
        SimConfig(
            fill_model=model,
            pricing=pricing,
            valuation=valuation,
            max_episode_steps=steps,
            random_start=True,
            record_fills=True,
        )
        for model, pricing, valuation in itertools.product(
            get_args(FillModel), get_args(Pricing), get_args(Valuation)
        )
    ]


def recorded_tape(name: str) -> Tape:
    """The tape of one of the recordings."""
    session = import_captures(
        sorted((RECORDINGS / FOLDERS[name]).glob("*.gz")),
        session_id=1,
        markets_csv=RECORDINGS / "markets.csv",
        whole_subscription=True,
    )
    return build_tape([session])


def main(argv: list[str] | None = None) -> int:
    """Print a table a session; 0 only if everything holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args(argv)
    console = Console(width=120)
    failed = 0
    for name in FOLDERS:
        tape = recorded_tape(name)
        table = Table(title=f"{name}: {options.episodes} episodes of {options.steps} rows, cents")
        for column in ("fill model", "pricing", "valuation", "fills", "profit", "explained",
                       "rest / SE", "rest a contract", "invariants"):  # fmt: skip
            table.add_column(column, justify="left" if column.islower() else "right")
        for config in settings(options.steps):
            proof = prove(tape, config, options.episodes)
            judged = config.pricing == "cross" and config.valuation == "mid"
            bad = bool(proof.broken) or (judged and not proof.holds)
            failed += bad
            table.add_row(
                config.fill_model,
                config.pricing,
                config.valuation,
                f"{proof.fills}",
                f"{proof.mean:.1f} ± {proof.standard_error:.1f}",
                f"{proof.explained:.1f}" if config.valuation == "mid" else "-",
                f"{proof.rest / proof.standard_error:+.2f}" if judged else "-",
                f"{proof.rest * proof.episodes / proof.contracts:+.3f}" if judged else "-",
                ", ".join(proof.broken) or ("hold" if not bad else "hold, but not explained"),
            )
        console.print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

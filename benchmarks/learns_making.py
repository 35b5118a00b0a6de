"""Does the default maker learn to quote and to cancel where nothing else pays?

    python -m benchmarks.learns_making               # 3 seeds of `maker`, then `five`

On generated sessions in which only making pays (`generate --making`) PPO with `--actions maker` and
default settings (which mask invalid actions) has to reach 80 % of the known best quoter's profit on
held-out markets, and `five`, which cannot cancel, must not earn, whether it crosses or joins. Exit
code 0 only if all of it holds.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tyro
from rich.console import Console
from rich.table import Table

from kalshi_sim.synthetic.making import best_making_policy
from kalshi_sim.synthetic.session import generate_session
from kalshi_train.config import TrainConfig
from kalshi_train.data.prepare import prepare
from kalshi_train.evaluation.heldout import play_heldout
from kalshi_train.evaluation.policies import policy_from_function
from kalshi_train.training.run import train

NEEDED: Final = 0.8
NOTHING: Final = 0.2
"""Share of the best quoter's profit that counts as none."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train on generated sessions and compare with the known best quoter."""

    seeds: tuple[int, ...] = (0, 1, 2)
    five_seeds: tuple[int, ...] = (0,)
    """Seeds of the runs with the table `five`, of each pricing."""
    markets: int = 600
    total_timesteps: int = 5_000_000
    settings: str = "{}"
    """More settings of TrainConfig, as JSON."""


def cases(arguments: Arguments) -> Iterator[dict[str, Any]]:
    """Table, pricing and seed of each run."""
    for seed in arguments.seeds:
        yield {"actions": "maker", "pricing": "cross", "seed": seed}
    for pricing in ("cross", "join"):
        for seed in arguments.five_seeds:
            yield {"actions": "five", "pricing": pricing, "seed": seed, "mask": True}


def run_one(arguments: Arguments, case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train one agent on a session of its own, and judge it on the held-out markets."""
    seed = case["seed"]
    session = generate_session(seed, markets=arguments.markets, seed=200 + seed, making=True)
    config = TrainConfig().changed(
        **{"log_level": "WARNING", "eval_fraction": 0.4, **json.loads(arguments.settings), **case},
        total_timesteps=arguments.total_timesteps,
        model_save_path=folder / "trained_model.zip",
        progress=False,
    )
    heldout = prepare(config, [session]).heldout
    assert heldout is not None
    maker = config.changed(actions="maker").simulation
    best = play_heldout(heldout, maker, policy_from_function("best", best_making_policy))
    begin = time.perf_counter()
    result = train(config, sessions=[session])
    assert result.heldout is not None
    profit = result.heldout["mean_profit_cents"]
    share = profit / best.mean_profit
    return {
        **case,
        "seconds": round(time.perf_counter() - begin, 1),
        "profit_cents": profit,
        "standard_error_cents": result.heldout["standard_error_cents"],
        "best_quoter_cents": best.mean_profit,
        "share_of_best": share,
        "passed": share >= NEEDED if case["actions"] == "maker" else share <= NOTHING,
    }


def show(rows: list[dict[str, Any]]) -> None:
    """A table, one line a run."""
    table = Table("actions", "pricing", "seed", "s", "profit (c)", "best (c)", "share", "passed")
    for r in rows:
        table.add_row(
            *(str(r[k]) for k in ("actions", "pricing", "seed", "seconds")),
            f"{r['profit_cents']:+.1f} ± {r['standard_error_cents'] or 0.0:.1f}",
            f"{r['best_quoter_cents']:+.1f}",
            f"{r['share_of_best']:.0%}",
            "yes" if r["passed"] else "NO",
        )
    Console(width=100).print(table)


def main() -> int:
    """Train, print, and return the exit code."""
    arguments = tyro.cli(Arguments, description=__doc__)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for case in cases(arguments):
            folder = Path(scratch) / "-".join(str(value) for value in case.values())
            rows.append(run_one(arguments, case, folder))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    show(rows)
    return 0 if all(r["passed"] for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

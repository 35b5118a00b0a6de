"""Do the defaults learn? And do they find nothing where there is nothing?

    python -m benchmarks.learns_edge                  # PPO and A2C, 3 seeds, with and without edge

On generated sessions with a planted edge the default agent has to reach 70 % of the profit of the
known best policy on held-out markets; without an edge its held-out profit must not be above zero
by more than 3 standard errors. Exit code 0 only if all of it holds.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import tyro
from rich.console import Console
from rich.table import Table

from kalshi_sim.synthetic.edge import best_edge_policy
from kalshi_sim.synthetic.session import generate_session
from kalshi_train.config import TrainConfig
from kalshi_train.data.prepare import prepare
from kalshi_train.evaluation.heldout import HeldoutResult, play_heldout
from kalshi_train.evaluation.policies import policy_from_function
from kalshi_train.training.run import train

NEEDED = 0.7
LIMIT = 3.0


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train on generated sessions and compare with the known best policy."""

    algorithms: tuple[str, ...] = ("ppo", "a2c")
    seeds: tuple[int, ...] = (0, 1, 2)
    edges: tuple[float, ...] = (0.5, 0.0)
    n_envs: tuple[int, ...] = ()
    """Numbers of environments; without, the default one."""
    markets: int = 300
    minutes: float = 35
    limit: float = LIMIT
    """Standard errors above zero that are no edge yet."""
    total_timesteps: int | None = None
    """Without: the default."""
    settings: str = "{}"
    """More settings of TrainConfig, as JSON."""
    keep: Path | None = None
    """Keep the runs (curves, models) in this folder."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


def run_one(arguments: Arguments, case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train one agent on sessions of its own, and judge it on the held-out markets."""
    edge, seed = case["edge"], case["seed"]
    session = generate_session(
        seed, markets=arguments.markets, minutes=arguments.minutes, seed=100 + seed, edge=edge
    )
    settings: dict[str, Any] = {"log_level": "WARNING", **json.loads(arguments.settings)}
    if arguments.total_timesteps is not None:
        settings["total_timesteps"] = arguments.total_timesteps
    if "n_envs" in case:
        settings["n_envs"] = case["n_envs"]
    config = TrainConfig().changed(
        algorithm=case["algorithm"],
        seed=seed,
        model_save_path=folder / "trained_model.zip",
        progress=False,
        **settings,
    )
    heldout = prepare(config, [session]).heldout
    assert heldout is not None

    def act(observations: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        return best_edge_policy(observations, edge, order_size=config.sim.order_size)

    best = play_heldout(heldout, config.simulation, policy_from_function("best", act))
    begin = time.perf_counter()
    result = train(config, sessions=[session])
    assert result.heldout is not None
    profit, above = result.heldout["mean_profit_cents"], result.heldout
    curve = [(int(s), round(float(np.mean(p)), 1)) for s, p in zip(*_curve(folder), strict=True)]
    return {
        **case,
        "n_envs": config.n_envs,
        "timesteps": result.num_timesteps,
        "seconds": round(time.perf_counter() - begin, 1),
        "profit_cents": profit,
        "best_policy_cents": best.mean_profit,
        "share_of_best": profit / best.mean_profit if best.mean_profit > 0 else None,
        "standard_errors": above["standard_errors_above_zero"],
        "passed": _passed(edge, profit, best, above["standard_errors_above_zero"], arguments.limit),
        "curve": curve,
    }


def _passed(
    edge: float, profit: float, best: HeldoutResult, distance: float | None, limit: float
) -> bool:
    if edge > 0:
        return profit >= NEEDED * best.mean_profit > 0
    return (distance or 0.0) <= limit


def _curve(folder: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    with np.load(folder / "eval_logs" / "evaluations.npz") as stored:
        return stored["timesteps"], stored["profit_cents"]


def cases(arguments: Arguments) -> list[dict[str, Any]]:
    """All combinations to run."""
    return [
        {"edge": edge, "algorithm": algorithm, "seed": seed} | extra
        for edge in arguments.edges
        for algorithm in arguments.algorithms
        for extra in ([{"n_envs": n} for n in arguments.n_envs] or [{}])
        for seed in arguments.seeds
    ]


def show(rows: list[dict[str, Any]]) -> None:
    """A table, one line a run."""
    table = Table("edge", "algorithm", "n_envs", "seed", "steps", "s", "profit (c)", "best (c)")
    for name in ("share", "std errors", "passed"):
        table.add_column(name)
    for r in rows:
        share = "" if r["share_of_best"] is None else f"{r['share_of_best']:.0%}"
        distance = "" if r["standard_errors"] is None else f"{r['standard_errors']:+.1f}"
        table.add_row(
            *(str(r[k]) for k in ("edge", "algorithm", "n_envs", "seed", "timesteps", "seconds")),
            f"{r['profit_cents']:+.1f}",
            f"{r['best_policy_cents']:+.1f}",
            share,
            distance,
            "yes" if r["passed"] else "NO",
        )
    Console(width=120).print(table)


def main() -> int:
    arguments = tyro.cli(Arguments, description=__doc__)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for case in cases(arguments):
            name = "-".join(f"{k}{v}" for k, v in case.items())
            rows.append(run_one(arguments, case, (arguments.keep or Path(scratch)) / name))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    if arguments.json:
        print(json.dumps(rows))
    else:
        show(rows)
    return 0 if all(r["passed"] for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

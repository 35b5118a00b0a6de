"""Does a model learn the same, trained by several processes, as by one at the same total batch?

    python -m benchmarks.data_parallel                       # 1 learner, 2 of this machine
    python -m benchmarks.data_parallel --ways one local ray  # and 2 on two nodes of a Ray cluster

A generated session with a planted edge, the same events held out for all; every way trains with
every seed. Ways are compared by the held-out profit at the end and over the whole curve; the
difference of their means has to be less than LIMIT of its standard errors, and what is learned on
the nodes of a cluster has to be what is learned here. Exit code 0 if both hold.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import tyro
from rich.console import Console
from rich.table import Table

from kalshi_sim.store import open_store
from kalshi_sim.synthetic.edge import best_edge_policy
from kalshi_sim.synthetic.session import generate_session
from kalshi_train.config import TrainConfig
from kalshi_train.data.prepare import prepare
from kalshi_train.evaluation.heldout import play_heldout
from kalshi_train.evaluation.policies import policy_from_function
from kalshi_train.training.callbacks import EVALUATIONS
from kalshi_train.training.run import train

LIMIT = 2.5
LEARNERS = 2
Way = Literal["one", "local", "ray"]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train on a generated session in several ways, and compare what they learn."""

    ways: tuple[Way, ...] = ("one", "local")
    algorithm: Literal["ppo", "a2c"] = "ppo"
    seeds: int = 6
    markets: int = 100
    minutes: float = 20
    edge: float = 0.5
    total_timesteps: int = 400_000
    n_envs: int = 64
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


def curve_of(folder: Path) -> F64:
    """Mean held-out profit of a market at each evaluation of a run, in cents."""
    with np.load(folder / EVALUATIONS) as found:
        mean: F64 = found["profit_cents"].mean(axis=1)
    return mean


@contextlib.contextmanager
def cluster_for(ways: tuple[Way, ...]) -> Iterator[str | None]:
    """The address of a cluster of two nodes of this machine, if one is needed."""
    if "ray" not in ways:
        yield None
        return
    from support.ray_cluster import ray_cluster

    with ray_cluster() as cluster:
        yield cluster.address


def run_one(config: TrainConfig, way: Way, address: str | None) -> dict[str, Any]:
    """Train in one way; its curve and speed."""
    if way == "ray":
        from kalshi_train.training.ray_learners import train_on_nodes

        assert address is not None
        result = train_on_nodes(config.changed(learners=LEARNERS), address)
    else:
        result = train(config.changed(learners=LEARNERS if way == "local" else 1))
    curve = curve_of(config.run_folder)
    return {"curve": curve.tolist(), "steps_per_second": result.steps_per_second}


def best_profit(config: TrainConfig, edge: float) -> float:
    """Mean held-out profit of a market of the known best policy, in cents."""
    heldout = prepare(config).heldout
    assert heldout is not None

    def act(observations: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return best_edge_policy(observations, edge, order_size=config.sim.order_size)

    best = play_heldout(heldout, config.evaluation, policy_from_function("best", act))
    return float(best.mean_profit)


def apart(one: F64, other: F64) -> float:
    """By how many standard errors two means differ."""
    error = np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other))
    difference = float(abs(one.mean() - other.mean()))
    return 0.0 if difference == 0 else float(difference / error)


def measure(arguments: Arguments, folder: Path) -> dict[str, Any]:
    """Every way with every seed, in turns."""
    session = generate_session(
        1, markets=arguments.markets, minutes=arguments.minutes, seed=77, edge=arguments.edge
    )
    open_store(str(folder / "sessions")).save(session)
    base = TrainConfig().changed(
        store=str(folder / "sessions"),
        session=1,
        algorithm=arguments.algorithm,
        n_envs=arguments.n_envs,
        total_timesteps=arguments.total_timesteps,
        num_threads=1,
        split_seed=0,
        tensorboard=False,
        progress=False,
        log_level="WARNING",
    )
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in arguments.ways}
    with cluster_for(arguments.ways) as address:
        for seed in range(arguments.seeds):
            for way in arguments.ways:
                path = folder / f"{way}-{seed}" / "model.zip"
                config = base.changed(seed=seed, model_save_path=path)
                found[way].append(run_one(config, way, address))
    return {"best_policy_cents": best_profit(base, arguments.edge), "runs": found}


def compared(found: dict[str, Any]) -> list[dict[str, Any]]:
    """A line for each way."""
    runs: dict[str, list[dict[str, Any]]] = found["runs"]
    lines = []
    first = next(iter(runs))
    for way, results in runs.items():
        curves = np.array([r["curve"] for r in results])
        reference = np.array([r["curve"] for r in runs[first]])
        speeds, base = ([r["steps_per_second"] for r in runs[w]] for w in (way, first))
        lines.append(
            {
                "way": way,
                "final_cents": float(curves[:, -1].mean()),
                "final_deviation": float(curves[:, -1].std(ddof=1)),
                "curve_cents": float(curves.mean()),
                "curve_deviation": float(curves.mean(axis=1).std(ddof=1)),
                "final_apart": apart(reference[:, -1], curves[:, -1]),
                "curve_apart": apart(reference.mean(axis=1), curves.mean(axis=1)),
                "steps_per_second": float(np.median(speeds)),
                "speed": float(np.median(speeds) / np.median(base)),
            }
        )
    return lines


def show(lines: list[dict[str, Any]], best: float) -> None:
    """Print the lines."""
    table = Table(title=f"Held-out profit of a market in cents; of the best policy {best:.1f}")
    for name in ("way", "final", "whole curve", "standard errors apart", "steps/s", "speed"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for line in lines:
        table.add_row(
            line["way"],
            f"{line['final_cents']:.1f} ± {line['final_deviation']:.1f}",
            f"{line['curve_cents']:.1f} ± {line['curve_deviation']:.1f}",
            f"{line['final_apart']:.1f}, {line['curve_apart']:.1f}",
            f"{line['steps_per_second']:,.0f}",
            f"{line['speed']:.2f}",
        )
    Console(width=120).print(table)


def main() -> int:
    """Compare the ways."""
    arguments = tyro.cli(Arguments)
    with tempfile.TemporaryDirectory(prefix="data-parallel-") as folder:
        found = measure(arguments, Path(folder))
    lines = compared(found)
    if arguments.json:
        print(json.dumps(found | {"ways": lines}))
    else:
        show(lines, found["best_policy_cents"])
    good = all(max(w["final_apart"], w["curve_apart"]) < LIMIT for w in lines)
    if {"local", "ray"} <= set(found["runs"]):
        here, there = ([r["curve"] for r in found["runs"][way]] for way in ("local", "ray"))
        print(f"curves of the cluster are those of this machine: {here == there}")
        good = good and here == there
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())

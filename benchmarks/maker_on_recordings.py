"""Does an agent that learnt to quote beat joining both sides, on markets it has not seen?

    python -m benchmarks.maker_on_recordings                  # the NBA evening, two games a fold
    python -m benchmarks.maker_on_recordings --total-timesteps 5000000 --keep folds

The events are held out in turn. On the others PPO with `--actions maker` and default settings is
trained; then both play the held-out markets under `through` and `queue`. Profits are compared
market by market, and the interval of the mean difference is by event, over all folds.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks import sessions
from benchmarks.folds import episodes_of, folds_of
from kalshi_sim import SimConfig
from kalshi_train.config import TrainConfig
from kalshi_train.evaluation import BASELINES
from kalshi_train.evaluation.intervals import mean_interval
from kalshi_train.evaluation.measure import Episode, events, profits
from kalshi_train.evaluation.policies import policy_from_model
from kalshi_train.training.run import train

FILL_MODELS: Final = ("through", "queue")
BASELINE: Final = "join-both-sides"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train on most events, play the others, and go round."""

    held_out: int = 2
    """Events a fold."""
    total_timesteps: int = 1_000_000
    """Of each fold."""
    seed: int = 0
    settings: str = "{}"
    """More settings of TrainConfig, as JSON."""
    keep: Path | None = None
    """Keep the models, fold-1.zip and so on, in this folder."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


@dataclass(frozen=True)
class Compared:
    """The agent and the baseline on every market under one fill model; cents a market."""

    fill_model: str
    agent_cents: float
    agent_contracts: int
    baseline_cents: float
    baseline_contracts: int
    difference_cents: float
    low: float | None
    high: float | None
    """Ends of the 95 % interval by event."""
    events: int
    events_better: int


def compared(fill_model: str, agent: Sequence[Episode], baseline: Sequence[Episode]) -> Compared:
    """The paired comparison of two policies on the same markets."""
    difference = profits(agent) - profits(baseline)
    names = events(agent)
    found = mean_interval(difference, names)
    by_event = dict.fromkeys(names, 0.0)
    for name, value in zip(names, difference.tolist(), strict=True):
        by_event[name] += value
    return Compared(
        fill_model,
        float(profits(agent).mean()),
        sum(e.figures.contracts for e in agent),
        float(profits(baseline).mean()),
        sum(e.figures.contracts for e in baseline),
        found.mean,
        found.low,
        found.high,
        found.events,
        sum(value > 0 for value in by_event.values()),
    )


def play(arguments: Arguments, folder: Path) -> list[Compared]:
    """All folds."""
    name = sessions.main_name()
    session, tape = sessions.session(name), sessions.tape(name)
    agent: dict[str, list[Episode]] = {m: [] for m in FILL_MODELS}
    baseline: dict[str, list[Episode]] = {m: [] for m in FILL_MODELS}
    for number, views in enumerate(folds_of(tape, arguments.held_out), 1):
        out = {tape.views[i].market_ticker for i in views}
        rest = [v.market_ticker for v in tape.views if v.market_ticker not in out]
        settings: dict[str, Any] = {"log_level": "WARNING", "tensorboard": False}
        config = TrainConfig().changed(
            **{**settings, "actions": "maker", **json.loads(arguments.settings)},
            total_timesteps=arguments.total_timesteps,
            seed=arguments.seed,
            eval_fraction=0.0,
            progress=False,
            model_save_path=folder / f"fold-{number}" / f"fold-{number}.zip",
        )
        begin = time.perf_counter()
        result = train(config, sessions=[session.select(rest)])
        trained = time.perf_counter() - begin
        policy = policy_from_model(result.model, "agent")
        held_out = tape.select(views)
        for fill_model in FILL_MODELS:
            rules = SimConfig(fill_model=fill_model)
            quoting = config.changed(fill_model=fill_model).simulation
            agent[fill_model] += episodes_of(policy, held_out, quoting)
            baseline[fill_model] += episodes_of(BASELINES[BASELINE], held_out, rules)
        print(
            f"fold {number}: {sorted(out)}, trained in {trained:.0f} s", file=sys.stderr, flush=True
        )
    return [compared(m, agent[m], baseline[m]) for m in FILL_MODELS]


def show(rows: Sequence[Compared]) -> None:
    """A table, one line a fill model."""
    table = Table("fills as", "agent (c)", "contracts", f"{BASELINE} (c)", "contracts")
    for column in ("difference (c)", "95 % interval by event", "events better"):
        table.add_column(column)
    for r in rows:
        ends = "-" if r.low is None else f"{r.low:+.0f} to {r.high:+.0f}"
        table.add_row(
            r.fill_model,
            f"{r.agent_cents:+.0f}",
            f"{r.agent_contracts:,}",
            f"{r.baseline_cents:+.0f}",
            f"{r.baseline_contracts:,}",
            f"{r.difference_cents:+.0f}",
            ends,
            f"{r.events_better} of {r.events}",
        )
    Console(width=120).print(table)


def main() -> None:
    """Train, play and print."""
    arguments = tyro.cli(Arguments, description=__doc__)
    with tempfile.TemporaryDirectory() as scratch:
        rows = play(arguments, arguments.keep or Path(scratch))
    if arguments.json:
        print(json.dumps([asdict(r) for r in rows]))
    else:
        show(rows)


if __name__ == "__main__":
    main()

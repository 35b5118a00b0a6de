"""Several runs of `kalshi-train`, here or on a cluster, and how far their results lie apart."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kalshi_sim.cli.console import decimal
from kalshi_sim.cli.tables import print_table, print_text
from kalshi_sim.errors import ConfigError
from kalshi_sim.files import write_json
from kalshi_sim.text import dollars, numbered
from kalshi_train.config import TrainConfig
from kalshi_train.evaluation.tries import SEVERAL


def configs_of(config: TrainConfig, seeds: int) -> list[TrainConfig]:
    """The settings of each run: seeds one after the other, a folder and the same split for each.

    Args:
        config: the settings of the first; its folder holds those of all.
        seeds: how many.

    Returns:
        As many configurations.

    Raises:
        ConfigError: the number is wrong, or a run is to be resumed.
    """
    if seeds < 1:
        raise ConfigError(f"--seeds {seeds}: must be 1 or more")
    if config.resume_from is not None:
        raise ConfigError("--seeds starts runs anew; resume each from its own folder")
    split = config.seed if config.split_seed is None else config.split_seed
    path = config.model_save_path
    return [
        config.changed(
            seed=seed,
            split_seed=split,
            model_save_path=path.parent / f"seed-{seed}" / path.name,
        )
        for seed in range(config.seed, config.seed + seeds)
    ]


def train_all(
    configs: Sequence[TrainConfig],
    folder: Path,
    command: Sequence[str] | None = None,
    *,
    ray: str | None = None,
) -> dict[str, Any]:
    """Train one after the other, or on a cluster, and write what they came to into `folder`.

    Args:
        configs: of the runs.
        folder: where `runs.json` goes.
        command: the words of the command line that asked for them.
        ray: host:port of the head of a Ray cluster that trains them; None: this process.

    Returns:
        Figures of every run, their mean, spread and the best, as JSON has them.

    Raises:
        KalshiSimError: a run could not be made.
        Interrupted: Ctrl-C; what was trained is saved.
    """
    done: dict[int, dict[str, Any]] = {}
    for index, run in _each(configs, command, ray):
        done[index] = run
        write_json(folder / SEVERAL, _summary([done[i] for i in sorted(done)]))
    return _summary([done[i] for i in sorted(done)])


def _each(
    configs: Sequence[TrainConfig], command: Sequence[str] | None, ray: str | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Places and figures of the runs, as they end."""
    if ray is not None:
        from kalshi_train.training.on_cluster import train_on_cluster

        yield from train_on_cluster(configs, ray, command)
        return
    from kalshi_train.training.run import train

    for index, config in enumerate(configs):
        yield index, train(config, command=command).figures(config)


def _summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    known = [r for r in runs if r["heldout_profit_cents"] is not None]
    profits = [r["heldout_profit_cents"] for r in known]
    best = max(known, key=lambda r: float(r["heldout_profit_cents"]), default=None)
    return {
        "runs": list(runs),
        "mean_profit_cents": statistics.fmean(profits) if profits else None,
        "standard_deviation_cents": statistics.stdev(profits) if len(profits) > 1 else None,
        "best": None if best is None else best["folder"],
        "note": "the best run is chosen on the held-out markets: its profit there flatters it",
    }


def show_runs(summary: dict[str, Any]) -> None:
    """Print the runs, their mean and spread, and the best."""
    print_table(
        "Profit after fees: of a held-out market, and of an episode of training",
        ("run", "held-out", "+-", "training", "steps/s"),
        [
            (
                Path(run["folder"]).name,
                _signed(run["heldout_profit_cents"]),
                dollars(run["standard_error_cents"]),
                _signed(run["training_profit_cents"]),
                decimal(run["steps_per_second"], 0),
            )
            for run in summary["runs"]
        ],
    )
    if summary["mean_profit_cents"] is None:
        print_text("nothing was held out, so the runs are not compared")
        return
    spread, mean = summary["standard_deviation_cents"], summary["mean_profit_cents"]
    print_text(
        f"mean of {numbered(len(summary['runs']), 'run')}: {_signed(mean)} a held-out market, "
        f"standard deviation {dollars(spread)}; best: {summary['best']} "
        f"({summary['note']})"
    )


def _signed(value: float | None) -> str:
    return dollars(value, signed=True)

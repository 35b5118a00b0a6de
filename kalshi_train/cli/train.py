"""`kalshi-train` and `kalshi-evaluate`. Heavy imports wait until the settings are right."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import FlagCreatePairsOff, arg

from kalshi_sim.calibration.settings_file import read_calibration
from kalshi_sim.cli.command_line import parse_command
from kalshi_sim.cli.shell import run_command
from kalshi_sim.errors import ConfigError, KalshiSimError
from kalshi_sim.extras import require_extra
from kalshi_sim.text import numbered, printable
from kalshi_train.config import TrainConfig, named_sessions
from kalshi_train.defaults import foreign_to

_DESCRIPTION = """Train an agent on recorded Kalshi order books.

  kalshi-train --session 9 --algorithm ppo --total-timesteps 1000000
  kalshi-train --sessions 6,7,8,9 --algorithm a2c --curriculum
  kalshi-train --resume-from trained_models
  kalshi-train --session 9 --seeds 5 --model-save-path runs/first
  kalshi-train --session 9 --seeds 8 --ray 10.0.0.1:6379
  kalshi-train --sessions 6,7,8,9 --eval-from 2026-03-18

The model, checkpoints, logs and results go into the folder of
  --model-save-path. With --resume-from, settings that are not given are those
  of the checkpoint."""


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What the command is asked for besides the settings of a run."""

    config: Annotated[
        Path | None,
        arg(metavar="FILE", help="A config.json whose settings take the place of the defaults."),
    ] = None
    settings: Annotated[
        Path | None,
        arg(
            metavar="FILE",
            help="Settings that kalshi-sim calibrate estimated (latency_ms, trade_share, "
            "queue_power); they go before those of --config and of a checkpoint.",
        ),
    ] = None
    dry_run: Annotated[
        bool,
        FlagCreatePairsOff,
        arg(help="Show what would be trained, on what and with which settings, and stop."),
    ] = False
    seeds: Annotated[
        int | None,
        arg(metavar="N", help="Train with so many seeds, each in a folder of its own (seed-<n>)."),
    ] = None
    walk_forward: Annotated[
        int | None,
        arg(
            metavar="K",
            help="Train K times, each on the events before a time, and hold out those that came "
            "next; each in a folder of its own (fold-<k>).",
        ),
    ] = None
    ray: Annotated[
        str | None,
        arg(
            metavar="ADDRESS",
            help="Train the runs of --seeds or --walk-forward, or the learners of one run, on a "
            "Ray cluster: host:port of its head, or auto. Each takes as many processors as it has "
            "threads (--num-threads, here one by default).",
        ),
    ] = None
    json: Annotated[bool, FlagCreatePairsOff, arg(help="Print the results as JSON.")] = False


@dataclass(frozen=True)
class _Command:
    run: TrainConfig
    asked: _Run
    words: tuple[str, ...] = ()
    """As it was typed."""


def train_main(argv: Sequence[str] | None = None) -> int:
    """The command `kalshi-train`; returns its exit code (2: a user's mistake)."""
    arguments = _spelt_out(list(sys.argv[1:] if argv is None else argv))
    return run_command(
        "kalshi-train",
        lambda: _train(_parse(arguments, base_config(arguments))),
        arguments=arguments,
        mistakes=(KalshiSimError,),
        interrupted="interrupted before anything was trained",
        ends_process=argv is None,
    )


def evaluate_main(argv: Sequence[str] | None = None) -> int:
    """The command `kalshi-evaluate`; returns its exit code."""
    from kalshi_train.cli.evaluate import main

    code: int = main(argv)
    return code


def _train(command: _Command) -> int:
    from kalshi_train.cli.markets import check_sessions
    from kalshi_train.training.logs import setup_logging

    require_extra("train")
    config = command.run
    if command.asked.ray is not None:
        several = command.asked.seeds is not None or command.asked.walk_forward is not None
        if not several and config.learners == 1:
            raise ConfigError(
                "--ray spreads several runs over a cluster, or the learners of one; say which, "
                "with --seeds N, --walk-forward K or --learners N"
            )
        require_extra("ray")
    if config.resume_from is None:  # else a checkpoint that does not fit is reported first
        named_sessions(config)
    check_sessions(config.store, config.session_ids)  # before torch is imported
    setup_logging(config.log_level, config.log_file)
    if command.asked.dry_run:
        return _dry_run(config, as_json=command.asked.json)
    logging.getLogger(__name__).info("loading PyTorch")
    if command.asked.seeds is not None or command.asked.walk_forward is not None:
        return _several(command)
    from kalshi_train.training.progress import show_result

    if command.asked.ray is not None:
        from kalshi_train.training.ray_learners import train_on_nodes

        result = train_on_nodes(config, command.asked.ray, command=command.words)
    else:
        from kalshi_train.training.run import train

        result = train(config, command=command.words)
    if command.asked.json:
        print(json.dumps(result.results, allow_nan=False))
    else:
        show_result(result)
    return 0


def _several(command: _Command) -> int:
    """Several runs: of several seeds, or forward in time."""
    from kalshi_train.cli.folds import folds_of
    from kalshi_train.cli.seeds import configs_of, show_runs, train_all

    config, asked = command.run, command.asked
    if asked.seeds is not None and asked.walk_forward is not None:
        raise ConfigError("give --seeds or --walk-forward, not both")
    if asked.walk_forward is not None:
        runs = folds_of(config, asked.walk_forward)
    else:
        assert asked.seeds is not None
        runs = configs_of(config, asked.seeds)
    summary = train_all(runs, config.run_folder, command.words, ray=asked.ray)
    if asked.json:
        print(json.dumps(summary, allow_nan=False))
    else:
        show_runs(summary)
    return 0


def _dry_run(config: TrainConfig, *, as_json: bool) -> int:
    from kalshi_train.training.run import plan

    planned = plan(config)
    if as_json:
        print(json.dumps(planned, allow_nan=False))
        return 0
    data = planned["data"]
    for side in ("train", "heldout", "final"):
        part = data[side]
        if part is None:
            rule = data["final_rule" if side == "final" else "heldout_rule"]
            print(f"{side:<8} nothing ({rule})")
        else:
            ids = ",".join(map(str, part["sessions"]))
            print(
                f"{side:<8} {numbered(part['markets'], 'market')} of "
                f"{numbered(part['events'], 'event')}, {part['rows']:,} rows, sessions {ids}"
            )
    print(f"{'split':<8} held out: {data['heldout_rule']}; kept: {data['final_rule']}")
    print(f"{'skipped':<8} {numbered(len(data['skipped']), 'market')}")
    for reason in data["skipped"]:
        print(f"         {printable(reason)}")
    print(f"{'rollout':<8} {planned['rollout_steps']:,} steps, {planned['rollouts']:,} times")
    for name, value in planned["config"].items():
        print(f"  {name} = {printable(str(value))}")
    return 0


def _spelt_out(arguments: Sequence[str]) -> list[str]:
    """Options that may stand alone with their values.

    A `--curriculum` alone means easiest first; `--mask` and `--no-mask` are a switch whose third
    position is to be left out.
    """
    words = list(arguments)
    for i, word in enumerate(words):
        alone = i + 1 == len(words) or words[i + 1].startswith("-")
        if word == "--curriculum" and alone:
            words[i] = "--curriculum=easiest"
        elif word in ("--mask", "--no-mask") and alone:
            words[i] = f"--mask={word == '--mask'}"
    return words


def base_config(arguments: Sequence[str]) -> TrainConfig:
    """What flags that are not given stand at: of files, of a checkpoint, or the defaults."""
    if {"--help", "-h"} & set(arguments):
        return TrainConfig()
    config = _base_of(arguments)
    file = _value_of(arguments, "--settings")
    return config if file is None else config.changed(**read_calibration(Path(file)))


def _base_of(arguments: Sequence[str]) -> TrainConfig:
    file = _value_of(arguments, "--config")
    if file is not None:
        return TrainConfig.from_file(Path(file))
    resume = _value_of(arguments, "--resume-from", "--resume_from")
    if resume is None:
        return TrainConfig()
    from kalshi_train.training.checkpoints import find_checkpoint

    found = find_checkpoint(Path(resume))
    if not found.exact:
        return TrainConfig()
    config = TrainConfig.from_json(found.config, str(found.path))
    changes: dict[str, Any] = {}
    if _value_of(arguments, "--session", "--sessions") is not None:
        changes |= {"session": None, "sessions": ()}
    other = _value_of(arguments, "--algorithm")
    if other not in (None, config.learner.algorithm):
        # So that the message names the algorithm, not a clash of settings.
        changes |= dict.fromkeys(foreign_to(str(other)))
    return config.changed(**changes)


def _value_of(arguments: Sequence[str], *flags: str) -> str | None:
    for word, following in zip(arguments, [*arguments[1:], None], strict=False):
        if word in flags:
            return following
        if word.partition("=")[0] in flags:
            return word.partition("=")[2]
    return None


def _parse(arguments: Sequence[str], base: TrainConfig) -> _Command:
    """What stands on the command line.

    Raises:
        ConfigError: one line that says what is wrong.
    """
    from kalshi_train.cli.groups import grouped, settings_of

    groups = grouped(base)
    parts = {"run": _Run(), **groups}
    kind = make_dataclass("_Command", [(name, type(part)) for name, part in parts.items()])
    found = parse_command(kind, "kalshi-train", _DESCRIPTION, arguments, kind(**parts))
    values = settings_of({name: getattr(found, name) for name in groups})
    path = values["model_save_path"]
    if path.suffix != ".zip":  # a folder, for all that a run writes
        values["model_save_path"] = path / TrainConfig().model_save_path.name
    return _Command(base.changed(**values), found.run, ("kalshi-train", *arguments))

"""`kalshi-evaluate`: policies on recorded markets, as tables, JSON, Parquet and a page."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import tyro

from kalshi_sim.cli.command_line import parse_command
from kalshi_sim.cli.shell import run_command
from kalshi_sim.config import MarketOrder, SimConfig, TapeOptions
from kalshi_sim.errors import ConfigError, KalshiSimError
from kalshi_train.cli.markets import markets_to_play, only_named
from kalshi_train.config import TrainConfig
from kalshi_train.evaluation.options import EvaluationOptions
from kalshi_train.flag_types import SessionIds

if TYPE_CHECKING:
    from kalshi_sim.tape import Tape
    from kalshi_train.evaluation.policies import Policy

_DESCRIPTION = """Would this agent have made money?

  kalshi-evaluate trained_models/trained_model.zip --session 18
  kalshi-evaluate first.zip second.zip --sessions 7,18 --stress
  kalshi-evaluate --session 18                       baselines alone
  kalshi-evaluate trained_models/trained_model.zip --heldout

Plays every market once, from its first row, with the models and built-in baselines, under the
chosen fill model and under both bounds (through, touch): the truth lies between. Settings of the
simulation that are not given are those the first model was trained with."""

_SIM_FIELDS: Final = tuple(f.name for f in fields(SimConfig))
_WHOLE_EPISODES: Final = ("random_start", "market_order", "record_fills", "max_episode_steps")


@dataclass(frozen=True, kw_only=True)
class _Rules(SimConfig):
    """Settings of the simulation; those that make no difference to whole episodes are fixed."""

    random_start: tyro.conf.Suppress[bool] = False
    market_order: tyro.conf.Suppress[MarketOrder] = "sequential"
    record_fills: tyro.conf.Suppress[bool] = False
    max_episode_steps: tyro.conf.Suppress[int | None] = None
    reward_scale: tyro.conf.Suppress[float] = 1.0


@dataclass(frozen=True, kw_only=True)
class _Command:
    rules: _Rules = field(default_factory=_Rules)
    """Settings of the simulation (default: as trained)."""
    tape: TapeOptions = field(default_factory=TapeOptions)
    """How sessions become markets to play (default: as trained)."""
    options: EvaluationOptions = field(default_factory=EvaluationOptions)
    """How the figures are made."""

    models: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Saved models (Stable-Baselines3 zip); none evaluates the baselines alone."""
    store: str | None = None
    """Folder or postgresql:// address of the sessions (default: DATABASE_URL, else `sessions`)."""
    session: int | None = None
    """The session to evaluate on."""
    sessions: SessionIds = ()
    """Several sessions, separated by commas."""
    markets: str | None = None
    """Only these markets: tickers separated by commas."""
    heldout: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Only the markets that the first model's training held out (sessions: those it named)."""
    baselines: str = "all"
    """Built-in policies, separated by commas: hold, random, always-buy, join-both-sides,
    momentum, imbalance; all; none."""
    trust: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Run the code that model files hold (policies of your own); only for files you made."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the figures as JSON instead of tables."""
    parquet: Path | None = None
    """Write episodes, fills and equity curves as Parquet files into this folder."""
    report: Path | None = Path("evaluation.html")
    """The page to look at, one file that opens offline; None writes none."""
    replay_rows: int | None = None
    """Rows of episodes that the page can replay (default: as many as keep it below 40 MB)."""

    @property
    def sim(self) -> SimConfig:
        """The settings of the simulation."""
        return SimConfig(**{name: getattr(self.rules, name) for name in _SIM_FIELDS})

    @property
    def session_ids(self) -> tuple[int, ...]:
        """The sessions named; empty if none was."""
        if self.session is not None and self.sessions:
            raise ConfigError("give --session or --sessions, not both")
        return self.sessions if self.session is None else (self.session,)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code (2: a user's mistake)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run_command(
        "kalshi-evaluate",
        lambda: _run(arguments),
        arguments=arguments,
        mistakes=(KalshiSimError,),
        ends_process=argv is None,
    )


def _run(arguments: Sequence[str]) -> int:
    # The first pass finds the models, the second one starts from their settings.
    command = _parse(arguments, TrainConfig(sim=SimConfig()))
    trained = [trained_with(path) for path in command.models]
    if trained and trained[0] is not None:
        command = _parse(arguments, trained[0])
    return _evaluate(command, trained)


def trained_with(path: Path) -> TrainConfig | None:
    """The settings a model was trained with, None if they were not kept.

    Raises:
        ConfigError: there is no such model, or its settings cannot be read.
    """
    from kalshi_train.training.checkpoints import read_checkpoint

    if not path.is_file():
        raise ConfigError(f"there is no model at {path}; name a zip that a training run has saved")
    found = read_checkpoint(path)
    if found.exact:
        return TrainConfig.from_json(found.config, str(path))
    beside = path.parent / "config.json"
    if not beside.is_file():
        return None
    return TrainConfig.from_file(beside)


def _evaluate(command: _Command, trained: Sequence[TrainConfig | None]) -> int:
    from kalshi_sim.cli.console import print_notes, progress_bar
    from kalshi_sim.files import make_folder
    from kalshi_train.evaluation import evaluate

    first = trained[0] if trained else None
    config = command.sim
    # A folder that cannot be written is reported now, not after minutes of work.
    for folder in (command.parquet, command.report.parent if command.report else None):
        if folder is not None:
            make_folder(folder)
    names = [word.strip() for word in command.baselines.split(",") if word.strip()]
    policies = _policies(command.models, names, trust=command.trust)
    base = (first or TrainConfig()).changed(tape=command.tape)
    base = base.changed(store=command.store or base.store)
    tape, notes = markets_to_play(base, command.session_ids, heldout=command.heldout, trained=first)
    tape = only_named(tape, command.markets)
    notes += _differences(command, trained)
    with progress_bar("evaluating") as progress:
        evaluation = evaluate(
            policies,
            tape,
            config,
            baselines=names,
            stress=command.options.stress,
            seed=command.options.seed,
            confidence=command.options.confidence,
            resamples=command.options.resamples,
            caveats=_caveats(base.store, tape),
            progress=progress,
        )
    if command.json:
        print(json.dumps(evaluation.to_json(), indent=2, allow_nan=False))
    else:
        from kalshi_train.evaluation.show import show

        show(evaluation)
        print_notes(notes)
    if command.parquet is not None:
        evaluation.write_parquet(command.parquet)
        _say(command, f"tables are in {command.parquet}")
    if command.report is not None:
        from kalshi_train.report import write_report

        write_report(evaluation, command.report, command.replay_rows)
        _say(command, f"the page is {command.report}")
    return 0


def _caveats(store: str | None, tape: Tape) -> tuple[str, ...]:
    """Why results on these sessions are no evidence, where they are none."""
    from kalshi_sim.store import open_store
    from kalshi_train.evaluation.evidence import caveats

    played = {view.session_id for view in tape.views}
    return caveats(info for info in open_store(store).list_sessions() if info.session_id in played)


def _say(command: _Command, text: str) -> None:
    if not command.json:
        print(text)


def _policies(paths: Sequence[Path], baseline_names: Sequence[str], *, trust: bool) -> list[Policy]:
    from kalshi_train.evaluation.policies import baselines, policy_from_model
    from kalshi_train.models import load_model

    baselines(baseline_names)  # a wrong name is reported before anything is loaded
    named = dict(zip(_short_names(paths), paths, strict=True))
    return [policy_from_model(load_model(path, trust=trust), name) for name, path in named.items()]


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The files' names, with their folders where names alone are not enough."""
    stems = [p.stem for p in paths]
    if len(set(stems)) == len(stems):
        return stems
    full = [str(p.with_suffix("")) for p in paths]
    for name in full:
        if full.count(name) > 1:
            raise ConfigError(f"the model {name}.zip is named twice")
    return full


def _differences(command: _Command, trained: Sequence[TrainConfig | None]) -> list[str]:
    """Where a model was trained under other rules than it is evaluated with."""
    notes = []
    config = command.sim
    skipped = {*_WHOLE_EPISODES, "reward_scale", "end_of_data"}
    for path, theirs in zip(command.models, trained, strict=True):
        if theirs is None:
            continue
        other = [
            f"{name}={getattr(theirs.sim, name)}"
            for name in _SIM_FIELDS
            if name not in skipped and getattr(theirs.sim, name) != getattr(config, name)
        ]
        if other:
            notes.append(f"{path.stem} was trained with {', '.join(other)}")
    return notes


def _parse(arguments: Sequence[str], base: TrainConfig) -> _Command:
    """What stands on the command line, on top of the settings of `base`.

    Raises:
        ConfigError: one line that says what is wrong.
    """
    kept = [n for n in _SIM_FIELDS if n not in (*_WHOLE_EPISODES, "reward_scale")]
    rules: dict[str, Any] = {name: getattr(base.sim, name) for name in kept}
    default = _Command(rules=_Rules(**rules), tape=base.tape)
    return parse_command(_Command, "kalshi-evaluate", _DESCRIPTION, arguments, default)

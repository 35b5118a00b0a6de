"""`kalshi-evaluate`: policies on recorded markets, as tables, JSON, Parquet and a page."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from kalshi_sim.calibration.settings_file import read_calibration
from kalshi_sim.cli.command_line import parse_command
from kalshi_sim.cli.shell import run_command
from kalshi_sim.cli.tables import Layout
from kalshi_sim.config import MAX_HISTORY, SimConfig, TapeOptions
from kalshi_sim.errors import ConfigError, KalshiSimError
from kalshi_sim.text import printable
from kalshi_sim.validated import Within
from kalshi_train.cli.markets import check_sessions, loaded, markets_to_play, only_named
from kalshi_train.cli.models import NamedModel, named_models
from kalshi_train.cli.rules import SIM_FIELDS, WHOLE_EPISODES, Rules, sim_of
from kalshi_train.config import TrainConfig, named_sessions
from kalshi_train.evaluation.options import EvaluationOptions
from kalshi_train.flag_types import SessionIds

_DESCRIPTION = """Would this agent have made money?

  kalshi-evaluate trained_models --session 18     a run's folder, or a model in it
  kalshi-evaluate first.zip second.zip --sessions 7,18 --stress
  kalshi-evaluate my_policy.py:act --session 18   a function: observations to actions
  kalshi-evaluate --session 18                    baselines alone
  kalshi-evaluate trained_models --heldout

Plays every market once, from its first row, with the models and built-in baselines, under the
chosen fill model and under both bounds (through, touch): the truth lies between. Settings of the
simulation that are not given are those each model was trained with; baselines, markets and the
fill model have those of the first."""


@dataclass(frozen=True, kw_only=True)
class _Rules(Rules):
    """Settings of the simulation, and rows that a function sees."""

    history: Annotated[int, Within(1, MAX_HISTORY), tyro.conf.arg(aliases=["--frame-stack"])] = 1
    """Rows that a function's observations show, the newest last; models see what they saw when
    they were trained."""


@dataclass(frozen=True, kw_only=True)
class _Command:
    rules: _Rules = field(default_factory=_Rules)
    """Settings of the simulation (default: as trained)."""
    tape: TapeOptions = field(default_factory=TapeOptions)
    """How sessions become markets to play (default: as trained)."""
    options: EvaluationOptions = field(default_factory=EvaluationOptions)
    """How the figures are made."""

    models: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Saved models (Stable-Baselines3 zip), folders of runs, functions (FILE.py:NAME); none
    evaluates the baselines alone."""
    settings: Path | None = None
    """File of settings that kalshi-sim calibrate estimated; they go before those of training."""
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
    final: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Only the markets that its training kept for a last evaluation (final_fraction)."""
    baselines: str = "all"
    """Built-in policies, separated by commas: hold, random, always-buy, join-both-sides,
    join-and-cancel, skew-inventory, skew-forecast, momentum, imbalance; all; none."""
    trust: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Run the code that model files hold (policies of your own); only for files you made."""
    wide: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show all columns of the tables, however wide."""
    columns: str | None = None
    """Show only these columns of the tables, by name, separated by commas."""
    ray: str | None = None
    """host:port of the head of a Ray cluster that plays, or auto; the figures are the same."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the figures as JSON instead of tables."""
    parquet: Path | None = None
    """Write episodes, fills and equity curves as Parquet files into this folder."""
    report: Path | None = Path("evaluation.html")
    """The page to look at, one file that opens offline; None writes none."""
    replay_rows: int | None = None
    """Rows of episodes that the page can replay (default: as many as keep it below 40 MB)."""

    @property
    def layout(self) -> Layout:
        """Which columns of the tables are shown."""
        return Layout(self.wide, self.columns)

    @property
    def sim(self) -> SimConfig:
        """The settings of the simulation."""
        return sim_of(self.rules)

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
    # The first pass finds the models, the second one starts from the first one's settings.
    bare = TrainConfig(sim=SimConfig())
    command = _parse(arguments, bare)
    found = {} if command.settings is None else read_calibration(command.settings)
    models = named_models(command.models)
    base = next((m.config for m in models[:1] if m.config is not None), bare)
    if base is not bare or found:
        command = _parse(arguments, base.changed(**found))
    own = [
        _parse(arguments, m.config.changed(**found)).sim if m.config else command.sim
        for m in models
    ]
    return _evaluate(command, models, own, ["kalshi-evaluate", *arguments])


def _evaluate(
    command: _Command,
    models: Sequence[NamedModel],
    own: Sequence[SimConfig],
    words: Sequence[str],
) -> int:
    """Evaluate; `own` are the settings each model is played with, `words` what was typed."""
    first = models[0].config if models else None
    base = (first or TrainConfig()).changed(tape=command.tape)
    base = base.changed(store=command.store or base.store)
    if not (command.heldout or command.final):
        named_sessions(base.changed(session=None, sessions=command.session_ids, eval_sessions=()))
    check_sessions(base.store, command.session_ids)  # before torch is imported
    from kalshi_sim.cli.console import print_notes, progress_bar
    from kalshi_sim.cuda.target import chosen_device
    from kalshi_sim.files import make_folder
    from kalshi_train.cli.origins import model_origin, provenance_of
    from kalshi_train.evaluation import evaluate
    from kalshi_train.evaluation.policies import baselines
    from kalshi_train.evaluation.show import TABLES, show

    command.layout.check(*TABLES)
    device = command.options.device
    if command.ray is None:
        chosen_device(device)  # one that is not there is reported now
    else:
        device = _device_on(command.ray, device)
    config = command.sim
    # A folder that cannot be written is reported now, not after minutes of work.
    for folder in (command.parquet, command.report.parent if command.report else None):
        if folder is not None:
            make_folder(folder)
    names = [word.strip() for word in command.baselines.split(",") if word.strip()]
    baselines(names)  # a wrong name is reported before anything is loaded
    policies = [
        replace(m.policy(trust=command.trust), settings=_differences(config, rules))
        for m, rules in zip(models, own, strict=True)
    ]
    tape, notes = markets_to_play(
        base, command.session_ids, heldout=command.heldout, final=command.final, trained=first
    )
    tape = only_named(tape, command.markets)
    for model, policy in zip(models, policies, strict=True):
        notes += _notes(model, policy.settings, command.tape)
    origins = [
        model_origin(
            model,
            tape,
            base.store,
            _settings_of(model, models[0]),
            _differences(rules, model.config.sim if model.config else rules),
        )
        for model, rules in zip(models, own, strict=True)
    ]
    plays = None
    if command.ray is not None:
        from kalshi_train.evaluation.on_cluster import PlaysOnCluster, TapeSource

        whole = loaded(base, command.session_ids, chosen=command.heldout or command.final)
        plays = PlaysOnCluster(
            command.ray,
            TapeSource.of(tape, base.store, whole.session_ids, base.tape, use_cache=base.cache),
            [
                m.source(p.settings, trust=command.trust)
                for m, p in zip(models, policies, strict=True)
            ],
            device,
        )
    with progress_bar("evaluating") as progress:
        evaluation = evaluate(
            policies,
            tape,
            config,
            baselines=names,
            stress=command.options.stress,
            stochastic=command.options.stochastic,
            permutations=command.options.permutations,
            seed=command.options.seed,
            confidence=command.options.confidence,
            resamples=command.options.resamples,
            device=device,
            plays=plays,
            provenance=provenance_of(tape, base.store, origins, command.options.seed, words),
            progress=progress,
        )
    if command.json:
        print(json.dumps(evaluation.to_json(), indent=2, allow_nan=False))
    else:
        show(evaluation, command.layout)
        print_notes(notes)
    if command.parquet is not None:
        evaluation.write_parquet(command.parquet)
        _say(command, f"tables are in {command.parquet}")
    if command.report is not None:
        from kalshi_train.report import write_report

        write_report(evaluation, command.report, command.replay_rows)
        _say(command, f"the page is {command.report}")
    return 0


def _device_on(address: str, device: str) -> str:
    """The device that tasks of a cluster play on: a card only where a node has one.

    Raises:
        ConfigError: there is no cluster, or no node has what is asked for.
    """
    from kalshi_sim.cluster import Resources, check_room, connect, nodes_of

    ray = connect(address)
    if device == "auto":
        return "cuda" if any(node.gpus for node in nodes_of(ray)) else "cpu"
    check_room(ray, [Resources(1, int(device == "cuda"))])
    return device


def _settings_of(model: NamedModel, first: NamedModel) -> str:
    """Whose settings of the simulation a model is played with."""
    if model.config is not None:
        return "its own training"
    if first.config is not None:
        return f"the training of {first.name}"
    return "the command line and defaults"


def _differences(config: SimConfig, other: SimConfig) -> dict[str, Any]:
    """Settings in which `other` differs; the fill model is the evaluation's for all."""
    skipped = {*WHOLE_EPISODES, "fill_model", "end_of_data"}
    return {
        name: getattr(other, name)
        for name in SIM_FIELDS
        if name not in skipped and getattr(other, name) != getattr(config, name)
    }


def _notes(model: NamedModel, settings: Mapping[str, Any], tape: TapeOptions) -> list[str]:
    """Where a model is played by other settings than the first, or seen other rows in training."""
    notes = []
    if settings:
        own = ", ".join(f"{name}={value}" for name, value in settings.items())
        notes.append(f"{model.name} is played with its own settings: {own}")
    if model.config is not None:
        rows = [
            f"{name}={getattr(model.config.tape, name)}"
            for name in ("row_interval_ms", "depth")
            if getattr(model.config.tape, name) != getattr(tape, name)
        ]
        if rows:
            notes.append(f"{model.name} was trained on rows of other options: {', '.join(rows)}")
    return notes


def _say(command: _Command, text: str) -> None:
    if not command.json:
        print(printable(text))


def _parse(arguments: Sequence[str], base: TrainConfig) -> _Command:
    """What stands on the command line, on top of the settings of `base`.

    Raises:
        ConfigError: one line that says what is wrong.
    """
    kept = [n for n in SIM_FIELDS if n not in WHOLE_EPISODES]
    rules: dict[str, Any] = {name: getattr(base.sim, name) for name in kept}
    default = _Command(rules=_Rules(**rules), tape=base.tape)
    return parse_command(_Command, "kalshi-evaluate", _DESCRIPTION, arguments, default)

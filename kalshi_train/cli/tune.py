"""`kalshi-tune`: search settings, and evaluate the best on events that no trial saw."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from tyro.conf import FlagCreatePairsOff, arg

from kalshi_sim.cli.command_line import parse_command
from kalshi_sim.cli.console import decimal, print_notes
from kalshi_sim.cli.shell import run_command
from kalshi_sim.cli.tables import Layout, print_pairs, print_table, print_text
from kalshi_sim.errors import ConfigError, KalshiSimError
from kalshi_sim.extras import require_extra
from kalshi_sim.text import dollars, numbered, printable
from kalshi_train.config import TrainConfig, named_sessions
from kalshi_train.tune.options import TuneOptions

if TYPE_CHECKING:
    from kalshi_train.tune.result import TrialSummary, TuneResult

_DESCRIPTION = """Search settings: every trial trains, and is compared on held-out events.

  kalshi-tune --sessions 6,7,8,9 --trials 64 --jobs 4
  kalshi-tune --sessions 6,7,8,9 --space space.json --trial-seeds 3
  kalshi-tune --sessions 6,7,8,9 --storage postgresql://user@host/studies

The events are split three ways: trials train on some, are compared on others (their profit after
fees under --bound), and the best settings are trained once more and evaluated on the rest, which
no trial saw. The same command takes up a study that was ended, in whatever way. Options of
kalshi-train hold for all trials."""
_FIGURES: Final = ("trial", "state", "profit", "+-", "evals", "seconds")
_PIPED: Final = 120
"""Characters of a line where no terminal says how many: settings may differ without end."""


@dataclass(frozen=True, kw_only=True)
class _Show:
    """What the command shows."""

    config: Annotated[
        Path | None,
        arg(metavar="FILE", help="A config.json whose settings take the place of the defaults."),
    ] = None
    report: Path | None = None
    """The page to look at, one file that opens offline (default: study.html in the study)."""
    wide: Annotated[bool, FlagCreatePairsOff] = False
    """Show all columns, however wide."""
    columns: str | None = None
    """Show only these columns, by name, separated by commas."""
    json: Annotated[bool, FlagCreatePairsOff] = field(default=False)
    """Print the results as JSON."""


@dataclass(frozen=True)
class _Command:
    run: TrainConfig
    search: TuneOptions
    show: _Show


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code (2: a user's mistake)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run_command(
        "kalshi-tune",
        lambda: _tune(_parse(arguments), ["kalshi-tune", *arguments]),
        arguments=arguments,
        mistakes=(KalshiSimError,),
        interrupted="interrupted; the same command goes on with the study",
        ends_process=argv is None,
    )


def _parse(arguments: Sequence[str]) -> _Command:
    """What stands on the command line.

    Raises:
        ConfigError: one line that says what is wrong.
    """
    from kalshi_train.cli.groups import grouped, settings_of
    from kalshi_train.cli.train import base_config

    base = base_config(arguments)
    groups = grouped(base)
    parts = {"search": TuneOptions(), "show": _Show(), **groups}
    kind = make_dataclass("_Command", [(name, type(part)) for name, part in parts.items()])
    found = parse_command(kind, "kalshi-tune", _DESCRIPTION, arguments, kind(**parts))
    values = settings_of({name: getattr(found, name) for name in groups})
    if values["model_save_path"] != base.model_save_path:
        raise ConfigError("kalshi-tune writes into the folder of --study; leave out the path")
    return _Command(base.changed(**values), found.search, found.show)


def _tune(command: _Command, words: Sequence[str]) -> int:
    from kalshi_train.cli.markets import check_sessions
    from kalshi_train.training.logs import setup_logging

    config, options = command.run, command.search
    require_extra("train")
    require_extra("tune")
    named_sessions(config)
    check_sessions(config.store, config.session_ids)  # before torch is imported
    setup_logging(config.log_level, config.log_file)
    logging.getLogger(__name__).info("loading PyTorch and Optuna")
    from kalshi_sim.cli.console import progress_bar
    from kalshi_train.report.tune import write_tune_page
    from kalshi_train.tune.run import tune

    with progress_bar("trials") as progress:
        result = tune(config, options, command=words, progress=progress)
    layout = Layout(command.show.wide, command.show.columns)
    if command.show.json:
        print(json.dumps(result.to_json(), indent=2, allow_nan=False))
    else:
        show(result, layout)
    page = command.show.report or options.study / "study.html"
    write_tune_page(result, page)
    pages = [page]
    if result.evaluation is not None:
        from kalshi_train.report import write_report

        pages.append(options.study / "final.html")
        write_report(result.evaluation, pages[-1])
    if not command.show.json:
        print(printable(f"the pages are {' and '.join(map(str, pages))}"))
    return 0


def show(result: TuneResult, layout: Layout | None = None) -> None:
    """Print the trials, what explains their differences, the best, and the final evaluation.

    Args:
        result: of a study.
        layout: which columns are shown.
    """
    from kalshi_train.tune.result import final_sentence

    names = [d.name for d in result.space.dimensions]
    columns = (*_FIGURES, *names)
    layout = layout or Layout()
    layout.check(columns)
    counts = ", ".join(f"{n} {state}" for state, n in result.counts.items())
    print_table(
        f"{numbered(len(result.trials), 'trial')} ({counts}); held-out profit an event after fees",
        columns,
        [_row(t, names) for t in result.trials],
        words=("state",),
        layout=layout,
        least=("seconds", "evals"),
        piped=_PIPED,
    )
    print_notes([f"trial {t.number} failed: {t.message}" for t in result.trials if t.message])
    if result.importance:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in result.importance.items())
        print_text(f"what explains the differences: {shares}")
    print_pairs("Events", _parts(result))
    if result.selection is None:
        print_text("no trial completed, so there is no best one")
        return
    print_text(result.selection.sentence())
    if result.final is not None:
        print_text(final_sentence(result.final))


def _parts(result: TuneResult) -> list[tuple[str, str]]:
    """The three parts of the events, and what each is for."""
    uses = {
        "train": "trials train on",
        "heldout": "trials are compared on",
        "final": "kept from all trials",
    }
    rules = {"heldout": result.data["heldout_rule"], "final": result.data["final_rule"]}
    lines = []
    for part, use in uses.items():
        tape = result.data[part]
        if tape is not None:
            size = f"{numbered(tape['events'], 'event')}, {numbered(tape['markets'], 'market')}"
            lines.append((use, f"{size}{f' ({rules[part]})' if part in rules else ''}"))
    return lines


def _row(trial: TrialSummary, names: Sequence[str]) -> tuple[str, ...]:
    return (
        str(trial.number),
        trial.state,
        dollars(trial.value, signed=True),
        "" if trial.spread is None else dollars(trial.spread),
        str(len(trial.evaluations)),
        decimal(trial.seconds),
        *(_text(trial.settings.get(name)) for name in names),
    )


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "-"
    if isinstance(value, float):
        return f"{value:.3g}"
    return "-" if value is None else str(value)

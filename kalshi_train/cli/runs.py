"""`kalshi-runs`: the training runs below a folder, the settings that differ, and their results."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import tyro

from kalshi_sim.cli.command_line import parse_command
from kalshi_sim.cli.console import decimal, print_json, print_notes
from kalshi_sim.cli.shell import run_command
from kalshi_sim.cli.tables import Layout, print_table, print_text
from kalshi_sim.errors import ConfigError
from kalshi_sim.sealed import read_sealed
from kalshi_sim.text import dollars, numbered, printable
from kalshi_train.config_file import read_settings

_DESCRIPTION = """The training runs below a folder side by side.

  kalshi-runs                              below the current folder
  kalshi-runs experiments --plot runs.html
  kalshi-runs experiments --columns held-out,seed,learning_rate

Shows what each run came to and the settings in which they differ."""

RESULTS: Final = "training_results.json"
CONFIG: Final = "config.json"
_PLACES: Final = frozenset(
    {"model_save_path", "resume_from", "log_file", "log_level", "log_interval", "progress"}
)
"""Settings that say where a run lies and what it shows, not what it does."""
_PIPED: Final = 120
"""Characters of a line where no terminal says how many: settings may differ without end."""
_FIGURES: Final = ("steps", "held-out", "+-", "events", "best", "steps/s", "state")


@dataclass(frozen=True)
class RunSummary:
    """One run: where it lies, how it was set, and what it came to."""

    folder: Path
    settings: Mapping[str, Any]
    results: Mapping[str, Any] | None
    """None: it was not finished."""

    @property
    def heldout(self) -> Mapping[str, Any]:
        """Figures on the held-out markets; empty if there are none."""
        return _part(self.results, "heldout")

    def figures(self) -> dict[str, Any]:
        """What it came to, by name; None where there is no figure."""
        results = self.results or {}
        return {
            "steps": results.get("total_timesteps"),
            "heldout_profit_cents": self.heldout.get("mean_profit_cents"),
            "standard_error_cents": self.heldout.get("standard_error_cents"),
            "events": self.heldout.get("events"),
            "best_profit_cents": _part(results, "best_model").get("mean_profit_cents"),
            "steps_per_second": results.get("timesteps_per_second"),
            "finished": self.results is not None,
        }


def _part(results: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    found = (results or {}).get(name)
    return found if isinstance(found, Mapping) else {}


@dataclass(frozen=True, kw_only=True)
class _Command:
    folder: tyro.conf.Positional[Path] = Path()
    """Where to look, in folders below too."""
    plot: Path | None = None
    """Write the runs' held-out and training profit side by side into this page."""
    wide: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show all columns, however wide."""
    columns: str | None = None
    """Show only these columns, by name, separated by commas."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = field(default=False)
    """Print JSON."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code (2: a user's mistake)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run_command("kalshi-runs", lambda: _run(arguments), arguments=arguments)


def _run(arguments: Sequence[str]) -> int:
    command = parse_command(_Command, "kalshi-runs", _DESCRIPTION, arguments, _Command())
    if command.plot is not None and command.plot.suffix not in (".html", ".htm"):
        raise ConfigError(f"--plot {printable(str(command.plot))}: it is a page; name it .html")
    runs, notes = find_runs(command.folder)
    if not runs:
        raise ConfigError(
            f"{command.folder} holds no training run; kalshi-train makes one in the folder of "
            "--model-save-path"
        )
    varied = differing(runs)
    if command.json:
        print_json([_as_json(run, varied) for run in runs])
    else:
        columns = ("run", *_FIGURES, *varied)
        layout = Layout(command.wide, command.columns)
        layout.check(columns)
        print_table(
            f"{numbered(len(runs), 'run')} below {command.folder}; "
            "profit a held-out market after fees",
            columns,
            [_row(run, command.folder, varied) for run in runs],
            words=("state",),
            layout=layout,
            least=("steps/s", "state", "events"),
            piped=_PIPED,
        )
        notes += _say_what_tries_explain(runs)
        print_notes(notes)
    if command.plot is not None:
        from kalshi_train.report.runs import write_runs_page

        write_runs_page({_name(run, command.folder): run.folder for run in runs}, command.plot)
        if not command.json:
            print(printable(f"the page is {command.plot}"))
    return 0


def _say_what_tries_explain(runs: Sequence[RunSummary]) -> list[str]:
    """Say it; the notes on evaluations that cannot be read are returned."""
    from kalshi_train.evaluation.tries import tries_of

    notes: list[str] = []
    tries = tries_of((run.folder for run in runs), notes)
    if tries is not None:
        print_text(tries.sentence())
    return notes


def find_runs(folder: Path) -> tuple[list[RunSummary], list[str]]:
    """The runs in a folder and those below it, by path.

    Args:
        folder: where to look.

    Returns:
        The runs, and a note on each that cannot be read.

    Raises:
        ConfigError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}; name one with training runs")
    runs, notes = [], []
    for file in sorted(folder.rglob(CONFIG)):
        try:
            settings = read_settings(file)
            results = file.parent / RESULTS
            found = read_sealed(results, "result") if results.is_file() else None
        except ConfigError as error:
            notes.append(f"left out: {error}")
            continue
        if "total_timesteps" in settings:
            runs.append(RunSummary(file.parent, settings, found))
    return runs, notes


def differing(runs: Sequence[RunSummary]) -> list[str]:
    """Names of the settings in which runs differ, but for where they lie."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    return [
        name
        for name in names
        if name not in _PLACES
        and len({json.dumps(run.settings.get(name), sort_keys=True) for run in runs}) > 1
    ]


def _name(run: RunSummary, folder: Path) -> str:
    return printable(str(run.folder.relative_to(folder)))


def _row(run: RunSummary, folder: Path, varied: Sequence[str]) -> tuple[str, ...]:
    found = run.figures()
    profit, best = found["heldout_profit_cents"], found["best_profit_cents"]
    return (
        _name(run, folder),
        decimal(found["steps"], 0),
        dollars(profit, signed=True),
        dollars(found["standard_error_cents"]),
        decimal(found["events"], 0),
        dollars(best, signed=True),
        decimal(found["steps_per_second"], 0),
        "finished" if found["finished"] else "not finished",
        *(_text(run.settings.get(name)) for name in varied),
    )


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "-"
    return "-" if value is None else str(value)


def _as_json(run: RunSummary, varied: Sequence[str]) -> dict[str, Any]:
    return {
        "folder": str(run.folder),
        **run.figures(),
        "settings": {name: run.settings.get(name) for name in varied},
    }

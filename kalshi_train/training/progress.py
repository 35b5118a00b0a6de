"""What a run shows while it goes on and when it is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console as RichConsole
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from kalshi_sim.cli.tables import print_pairs, print_text
from kalshi_sim.text import dollars, numbered
from kalshi_train.evaluation.diagnosis import Diagnosis
from kalshi_train.evaluation.explain import lines
from kalshi_train.training.result import TrainResult

if TYPE_CHECKING:
    from kalshi_train.config import TrainConfig

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES: Final = 10.0
_PROFIT: Final = "dollars"
# Figures of a record worth a glance: name, label, format.
_SHOWN: Final = (
    ("time/steps_per_second", "steps/s", "{:,.0f}"),
    ("rollout/episodes", "episodes", "{:,.0f}"),
    ("rollout/ep_rew_mean", "mean reward", "{:+,.1f}"),
    ("episode/profit_cents", "profit/episode", _PROFIT),
    ("episode/win_rate", "win rate", "{:.0%}"),
    ("trading/profit_cents_per_1000_steps", "profit/1000 steps", _PROFIT),
    ("trading/fees_cents_per_1000_steps", "fees/1000 steps", _PROFIT),
    ("trading/fills_per_1000_steps", "fills/1000 steps", "{:,.1f}"),
    ("trading/position", "position", "{:,.1f}"),
    ("actions/hold", "hold", "{:.0%}"),
    ("heldout/mean_profit_cents", "held-out profit", _PROFIT),
    ("train/entropy_loss", "entropy loss", "{:.3f}"),
    ("train/explained_variance", "explained variance", "{:.2f}"),
)


class Console:
    """Progress bar and table on a terminal; a line now and then elsewhere."""

    def __init__(self, config: TrainConfig):
        """Show the run of `config`, on standard error."""
        self._total = config.total_timesteps
        self._console = RichConsole(stderr=True)
        self._live = config.progress and self._console.is_terminal
        self._name = config.learner.algorithm.upper()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task(self._name, total=self._total)
        self._display: Live | None = None
        self._logged_at = time.monotonic()
        self._heldout: dict[str, Any] = {}

    @contextmanager
    def progress(self, steps: int) -> Iterator[None]:
        """Show progress from `steps` on, while the block runs."""
        self._bar.update(self._task, completed=steps)
        if not self._live:
            yield
            return
        with Live(self._bar, console=self._console, refresh_per_second=4, transient=True) as live:
            self._display = live
            try:
                yield
            finally:
                self._display = None

    def record(self, steps: int, values: Mapping[str, Any]) -> None:
        """Show the figures of a record.

        Args:
            steps: environment steps so far.
            values: figures by name.
        """
        self._heldout |= {k: v for k, v in values.items() if k.startswith("heldout/")}
        shown = {**self._heldout, **values}
        self._bar.update(self._task, completed=min(steps, self._total))
        if self._display is not None:
            self._display.update(Group(_table(shown), self._bar))
        elif time.monotonic() - self._logged_at >= _SECONDS_BETWEEN_LINES:
            self._logged_at = time.monotonic()
            figures = " · ".join(f"{label} {text}" for label, text in _figures(shown)[:7])
            logger.info("%s of %s steps · %s", f"{steps:,}", f"{self._total:,}", figures)

    @contextmanager
    def evaluating(self, markets: int) -> Iterator[None]:
        """Say that so many held-out markets are played, while the block runs."""
        self._bar.update(
            self._task, description=f"{self._name}: evaluating {markets} held-out markets"
        )
        if self._display is not None:
            self._display.refresh()
        else:
            logger.info("evaluating on %s held-out markets", markets)
        try:
            yield
        finally:
            self._bar.update(self._task, description=self._name)


def _figures(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    def text(form: str, value: Any) -> str:
        return dollars(value, signed=True) if form is _PROFIT else form.format(value)

    return [(label, text(form, values[k])) for k, label, form in _SHOWN if k in values]


def _table(values: Mapping[str, Any]) -> Table:
    table = Table(box=None, show_header=False)
    for label, text in _figures(values):
        table.add_row(label, text)
    return table


def show_result(result: TrainResult) -> None:
    """The summary of a finished run, on standard output."""
    training, scale = result.training, result.results["config"]["reward_scale"]
    if result.results["timesteps_trained"] == 0:
        print_text(
            f"nothing was left to train: this run is finished at {result.num_timesteps:,} steps; "
            "give more with --total-timesteps"
        )
    rests_on = result.results["provenance"]
    origins = {s["session_id"]: s["origin"] or "origin not stated" for s in rests_on["sessions"]}
    held_out = result.heldout is not None
    rows = [
        ("data", "; ".join(f"session {number} {origin}" for number, origin in origins.items())),
        ("played", _played(rests_on) + (", held out" if held_out else ", those trained on")),
        ("steps", f"{result.num_timesteps:,}"),
        ("time", f"{result.seconds:,.1f} s, {_share_of(result)} of it held-out evaluation"),
        ("speed", f"{result.steps_per_second:,.0f} steps/s, evaluation not counted"),
        ("episodes", f"{training['total_episodes']:,}"),
        ("mean reward", f"{training['avg_reward']:+,.2f} (cents times {scale:g})"),
        (
            "mean profit",
            f"{dollars(training['avg_profit_cents'], signed=True)} an episode, after fees",
        ),
        ("fills", f"{training['fills']:,}"),
        ("fees", dollars(training["fees_cents"])),
        ("win rate", f"{training['win_rate']:.0%}"),
        ("model", str(result.model_path)),
    ]
    if result.best_model_path is not None:
        best = result.results["best_model"]
        rows.append(("best model", f"{result.best_model_path} (step {best['timesteps']:,})"))
    print_pairs("Training finished", rows)
    print_text(result.verdict)
    found = result.results["diagnosis"]
    if found is not None:
        print_pairs("Why it trades as it does", lines(Diagnosis.from_json(found)))
        print_text(found["sentence"])


def _played(provenance: Mapping[str, Any]) -> str:
    markets, events = provenance["markets"], provenance["events"]
    return f"{numbered(markets, 'market')} of {numbered(events, 'event')}"


def _share_of(result: TrainResult) -> str:
    """The share of a run's time that held-out evaluation took."""
    share = result.evaluation_seconds / result.seconds if result.seconds > 0 else 0.0
    return f"{share:.1%}"

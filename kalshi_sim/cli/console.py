"""What commands show: notes, numbers with units, progress, JSON."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from kalshi_sim.cli.encoding import in_ascii, is_utf8
from kalshi_sim.cli.tables import print_text
from kalshi_sim.text import json_text, printable

_PATIENCE_S: Final = 2.0
"""Work shorter than this shows no progress bar."""

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


def print_json(value: Any) -> None:
    """Any dataclass, mapping or list as JSON on standard output."""
    text = json_text(value, 2)
    if not is_utf8(sys.stdout):
        text = in_ascii(text)
    sys.stdout.write(text + "\n")


def print_notes(notes: Sequence[str]) -> None:
    """One line for each note."""
    for note in notes:
        print_text(f"note: {printable(note)}")


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """A progress bar on standard error, shown once the work has lasted two seconds."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task(f"{what}{_first_run()}", total=None)
    timer = threading.Timer(_PATIENCE_S, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda done, total: bar.update(task, completed=done, total=total)
    finally:
        timer.cancel()
        timer.join()  # it may be starting the bar
        bar.stop()


def _first_run() -> str:
    """What else a first run has to do."""
    from kalshi_sim.kernels.jit import cache_folder

    folder = cache_folder()
    compiled = folder.is_dir() and any(folder.iterdir())
    return "" if compiled else " (compiling once, up to a minute)"


def count(number: int) -> str:
    """A whole number with separators: 1,484,710."""
    return f"{number:,}"


def share(part: int, whole: int) -> str:
    """A percentage, or a dash if there is no whole.

    Args:
        part: how many of the whole.
        whole: 0 or more.
    """
    return f"{100 * part / whole:.1f} %" if whole else "-"


def decimal(value: float | None, digits: int = 1, unit: str = "") -> str:
    """A measured number with its unit, or a dash if there is none.

    Args:
        value: the number; None if there is none.
        digits: places after the point.
        unit: put behind it, its space included.
    """
    return "-" if value is None else f"{value:,.{digits}f}{unit}"


def clock(ms: int | None) -> str:
    """A time in ms as UTC to the second, or a dash."""
    if ms is None:
        return "-"
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")

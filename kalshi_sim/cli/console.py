"""What commands show: tables, numbers with units, progress, JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from kalshi_sim.text import escaped_json, printable

_PATIENCE_S: Final = 2.0
"""Work shorter than this shows no progress bar."""
_PLAIN_WIDTH: Final = 200
"""Columns of a table that goes to a file or a pipe, where nothing is to be cut."""

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


def print_json(value: Any) -> None:
    """Any dataclass, mapping or list as JSON on standard output."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    sys.stdout.write(escaped_json(text) + "\n")


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1
) -> None:
    """Print a table on standard output.

    Args:
        title: above the table; empty for none.
        columns: their headings; all empty for a table without a heading.
        rows: the cells of each row; control characters in them are shown as escapes.
        left: how many of the first columns hold words (left-aligned); the others hold numbers.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(soft_wrap=False)
    if not console.is_terminal:
        console = Console(width=_PLAIN_WIDTH)
    table = Table(
        title=Text(printable(title)) if title else None,
        box=box.SIMPLE,
        title_justify="left",
        show_header=any(columns),
    )
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i < left else "right", no_wrap=i < left)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table, highlight=False, markup=False)


def print_notes(notes: Sequence[str]) -> None:
    """One line for each note."""
    for note in notes:
        print(f"note: {printable(note)}")


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """A progress bar on standard error, shown once the work has lasted two seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task(what)
    begun = time.monotonic()
    shown = False

    def advance(done: int, total: int) -> None:
        nonlocal shown
        if not shown and time.monotonic() - begun > _PATIENCE_S:
            shown = True
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield advance
    finally:
        if shown:
            bar.stop()


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

"""Tables that fit the terminal: important columns first, numbers never cut, text wrapped at words.

Of a table wider than the terminal the least important columns are left out and named below it, or
a table of few rows is shown with its columns below each other. A pipe gets all of it, unless a
table can have any number of columns.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kalshi_sim.errors import ConfigError
from kalshi_sim.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_UNLIMITED: Final = 10_000
"""Width of a table that goes to a file or a pipe, where nothing is to be left out."""
_FEW_ROWS: Final = 4
"""Of so many rows a table that is too wide is turned on its side."""
_NARROWEST: Final = 20
_TRAILING: Final = re.compile(r" +((?:\x1b\[[0-9;]*m)*)$")
"""Blanks at the end of a line, and the end of a style behind them."""

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Layout:
    """Which columns of tables are shown."""

    wide: bool = False
    """All columns, however wide."""
    columns: str | None = None
    """These columns, by name, separated by commas."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns asked for; empty if none were."""
        return tuple(_key(word) for word in (self.columns or "").split(",") if word.strip())

    def check(self, *known: Sequence[str]) -> None:
        """Be sure that the columns asked for are those of a table.

        Raises:
            ConfigError: a name is of no column of the tables `known`.
        """
        every = list(dict.fromkeys(name for names in known for name in names if name))
        unknown = [name for name in self.names if name not in map(_key, every)]
        if unknown or (self.columns is not None and not self.names):
            raise ConfigError(
                f"--columns: no column named {', '.join(unknown) or '(none given)'}; "
                f"there are {', '.join(every)}"
            )


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Rows,
    *,
    left: int = 1,
    words: Sequence[str] = (),
    layout: Layout | None = None,
    least: Sequence[str] = (),
    piped: int | None = None,
    wrap: bool = False,
) -> None:
    """A table on standard output, as wide as the terminal at most; empty columns are left out.

    Args:
        title: stands above it.
        columns: their names, in the order they are shown.
        rows: cells, as many as columns.
        left: so many first columns say what a row is, and are always shown.
        words: columns besides these that hold words; all others are numbers.
        layout: what the user asked for.
        least: columns that are left out first, the least important one first; then the last ones.
        piped: characters of a line in a file or a pipe, for a table that may have any number of
            columns; without end if omitted.
        wrap: the first column is wrapped at words before another column is left out.
    """
    layout = layout or Layout()
    full = [i for i in range(len(columns)) if i < left or any(row[i] for row in rows)]
    columns, rows = [columns[i] for i in full], [[row[i] for i in full] for row in rows]
    kept = _asked_for(columns, left, layout.names)
    if layout.names and not set(layout.names) & set(map(_key, columns)):
        return  # none of the columns asked for is in this table
    console = _console(piped=piped)
    left_out: list[str] = []
    if not (layout.wide or layout.names):
        kept, left_out = _fitting(console, columns, rows, left, least, wrap=wrap)
        if left_out and len(rows) <= _FEW_ROWS and _fits(console, _sideways(columns, rows, left)):
            _show(console, title, _sideways(columns, rows, left))
            return
    else:
        console = _console(unlimited=True)
    names = [columns[i] for i in kept]
    _show(
        console,
        title,
        _table(names, [[row[i] for i in kept] for row in rows], (*columns[:left], *words)),
    )
    if left_out:
        print_text(f"not shown: {', '.join(left_out)} (--wide or --columns shows them)")


def print_pairs(title: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Print labels and what belongs to them, long texts wrapped at words beside their label.

    Args:
        title: stands above them; empty for none.
        pairs: (label, text).
    """
    console = _console()
    table = _table(("", ""), pairs, ("",))
    table.columns[1].no_wrap = False
    _show(console, title, table)


def print_text(text: str) -> None:
    """A sentence on standard output, wrapped at words."""
    print(wrapped(text))


def wrapped(text: str, *, stderr: bool = False) -> str:
    """A sentence wrapped at words, if it is for a terminal; what does not fit a line is not cut.

    Args:
        text: one or several lines.
        stderr: it goes to standard error, not to standard output.
    """
    import textwrap

    console = _console(stderr=stderr)
    if console.width >= _UNLIMITED:
        return text
    return "\n".join(
        textwrap.fill(
            line,
            console.width,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.split("\n")
    )


def _console(*, unlimited: bool = False, stderr: bool = False, piped: int | None = None) -> Console:
    """As wide as the terminal or COLUMNS say; a file or a pipe takes `piped`, or has no end."""
    from rich.console import Console

    console = Console(soft_wrap=False, stderr=stderr)
    given = os.environ.get("COLUMNS", "")
    if unlimited or not (console.is_terminal or given.isdigit()):
        return Console(width=_UNLIMITED if unlimited else piped or _UNLIMITED, stderr=stderr)
    width = int(given) if given.isdigit() else console.width
    return Console(width=max(width, _NARROWEST), stderr=stderr)


def _asked_for(columns: Sequence[str], left: int, names: Sequence[str]) -> list[int]:
    """Places of the columns that say what a row is and, of the others, of those named."""
    if not names:
        return list(range(len(columns)))
    keys = [_key(name) for name in columns]
    chosen = [keys.index(name) for name in names if name in keys]
    return [*range(left), *(i for i in chosen if i >= left)]


def _fitting(
    console: Console,
    columns: Sequence[str],
    rows: Rows,
    left: int,
    least: Sequence[str],
    *,
    wrap: bool,
) -> tuple[list[int], list[str]]:
    """Places of the columns that fit, and the names of those that do not."""
    order = [columns.index(name) for name in least if name in columns]
    order += [i for i in reversed(range(left, len(columns))) if i not in order]
    kept, left_out = list(range(len(columns))), []
    for i in order:
        names = [columns[k] for k in kept]
        table = _table(names, [[row[k] for k in kept] for row in rows])
        if _fits(console, table, wrapped=wrap):
            break
        if len(kept) <= left + 1:
            break
        kept.remove(i)
        left_out.append(i)
    return kept, [columns[i] for i in sorted(left_out)]


def _fits(console: Console, table: Table, *, wrapped: bool = False) -> bool:
    size = console.measure(table)
    least = size.minimum if wrapped else size.maximum
    return least < console.width or console.width >= _UNLIMITED


def _table(columns: Sequence[str], rows: Rows, words: Sequence[str] = ()) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, show_header=any(columns), show_edge=False, pad_edge=False)
    for i, name in enumerate(columns):
        table.add_column(
            Text(name),
            justify="left" if name in words else "right",
            no_wrap=i > 0,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _sideways(columns: Sequence[str], rows: Rows, left: int) -> Table:
    """The table with a line for each column."""
    heads = [" ".join(cell for cell in row[:left] if cell) for row in rows]
    names = columns[left:]
    return _table(
        (" ".join(columns[:1]), *heads),
        [(name, *(row[left + i] for row in rows)) for i, name in enumerate(names)],
        columns[:1],
    )


def _show(console: Console, title: str, table: Table) -> None:
    print()
    if title:
        print_text(printable(title))
    with console.capture() as captured:
        console.print(table, highlight=False, markup=False)
    print("\n".join(_TRAILING.sub(r"\1", line) for line in captured.get().splitlines()))


def _key(name: str) -> str:
    """A column's name as it is compared: case, blanks and hyphens do not count."""
    return name.strip().casefold().replace("_", " ").replace("-", " ")

"""Help that fits the terminal: the library that writes it fits its boxes alone."""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO


class _Shown(io.TextIOWrapper):
    """Keeps what is written, drawn and coloured as what it stands for shows it."""

    def __init__(self, out: TextIO) -> None:
        self._kept = io.BytesIO()
        super().__init__(self._kept, encoding=out.encoding, errors=out.errors)
        self._terminal = out.isatty()

    def isatty(self) -> bool:
        """Whether it ends on a terminal."""
        return self._terminal

    def text(self) -> str:
        """What was written."""
        self.flush()
        return self._kept.getvalue().decode(self.encoding)


@contextlib.contextmanager
def fitting_help(arguments: Sequence[str]) -> Iterator[None]:
    """Inside the block, help that is asked for is shown with its long lines wrapped.

    Args:
        arguments: of the command line.
    """
    if not {"-h", "--help"}.intersection(arguments):
        yield
        return
    out = sys.stdout
    shown = _Shown(out)
    try:
        with contextlib.redirect_stdout(shown):
            yield
    finally:
        out.write(_fitted(shown, shutil.get_terminal_size().columns))


def _fitted(shown: _Shown, width: int) -> str:
    from rich.console import Console
    from rich.text import Text

    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=shown.isatty(), highlight=False)
    for line in shown.text().splitlines():
        text = Text.from_ansi(line)
        if text.cell_len <= width:
            print(line, file=out)
        else:
            console.print(text)
    return out.getvalue()

"""Where the log of a run goes: standard error, and a file if one is named."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import TextIO

from kalshi_sim.errors import ConfigError
from kalshi_sim.files import make_folder
from kalshi_sim.text import printable_lines


class _Printable(logging.Formatter):
    """Lines that hold recorded text, such as tickers, steer no terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at that moment: a live display takes its place."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        pass


class _File(logging.FileHandler):
    """A log file; a disk without room costs lines of it, not the run, and is said once."""

    _was_said = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._was_said:
            self._was_said = True
            text = f"cannot write the log file {self.baseFilename}: {error.strerror}; going on"
            print(printable_lines(text), file=sys.stderr)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # it was said
            super().close()


def setup_logging(level: str, log_file: Path | None = None) -> None:
    """Send the log of both packages to standard error, and to a file.

    Args:
        level: least level shown, as `logging` names it.
        log_file: None for no file.

    Raises:
        ConfigError: the file cannot be written.
    """
    handlers: list[logging.Handler] = [_StandardError()]
    handlers[0].setFormatter(_Printable("%(message)s"))
    if log_file is not None:
        make_folder(log_file.parent)
        try:
            handlers.append(_File(log_file, encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot write the log file {log_file}: {error.strerror}") from error
        handlers[1].setFormatter(_Printable("%(asctime)s %(levelname)s %(message)s"))
    for name in ("kalshi_train", "kalshi_sim"):
        named = logging.getLogger(name)
        for old in named.handlers:
            old.close()
        named.handlers[:] = handlers
        named.setLevel(level)
        named.propagate = False

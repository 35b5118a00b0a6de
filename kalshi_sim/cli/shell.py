"""What all commands share around their work: errors in one line, exit codes, signals."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from kalshi_sim.interrupts import Interrupted, raised_late, watched

FAILED: Final = 1
USER_MISTAKE: Final = 2
INTERRUPTED: Final = 130

_SURROUNDINGS: Final = {
    errno.ENOSPC: "free some space and try again",
    errno.EDQUOT: "free some space and try again",
    errno.EACCES: "check the permissions",
    errno.EPERM: "check the permissions",
    errno.EROFS: "choose a place that can be written",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "close other programs",
    errno.EIO: "check the disk",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f)",
    errno.ENAMETOOLONG: "choose a shorter name",
}
"""Errors of the machine around us, and what to do about each."""


def run_command(
    program: str,
    work: Callable[[], int],
    *,
    arguments: Sequence[str] = (),
    mistakes: tuple[type[BaseException], ...] = (),
    interrupted: str = "interrupted",
    ends_process: bool = False,
) -> int:
    """Run a command's work.

    Args:
        program: named in messages.
        work: returns an exit code.
        arguments: of the command; `--version` among them is answered here.
        mistakes: errors, besides `ConfigError`, that a command's user has made.
        interrupted: printed on Ctrl-C if the work raises no message of its own.
        ends_process: the process has nothing else to do: once interrupted it ends here, without
            Python's clean-up, which takes seconds where torch and compiled kernels are loaded.

    Returns:
        The exit code. 0: done · 1: the work failed · 2: the command was wrong · 130 or 143:
        interrupted.
    """
    from kalshi_sim.cli.encoding import use_what_can_be_shown

    use_what_can_be_shown()
    if "--version" in arguments:
        work = functools.partial(_show_version, program)
    with watched(program):
        try:
            return _run(program, functools.partial(_with_output, work), mistakes)
        except KeyboardInterrupt as stop:
            code = stop.code if isinstance(stop, Interrupted) else INTERRUPTED
            said = str(stop) if str(stop) not in ("", "interrupted") else interrupted
            _say(program, said)
            if ends_process:
                _end(code)
            return code
        except BrokenPipeError:  # the reader of a pipe (head, less) has seen enough
            _write_no_more()
            return 0


def _show_version(program: str) -> int:
    from kalshi_sim import __version__

    print(f"{program} {__version__}")
    return 0


def _with_output(work: Callable[[], int]) -> int:
    """Do the work, and write what it printed while a failure of that has an exit code."""
    try:
        code = work()
    except SystemExit as end:  # tyro has printed its help or what was wrong with the arguments
        asked = 0 if end.code is None else end.code
        code = asked if isinstance(asked, int) else USER_MISTAKE
    sys.stdout.flush()
    return code


def _write_no_more() -> None:
    """Python would try to write what is left once more at its end."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 (stays open to the end)


def _run(program: str, work: Callable[[], int], mistakes: tuple[type[BaseException], ...]) -> int:
    from kalshi_sim.errors import ConfigError, KalshiSimError
    from kalshi_sim.files import is_without_room

    try:
        with raised_late():
            return work()
    except KalshiSimError as error:
        _say(program, str(error))
        mistaken = isinstance(error, (ConfigError, *mistakes)) and not is_without_room(error)
        return USER_MISTAKE if mistaken else FAILED
    except ModuleNotFoundError as error:
        from kalshi_sim.extras import missing_extra

        missing = missing_extra(error)
        if missing is None:
            raise
        _say(program, str(missing))
        return FAILED
    except MemoryError:
        _say(program, "not enough memory; take fewer markets or sessions at once")
        return FAILED
    except OSError as error:
        advice = _SURROUNDINGS.get(error.errno or 0)
        if advice is None or isinstance(error, BrokenPipeError):
            raise
        where = f"{error.filename}: " if error.filename else ""
        _say(program, f"{where}{error.strerror}; {advice}")
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            _write_no_more()
        return FAILED


def _end(code: int) -> NoReturn:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def holds_secret(arguments: Sequence[str]) -> bool:
    """Whether an argument is an address that may hold a password."""
    from kalshi_sim.store.urls import is_address

    return any(is_address(word.partition("=")[2] or word) or "://" in word for word in arguments)


def _say(program: str, message: str) -> None:
    from kalshi_sim.cli.tables import wrapped
    from kalshi_sim.text import printable_lines

    try:
        from kalshi_sim.store.urls import mask_addresses
    except ImportError:  # a signal came while numpy was loaded, which is not loaded a second time
        shown = "interrupted"
    else:
        shown = mask_addresses(message)
    text = f"{program}: {printable_lines(shown)}"
    print(wrapped(text, stderr=True) if sys.stderr.isatty() else text, file=sys.stderr)

"""Parsing of a command line by its dataclass, with mistakes reported in one line."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import TypeVar

import tyro

from kalshi_sim.cli.shell import holds_secret
from kalshi_sim.errors import ConfigError

T = TypeVar("T")


def parse_command(
    command: type[T], program: str, description: str, arguments: Sequence[str], default: T
) -> T:
    """What stands on a command line, on top of defaults.

    Args:
        command: the dataclass whose fields are the options.
        program: its name, for messages and help.
        description: shown above the options in its help.
        arguments: words of the command line, without the program.
        default: value of each option that is not given.

    Raises:
        ConfigError: one line that says what is wrong.
        SystemExit: help was asked for, and shown.
    """
    shown = io.StringIO()
    try:
        with contextlib.redirect_stderr(shown):
            return tyro.cli(
                command,
                prog=program,
                description=description,
                args=list(arguments),
                default=default,
                config=(tyro.conf.OmitArgPrefixes,),  # settings of a part are flags like all others
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        if holds_secret(arguments):
            raise ConfigError(
                "the arguments cannot be understood; they are not shown, as one may hold a "
                f"password ({program} --help)"
            ) from None
        raise ConfigError(_one_line(shown.getvalue())) from None


def _one_line(text: str) -> str:
    """The message inside the box that tyro draws."""
    message = []
    for line in text.splitlines():
        inside = line.strip().strip("│").strip()
        if not inside or line.strip()[0] in "╭╰":
            continue
        if set(inside) <= {"─"}:
            break
        message.append(inside)
    return " ".join(message).replace("Error parsing _Command: ", "") or text.strip()

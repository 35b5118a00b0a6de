"""Parsing of a command line by its dataclass, with mistakes reported in one line."""

from __future__ import annotations

import contextlib
import difflib
import io
import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import tyro

from kalshi_sim.cli.help_text import fitting_help
from kalshi_sim.cli.shell import holds_secret
from kalshi_sim.errors import ConfigError

T = TypeVar("T")

_COMPLETION: Final = ("--tyro-print-completion", "--tyro-write-completion")
_SHELLS: Final = ("bash", "zsh", "tcsh", "fish")
_SUGGESTED: Final = 3
"""Options that are named as what may have been meant."""


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
    with mistakes_in_a_line(program, arguments):
        return tyro.cli(
            command,
            prog=program,
            description=description,
            args=list(arguments),
            default=default,
            config=(tyro.conf.OmitArgPrefixes,),  # settings of a part are flags like all others
        )


@contextlib.contextmanager
def mistakes_in_a_line(
    program: str, arguments: Sequence[str], commands: Sequence[str] = ()
) -> Iterator[None]:
    """What tyro says of a wrong command line inside the block, as an error of one line.

    Args:
        program: named in the message.
        arguments: of the command line; one with a password is not shown.
        commands: names that its first argument may have.

    Raises:
        ConfigError: what is wrong, and what may have been meant.
        SystemExit: help was asked for, and shown.
    """
    first = arguments[0] if arguments else ""
    if commands and not first.startswith("-") and first not in commands:
        raise ConfigError(_no_command(program, first, commands))
    shell = "".join(arguments[1:2])
    if first.replace("_", "-") in _COMPLETION and shell not in _SHELLS:
        raise ConfigError(f"{first} takes the name of a shell: {', '.join(_SHELLS)}")
    shown = io.StringIO()
    try:
        with contextlib.redirect_stderr(shown), fitting_help(arguments):
            yield
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        if holds_secret(arguments):
            command = f"{program} COMMAND" if commands else program
            raise ConfigError(
                "the arguments cannot be understood; they are not shown, as one may hold a "
                f"password ({command} --help)"
            ) from None
        named = f"{program} {first}" if first in commands else program
        raise ConfigError(_one_line(shown.getvalue(), named)) from None


def _no_command(program: str, word: str, commands: Sequence[str]) -> str:
    if not word or holds_secret([word]):
        return f"say what to do: {', '.join(commands)} ({program} --help)"
    close = difflib.get_close_matches(word, commands, n=1)
    meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(commands)}"
    return f"no command {word}; {meant} ({program} --help)"


def _one_line(text: str, command: str) -> str:
    """The message inside the box that tyro draws, and the options it suggests."""
    parts: list[list[str]] = [[]]
    for line in text.splitlines():
        inside = line.strip().strip("│").strip()
        if not inside or line.strip()[0] in "╭╰":
            continue
        if set(inside) <= {"─"}:
            parts.append([])
        else:
            parts[-1].append(inside)
    message = " ".join(parts[0]).replace("Error parsing _Command: ", "") or text.strip()
    unknown = message.startswith("Unrecognized") and len(parts) > 1
    suggested = [
        match[1]
        for line in (parts[1] if unknown else ())
        if (match := re.match(r"(?:-\w, )?(--[\w-]+)", line))
    ]
    if not suggested:
        return message
    meant = " or ".join(dict.fromkeys(suggested[:_SUGGESTED]))
    return f"{message}; did you mean {meant}? ({command} --help)"

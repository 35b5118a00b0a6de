"""Where the commands begin: a signal while their modules are imported ends them in order.

It imports nothing of the package, so that this holds almost from the start of the process.
"""

from __future__ import annotations

import importlib
import os
import signal
from types import FrameType


def run(program: str, module: str, function: str = "main") -> int:
    """Import a command and run it.

    Args:
        program: named in the message of an interruption.
        module: has the command.
        function: of it; called without arguments.

    Returns:
        The command's exit code.
    """

    def end(signum: int, frame: FrameType | None) -> None:
        # Raised instead, it would be lost in some import, or be a traceback.
        os.write(2, f"{program}: interrupted\n".encode())
        os._exit(128 + signum)

    for signum in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, end)
    # A command has handlers of its own while it works.
    code: int = getattr(importlib.import_module(module), function)()
    return code


def sim() -> int:
    """The command `kalshi-sim`.

    Returns:
        Its exit code.
    """
    return run("kalshi-sim", "kalshi_sim.cli.commands")

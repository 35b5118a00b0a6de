"""The command line: `kalshi-sim`, and what all commands share.

Its parts are imported when first used: other commands use the console without these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kalshi_sim.cli.commands import main
    from kalshi_sim.cli.shell import USER_MISTAKE

__all__ = ["USER_MISTAKE", "main"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from kalshi_sim.cli import commands, shell

        return getattr(shell if name.isupper() else commands, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

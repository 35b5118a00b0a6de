"""Ways into the event table: captures of the wire and other recorders' files.

`import_captures` is imported when first used, so that readers can be imported without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kalshi_sim.ingest.capture import import_captures

__all__ = ["import_captures"]


def __getattr__(name: str) -> Any:
    if name == "import_captures":
        from kalshi_sim.ingest.capture import import_captures

        return import_captures
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

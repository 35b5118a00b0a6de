"""The page of a run as text: the same while it is served and when it is a file."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from string import Template
from typing import Any, Final

from kalshi_sim.files import whole_file
from kalshi_train.report.blocks import DEFAULT_ROWS
from kalshi_train.report.html import asset, data_block, escaped, script_json, shown
from kalshi_train.report.trading.so_far import RunSoFar
from kalshi_train.trading.gap_table import COLUMNS, notes_of, rows_of

PAGE_NAME: Final = "page.html"
_SCRIPTS: Final = (
    "elements.js",
    "zones.js",
    "blocks.js",
    "timeline.js",
    "replay.js",
    "trading_figures.js",
    "trading.js",
)
"""In this order: each uses what those before it define."""


def script() -> str:
    """The page's script."""
    return "\n" + "\n".join(asset(name) for name in _SCRIPTS) + "\n"


def style() -> str:
    """The page's style."""
    return "\n" + asset("style.css") + "\n"


def security_policy(*, served: bool) -> str:
    """What a browser lets the page do: run its own script, and ask where it came from.

    Args:
        served: it may ask; a file asks nobody.
    """
    allowed = {
        "default-src": "'none'",
        "script-src": _hash(script()),
        "style-src": _hash(style()),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    if served:
        allowed["connect-src"] = "'self'"
    return "; ".join(f"{name} {value}" for name, value in allowed.items())


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def make_page(
    run: RunSoFar, *, served: bool, rows: int = DEFAULT_ROWS, gap: dict[str, Any] | None = None
) -> str:
    """The page.

    Args:
        run: what it shows.
        served: it asks for what comes later, and for the rows of the replay; else it holds them.
        rows: most rows of the replay that it holds.
        gap: between simulation and exchange, as `kalshi_train.trading.gap.Gap.as_dict` gives it;
            shown if it is given.

    Returns:
        HTML.
    """
    found = run.figures()
    found["gap"] = gap and {"columns": COLUMNS, "rows": rows_of(gap), "notes": notes_of(gap)}
    blocks: list[str] = []
    replay = run.replay()
    replay["left_out"] = 0
    if not served:
        kept, replay["views"] = replay["views"], []
        for view in sorted(kept, key=lambda v: -_profit(found, v)):
            length = found["markets"][view]["replayed"]
            if length > rows:
                replay["left_out"] += 1
                continue
            rows -= length
            replay["views"].append(view)
            parts = run.blocks(view, 0)
            assert parts is not None
            blocks.append(data_block(f"book-{view}", parts["book"]))
            blocks.append(data_block(f"agent-0-{view}", parts["agent"]))
        replay["views"].sort()
    found["replay"] = replay
    return Template(asset("trading.html")).substitute(
        title=escaped(f"{found.get('policy') or 'A policy'} trading, {run.folder.name}"),
        policy=escaped(security_policy(served=served)),
        style=style(),
        episodes=asset("replay.html"),
        run=script_json(shown(found | {"served": served})),
        replay=script_json(shown(replay)),
        blocks="\n".join(blocks),
        script=script(),
    )


def _profit(found: dict[str, Any], view: int) -> float:
    """How much a market won or lost by what the policy saw."""
    models = found["markets"][view]["models"]
    return abs(float(models[found["chosen"]]["profit_cents"])) if models else 0.0


def write_page(run: RunSoFar, path: Path, gap: dict[str, Any] | None = None) -> None:
    """Write the page, whole or not at all.

    Args:
        run: what it shows.
        path: where.
        gap: as for `make_page`.

    Raises:
        ConfigError: the file cannot be written.
        StoreError: the disk is full.
    """
    with whole_file(path) as temporary:
        temporary.write_text(make_page(run, served=False, gap=gap), "utf-8")

"""Texts and data as they may stand in a page, whatever names they hold."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from kalshi_sim.text import printable


def asset(name: str) -> str:
    """A template, style or script of the pages.

    Args:
        name: of its file.
    """
    return resources.files("kalshi_train.report").joinpath("assets", name).read_text("utf-8")


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element whatever names it holds.

    Args:
        value: what JSON can hold.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def shown(value: Any) -> Any:
    """A value with the control characters of all its texts as escapes.

    Args:
        value: what JSON can hold.
    """
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {name: shown(item) for name, item in value.items()}
    return [shown(item) for item in value] if isinstance(value, (list, tuple)) else value


def data_block(name: str, value: Any) -> str:
    """An element that holds data for the page's script.

    Args:
        name: its id.
        value: what JSON can hold.
    """
    return f'<script type="application/json" id="{name}">{script_json(value)}</script>'


def escaped(text: str) -> str:
    """Text that is no markup.

    Args:
        text: any.
    """
    return printable(text).replace("&", "&amp;").replace("<", "&lt;")

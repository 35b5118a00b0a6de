"""The five actions by name, in the order of their numbers.

The order is that of docs/contract.md#5-actions-and-order-entry.
"""

from __future__ import annotations

from typing import Final

ACTIONS: Final = ("hold", "buy_yes", "sell_yes", "buy_no", "sell_no")
"""The only table of these names: metrics, figures, tables, charts and the page read it."""


def action_label(name: str) -> str:
    """A name as people read it: `buy_yes` is "buy YES"."""
    word, _, side = name.partition("_")
    return f"{word} {side.upper()}" if side else word

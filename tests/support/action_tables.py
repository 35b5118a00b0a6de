"""Drawn action tables, settings that use them, and actions on them."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from kalshi_sim import ActionRow, ActionTable, SimConfig
from kalshi_sim.actions import TABLES, Side
from tests.support.strategies import maker_config, random_config

MIRRORED: dict[Side | None, Side | None] = {None: None, "yes": "no", "no": "yes", "both": "both"}
SIDES: tuple[Side, ...] = ("yes", "no")


def random_table(rng: random.Random) -> ActionTable:
    """A built-in table or one of drawn rows, equal ones and further holds among them."""
    if rng.random() < 0.4:
        return rng.choice(list(TABLES.values()))
    rows = [ActionRow("hold"), *(random_row(rng) for _ in range(rng.randrange(1, 12)))]
    return ActionTable(tuple(rows))


def random_row(rng: random.Random) -> ActionRow:
    """Any row there can be."""
    kind = rng.choice(("buy", "buy", "buy", "sell", "cancel", "hold"))
    if kind == "hold":
        return ActionRow("hold")
    if kind == "cancel":
        return ActionRow("cancel", rng.choice((*SIDES, "both")))
    return ActionRow(
        "sell" if kind == "sell" else "buy",
        rng.choice(SIDES),
        rng.choice((None, "cross", "join", "improve", f"behind {rng.choice((1, 2, 3, 40))}")),
        rng.choice((1, 2, 3, 4, 5, 8, 40, 400)),
    )


def table_config(rng: random.Random, table: ActionTable, **fixed: Any) -> SimConfig:
    """Settings with this table; half of them so that orders rest and fill."""
    drawn = maker_config(rng) if rng.random() < 0.5 else random_config(rng)
    return replace(drawn, **{"actions": table, "time_in_force": "gtc", **fixed})


def table_actions(rng: random.Random, table: ActionTable, count: int) -> list[int]:
    """Actions drawn with a taste for some rows and, mostly, for waiting."""
    weights = [rng.choice((0.2, 1, 3)) for _ in table.rows]
    weights[0] = rng.choice((0.5, 2, 8)) * len(weights) / 4
    return rng.choices(range(len(table)), weights, k=count)


def mirrored_table(table: ActionTable) -> ActionTable:
    """The table in which YES and NO have changed places."""
    return ActionTable(tuple(replace(row, side=MIRRORED[row.side]) for row in table.rows))

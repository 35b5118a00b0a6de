"""The observation and action spaces every environment shares; registers the environments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from kalshi_sim.actions import FIVE, ActionTable, is_text_of_table, table_of_text
from kalshi_sim.config import SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_sim.features import FEATURES
from kalshi_sim.own import OwnFeatures
from kalshi_sim.registration import register_envs


def observation_space(own: OwnFeatures | None = None) -> gym.spaces.Box:
    """The 52 features, then features of one's own; float32, each within its bounds."""
    count = 0 if own is None else len(own)
    low = np.array([f.low for f in FEATURES] + [own.low if own else 0.0] * count, np.float32)
    high = np.array([f.high for f in FEATURES] + [own.high if own else 0.0] * count, np.float32)
    return gym.spaces.Box(low, high, dtype=np.float32)


class TableSpace(gym.spaces.Discrete):
    """`Discrete` that knows the rows of its action table; two of different rows differ.

    A model that is saved keeps its space, and so remembers what its actions mean.
    """

    def __init__(self, table: ActionTable) -> None:
        """Make the space of a table.

        Args:
            table: whose rows the actions are.
        """
        super().__init__(len(table))
        self.actions = table.to_text()
        """The table, as settings keep it."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TableSpace) and self.actions == other.actions

    __hash__ = None  # type: ignore[assignment]  # as gymnasium's own spaces

    def __repr__(self) -> str:
        return f"TableSpace({table_of_text(self.actions)})"


def action_space(config: SimConfig | None = None) -> gym.spaces.Discrete:
    """The actions of a configuration: `Discrete(5)` of the table `five`, else a `TableSpace`.

    Args:
        config: settings of the simulation; the defaults if omitted.

    Returns:
        The space.
    """
    table = FIVE if config is None else config.table
    return gym.spaces.Discrete(len(FIVE)) if table.rows == FIVE.rows else TableSpace(table)


def table_of_space(space: Any) -> ActionTable | None:
    """The table that a space of actions is of: a plain `Discrete(5)` is `five`; None: of none.

    Args:
        space: any space.

    Returns:
        The table.
    """
    if isinstance(space, TableSpace):
        return table_of_text(space.actions) if is_text_of_table(space.actions) else None
    return FIVE if space == gym.spaces.Discrete(len(FIVE)) else None


def check_actions_of(name: str, space: Any, config: SimConfig) -> None:
    """Be sure that a model's actions mean what those of a configuration do.

    Args:
        name: of the model, for messages.
        space: the model's space of actions.
        config: settings of the simulation.

    Raises:
        ConfigError: they do not.
    """
    theirs = table_of_space(space)
    if theirs is None:
        count = getattr(space, "n", None)
        raise ConfigError(
            f"{name}: the model chooses from {count} actions of no known table; the simulation "
            f"has {config.table}"
        )
    if theirs.rows != config.table.rows:
        with_file = "" if theirs.known_as is None else f" ({theirs.known_as})"
        raise ConfigError(
            f"{name}: the model was trained with the actions {', '.join(theirs.names)}{with_file}; "
            f"the simulation has those of {config.table}; give the same --actions"
        )


register_envs()  # for checkouts that are not installed, where gymnasium finds no entry point

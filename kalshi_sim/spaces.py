"""The observation and action spaces every environment shares; registers the environments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from kalshi_sim.actions import FIVE, ActionTable, is_text_of_table, table_of_text
from kalshi_sim.config import MAX_HISTORY, SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_sim.features import FEATURES
from kalshi_sim.own import OwnFeatures
from kalshi_sim.registration import register_envs


def observation_space(own: OwnFeatures | None = None, history: int = 1) -> gym.spaces.Box:
    """The 52 features, then features of one's own, for each of some rows; float32, bounded.

    Args:
        own: features of one's own, None for none.
        history: rows that an observation shows; before an episode's first they are zeros.

    Returns:
        A box of shape (history * (52 + own features),).
    """
    count = 0 if own is None else len(own)
    low = np.array([f.low for f in FEATURES] + [own.low if own else 0.0] * count, np.float32)
    high = np.array([f.high for f in FEATURES] + [own.high if own else 0.0] * count, np.float32)
    if history > 1:  # a row that is not there is all zeros
        low = np.concatenate([np.tile(np.minimum(low, 0), history - 1), low])
        high = np.concatenate([np.tile(np.maximum(high, 0), history - 1), high])
    return gym.spaces.Box(low, high, dtype=np.float32)


def history_of_space(space: Any, own: OwnFeatures | None = None) -> int | None:
    """How many rows the observations of a space show; None: they are of another kind.

    Args:
        space: any space of observations.
        own: features of one's own that each row has.

    Returns:
        1 or more.
    """
    frame = len(FEATURES) + (0 if own is None else len(own))
    shape = getattr(space, "shape", None)
    if shape is None or len(shape) != 1 or shape[0] == 0 or shape[0] % frame:
        return None
    rows = int(shape[0]) // frame
    return rows if rows <= MAX_HISTORY else None


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


def check_spaces_of(
    name: str, model: Any, config: SimConfig, own: OwnFeatures | None = None
) -> None:
    """Be sure that a model sees and does what a configuration offers.

    Args:
        name: of the model, for messages.
        model: with `action_space`, and `observation_space` or none.
        config: settings of the simulation.
        own: features of one's own that it sees.

    Raises:
        ConfigError: it does not.
    """
    check_actions_of(name, model.action_space, config)
    space = getattr(model, "observation_space", None)
    shape = observation_space(own, config.history).shape
    if space is None or getattr(space, "shape", None) == shape:
        return
    theirs = history_of_space(space, own)
    shown = "the simulation's" if theirs is None else f"history={theirs}, the simulation's"
    raise ConfigError(
        f"{name}: the model sees observations of shape {space.shape}, {shown} have {shape} "
        f"(history={config.history}); give it the history and the features of its training"
    )


register_envs()  # for checkouts that are not installed, where gymnasium finds no entry point

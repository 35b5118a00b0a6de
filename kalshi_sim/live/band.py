"""One agent under several fill models at once: the band in which its true result lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.config import FillModel, SimConfig
from kalshi_sim.kernels import batch as kernel
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.entry import cancel_sides
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.settings import Unit, settings_of

STATE: Final = (
    ("cash", layout.A_CASH),
    ("position", layout.A_POSITION),
    ("cost", layout.A_COST),
    ("realized", layout.A_REALIZED),
    ("fees", layout.A_FEES),
    ("equity2", layout.A_EQUITY2),
    ("invalid", layout.A_INVALID),
    ("fills", layout.A_FILLS),
    ("yes_price", layout.A_PRICE),
    ("no_price", layout.A_PRICE_NO),
    ("yes_size", layout.A_SIZE),
    ("no_size", layout.A_SIZE_NO),
    ("yes_ahead", layout.A_AHEAD),
    ("no_ahead", layout.A_AHEAD_NO),
    ("pending", layout.A_PENDING),
)
"""What is compared and logged of an agent, money in the tape's units; equity is doubled."""
_COLUMNS: Final = np.array([column for _, column in STATE])


def settings_of_band(
    config: SimConfig, models: Sequence[FillModel], like: Unit
) -> list[layout.Settings]:
    """Settings of each agent of a band, for all markets of one money unit.

    Args:
        config: settings; the fill model is replaced.
        models: fill models, in the order of the agents.
        like: has the money unit and row interval of the rows to come.

    Returns:
        Settings, one a fill model.
    """
    each = (
        replace(config, fill_model=model, record_fills=True, max_episode_steps=None)
        for model in models
    )
    return [settings_of(one, like) for one in each]


class Band:
    """Agents that take the same actions in one market, one under each fill model."""

    def __init__(self, settings: Sequence[layout.Settings], depth: int, history: int) -> None:
        """Not started yet.

        Args:
            settings: of each agent, as `settings_of_band` gives them.
            depth: levels a side of the rows to come.
            history: rows that an observation shows.
        """
        n = len(settings)
        self.settings = settings
        self.agents = layout.Agents(
            core=np.zeros((n, layout.N_CORE), np.int64),
            consumed=np.zeros((n, 2, layout.MAX_CONSUMED, 2), np.int64),
            records=np.zeros((n, 2 * depth + 4, layout.N_RECORD), np.int64),
        )
        seen = np.zeros((n, history * N_FEATURES), np.float32)
        self._buffers = layout.Buffers(
            obs=seen,
            rewards=np.zeros(n, np.float32),
            done=np.zeros(n, np.int8),
            before=seen,
        )
        self._actions = np.zeros(n, np.int64)

    def start(self, arrays: layout.TapeArrays, view: int = 0) -> None:
        """Stand on the first row of a view, with the cash of the start.

        Args:
            arrays: the rows.
            view: number of the view.
        """
        zero = np.zeros(1, np.int64)
        for i, settings in enumerate(self.settings):
            env, of = zero + i, zero + view
            kernel.start_agents(arrays, settings, self.agents, env, of, zero, self._buffers)

    def step(self, arrays: layout.TapeArrays, action: int) -> None:
        """Take an action at the row the agents stand on, and go to the next, which has closed.

        Args:
            arrays: the rows.
            action: a row of the action table.
        """
        self._actions[:] = action
        for i, settings in enumerate(self.settings):
            kernel.step_agents(
                arrays, settings, self.agents, self._actions, self._buffers, i, i + 1
            )

    def cancel(self) -> None:
        """Take all resting orders back, at the row the agents stand on."""
        for agent in self.agents.core:
            cancel_sides(agent, layout.BOTH_SIDES)

    @property
    def row(self) -> int:
        """The row the agents stand on, from the view's first."""
        return int(self.agents.core[0, layout.A_ROW] - self.agents.core[0, layout.A_START])

    @property
    def observations(self) -> npt.NDArray[np.float32]:
        """float32 [models, history * 52] what each agent sees; overwritten by the next step."""
        return self._buffers.obs

    def observe(self, arrays: layout.TapeArrays) -> None:
        """See the row again, after `cancel` has changed what is open.

        Args:
            arrays: the rows.
        """
        for i, settings in enumerate(self.settings):
            core = self.agents.core[i]
            kernel.value_row(arrays, settings, core)
            kernel.observe_agent(arrays, settings, core, self._buffers.obs[i, -N_FEATURES:])

    def mask(self, arrays: layout.TapeArrays, model: int) -> npt.NDArray[np.bool_]:
        """Which actions are valid for one agent: bool [actions].

        Args:
            arrays: the rows.
            model: number of its fill model.
        """
        settings = self.settings[model]
        one = layout.Agents(*(part[model : model + 1] for part in self.agents))
        masks = np.zeros((1, len(settings.actions)), np.bool_)
        kernel.mask_actions(arrays, settings, one, masks)
        mask: npt.NDArray[np.bool_] = masks[0]
        return mask

    def states(self) -> list[list[int]]:
        """Of each agent the values of `STATE`."""
        out: list[list[int]] = self.agents.core[:, _COLUMNS].tolist()
        return out

    def fills(self) -> list[list[list[int]]]:
        """Of each agent the fills of its last step: row, side, price, contracts, fee, maker."""
        counts = self.agents.core[:, layout.A_N_RECORDS].tolist()
        return [self.agents.records[i, :n].tolist() for i, n in enumerate(counts)]

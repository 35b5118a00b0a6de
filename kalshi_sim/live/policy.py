"""Asking a trained policy for its action on a live market."""

from __future__ import annotations

import inspect
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Policy(Protocol):
    """What SB3's algorithms offer: an action for an observation.

    `predict` may also take `action_masks`, as MaskablePPO's does, or give back a state and take
    it as `state`, as RecurrentPPO's does.
    """

    def predict(self, observation: Any, *, deterministic: bool = False) -> tuple[Any, Any]:
        """The action for an observation, and the state to go on with (None: there is none).

        Args:
            observation: float32 [history * 52], or [n, history * 52] for several.
            deterministic: take the likeliest action instead of drawing one.

        Returns:
            The action (of each), and the state to go on with (None: there is none).
        """
        ...


class Asker:
    """Asks policies row by row, and keeps the memory of those that have one."""

    def __init__(self) -> None:
        self._policy: Policy | None = None
        self._row = -1
        self._before: Any = None
        self._after: Any = None

    def action(
        self,
        policy: Policy,
        observation: npt.NDArray[np.float32],
        mask: npt.NDArray[np.bool_],
        row: int,
        *,
        deterministic: bool,
    ) -> int:
        """The action at a row; asked again there, a policy remembers what it did before.

        Args:
            policy: what is asked; another one than before starts with an empty memory.
            observation: float32 [history * 52].
            mask: which actions are valid, bool [n_actions].
            row: how many rows there are.
            deterministic: the most probable action, not a drawn one.
        """
        if policy is not self._policy:
            self._policy, self._row, self._before, self._after = policy, row, None, None
        elif row != self._row:
            self._row, self._before = row, self._after
        arguments: dict[str, Any] = {}
        if self._before is not None:
            arguments["state"] = self._before
        if "action_masks" in inspect.signature(policy.predict).parameters:
            arguments["action_masks"] = mask
        action, self._after = policy.predict(observation, deterministic=deterministic, **arguments)
        return int(action)

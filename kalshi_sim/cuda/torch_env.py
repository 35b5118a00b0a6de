"""`TorchVecEnv`: a batch for code that stays on the card, or that runs the same on a processor."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kalshi_sim.config import SimConfig
from kalshi_sim.cuda.simulator import CudaSimulator
from kalshi_sim.cuda.target import SIMULATED
from kalshi_sim.episodes import Finished
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.tape import Tape


class TorchVecEnv:
    """Thousands of environments that take and give torch tensors on the card; nothing is copied.

    An environment that finishes restarts in the same step: its observation is that of the new
    episode, the last one of the old stands in `terminal`. Observations and done flags alternate
    between two buffers, so those of a step hold until the step after the next.
    """

    def __init__(
        self, tape: Tape, n_envs: int, config: SimConfig | None = None, seed: int = 0
    ) -> None:
        """Make `n_envs` environments; `reset` before the first step.

        Args:
            tape: what to trade on; copied to the card.
            n_envs: environments in the batch.
            config: settings; the defaults if omitted.
            seed: decides everything random, as it does on a processor.

        Raises:
            ConfigError: a number is outside its range, there is no card, or it has too little
                memory.
        """
        self.simulator = CudaSimulator(tape, n_envs, config, seed)
        self.n_envs = n_envs
        self.n_actions = self.simulator.n_actions
        self.n_features = self.simulator.config.history * N_FEATURES
        """Columns of an observation."""
        self.device = torch.device("cpu" if SIMULATED else "cuda")
        """Where the tensors are; a processor under Numba's simulator."""

    def _tensor(self, array: Any) -> torch.Tensor:
        if SIMULATED:
            return torch.from_numpy(np.asarray(array._ary))
        return torch.as_tensor(array, device=self.device)

    def _array(self, tensor: torch.Tensor) -> Any:
        cuda = self.simulator._cuda
        return cuda.to_device(tensor.numpy()) if SIMULATED else cuda.as_cuda_array(tensor)

    def _stream(self) -> Any:
        if SIMULATED:
            return 0
        return self.simulator._cuda.external_stream(torch.cuda.current_stream().cuda_stream)

    @property
    def terminal(self) -> torch.Tensor:
        """float32 [n_envs, history * 52] the last observation of each environment's latest finished
        episode."""
        return self._tensor(self.simulator.terminal)

    def reset(self) -> torch.Tensor:
        """Start a new episode in every environment.

        Returns:
            float32 [n_envs, history * 52] observations.
        """
        observations = self._tensor(self.simulator.reset())
        if not SIMULATED:
            torch.cuda.synchronize()
        return observations

    def step(
        self, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Step every environment by one row, on torch's current stream; nothing is waited for.

        Args:
            actions: int64 [n_envs] on the card, rows of the action table. One outside the table
                holds, and `fetch_finished` raises.

        Returns:
            Observations float32 [n_envs, history * 52], rewards float32 [n_envs] in cents,
            terminated bool [n_envs], truncated bool [n_envs] (and not terminated).

        Raises:
            ValueError: actions of another shape or type.
        """
        if actions.shape != (self.n_envs,) or actions.dtype != torch.int64:
            raise ValueError(
                f"actions are {actions.dtype} {tuple(actions.shape)}, expected int64 "
                f"({self.n_envs},)"
            )
        simulator = self.simulator
        simulator.advance(self._array(actions.contiguous()), self._stream())
        done = self._tensor(simulator.done)
        return (
            self._tensor(simulator.observations),
            self._tensor(simulator.rewards),
            (done & layout.TERMINATED) != 0,
            done == layout.TRUNCATED,
        )

    def action_masks(self) -> torch.Tensor:
        """Which actions are valid now.

        Returns:
            bool [n_envs, n_actions]; overwritten by the next call.
        """
        return self._tensor(self.simulator.card_masks(self._stream()))

    def fetch_finished(self) -> tuple[Finished | None, int]:
        """The episodes that ended since the last call; waits for the card.

        Returns:
            The episodes, None if there are none; and how many there was no room to keep (two an
            environment are kept).

        Raises:
            ValueError: an action was no row of the table.
        """
        if not SIMULATED:
            torch.cuda.synchronize()
        return self.simulator.fetch_finished()

    def close(self) -> None:
        """End the batch; a step after it raises."""
        self.simulator.close()

"""`TorchVecEnv`: a batch for code that stays on the card, or that runs the same on a processor."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kalshi_sim.config import SimConfig
from kalshi_sim.cuda.simulator import CudaSimulator
from kalshi_sim.cuda.target import SIMULATED, chosen_device
from kalshi_sim.episodes import Finished
from kalshi_sim.errors import ConfigError
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.simulator import BatchSimulator
from kalshi_sim.tape import Tape


def torch_device(device: str) -> torch.device:
    """Where torch keeps what belongs to environments of a device.

    Args:
        device: cpu or cuda.

    Returns:
        The processor for cpu, and under Numba's simulator; else the card.

    Raises:
        ConfigError: torch was built without CUDA, or sees no card.
    """
    if device == "cpu" or SIMULATED:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError(
            f"device cuda: torch {torch.__version__} sees no card; install a torch built for CUDA "
            "(pytorch.org/get-started), or use device cpu"
        )
    return torch.device("cuda", torch.cuda.current_device())


class TorchVecEnv:
    """Thousands of environments that take and give torch tensors on the card; nothing is copied.

    An environment that finishes restarts in the same step: its observation is that of the new
    episode, the last one of the old stands in `terminal`. Observations and done flags alternate
    between two buffers, so those of a step hold until the step after the next. With device cpu
    the tensors lie over the arrays of a `BatchSimulator`; the results are the same.
    """

    def __init__(
        self,
        tape: Tape,
        n_envs: int,
        config: SimConfig | None = None,
        seed: int = 0,
        *,
        device: str = "cuda",
    ) -> None:
        """Make `n_envs` environments; `reset` before the first step.

        Args:
            tape: what to trade on; copied to the card.
            n_envs: environments in the batch.
            config: settings; the defaults if omitted.
            seed: decides everything random, as it does on a processor.
            device: cuda, cpu, or auto for the card if there is one.

        Raises:
            ConfigError: a number is outside its range, there is no card, or it has too little
                memory.
        """
        device = chosen_device(device)
        torch_device(device)  # torch must see the card too
        if device == "cuda":
            self._take(CudaSimulator(tape, n_envs, config, seed))
        else:
            self._take(BatchSimulator(tape, n_envs, config, seed))

    @classmethod
    def over(cls, simulator: CudaSimulator | BatchSimulator) -> TorchVecEnv:
        """The same over a batch that is there; both step the same environments.

        Args:
            simulator: on a card or a processor, without features or a reward of one's own.

        Returns:
            Its torch face.
        """
        env = cls.__new__(cls)
        env._take(simulator)
        return env

    def _take(self, simulator: CudaSimulator | BatchSimulator) -> None:
        self.simulator = simulator
        self.n_envs = simulator.n_envs
        self.n_actions = simulator.n_actions
        self.n_features = simulator.config.history * N_FEATURES
        """Columns of an observation."""
        self.on_card = isinstance(simulator, CudaSimulator)
        self.device = torch_device("cuda" if self.on_card else "cpu")
        """Where the tensors are; a processor under Numba's simulator."""
        self._real = self.on_card and not SIMULATED
        kept = simulator.terminal if isinstance(simulator, CudaSimulator) else None
        if kept is None:
            kept = np.zeros((self.n_envs, self.n_features), np.float32)
        self.terminal = self._tensor(kept)
        """float32 [n_envs, history * 52] the last observation of each environment's latest
        finished episode."""
        self._tensors = [
            tuple(map(self._tensor, (b.obs, b.rewards, b.done))) for b in simulator._buffers
        ]
        self._finished: list[Finished] = []

    def _tensor(self, array: Any) -> torch.Tensor:
        """The same memory as a tensor."""
        if self._real:
            return torch.as_tensor(array, device=self.device)
        return torch.from_numpy(array._ary if self.on_card else array)

    @property
    def observations(self) -> torch.Tensor:
        """float32 [n_envs, history * 52] what the environments see now."""
        return self._tensors[self.simulator._current][0]

    def _stream(self) -> Any:
        """Torch's current stream, so that each waits for what the other was asked before."""
        if not self._real:
            return 0
        stream = torch.cuda.current_stream().cuda_stream
        return self.simulator._cuda.external_stream(stream)  # type: ignore[union-attr]  # a card's

    def reset(self) -> torch.Tensor:
        """Start a new episode in every environment.

        Returns:
            float32 [n_envs, history * 52] observations.
        """
        self.simulator.reset()
        self._finished.clear()
        if self._real:
            torch.cuda.synchronize()
        return self.observations

    def step(
        self, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Step every environment by one row, on torch's current stream; nothing is waited for.

        Args:
            actions: int64 [n_envs] on the card, rows of the action table. One outside the table
                holds, and `fetch_finished` raises; a processor raises at once.

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
        if isinstance(simulator, BatchSimulator):
            finished = simulator.step(actions.numpy())[3]
            if finished is not None:
                self._finished.append(finished)
                self.terminal[torch.from_numpy(finished.envs)] = torch.from_numpy(
                    finished.observations
                )
        else:
            cuda, given = simulator._cuda, actions.contiguous()
            array = cuda.as_cuda_array(given) if self._real else cuda.to_device(given.numpy())
            simulator.advance(array, self._stream())
        seen, rewards, done = self._tensors[simulator._current]
        return (
            seen,
            rewards,
            (done & layout.TERMINATED) != 0,
            done == layout.TRUNCATED,
        )

    def action_masks(self) -> torch.Tensor:
        """Which actions are valid now.

        Returns:
            bool [n_envs, n_actions]; overwritten by the next call.
        """
        if isinstance(self.simulator, BatchSimulator):
            return torch.from_numpy(self.simulator.action_masks())
        return self._tensor(self.simulator.card_masks(self._stream()))

    def fetch_finished(self) -> tuple[Finished | None, int]:
        """The episodes that ended since the last call; waits for the card.

        Returns:
            The episodes, None if there are none; and how many there was no room to keep (two an
            environment are kept).

        Raises:
            ValueError: an action was no row of the table.
        """
        if self._real:
            torch.cuda.synchronize()
        if isinstance(self.simulator, CudaSimulator):
            return self.simulator.fetch_finished()
        kept, self._finished = self._finished, []
        if not kept:
            return None, 0
        columns = zip(*(part[:4] for part in kept), strict=True)
        return Finished(*map(np.concatenate, columns)), 0

    def close(self) -> None:
        """End the batch; a step after it raises."""
        self.simulator.close()

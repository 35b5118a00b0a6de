"""DQN that can go on from a checkpoint, which does not keep its transitions."""

from __future__ import annotations

from stable_baselines3 import DQN


class ResumableDQN(DQN):
    """Stable-Baselines3's DQN; its buffer is filled anew, by its own policy, after a resume."""

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the network as the stock method does, once `learning_starts` transitions are kept.

        Args:
            gradient_steps: how many updates.
            batch_size: transitions of each.
        """
        assert self.replay_buffer is not None
        kept = self.replay_buffer.size() * self.n_envs
        room = self.replay_buffer.buffer_size * self.n_envs
        if kept >= min(self.learning_starts, room):
            super().train(gradient_steps, batch_size)

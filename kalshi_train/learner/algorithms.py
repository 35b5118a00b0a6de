"""PPO and A2C that collect and learn faster than stable-baselines3's, with equal results.

`FastPPO` and `FastA2C` are subclasses: same arguments, same log keys, same callbacks, and models
that plain `PPO.load` and `A2C.load` open, as these classes open theirs. For the same actions a
rollout equals stock's within rounding, and so do the weights after an update; actions are drawn
from the same distribution by other means. What they speed up is `MlpPolicy` on float32
observations and discrete actions on the CPU; anything else runs stock code, and the log says why.
"""

from __future__ import annotations

import numpy as np
import torch as th
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.utils import explained_variance

from kalshi_train.learner import losses, updates
from kalshi_train.learner.group import mean_and_deviation
from kalshi_train.learner.lane import CHUNK, Lane
from kalshi_train.learner.network import ActorCritic
from kalshi_train.learner.on_policy import FastOnPolicy
from kalshi_train.learner.rollout import SharedRolloutBuffer


class FastPPO(FastOnPolicy, PPO):
    """Stable-baselines3's PPO, faster. Arguments, attributes and results are those of `PPO`.

    With `mask=True` invalid actions have probability zero, as in sb3-contrib's MaskablePPO.
    """

    def train(self) -> None:
        """Update the policy from the rollout buffer, as the stock method does."""
        parts = self.begin_update()
        if parts is None:
            super().train()
            return
        network, optimiser, buffer = parts
        clip_range = float(self.clip_range(self._current_progress_remaining))  # type: ignore[operator]  # made callable by SB3
        clip_range_vf = None
        if self.clip_range_vf is not None:
            clip_range_vf = float(self.clip_range_vf(self._current_progress_remaining))  # type: ignore[operator]  # made callable by SB3

        minibatch = _PPOMinibatch(self, network, buffer, clip_range, clip_range_vf)
        log: list[losses.F64] = []
        continue_training = True
        for epoch in range(self.n_epochs):
            order = buffer.order()
            first = len(log)
            starts = range(0, order.size, self.batch_size)
            minibatches = [order[start : start + self.batch_size] for start in starts]
            for rows, scale in zip(minibatches, minibatch.scales(minibatches), strict=True):
                stats = minibatch.differentiate(rows, scale)
                if self.target_kl is not None:  # all stop at the same minibatch
                    stats = self.group.rows_of_all(stats).mean(axis=0)
                log.append(stats)
                if self.target_kl is not None and stats[losses.KL] > 1.5 * self.target_kl:
                    continue_training = False
                    if self.verbose >= 1:
                        print(
                            f"Early stopping at step {epoch} due to reaching max kl: "
                            f"{stats[losses.KL]:.2f}"
                        )
                    break
                optimiser.step(self.max_grad_norm)
            self._n_updates += 1
            if not continue_training:
                break

        log = list(self.group.rows_of_all(np.array(log)).mean(axis=0))
        mean = np.mean(log, axis=0)
        loss = (
            log[-1][losses.POLICY]
            + self.vf_coef * log[-1][losses.VALUE]
            - self.ent_coef * log[-1][losses.ENTROPY]
        )
        record = self.logger.record
        record("train/entropy_loss", -mean[losses.ENTROPY])
        record("train/policy_gradient_loss", mean[losses.POLICY])
        record("train/value_loss", mean[losses.VALUE])
        record("train/approx_kl", np.mean([stats[losses.KL] for stats in log[first:]]))
        record("train/clip_fraction", mean[losses.CLIPPED])
        record("train/loss", loss)
        record(
            "train/explained_variance",
            explained_variance(buffer.flat("values"), buffer.flat("returns")),
        )
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        record("train/clip_range", clip_range)
        if clip_range_vf is not None:
            record("train/clip_range_vf", clip_range_vf)


class _PPOMinibatch:
    """PPO's loss over minibatches of one rollout."""

    def __init__(
        self,
        model: FastPPO,
        network: ActorCritic,
        buffer: SharedRolloutBuffer,
        clip_range: float,
        clip_range_vf: float | None,
    ) -> None:
        self.network = network
        self.group = model.group
        self.observations = buffer.flat_observations
        self.normalize = model.normalize_advantage
        self.actions = buffer.actions.reshape(-1)
        self.old_log_probs, self.old_values = buffer.flat("log_probs"), buffer.flat("values")
        self.advantages, self.returns = buffer.flat("advantages"), buffer.flat("returns")
        self.masks = buffer.flat_masks
        held = -1.0 if clip_range_vf is None else clip_range_vf
        coefficients = (float(model.ent_coef), float(model.vf_coef))
        self.scaling = np.array([1.0, 0.0, 1.0, clip_range, held, *coefficients])

    def scales(self, minibatches: list[losses.I64]) -> losses.F64:
        """Mean and divisor of the advantages of minibatches, over all learners' rows of each.

        Args:
            minibatches: int64 [k] each, rows of this learner.

        Returns:
            float64 [minibatches, 2].
        """
        found = np.tile([0.0, 1.0], (len(minibatches), 1))
        sizes = np.array([rows.size for rows in minibatches])
        several = sizes * self.group.size > 1
        if self.normalize and several.any():
            parts = [updates.mean_and_squares(self.advantages, rows) for rows in minibatches]
            scales = mean_and_deviation(self.group, np.array(parts), sizes)
            found[several] = scales[several] + (0.0, 1e-8)
        return found

    def differentiate(self, rows: losses.I64, scale: losses.F64) -> losses.F64:
        """Leave the gradient over all learners' rows of a minibatch in the network.

        Args:
            rows: int64 [k] rows of this learner.
            scale: float64 [2] mean and divisor of the advantages.

        Returns:
            float64 [figures] the means over the rows of this learner, for the log.
        """
        self.scaling[:3] = rows.size * self.group.size, *scale
        self.rows = rows
        self.index = th.from_numpy(rows)
        n_lanes = self.network.run(rows.size, self._lane)
        return self.network.reduce(n_lanes) / rows.size

    def _lane(self, lane: Lane, start: int, stop: int) -> None:
        actor, critic = (net[-1].bias for net in self.network.nets)
        lane.clear()
        with th.no_grad():
            for at in range(start, stop, CHUNK):
                end = min(at + CHUNK, stop)
                x = lane.buffers(end - at).x
                th.index_select(self.observations, 0, self.index[at:end], out=x)
                done = lane.forward(x)
                if self.masks is not None:
                    losses.mask_rows(done.logits, self.masks, self.rows[at:end])
                losses.ppo_head(
                    done.logits,
                    actor,
                    done.value,
                    critic,
                    self.rows[at:end],
                    self.actions,
                    self.old_log_probs,
                    self.advantages,
                    self.returns,
                    self.old_values,
                    self.scaling,
                    lane.layers[0][-1].bias,
                    lane.layers[1][-1].bias,
                    lane.stats,
                )
                lane.backward(x, done)


class FastA2C(FastOnPolicy, A2C):
    """Stable-baselines3's A2C, faster. Arguments, attributes and results are those of `A2C`."""

    def train(self) -> None:
        """Update the policy from the rollout buffer, as the stock method does."""
        parts = self.begin_update()
        if parts is None:
            super().train()
            return
        network, optimiser, buffer = parts
        means = self.group.rows_of_all(self._differentiate(network, buffer)).mean(axis=0)
        optimiser.step(self.max_grad_norm)
        self._n_updates += 1
        record = self.logger.record
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        record(
            "train/explained_variance",
            explained_variance(buffer.flat("values"), buffer.flat("returns")),
        )
        record("train/entropy_loss", -means[losses.ENTROPY])
        record("train/policy_loss", means[losses.POLICY])
        record("train/value_loss", means[losses.VALUE])

    def _differentiate(self, network: ActorCritic, buffer: SharedRolloutBuffer) -> losses.F64:
        """Leave the gradient over all learners' rollouts in the network; the means for the log."""
        actions, observations = buffer.actions.reshape(-1), buffer.flat_observations
        advantages, returns = buffer.flat("advantages"), buffer.flat("returns")
        mean, divisor = 0.0, 1.0
        if self.normalize_advantage:
            part = updates.mean_and_squares(advantages, np.arange(advantages.size))
            sizes = np.array([advantages.size])
            mean, deviation = mean_and_deviation(self.group, np.array([part]), sizes)[0]
            divisor = deviation + 1e-8
        size = actions.size * self.group.size
        scaling = np.array([size, mean, divisor, self.ent_coef, self.vf_coef])
        actor, critic = (net[-1].bias for net in network.nets)
        masks = buffer.flat_masks

        def work(lane: Lane, start: int, stop: int) -> None:
            lane.clear()
            with th.no_grad():
                for at in range(start, stop, CHUNK):
                    end = min(at + CHUNK, stop)
                    x = observations[at:end]
                    done = lane.forward(x)
                    if masks is not None:
                        losses.mask_logits(done.logits, masks[at:end])
                    losses.a2c_head(
                        done.logits,
                        actor,
                        done.value,
                        critic,
                        actions[at:end],
                        advantages[at:end],
                        returns[at:end],
                        scaling,
                        lane.layers[0][-1].bias,
                        lane.layers[1][-1].bias,
                        lane.stats,
                    )
                    lane.backward(x, done)

        return network.reduce(network.run(actions.size, work)) / actions.size

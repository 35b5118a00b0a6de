"""PPO and A2C that collect and learn where the environments are: on the card.

`CardPPO` and `CardA2C` are stable-baselines3's classes with another collector and another update:
same arguments, log keys and callbacks, and models that plain `PPO.load` and `A2C.load` open on any
machine. The rollout's tensors are allocated once; the host waits for the card when a rollout is
complete (and sooner only where more episodes may end than there is room for), and when an update
is. Their environments are a `KalshiVecEnv`, as it is or in `VecNormalize`.
"""

from __future__ import annotations

import time
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from kalshi_sim.cuda.simulator import CudaSimulator
from kalshi_sim.errors import ConfigError
from kalshi_train.learner import card_losses as losses
from kalshi_train.learner.card_env import CardEnv
from kalshi_train.learner.card_rollout import CardRolloutBuffer, rollout_bytes
from kalshi_train.learner.masking import Masking
from kalshi_train.learner.supported import unsupported
from kalshi_train.learner.turns import turn

Self = TypeVar("Self", bound="CardOnPolicy")


class CardOnPolicy(Masking):
    """What `CardPPO` and `CardA2C` share: set-up and the collection of rollouts."""

    compiled = False
    """Whether the losses are compiled by torch."""
    _card: CardEnv | None = None
    _begun = False
    _loss: Any = None

    def __init__(self, *args: Any, compiled: bool = False, **kwargs: Any) -> None:
        """As the stock class.

        Args:
            compiled: compile the losses by `torch.compile`: takes a minute, and results are equal
                within rounding alone.

        Raises:
            ConfigError: the policy is no `MlpPolicy` over discrete actions.
        """
        self.compiled = compiled
        super().__init__(*args, **kwargs)

    def _maybe_recommend_cpu(self, mlp_class_name: str = "ActorCriticPolicy") -> None:
        """The stock class advises against a card; its rollouts are made on the host."""

    def _setup_model(self) -> None:
        with turn(self, seeding=True):
            super()._setup_model()
        reason = unsupported(self)
        if reason is not None:
            raise ConfigError(f"training on a card needs MlpPolicy on float32: {reason}")
        self._check_room()
        self._make_rollout_buffer(CardRolloutBuffer)

    def _check_room(self) -> None:
        """Be sure that a rollout fits onto the card."""
        env: Any = self.env
        inner = env.venv if isinstance(env, VecNormalize) else env
        simulator = getattr(inner, "simulator", None)
        if not isinstance(simulator, CudaSimulator):
            return
        masked = simulator.n_actions if self.mask else 0
        features = int(np.prod(self.observation_space.shape or ()))
        size = rollout_bytes(self.n_steps, self.n_envs, features, masked)
        what = f"a rollout of {self.n_steps:,} steps of {self.n_envs:,} environments takes"
        simulator.require_room({what: size}, "choose fewer steps or fewer environments")

    def _excluded_save_params(self) -> list[str]:
        own = ["_card", "_begun", "_loss", "compiled"]
        return [*super()._excluded_save_params(), *own]

    def learn(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Train as the stock method does. Models that learn in several threads take turns.

        Returns:
            The model itself.
        """
        with turn(self):
            return super().learn(*args, **kwargs)

    def _env_on_card(self) -> CardEnv:
        env = self.env
        assert env is not None, "the model has no environment"
        if self._card is None or self._card.env is not env:
            self._card = CardEnv(env, self.n_steps, self.gamma)
        return self._card

    # What stable-baselines3 keeps as arrays is on the card; arrays are made where one is read.
    @property
    def _last_obs(self) -> Any:
        return self._env_on_card().last_observations() if self._begun else None

    @_last_obs.setter
    def _last_obs(self, observations: Any) -> None:
        """They are those of the environments, which give or are given them at the same time."""
        self._begun = observations is not None

    @property
    def _last_episode_starts(self) -> npt.NDArray[np.bool_] | None:
        return self._env_on_card().last_starts() if self._begun else None

    @_last_episode_starts.setter
    def _last_episode_starts(self, starts: Any) -> None:
        if starts is not None:
            self._env_on_card().set_starts(starts)

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
    ) -> bool:
        """Fill the rollout buffer as the stock method does, on the card.

        Callbacks find no `dones` and `infos`; `finished_infos` has those of the episodes that ended
        when `on_rollout_end` is called.

        Args:
            env: what to step.
            callback: called after each step.
            rollout_buffer: what is filled.
            n_rollout_steps: steps of each environment.

        Returns:
            False if the callback stopped the training.
        """
        assert isinstance(rollout_buffer, CardRolloutBuffer), "the buffer is not the model's own"
        assert self._begun, "No previous observation was provided"
        policy, buffer, card = self.policy, rollout_buffer, self._env_on_card()
        policy.set_training_mode(False)
        buffer.reset()
        callback.on_rollout_start()
        finished_infos: list[dict[str, Any]] = []
        with th.no_grad(), card.normalizing():
            for step in range(n_rollout_steps):
                seen: Any = buffer.observations[step]
                card.observe(seen)
                buffer.episode_starts[step] = card.starts
                masks = None
                if buffer.masks is not None:
                    masks = buffer.masks[step]
                    masks.copy_(card.action_masks())
                actions, values, log_probs = losses.act(policy, seen, masks)
                rewards = card.step(actions, policy)
                self.num_timesteps += env.num_envs
                callback.update_locals(locals())
                if not callback.on_step():
                    return False
                buffer.actions[step] = actions
                buffer.values[step] = values
                buffer.log_probs[step] = log_probs
                buffer.rewards[step] = rewards
                buffer.pos = step + 1
                if card.is_due:
                    finished_infos += self._ended(card)
            buffer.full = True
            last = card.observe(th.empty_like(seen))
            ended: Any = card.starts
            buffer.compute_returns_and_advantage(losses.values_of(policy, last), ended)
        finished_infos += self._ended(card)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _ended(self, card: CardEnv) -> list[dict[str, Any]]:
        elapsed = round(time.time() - self.start_time / 1e9, 6)
        infos = card.fetch_infos(elapsed)
        self._update_info_buffer(infos, np.ones(len(infos), dtype=bool))
        return infos

    def _rows(self, rows: th.Tensor | None) -> losses.Rows:
        """Some rows of the rollout; None: all, as they lie."""
        buffer = self.rollout_buffer
        assert isinstance(buffer, CardRolloutBuffer)

        def taken(name: str) -> th.Tensor:
            flat = buffer.flat(name)
            return flat if rows is None else flat.index_select(0, rows)

        return losses.Rows(
            observations=taken("observations"),
            actions=taken("actions"),
            log_probs=taken("log_probs"),
            values=taken("values"),
            advantages=taken("advantages"),
            returns=taken("returns"),
            masks=None if buffer.masks is None else taken("masks"),
        )

    def _compiled_loss(self, loss: Any) -> Any:
        """`loss`, compiled if that was asked for."""
        if self._loss is None:
            self._loss = th.compile(loss) if self.compiled else loss
        return self._loss

    def _weights(self, **more: Any) -> losses.Weights:
        weights = losses.Weights(
            self.normalize_advantage,  # type: ignore[attr-defined]  # of PPO and A2C
            float(self.ent_coef),
            float(self.vf_coef),
            **more,
        )
        return weights.as_tensors(self.device) if self.compiled else weights

    def _improve(self, loss: th.Tensor) -> None:
        """One step of the optimiser."""
        self.policy.optimizer.zero_grad()
        loss.backward()
        th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()

    def _explained_variance(self) -> th.Tensor:
        """Of the returns by the values, float32 []; nan where the returns do not vary."""
        buffer: Any = self.rollout_buffer
        returns, values = buffer.flat("returns").double(), buffer.flat("values").double()
        variance = returns.var(correction=0)
        explained = 1.0 - (returns - values).var(correction=0) / variance
        return th.where(variance == 0, th.nan, explained).float()


class CardPPO(CardOnPolicy, PPO):
    """Stable-baselines3's PPO on the card. Arguments, attributes and results are those of `PPO`.

    With `mask=True` invalid actions have probability zero, as in sb3-contrib's MaskablePPO.
    """

    def train(self) -> None:
        """Update the policy from the rollout buffer, as the stock method does."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        left = self._current_progress_remaining
        clip_range = float(self.clip_range(left))  # type: ignore[operator]  # made callable by SB3
        clip_range_vf = None
        if self.clip_range_vf is not None:
            clip_range_vf = float(self.clip_range_vf(left))  # type: ignore[operator]  # as above
        weights = self._weights(clip_range=clip_range, clip_range_vf=clip_range_vf)
        loss_of = self._compiled_loss(losses.ppo_loss)
        log: list[th.Tensor] = []
        first, goes_on = 0, True
        for epoch in range(self.n_epochs):
            first = len(log)
            minibatches: Any = self.rollout_buffer.get(self.batch_size)
            for rows in minibatches:
                loss, figures = loss_of(self.policy, self._rows(rows), weights)
                log.append(figures)
                if self.target_kl is not None:  # the one look of the host at the card
                    kl = float(figures[losses.KL])
                    goes_on = kl <= 1.5 * self.target_kl
                    if not goes_on:
                        if self.verbose >= 1:
                            print(
                                f"Early stopping at step {epoch} due to reaching max kl: {kl:.2f}"
                            )
                        break
                self._improve(loss)
            self._n_updates += 1
            if not goes_on:
                break
        explained = self._explained_variance().reshape(1, 1).expand(1, losses.N_FIGURES)
        table = th.cat([th.stack(log), explained]).cpu().numpy().astype(np.float64)
        seen, mean = table[:-1], table[:-1].mean(axis=0)
        last = seen[first:].mean(axis=0)
        record = self.logger.record
        record("train/entropy_loss", -mean[losses.ENTROPY])
        record("train/policy_gradient_loss", mean[losses.POLICY])
        record("train/value_loss", mean[losses.VALUE])
        record("train/approx_kl", last[losses.KL])
        record("train/clip_fraction", mean[losses.CLIPPED])
        record("train/loss", seen[-1, losses.LOSS])
        record("train/explained_variance", table[-1, 0])
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        record("train/clip_range", clip_range)
        if clip_range_vf is not None:
            record("train/clip_range_vf", clip_range_vf)


class CardA2C(CardOnPolicy, A2C):
    """Stable-baselines3's A2C on the card. Arguments, attributes and results are those of `A2C`."""

    def train(self) -> None:
        """Update the policy from the rollout buffer, as the stock method does."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        loss_of = self._compiled_loss(losses.a2c_loss)
        loss, figures = loss_of(self.policy, self._rows(None), self._weights())
        self._improve(loss)
        self._n_updates += 1
        explained = self._explained_variance().reshape(1)
        seen = th.cat([figures, explained]).cpu().numpy().astype(np.float64)
        record = self.logger.record
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        record("train/explained_variance", seen[-1])
        record("train/entropy_loss", -seen[losses.ENTROPY])
        record("train/policy_loss", seen[losses.POLICY])
        record("train/value_loss", seen[losses.VALUE])

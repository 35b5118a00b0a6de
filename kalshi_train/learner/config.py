"""`LearnerConfig`: the learning algorithm and its settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from kalshi_sim.errors import ConfigError
from kalshi_sim.validated import Validated, Within
from kalshi_train.defaults import ALGORITHM_DEFAULTS, CANCELLING, algorithms_with, foreign_to
from kalshi_train.flag_types import LayerSizes

Algorithm = Literal["ppo", "a2c", "dqn", "maskable-ppo", "recurrent-ppo"]
Schedule = Literal["constant", "linear"]
DEVICES = ("cpu", "cuda", "auto")


@dataclass(frozen=True, kw_only=True)
class LearnerConfig(Validated):
    """How the policy learns. What is None is chosen by algorithm and number of environments.

    Raises:
        ConfigError: a field is outside its range, or fields contradict each other.
    """

    algorithm: Algorithm = "ppo"
    """Learning algorithm; maskable-ppo and recurrent-ppo are those of sb3-contrib, dqn that of
    Stable-Baselines3."""
    learning_rate: Annotated[float | None, Within(1e-12, 1.0)] = None
    """Learning rate."""
    lr_schedule: Schedule = "constant"
    """Whether the learning rate stays, or falls linearly to 0 at total_timesteps."""
    n_steps: Annotated[int | None, Within(1, 10**7)] = None
    """Steps of each environment per rollout (dqn: between updates)."""
    batch_size: Annotated[int | None, Within(2, 10**9)] = None
    """Transitions per gradient step."""
    n_epochs: Annotated[int | None, Within(1, 1000)] = None
    """Passes over a rollout."""
    gamma: Annotated[float | None, Within(0.0, 1.0)] = None
    """Discount per step."""
    gae_lambda: Annotated[float | None, Within(0.0, 1.0)] = None
    """Trade-off of bias and variance in the advantage."""
    ent_coef: Annotated[float | None, Within(0.0, 10.0)] = None
    """Weight of the entropy bonus."""
    ent_half_life: Annotated[int | None, Within(0, 10**13)] = None
    """Steps in which the entropy bonus halves; 0 keeps it."""
    vf_coef: Annotated[float | None, Within(0.0, 100.0)] = None
    """Weight of the value loss."""
    clip_range: Annotated[float | None, Within(1e-6, 10.0)] = None
    """Clipping of the policy ratio."""
    max_grad_norm: Annotated[float | None, Within(1e-6, 1e6)] = None
    """Largest norm of a gradient."""
    buffer_size: Annotated[int | None, Within(1, 10**9)] = None
    """Transitions that are kept to learn from."""
    learning_starts: Annotated[int | None, Within(0, 10**9)] = None
    """Transitions that are collected before anything is learned."""
    gradient_steps: Annotated[int | None, Within(1, 10**6)] = None
    """Gradient steps of an update."""
    target_update_interval: Annotated[int | None, Within(1, 10**9)] = None
    """Steps between two updates of the target network."""
    exploration_fraction: Annotated[float | None, Within(0.0, 1.0, low_excluded=True)] = None
    """Share of the run in which random actions become rarer."""
    exploration_final_eps: Annotated[float | None, Within(0.0, 1.0)] = None
    """Share of random actions after that."""
    lstm_hidden_size: Annotated[int | None, Within(1, 65_536)] = None
    """Units of the memory (LSTM), of the policy and of the value network each."""
    normalize: bool = False
    """Scale each feature by its running mean and deviation, which are kept with the model."""
    net_arch: LayerSizes = (64, 64)
    """Hidden layers of the policy and of the value network."""
    device: str = "cpu"
    """Where it runs: cpu, cuda for a graphics card, or auto for one if there is one. Of ppo and a2c
    all of the training is there, of other algorithms (and stock_sb3) the network."""
    compiled: bool = False
    """Compile the losses by torch.compile, on a graphics card: the first rollout then takes longer,
    the others less."""
    mask: bool | None = None
    """Give actions that are invalid probability zero, while learning and afterwards; --no-mask does
    not (default: with action tables other than five, of ppo and a2c)."""
    stock_sb3: bool = False
    """Use Stable-Baselines3's own PPO and A2C instead of the faster equal ones."""

    def check_together(self) -> None:
        """Check the rules that join several fields.

        Raises:
            ConfigError: a setting belongs to another algorithm, or a layer has no unit.
        """
        for name in foreign_to(self.algorithm):
            if getattr(self, name) is not None:
                *others, last = algorithms_with(name)
                theirs = f"{', '.join(others)} and {last}" if others else last
                raise ConfigError(f"{name} is a setting of {theirs}, not of {self.algorithm}")
        self._check_switches()
        if self.device not in DEVICES:
            raise ConfigError(
                f"device={self.device!r}: must be cpu, cuda or auto (the variable "
                "CUDA_VISIBLE_DEVICES chooses one of several cards)"
            )
        if any(size < 1 for size in self.net_arch):
            raise ConfigError(f"net_arch={self.net_arch}: layers need at least 1 unit")

    def _check_switches(self) -> None:
        own = self.algorithm in ("ppo", "a2c")
        if self.mask and self.algorithm in ("dqn", "recurrent-ppo"):
            raise ConfigError(
                f"mask: {self.algorithm} has no masks; ppo, a2c and maskable-ppo have"
            )
        if self.stock_sb3 and not own:
            raise ConfigError(
                f"stock_sb3 chooses between two forms of ppo and a2c; {self.algorithm} has one"
            )
        if self.compiled and (not own or self.stock_sb3 or self.device == "cpu"):
            raise ConfigError("compiled: losses are compiled of ppo and a2c on device cuda alone")
        if self.mask and self.stock_sb3:
            raise ConfigError(
                "mask with stock_sb3: Stable-Baselines3's own algorithms have no masks; "
                "leave out one of the two, or take --algorithm maskable-ppo"
            )

    def resolve(
        self, n_envs: int, *, cancels: bool = False, other_table: bool = False
    ) -> LearnerConfig:
        """The same with every None replaced by the algorithm's default for `n_envs` environments.

        Args:
            n_envs: environments of the run.
            cancels: whether the action table has cancels.
            other_table: whether it is another than `five`.

        Returns:
            The settings; None is left of those that the algorithm has not.

        Raises:
            ConfigError: a batch would be larger than a rollout, or a rollout too small.
        """
        defaults = ALGORITHM_DEFAULTS[self.algorithm](n_envs, self.n_steps)
        if cancels:
            defaults |= CANCELLING.get(self.algorithm, {})
        chosen = {
            k: v if getattr(self, k) is None else getattr(self, k) for k, v in defaults.items()
        }
        if "n_epochs" in chosen:
            _check_batch(self.algorithm, n_envs, chosen["n_steps"], chosen["batch_size"])
        if "buffer_size" in chosen:
            _check_buffer(chosen)
        mask = self.mask
        if mask is None:  # else most of what an untrained agent draws of a longer table is invalid
            masked = self.algorithm in ("ppo", "a2c") and not self.stock_sb3
            mask = other_table and masked
        return replace(self, **chosen, mask=mask)


def _check_buffer(chosen: dict[str, Any]) -> None:
    size = chosen["buffer_size"]
    for name in ("learning_starts", "batch_size"):
        if chosen[name] > size:
            raise ConfigError(
                f"{name} {chosen[name]} is larger than buffer_size {size}; lower the one or "
                "raise the other"
            )


def _check_batch(algorithm: str, n_envs: int, n_steps: int, batch_size: int) -> None:
    rollout = n_envs * n_steps
    if rollout < 2:
        raise ConfigError(f"n_envs 1 with n_steps 1: {algorithm} needs a rollout of 2 or more")
    if batch_size > rollout:
        raise ConfigError(
            f"batch_size {batch_size} is larger than a rollout of {rollout} "
            f"(n_envs {n_envs} * n_steps {n_steps}); lower the one or raise the others"
        )


def check_shares(learner: LearnerConfig, n_envs: int, learners: int) -> None:
    """Check that a training can be divided into equal parts.

    Args:
        learner: its settings, resolved.
        n_envs: environments of all learners together.
        learners: how many there are.

    Raises:
        ConfigError: it cannot.
    """
    if learners == 1:
        return
    if learner.algorithm not in ("ppo", "a2c") or learner.stock_sb3:
        name = f"stock_sb3 {learner.algorithm}" if learner.stock_sb3 else learner.algorithm
        raise ConfigError(f"learners={learners}: {name} has one learner; ppo and a2c have several")
    if learner.device == "cuda":
        raise ConfigError(
            f"learners={learners}: several learners train on device cpu; leave out device=cuda"
        )
    if learner.normalize:
        raise ConfigError(
            f"learners={learners}: normalize scales features by what one learner has seen; "
            "leave out one of the two"
        )
    if n_envs % learners:
        raise ConfigError(
            f"n_envs {n_envs} cannot be divided by {learners} learners; "
            f"take {_near(n_envs, learners)}"
        )
    batch = learner.batch_size
    if batch is not None and (batch % learners or batch // learners < 2):
        raise ConfigError(
            f"batch_size {batch} cannot be divided by {learners} learners; "
            f"take {_near(batch, 2 * learners)}"
        )


def _near(number: int, factor: int) -> int:
    return max(1, round(number / factor)) * factor

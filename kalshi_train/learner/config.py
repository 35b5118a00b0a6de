"""`LearnerConfig`: the learning algorithm and its settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from kalshi_sim.errors import ConfigError
from kalshi_sim.validated import Validated, Within
from kalshi_train.defaults import ALGORITHM_DEFAULTS, only_of
from kalshi_train.flag_types import LayerSizes

Algorithm = Literal["ppo", "a2c"]
Schedule = Literal["constant", "linear"]


@dataclass(frozen=True, kw_only=True)
class LearnerConfig(Validated):
    """How the policy learns. What is None is chosen by algorithm and number of environments.

    Raises:
        ConfigError: a field is outside its range, or fields contradict each other.
    """

    algorithm: Algorithm = "ppo"
    """Learning algorithm."""
    learning_rate: Annotated[float | None, Within(1e-12, 1.0)] = None
    """Learning rate."""
    lr_schedule: Schedule = "constant"
    """Whether the learning rate stays, or falls linearly to 0 at total_timesteps."""
    n_steps: Annotated[int | None, Within(1, 10**7)] = None
    """Steps of each environment per rollout."""
    batch_size: Annotated[int | None, Within(2, 10**9)] = None
    """Transitions per gradient step (ppo)."""
    n_epochs: Annotated[int | None, Within(1, 1000)] = None
    """Passes over a rollout (ppo)."""
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
    """Clipping of the policy ratio (ppo)."""
    max_grad_norm: Annotated[float | None, Within(1e-6, 1e6)] = None
    """Largest norm of a gradient."""
    net_arch: LayerSizes = (64, 64)
    """Hidden layers of the policy and of the value network."""
    device: str = "cpu"
    """Where the network runs: cpu, cuda or auto."""
    mask: bool = False
    """Give actions that are invalid probability zero, while learning and afterwards."""
    stock_sb3: bool = False
    """Use Stable-Baselines3's own PPO and A2C instead of the faster equal ones."""

    def check_together(self) -> None:
        """Check the rules that join several fields.

        Raises:
            ConfigError: a setting belongs to another algorithm, or a layer has no unit.
        """
        for name in only_of("ppo"):
            if self.algorithm != "ppo" and getattr(self, name) is not None:
                raise ConfigError(f"{name} is a setting of ppo, not of {self.algorithm}")
        if self.mask and self.stock_sb3:
            raise ConfigError(
                "mask with stock_sb3: Stable-Baselines3's own algorithms have no masks; "
                "leave out one of the two"
            )
        if any(size < 1 for size in self.net_arch):
            raise ConfigError(f"net_arch={self.net_arch}: layers need at least 1 unit")

    def resolve(self, n_envs: int) -> LearnerConfig:
        """The same with every None replaced by the algorithm's default for `n_envs` environments.

        Args:
            n_envs: environments of the run.

        Returns:
            The settings, none of them None.

        Raises:
            ConfigError: a batch would be larger than a rollout, or a rollout too small.
        """
        defaults = ALGORITHM_DEFAULTS[self.algorithm](n_envs, self.n_steps)
        chosen = {
            k: v if getattr(self, k) is None else getattr(self, k) for k, v in defaults.items()
        }
        if self.algorithm == "ppo":
            _check_batch(n_envs, chosen["n_steps"], chosen["batch_size"])
        return replace(self, **chosen)


def _check_batch(n_envs: int, n_steps: int, batch_size: int) -> None:
    rollout = n_envs * n_steps
    if rollout < 2:
        raise ConfigError("n_envs 1 with n_steps 1: ppo needs a rollout of 2 or more")
    if batch_size > rollout:
        raise ConfigError(
            f"batch_size {batch_size} is larger than a rollout of {rollout} "
            f"(n_envs {n_envs} * n_steps {n_steps}); lower the one or raise the others"
        )

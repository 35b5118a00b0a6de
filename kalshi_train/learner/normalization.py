"""Features scaled by what training saw of them: the same numbers in training and afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecNormalize


@dataclass(frozen=True, eq=False)
class Normalizer:
    """Mean and variance of each feature, and the limit of what a scaled one can be."""

    mean: npt.NDArray[np.float64]
    """[features]"""
    variance: npt.NDArray[np.float64]
    """[features]"""
    count: float
    """Observations they are of."""
    epsilon: float = 1e-8
    limit: float = 10.0

    def __call__(self, observations: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Scaled observations, as `VecNormalize` scales them.

        Args:
            observations: numbers [..., features].

        Returns:
            float32 of the same shape.
        """
        scaled = (observations - self.mean) / np.sqrt(self.variance + self.epsilon)
        return np.clip(scaled, -self.limit, self.limit).astype(np.float32)

    @staticmethod
    def of(env: VecNormalize) -> Normalizer:
        """What an environment has seen so far; a copy."""
        seen: Any = env.obs_rms
        return Normalizer(
            seen.mean.copy(), seen.var.copy(), float(seen.count), env.epsilon, env.clip_obs
        )

    @staticmethod
    def of_model(model: Any) -> Normalizer | None:
        """What a model's observations are scaled by; None if by nothing.

        Args:
            model: one that `load_model` read, or one that was trained in `VecNormalize`.
        """
        kept: Normalizer | None = getattr(model, "normalizer", None)
        if kept is not None:
            return kept
        env = model.get_vec_normalize_env()
        return None if env is None or not env.norm_obs else Normalizer.of(env)

    @staticmethod
    def from_arrays(values: Mapping[str, Any]) -> Normalizer:
        """From what `arrays` gave; numbers may be arrays without an axis."""
        plain = {k: float(values[k]) for k in ("count", "epsilon", "limit")}
        return Normalizer(np.array(values["mean"]), np.array(values["variance"]), **plain)

    def put_into(self, env: VecNormalize) -> None:
        """Let an environment go on from these."""
        seen: Any = env.obs_rms
        seen.mean, seen.var, seen.count = self.mean.copy(), self.variance.copy(), self.count

    def arrays(self) -> dict[str, Any]:
        """Its numbers by name."""
        return {
            "mean": self.mean,
            "variance": self.variance,
            "count": self.count,
            "epsilon": self.epsilon,
            "limit": self.limit,
        }

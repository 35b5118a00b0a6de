"""What a run came to: `TrainResult`, and the same as `training_results.json` has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from kalshi_train.config import TrainConfig


@dataclass(frozen=True)
class TrainResult:
    """What a run came to; money in cents."""

    model_path: Path
    best_model_path: Path | None
    num_timesteps: int
    episodes: int
    seconds: float
    """Of this call, without those before a resume."""
    evaluation_seconds: float
    """Of these, in held-out evaluation."""
    steps_per_second: float
    """Steps of this call over its time without held-out evaluation."""
    heldout: dict[str, Any] | None
    """The final model on the held-out markets."""
    verdict: str
    training: dict[str, Any]
    """Summary over all training episodes."""
    results: dict[str, Any] = field(repr=False)
    """All of it, as `training_results.json` has it."""
    model: BaseAlgorithm = field(repr=False)

    def figures(self, config: TrainConfig) -> dict[str, Any]:
        """What it came to, to be compared with other runs, as JSON has it.

        Args:
            config: what it was asked for.

        Returns:
            Figures by name, money in cents.
        """
        heldout = self.heldout or {}
        return {
            "seed": config.seed,
            "folder": str(config.run_folder),
            "heldout_profit_cents": heldout.get("mean_profit_cents"),
            "standard_error_cents": heldout.get("standard_error_cents"),
            "training_profit_cents": self.training["avg_profit_cents"],
            "steps_per_second": self.steps_per_second,
            "verdict": self.verdict,
        }

    def __repr__(self) -> str:
        best = f", best {self.best_model_path}" if self.best_model_path else ""
        return (
            f"TrainResult({self.num_timesteps:,} steps, {self.episodes:,} episodes, "
            f"{self.seconds:.1f} s; {self.verdict}; model {self.model_path}{best})"
        )

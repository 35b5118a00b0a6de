"""What a run has to remember across a resume."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class RunState:
    """Counters and evaluations of a run so far, apart from the arrays of its environments."""

    run_started_ns: int
    saved_at: int = 0
    """Steps at the last checkpoint."""
    evaluated_at: int = 0
    """Steps at the last held-out evaluation."""
    best_profit: float | None = None
    """Mean held-out profit of a market of the best model, in cents."""
    best_at: int = 0
    """Steps at which the best model was found."""
    episodes: int = 0
    eval_steps: list[int] = field(default_factory=list)
    eval_profits: list[list[float]] = field(default_factory=list)
    """Per evaluation the profit of every held-out view, in cents."""
    eval_rewards: list[list[float]] = field(default_factory=list)
    eval_lengths: list[list[int]] = field(default_factory=list)

"""Settings of environments on stored sessions, under the names of kalshiflow_rl."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from kalshi_sim.config import MIN_VIEW_ROWS, SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_sim.validated import Validated, Within


@dataclass(frozen=True)
class SB3TrainingConfig(Validated):
    """What a `SessionBasedEnvironment` needs to know besides the sessions.

    Raises:
        ConfigError: a field is outside its range.
    """

    env_config: SimConfig = field(default_factory=SimConfig)
    """The settings of the simulation."""
    min_episode_length: Annotated[int, Within(MIN_VIEW_ROWS, 10**9)] = 10
    """Markets with fewer rows are left out."""
    max_episode_steps: Annotated[int | None, Within(1, 2**62)] = None
    """Truncate an episode after so many steps; None: the markets decide."""
    fee_schedule: Path | None = None
    """JSON or CSV file of dated fees that go before the published ones."""
    skip_failed_markets: bool = True
    """Leave out sessions that cannot be read, with a warning, instead of stopping."""

    @property
    def sim(self) -> SimConfig:
        """The settings of the simulation, `max_episode_steps` included."""
        if self.max_episode_steps is None:
            return self.env_config
        return replace(self.env_config, max_episode_steps=self.max_episode_steps)


def create_env_config(cash_start: int = 10_000, **settings: Any) -> SimConfig:
    """Settings of the simulation: `SimConfig(cash_start=…, …)`.

    Args:
        cash_start: cash at the start of an episode, in cents; other settings by name.

    Returns:
        The settings.

    Raises:
        ConfigError: a setting is unknown or outside its range.
    """
    try:
        return SimConfig(cash_start=cash_start, **settings)
    except TypeError as error:
        raise ConfigError(f"create_env_config: {error}") from error


def create_training_config(
    min_episode_length: int = 10,
    max_episode_steps: int | None = None,
    skip_failed_markets: bool = True,
) -> SB3TrainingConfig:
    """Settings of episodes, around the simulation's defaults.

    Args:
        min_episode_length: markets with fewer rows are left out.
        max_episode_steps: truncate an episode after so many steps.
        skip_failed_markets: leave out markets that cannot be loaded.

    Returns:
        The settings.
    """
    return SB3TrainingConfig(
        min_episode_length=min_episode_length,
        max_episode_steps=max_episode_steps,
        skip_failed_markets=skip_failed_markets,
    )

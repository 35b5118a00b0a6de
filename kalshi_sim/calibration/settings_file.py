"""The file of settings that a calibration writes, as training and evaluation read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from kalshi_sim.errors import ConfigError
from kalshi_sim.sealed import read_sealed

SETTINGS: Final = ("latency_ms", "trade_share", "queue_power")
"""What such a file may set."""
EVIDENCE: Final = "calibration"
"""Under this name stands what the settings rest on."""


def read_calibration(path: Path) -> dict[str, Any]:
    """The settings of a file, by name.

    Args:
        path: of `kalshi-sim calibrate`, or written by hand.

    Raises:
        ConfigError: the file cannot be read, was changed, or sets something else.
    """
    values = read_sealed(path, "settings")
    values.pop(EVIDENCE, None)
    unknown = sorted(set(values) - set(SETTINGS))
    if unknown or not values:
        said = f"unknown setting {', '.join(unknown)}" if unknown else "it sets nothing"
        raise ConfigError(f"{path}: {said}; it may set {', '.join(SETTINGS)}")
    return values

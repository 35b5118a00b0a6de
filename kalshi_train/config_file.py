"""A run's config.json: its settings by name, and a digest by which damage is found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kalshi_sim.sealed import read_sealed, write_sealed


def write_settings(path: Path, values: Mapping[str, Any]) -> None:
    """Write a run's settings, so that `--config` starts such a run again.

    What it was resumed from is left out, and a digest added, by which damage is found.

    Args:
        path: the file; one that is there is replaced.
        values: settings by name, as `TrainConfig.to_json` gives them.
    """
    write_sealed(path, dict(values) | {"resume_from": None})


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a file, those of `write_settings` or written by hand without a digest.

    Raises:
        ConfigError: the file cannot be read, is no JSON object, or does not fit its digest.
    """
    return read_sealed(path, "config")

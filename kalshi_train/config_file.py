"""A run's config.json: its settings by name, and a digest by which damage is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kalshi_sim.errors import ConfigError
from kalshi_sim.files import write_json

_DIGEST: Final = "digest"


def write_settings(path: Path, values: Mapping[str, Any]) -> None:
    """Write a run's settings, so that `--config` starts such a run again.

    What it was resumed from is left out, and a digest added, by which damage is found.

    Args:
        path: the file; one that is there is replaced.
        values: settings by name, as `TrainConfig.to_json` gives them.
    """
    kept = dict(values) | {"resume_from": None}
    write_json(path, kept | {_DIGEST: _digest(kept)})


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a file, those of `write_settings` or written by hand without a digest.

    Raises:
        ConfigError: the file cannot be read, is no JSON object, or does not fit its digest.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the config {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: a config is a JSON object of settings by name")
    digest = values.pop(_DIGEST, None)
    if digest is not None and digest != _digest(values):
        raise ConfigError(
            f"{path} is not as it was written: damaged, or changed by hand; "
            f'if you changed it, remove its entry "{_DIGEST}"'
        )
    return values


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]

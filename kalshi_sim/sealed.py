"""JSON files with a digest of their content, by which damage is found before they are used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kalshi_sim.errors import ConfigError
from kalshi_sim.files import write_json
from kalshi_sim.text import printable

_DIGEST: Final = "digest"


def write_sealed(path: Path, values: Mapping[str, Any]) -> None:
    """Write values by name, whole or not at all, with a digest of them.

    Args:
        path: the file; one that is there is replaced.
        values: what JSON can hold, by name; NaN and infinities it cannot (ValueError).
    """
    write_json(path, {**values, _DIGEST: _digest(values)})


def read_sealed(path: Path, what: str) -> dict[str, Any]:
    """The values in a file, those of `write_sealed` or written by hand without a digest.

    Args:
        path: the file.
        what: it is, for messages: "config".

    Returns:
        The values by name.

    Raises:
        ConfigError: the file cannot be read, is no JSON object, names a value twice, or does not
            fit its digest.
    """
    try:
        values = json.loads(path.read_text("utf-8"), object_pairs_hook=_each_once)
    except OSError as error:
        raise ConfigError(f"cannot read the {what} {path}: {error.strerror}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: a {what} is a JSON object of values by name")
    digest = values.pop(_DIGEST, None)
    if digest is not None and digest != _digest(values):
        raise ConfigError(
            f"{path} is not as it was written: damaged, or changed by hand; "
            f'if you changed it, remove its entry "{_DIGEST}"'
        )
    return values


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, which would keep the last of two values without a word."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in values if names.count(name) > 1)
        raise ConfigError(f"{printable(twice)} is given twice; leave one of them")
    return values


def _digest(values: Mapping[str, Any]) -> str:
    as_read = json.loads(json.dumps(values))
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()[:32]

"""Libraries that only an extra of the package installs, and what to say where one is missing."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import Final

from kalshi_sim.errors import MissingExtraError

EXTRAS: Final = {
    "train": ("gymnasium", "stable_baselines3", "torch", "tensorboard"),
    "contrib": ("sb3_contrib",),
    "postgres": ("asyncpg",),
    "report": ("plotly",),
    "tune": ("optuna", "sqlalchemy", "psycopg", "psycopg_binary"),
    "ray": ("ray",),
    "live": ("aiohttp", "cryptography"),
    "frames": ("pandas", "polars"),
    "cuda": ("numba_cuda",),
}
"""The extras of `pip install 'kalshi-sim[...]'` by name, and the modules each brings."""
_EXTRA_OF: Final = {module: extra for extra, modules in EXTRAS.items() for module in modules}


def missing_extra(error: ModuleNotFoundError) -> MissingExtraError | None:
    """What to raise instead of `error`; None if no extra installs what is missing."""
    module = (error.name or "").partition(".")[0]
    extra = _EXTRA_OF.get(module)
    if extra is None:
        return None
    return MissingExtraError(
        f"this needs {module}, which is not installed; pip install 'kalshi-sim[{extra}]'",
        name=module,
    )


def require_extra(extra: str) -> None:
    """See to it that the libraries of an extra are installed, without importing them.

    Args:
        extra: a name of `EXTRAS`.

    Raises:
        MissingExtraError: one is not.
    """
    for module in EXTRAS[extra]:
        if importlib.util.find_spec(module) is None:
            error = missing_extra(ModuleNotFoundError(name=module))
            assert error is not None
            raise error


def import_module(name: str) -> ModuleType:
    """A module of this project by its full name.

    Raises:
        MissingExtraError: it needs a library of an extra that is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        raise missing from error

"""What all tests share: hypothesis profiles and the real recordings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.modes import examples

pytest_plugins = ["tests.postgres_fixtures", "tests.recorded"]

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data"

_REQUIRED = any(
    os.environ.get(name, "") not in ("", "0", "false")
    for name in ("KALSHI_SIM_REQUIRE_RECORDINGS", "CI")
)

# The default is the same on every run, so that a red test stays red. `explore` looks further:
# HYPOTHESIS_PROFILE=explore make test
_SLOW_DATA = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "default",
    derandomize=True,
    deadline=None,
    max_examples=examples(100),
    print_blob=True,
    suppress_health_check=_SLOW_DATA,
)
settings.register_profile(
    "explore",
    derandomize=False,
    deadline=None,
    max_examples=2000,
    print_blob=True,
    suppress_health_check=_SLOW_DATA,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without the recordings, their tests are deselected; the report's header says why."""
    if _REQUIRED or RECORDINGS.is_dir():
        return
    needing = [i for i in items if "recordings" in getattr(i, "fixturenames", ())]
    if needing:
        config.hook.pytest_deselected(items=needing)
        items[:] = [i for i in items if i not in needing]


def pytest_report_header() -> str:
    """One line that tells whether the recordings take part."""
    if RECORDINGS.is_dir():
        return f"recordings: {RECORDINGS}"
    if _REQUIRED:
        return f"recordings: required, but not at {RECORDINGS}: their tests fail"
    return f"recordings: none at {RECORDINGS}: their tests are deselected"


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real captures, which are no part of the project."""
    if not RECORDINGS.is_dir():
        pytest.fail(
            f"no recordings at {RECORDINGS}; put them there, or unset CI and "
            "KALSHI_SIM_REQUIRE_RECORDINGS to run without them"
        )
    return RECORDINGS

"""What all tests share: hypothesis profiles and the real recordings."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.modes import examples

pytest_plugins = [
    "support.postgres",
    "support.google_store",
    "support.object_store",
    "tests.support.recorded",
    "tests.support.small_disk",
    "tests.support.stored_sessions",
]

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data"

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def _is_set(*names: str) -> bool:
    return any(os.environ.get(name, "") not in ("", "0", "false") for name in names)


_REQUIRED = _is_set("KALSHI_SIM_REQUIRE_RECORDINGS", "CI")
_CHROMIUM_REQUIRED = _is_set("KALSHI_SIM_REQUIRE_CHROMIUM", "CI")

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


LONGEST = (
    "tests/cli/test_cli.py",
    "tests/training/test_every_algorithm.py",
    "tests/cluster/test_cluster.py",
    "tests/environments/test_wrappers.py",
    "tests/evaluation/test_contrib.py",
    "tests/training/test_interrupting.py",
    "tests/ingest/test_true_books.py",
    "benchmarks/tests/test_kill_series.py",
    "tests/training/test_warm_up.py",
    "tests/test_file_sets.py",
    "tests/test_examples.py",
    "tests/live/recorder/test_record_command.py",
    "tests/cli/test_cli_postgres.py",
    "tests/test_notebook.py",
    "tests/training/test_kill.py",
    "tests/trading/test_orders.py",
    "tests/live/test_document.py",
    "tests/tune/test_tune.py",
    "tests/store/test_pg_faults.py",
    "tests/test_full_disk.py",
    "tests/report/test_recordings.py",
)
"""Files that take longest begin first: else one worker ends minutes after the others."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of what is not here are deselected; the report's header says why."""
    missing = set()
    if not _REQUIRED and not RECORDINGS.is_dir():
        missing.add("recordings")
    if not _CHROMIUM_REQUIRED and CHROMIUM is None:
        missing.add("chromium")
    needing = [i for i in items if missing & set(getattr(i, "fixturenames", ()))]
    if needing:
        config.hook.pytest_deselected(items=needing)
        items[:] = [i for i in items if i not in needing]
    place = {config.rootpath / name: at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_report_header() -> list[str]:
    """Whether the recordings and a browser take part."""
    return [
        _told("recordings", RECORDINGS, RECORDINGS.is_dir(), _REQUIRED),
        _told("chromium", CHROMIUM or "PATH", CHROMIUM is not None, _CHROMIUM_REQUIRED),
    ]


def _told(name: str, where: Path | str, present: bool, required: bool) -> str:
    if present:
        return f"{name}: {where}"
    if required:
        return f"{name}: required, but not at {where}: their tests fail"
    return f"{name}: none at {where}: their tests are deselected"


@pytest.fixture(scope="session", autouse=True)
def _own_tapes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests cache their tapes where nobody else does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KALSHI_SIM_TAPES", str(tmp_path_factory.mktemp("tapes")))
        yield


@pytest.fixture(autouse=True)
def _plain_logs() -> Iterator[None]:
    """A command that ran in this process has set its logs up; the next test may look at them."""
    yield
    for name in ("kalshi_sim", "kalshi_train"):
        logger = logging.getLogger(name)
        for handler in logger.handlers:
            handler.close()
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real captures, which are no part of the project."""
    if not RECORDINGS.is_dir():
        pytest.fail(
            f"no recordings at {RECORDINGS}; put them there, or unset CI and "
            "KALSHI_SIM_REQUIRE_RECORDINGS to run without them"
        )
    return RECORDINGS


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a real browser; on Debian `apt-get install chromium` brings it."""
    if CHROMIUM is None:
        pytest.fail(
            "no chromium on the PATH; install it (Debian: apt-get install chromium), or unset CI "
            "and KALSHI_SIM_REQUIRE_CHROMIUM to run without it"
        )
    return CHROMIUM

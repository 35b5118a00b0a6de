"""Where a study lies: a file in its folder or a PostgreSQL database, and whose trials are running.

Each process that runs trials of a study holds a lock; the system lets go of it when the process
dies. A trial that is running in no living process goes back into the queue under its own number.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import optuna
import sqlalchemy
import sqlalchemy.exc
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from kalshi_sim import files
from kalshi_sim.errors import ConfigError, StoreError
from kalshi_sim.files import make_folder
from kalshi_sim.store.urls import mask_addresses, parse_address, without_password
from kalshi_sim.text import printable
from kalshi_train.tune.options import TuneOptions

FILE: Final = "study.db"
_DRIVERS: Final = ".drivers"
_SILENT_S: Final = 300.0
"""A trial of another machine is lost when nothing was heard of it for so long."""
BEAT_S: Final = 30.0
"""Seconds between two signs of life of a running trial."""
_BUSY_S: Final = 60.0
"""How long one process waits for another that writes to the file."""
_STARTUP: Final = 5
"""Trials that no other is ended early before."""
_WARM_UP: Final = 2
"""Evaluations of a run after which it may be ended early."""


class ByNumber(BaseSampler):
    """A sampler whose draws depend on its seed, a trial's number and what is known by then alone.

    So they are the same whatever process asks for them, and after a study was taken up again.
    """

    def __init__(self, options: TuneOptions) -> None:
        self._kind = {"tpe": TPESampler, "random": RandomSampler}[options.sampler]
        self._seed = options.sampler_seed

    def _of(self, trial: FrozenTrial, name: str = "") -> BaseSampler:
        text = f"{self._seed}\n{trial.number}\n{name}"
        drawn = hashlib.sha256(text.encode()).digest()[:4]
        sampler: BaseSampler = self._kind(seed=int.from_bytes(drawn, "big"))
        return sampler

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As the sampler of this trial does.

        Args:
            study: of the trial.
            trial: which one.

        Returns:
            What is drawn together.
        """
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the sampler of this trial does.

        Args:
            study: of the trial.
            trial: which one.
            search_space: what is drawn together.

        Returns:
            Values by name.
        """
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """As the sampler of this trial and setting does.

        Args:
            study: of the trial.
            trial: which one.
            param_name: the setting.
            param_distribution: what it is drawn from.

        Returns:
            The value.
        """
        sampler = self._of(trial, param_name)
        return sampler.sample_independent(study, trial, param_name, param_distribution)


@contextmanager
def open_study(options: TuneOptions, settings: Mapping[str, Any]) -> Iterator[Study]:
    """The study of `options`, made if it is not there; its storage is open while the block runs.

    Args:
        options: its folder, or database and name, and how it searches.
        settings: all that its trials share; what a study was begun with must be the same.

    Yields:
        The study.

    Raises:
        ConfigError: it was begun with other settings, or the address is no database.
        StoreError: it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = _open_storage(options)
    try:
        with failures_shown(options):
            yield _study(storage, options, settings)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _study(storage: RDBStorage, options: TuneOptions, settings: Mapping[str, Any]) -> Study:
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if options.pruner == "median":
        pruner = optuna.pruners.MedianPruner(_STARTUP, _WARM_UP)
    study = optuna.create_study(
        storage=storage,
        study_name=options.study.resolve().name,
        direction="maximize",
        sampler=ByNumber(options),
        pruner=pruner,
        load_if_exists=True,
    )
    begun: dict[str, Any] = study.user_attrs.get("settings", {})
    if not begun:
        study.set_user_attr("settings", dict(settings))
    for name, value in begun.items():
        if settings.get(name) != value:
            raise ConfigError(
                f"the study {options.study} was begun with {name} {printable(str(value))}, not "
                f"{printable(str(settings.get(name)))}; go on as it was begun, or name another "
                "--study"
            )
    return study


def _open_storage(options: TuneOptions) -> RDBStorage:
    with failures_shown(options):
        if options.storage is None:
            make_folder(options.study)
            path = options.study.resolve() / FILE

            def connect() -> sqlite3.Connection:
                return sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)

            # The path is no part of the address, in which some characters mean something else.
            return RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect})
        address = parse_address(options.storage)
        if address.kind != "postgresql":
            raise ConfigError("--storage is a postgresql:// address; without it a file is used")
        place = address.text.removeprefix("postgresql://")
        try:
            url = sqlalchemy.make_url(f"postgresql+psycopg://{place}")
        except (ValueError, sqlalchemy.exc.ArgumentError):  # the message may repeat a password
            raise ConfigError(
                f"--storage: {without_password(options.storage)} cannot be understood; it should "
                "be like postgresql://user:password@host:5432/database, with what is special in a "
                "password quoted as in a URL"
            ) from None
        make_folder(options.study)
        return RDBStorage(
            url.render_as_string(hide_password=False), engine_kwargs={"pool_pre_ping": True}
        )


@contextmanager
def failures_shown(options: TuneOptions) -> Iterator[None]:
    """Inside the block a storage that fails is one error, without its password.

    Raises:
        StoreError: it did.
    """
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        where = options.study / FILE if options.storage is None else options.storage
        shown = without_password(str(where)) if options.storage is not None else where
        cause = error.__cause__ or error
        said = mask_addresses(printable((str(cause).splitlines() or [""])[0]))
        raise StoreError(f"the study at {shown} cannot be read or written: {said}") from None


@contextmanager
def driving(folder: Path) -> Iterator[str]:
    """Hold the lock of a process that runs trials.

    Args:
        folder: of the study.

    Yields:
        A name by which its trials are known to be its own.
    """
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    make_folder(folder / _DRIVERS)
    path = folder / _DRIVERS / name
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield name
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


@contextmanager
def taking_turns(folder: Path, what: str) -> Iterator[None]:
    """Inside the block no other process of this machine does the same to the study.

    Args:
        folder: of the study.
        what: is done.

    Yields:
        None.
    """
    make_folder(folder / _DRIVERS)
    with files.taking_turns(folder / _DRIVERS / f"{what}.lock"):
        yield


def is_lost(folder: Path, trial: FrozenTrial) -> bool:
    """Whether the process that ran a trial is gone.

    Args:
        folder: of the study.
        trial: one that is running.
    """
    name = str(trial.user_attrs.get("driver", ""))
    host = str(trial.user_attrs.get("host", ""))
    if host not in ("", socket.gethostname()):
        return time.time() - float(trial.user_attrs.get("alive", 0.0)) > _SILENT_S
    path = folder / _DRIVERS / name
    if not name or not path.is_file():
        return True
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    with suppress(OSError):
        path.unlink()
    return True


def requeue_lost(study: Study, folder: Path) -> list[int]:
    """Put trials whose process is gone back into the queue, under their numbers.

    Args:
        study: of the trials.
        folder: of the study.

    Returns:
        Their numbers.
    """
    found = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if is_lost(folder, trial):
            requeue(study, trial.number)
            found.append(trial.number)
    if found:
        logging.getLogger(__name__).info(
            "trials %s were cut short and begin anew", ", ".join(map(str, found))
        )
    return found


def requeue(study: Study, number: int) -> None:
    """Put a running trial back into the queue, under its number.

    Args:
        study: of the trial.
        number: of the trial.
    """
    storage: BaseStorage = study._storage
    study_id = storage.get_study_id_from_name(study.study_name)
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
    storage.set_trial_state_values(trial_id, TrialState.WAITING)

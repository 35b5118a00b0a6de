"""`TrainConfig`: command line of `kalshi-train`, saved config.json and Python object in one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from kalshi_sim.actions import FIVE
from kalshi_sim.config import FillModel, MarketOrder, SimConfig, TapeOptions
from kalshi_sim.errors import ConfigError
from kalshi_sim.units import MS_PER_SECOND
from kalshi_sim.validated import Validated, Within
from kalshi_train.config_file import read_settings
from kalshi_train.flag_types import SessionIds
from kalshi_train.learner.config import LearnerConfig, check_shares

Curriculum = Literal["sequential", "shuffled", "easiest", "need"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

STEPS_PER_EVAL_ROW: Final = 20
"""Training steps for each row of the longest held-out market, between two evaluations."""
_EVALUATIONS: Final = 10
"""Checkpoints and evaluations of a run, if nothing else is asked for."""
_ORDERS: Final[dict[Curriculum, MarketOrder]] = {
    "sequential": "sequential",
    "easiest": "sequential",
    "shuffled": "shuffle",
    "need": "weighted",
}


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Validated):
    """Everything a training run depends on.

    The settings of the simulation, the tape and the learner are objects of their own; the command
    line and config.json have all of them side by side, by name. What is None is chosen for the
    run by `resolve`; the config.json of a run holds the values that were used.

    Raises:
        ConfigError: a field is outside its range, or fields contradict each other.
    """

    # Other defaults than the simulation's: chosen by experiment, see docs/training.md.
    sim: SimConfig = field(default_factory=lambda: SimConfig(reward_scale=0.001, random_start=True))
    """Settings of the simulation. Held-out evaluation starts at the first row always."""
    tape: TapeOptions = field(default_factory=TapeOptions)
    """How sessions become markets to play."""
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    """The learning algorithm."""

    store: str | None = None
    """Folder or postgresql:// address of the sessions (default: DATABASE_URL, else `sessions`)."""
    session: int | None = None
    """The session to train on."""
    sessions: SessionIds = ()
    """Several sessions to train on, separated by commas."""
    total_timesteps: Annotated[int, Within(1, 10**13)] = 2_000_000
    """Steps of the whole run, all environments together, those before a resume included."""
    max_spread: Annotated[float | None, Within(0.0, 1000.0)] = None
    """Leave out markets whose mean spread is wider, in cents."""
    cache: bool = True
    """Keep the replayed sessions on disk, so that the next run starts at once and shares them."""
    model_save_path: Path = Path("trained_models/trained_model.zip")
    """Where the final model goes, a folder or FILE.zip; checkpoints, logs and results lie beside
    it."""
    resume_from: Path | None = None
    """Checkpoint to go on from, or folder of a run: then its newest undamaged checkpoint."""
    save_freq: Annotated[int | None, Within(1, 10**13)] = None
    """Steps between checkpoints (default: a tenth of the run)."""
    eval_freq: Annotated[int | None, Within(1, 10**13)] = None
    """Steps between held-out evaluations (default: a tenth of the run; on long recordings less
    often: 20 steps for each row of the longest held-out market)."""
    eval_fraction: Annotated[float, Within(0.0, 0.9)] = 0.2
    """Share of the events held out for evaluation; 0 holds out none."""
    eval_sessions: SessionIds = ()
    """Hold out these sessions instead of a share of the events."""
    eval_from: str | None = None
    """Hold out what begins at or after this date or time, UTC (2026-03-18 or 2026-03-18T20:00);
    train on events that are over before it (default: by eval_fraction)."""
    eval_until: str | None = None
    """With eval_from: leave out what begins at or after this date or time."""
    eval_fill_model: FillModel | None = None
    """How resting orders fill in held-out evaluations (default: as in training)."""
    final_fraction: Annotated[float, Within(0.0, 0.9)] = 0.0
    """Share of the events kept from training and from held-out evaluations alike, for a last
    evaluation of what was chosen by these."""
    final_sessions: SessionIds = ()
    """Keep the events of these sessions for it instead of a share of all."""
    split_seed: Annotated[int | None, Within(0, 2**32 - 1)] = None
    """Which share of the events is held out (default: as seed says)."""
    log_interval: Annotated[int | None, Within(1, 10**9)] = None
    """Rollouts between two records of metrics (default: so that the file stays small)."""
    log_level: LogLevel = "INFO"
    """Least severe messages that the console shows."""
    log_file: Path | None = None
    """Also write the log into this file."""
    curriculum: Curriculum | None = None
    """Order of the markets; `--curriculum` alone means easiest (default: as market_order says)."""
    n_envs: Annotated[int, Within(1, 1_000_000)] = 64
    """Environments stepped together."""
    learners: Annotated[int, Within(1, 1024)] = 1
    """Processes that train one model together (ppo, a2c), each with its part of n_envs and of
    batch_size; on this machine, or with --ray on a cluster."""
    seed: Annotated[int, Within(0, 2**32 - 1)] = 0
    """Fixes everything random: the same seed gives the same model."""
    num_threads: Annotated[int | None, Within(1, 1024)] = None
    """Threads of the network and the simulator, of each learner (default: all cores, divided
    among them); part of bitwise equality."""
    progress: bool = True
    """Show a progress bar when the console is a terminal."""
    tensorboard: bool = True
    """Write TensorBoard logs."""

    def check_together(self) -> None:
        """Check the rules that join several fields.

        Raises:
            ConfigError: fields contradict each other.
        """
        if self.session is not None and self.sessions:
            raise ConfigError("give session or sessions, not both")
        for name in ("sessions", "eval_sessions", "final_sessions"):
            ids = getattr(self, name)
            if len(set(ids)) != len(ids):
                raise ConfigError(f"{name}={','.join(map(str, ids))}: a session is named twice")
        apart = {*self.eval_sessions, *self.final_sessions}
        if self.session_ids and set(self.session_ids) <= apart:
            names = "final_sessions" if self.final_sessions else "eval_sessions"
            raise ConfigError(f"{names} holds out every session; nothing is left to train on")
        if set(self.eval_sessions) & set(self.final_sessions):
            raise ConfigError("eval_sessions and final_sessions name the same session")
        if self.final_sessions and self.final_fraction:
            raise ConfigError("give final_sessions or final_fraction, not both")
        if self.sim.market_order not in ("sequential", self.simulation.market_order):
            raise ConfigError(
                f"curriculum={self.curriculum} orders the markets itself; "
                f"leave out market_order={self.sim.market_order}"
            )
        if self.eval_from is not None:
            begin = split_time_ms("eval_from", self.eval_from)
            if self.eval_sessions:
                raise ConfigError("give eval_from or eval_sessions, not both")
            if self.eval_until and split_time_ms("eval_until", self.eval_until) <= begin:
                raise ConfigError(f"eval_until={self.eval_until}: must be after eval_from")
        elif self.eval_until is not None:
            raise ConfigError("eval_until goes with eval_from")
        check_shares(self.learner.resolve(self.n_envs), self.n_envs, self.learners)

    @property
    def simulation(self) -> SimConfig:
        """`sim` with the order of the markets that the curriculum asks for."""
        if self.curriculum is None:
            return self.sim
        return replace(self.sim, market_order=_ORDERS[self.curriculum])

    @property
    def evaluation(self) -> SimConfig:
        """The settings of held-out evaluations."""
        if self.eval_fill_model is None:
            return self.simulation
        return replace(self.simulation, fill_model=self.eval_fill_model)

    @property
    def session_ids(self) -> tuple[int, ...]:
        """The sessions to load, held-out ones included; empty if none was named."""
        named = self.sessions if self.session is None else (self.session,)
        if not named:
            return ()
        return tuple(dict.fromkeys((*named, *self.eval_sessions, *self.final_sessions)))

    @property
    def run_folder(self) -> Path:
        """Where everything of the run lies: the folder of the model."""
        return self.model_save_path.parent

    def resolve(self, longest_heldout: int = 0) -> TrainConfig:
        """The same with every None replaced by what a run on this machine uses.

        Args:
            longest_heldout: rows of the longest held-out market, 0 if there is none.

        Returns:
            The settings of the run.
        """
        every = max(1, self.total_timesteps // _EVALUATIONS)
        rows = self.sim.table.rows
        return replace(
            self,
            learner=self.learner.resolve(
                self.n_envs,
                cancels=any(row.kind == "cancel" for row in rows),
                other_table=rows != FIVE.rows,
            ),
            save_freq=self.save_freq or every,
            eval_freq=self.eval_freq or max(every, STEPS_PER_EVAL_ROW * longest_heldout),
            log_interval=self.log_interval or 1,
            num_threads=self.num_threads or max(1, (os.cpu_count() or 1) // self.learners),
        )

    @property
    def share(self) -> TrainConfig:
        """The settings of one learner alone: of resolved ones its part."""
        if self.learners == 1:
            return self
        batch = self.learner.batch_size
        return self.changed(
            learners=1,
            n_envs=self.n_envs // self.learners,
            batch_size=None if batch is None else batch // self.learners,
        )

    def changed(self, **settings: Any) -> TrainConfig:
        """The same with some settings changed, each by its flat name: `changed(cash_start=5_000)`.

        Returns:
            The new settings.

        Raises:
            ConfigError: a value is wrong.
            TypeError: there is no such setting.
        """
        own: dict[str, Any] = {}
        parts: dict[str, dict[str, Any]] = {}
        for name, value in settings.items():
            place = parts.setdefault(_PART_OF[name], {}) if name in _PART_OF else own
            place[name] = value
        for part, values in parts.items():
            own[part] = replace(own.get(part, getattr(self, part)), **values)
        return replace(self, **own)

    def flat(self) -> dict[str, Any]:
        """All settings side by side, by the names of the command line.

        Returns:
            Values by the names of the command line.
        """
        values = asdict(self)
        for part in _PARTS:
            values |= values.pop(part)
        return values

    def to_json(self) -> dict[str, Any]:
        """`flat` as JSON has it; a store's password is left out.

        Returns:
            Values that JSON can hold, by name.
        """
        shown = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in self.flat().items()
        }
        if shown["actions"].startswith("["):
            shown["actions"] = json.loads(shown["actions"])  # a table of one's own, row by row
        if self.store is not None:
            from kalshi_sim.store.urls import is_address, without_password  # --help waits for none

            if is_address(self.store):
                shown["store"] = without_password(self.store)
        return shown

    @staticmethod
    def from_json(values: Mapping[str, Any], where: str) -> TrainConfig:
        """The configuration in `values`; absent settings take their default.

        Settings stand side by side, as `to_json` writes them, or those of the simulation, the
        tape and the learner in objects of these names.

        Args:
            values: settings by name.
            where: the file, for messages.

        Returns:
            The configuration.

        Raises:
            ConfigError: a name is unknown or a value is wrong; `where` says in which file.
        """
        settings = {k: v for k, v in values.items() if k not in _PARTS}
        for part in _PARTS:
            nested = values.get(part, {})
            if not isinstance(nested, Mapping):
                raise ConfigError(f"{where}: {part} must be an object of settings by name")
            settings |= nested
        unknown = sorted(set(settings) - set(_PART_OF) - _OWN)
        if unknown:
            raise ConfigError(f"{where}: unknown setting {', '.join(unknown)}")
        for name in _TUPLES:
            if isinstance(settings.get(name), list):
                settings[name] = tuple(settings[name])
        for name in _PATHS:
            if isinstance(settings.get(name), str):
                settings[name] = Path(settings[name])
        try:
            return TrainConfig().changed(**settings)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error

    @staticmethod
    def from_file(path: Path) -> TrainConfig:
        """The configuration in a JSON file.

        Args:
            path: a config.json.

        Returns:
            The configuration.

        Raises:
            ConfigError: the file cannot be read, is no JSON object, or holds a wrong value.
        """
        return TrainConfig.from_json(read_settings(path), str(path))


def split_time_ms(name: str, text: str) -> int:
    """The time of `eval_from` or `eval_until` in ms since the epoch.

    Args:
        name: of the setting, for the message.
        text: as it was given.

    Raises:
        ConfigError: it is no date.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{name}={text}: must be a date or time like 2026-03-18 or 2026-03-18T20:00 (UTC)"
        ) from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * MS_PER_SECOND)


def named_sessions(config: TrainConfig) -> tuple[int, ...]:
    """The ids of the sessions a configuration names.

    Returns:
        The ids, in the order given.

    Raises:
        ConfigError: it names none.
    """
    if not config.session_ids:
        raise ConfigError(
            "no session named; give --session ID or --sessions ID,ID,... "
            "(`kalshi-sim list` shows what the store holds)"
        )
    return config.session_ids


_PARTS: Final = {"sim": SimConfig, "tape": TapeOptions, "learner": LearnerConfig}
_PART_OF: Final = {f.name: part for part, kind in _PARTS.items() for f in fields(kind)}
_OWN: Final = {f.name for f in fields(TrainConfig)} - set(_PARTS)
# JSON has no tuples and no paths.
_TUPLES: Final = ("sessions", "eval_sessions", "final_sessions", "net_arch")
_PATHS: Final = ("model_save_path", "resume_from", "log_file", "fee_schedule")

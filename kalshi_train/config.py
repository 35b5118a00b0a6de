"""`TrainConfig`: command line of `kalshi-train`, saved config.json and Python object in one."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from tyro.constructors import PrimitiveConstructorSpec

from kalshi_sim.config import SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_train.defaults import ALGORITHM_DEFAULTS, only_of

Algorithm = Literal["ppo", "a2c"]
Curriculum = Literal["sequential", "shuffled", "easiest", "need"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Schedule = Literal["constant", "linear"]


def _whole_numbers(words: list[str]) -> tuple[int, ...]:
    return tuple(int(word) for word in words[0].split(",") if word.strip())


def _comma_separated(metavar: str) -> PrimitiveConstructorSpec[tuple[int, ...]]:
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=_whole_numbers,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [",".join(map(str, value)) or "none"],
    )


SessionIds = Annotated[tuple[int, ...], _comma_separated("ID,ID,...")]
LayerSizes = Annotated[tuple[int, ...], _comma_separated("N,N,...")]

# Ranges a field must lie in, both ends included.
_RANGES: Final[dict[str, tuple[float, float]]] = {
    "total_timesteps": (1, 10**13),
    "learning_rate": (1e-12, 1.0),
    "min_episode_length": (3, 10**9),
    "n_envs": (1, 1_000_000),
    "seed": (0, 2**32 - 1),
    "n_steps": (1, 10**7),
    "batch_size": (2, 10**9),
    "n_epochs": (1, 1000),
    "gamma": (0.0, 1.0),
    "gae_lambda": (0.0, 1.0),
    "ent_coef": (0.0, 10.0),
    "ent_half_life": (0, 10**13),
    "vf_coef": (0.0, 100.0),
    "clip_range": (1e-6, 10.0),
    "max_grad_norm": (1e-6, 1e6),
    "num_threads": (1, 4096),
    "save_freq": (1, 10**13),
    "eval_freq": (1, 10**13),
    "log_interval": (1, 10**9),
    "eval_fraction": (0.0, 0.9),
    "max_spread": (0.0, 1000.0),
    "depth": (1, 64),
    "row_interval_ms": (1, 86_400_000),
}


@dataclass(frozen=True, kw_only=True)
class TrainConfig(SimConfig):
    """Everything a training run depends on: the simulation's settings (`SimConfig`) and these.

    Fields that are None are chosen for the algorithm and the number of environments
    (`resolved()`); the config.json of a run holds the values that were used.

    Raises:
        ConfigError: a field is outside its range, or fields contradict each other.
    """

    # Other defaults than the simulation's: chosen by experiment, see docs/training.md.
    reward_scale: float = 0.001
    """Factor on the reward, which is in cents with 1; profits are told in cents always."""
    random_start: bool = True
    """Start training episodes at a random row; held-out evaluation starts at the first."""

    store: str | None = None
    """Folder or postgresql:// address of the sessions (default: DATABASE_URL, else `sessions`)."""
    session: int | None = None
    """The session to train on."""
    sessions: SessionIds = ()
    """Several sessions to train on, separated by commas."""
    algorithm: Algorithm = "ppo"
    """Learning algorithm."""
    total_timesteps: int = 2_000_000
    """Steps of the whole run, all environments together, those before a resume included."""
    learning_rate: float | None = None
    """Learning rate (default: by algorithm)."""
    lr_schedule: Schedule = "constant"
    """Whether the learning rate stays, or falls linearly to 0 at total_timesteps."""
    min_episode_length: int = 10
    """Markets with fewer rows are left out."""
    max_spread: float | None = None
    """Leave out markets whose mean spread is wider, in cents."""
    depth: int = 10
    """Price levels a side that the simulation sees."""
    row_interval_ms: int = 1
    """Length of a row in milliseconds; 1 keeps every change."""
    cache: bool = True
    """Keep the replayed sessions on disk, so that the next run starts at once and shares them."""
    model_save_path: Path = Path("trained_models/trained_model.zip")
    """Where the final model goes; checkpoints, logs and results lie beside it."""
    resume_from: Path | None = None
    """Checkpoint, or folder of a run whose newest good checkpoint is taken, to go on from."""
    save_freq: int | None = None
    """Steps between checkpoints (default: a tenth of the run)."""
    eval_freq: int | None = None
    """Steps between held-out evaluations (default: a tenth of the run, but on long recordings
    less often, so that evaluation takes the smaller part of the time)."""
    eval_fraction: float = 0.2
    """Share of the events held out for evaluation; 0 holds out none."""
    eval_sessions: SessionIds = ()
    """Hold out these sessions instead of a share of the events."""
    log_interval: int | None = None
    """Rollouts between two records of metrics (default: so that the file stays small)."""
    device: str = "cpu"
    """Where the network runs: cpu, cuda or auto."""
    log_level: LogLevel = "INFO"
    """How much is told on the console."""
    log_file: Path | None = None
    """Also write the log into this file."""
    curriculum: Curriculum | None = None
    """Order of the markets; `--curriculum` alone means easiest (default: as market_order says)."""
    n_envs: int = 64
    """Environments stepped together."""
    seed: int = 0
    """Fixes everything random: the same seed gives the same model."""
    n_steps: int | None = None
    """Steps of each environment per rollout."""
    batch_size: int | None = None
    """Transitions per gradient step (ppo)."""
    n_epochs: int | None = None
    """Passes over a rollout (ppo)."""
    gamma: float | None = None
    """Discount per step."""
    gae_lambda: float | None = None
    """Trade-off of bias and variance in the advantage."""
    ent_coef: float | None = None
    """Weight of the entropy bonus."""
    ent_half_life: int | None = None
    """Steps in which the entropy bonus halves; 0 keeps it."""
    vf_coef: float | None = None
    """Weight of the value loss."""
    clip_range: float | None = None
    """Clipping of the policy ratio (ppo)."""
    max_grad_norm: float | None = None
    """Largest norm of a gradient."""
    net_arch: LayerSizes = (64, 64)
    """Hidden layers of the policy and of the value network."""
    num_threads: int | None = None
    """Threads of the network and the simulator (default: all cores); part of bitwise equality."""
    stock_sb3: bool = False
    """Use Stable-Baselines3's own PPO and A2C instead of the faster equal ones."""
    progress: bool = True
    """Show a progress bar when the console is a terminal."""
    tensorboard: bool = True
    """Write TensorBoard logs."""

    def __post_init__(self) -> None:
        # JSON has no tuples and no paths.
        for name in ("sessions", "eval_sessions", "net_arch"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("model_save_path", "resume_from", "log_file"):
            value = getattr(self, name)
            if isinstance(value, str):
                object.__setattr__(self, name, Path(value))
        super().__post_init__()
        for name, hint in get_type_hints(TrainConfig).items():
            if name not in _SIM_FIELDS:
                _check(name, getattr(self, name), hint)
        self._check_together()

    def _check_together(self) -> None:
        if self.session is not None and self.sessions:
            raise ConfigError("give session or sessions, not both")
        for name in ("sessions", "eval_sessions"):
            ids = getattr(self, name)
            if len(set(ids)) != len(ids):
                raise ConfigError(f"{name}={','.join(map(str, ids))}: a session is named twice")
        if self.session_ids and set(self.session_ids) <= set(self.eval_sessions):
            raise ConfigError("eval_sessions holds out every session; nothing is left to train on")
        for name in only_of("ppo"):
            if self.algorithm != "ppo" and getattr(self, name) is not None:
                raise ConfigError(f"{name} is a setting of ppo, not of {self.algorithm}")
        if any(size < 1 for size in self.net_arch):
            raise ConfigError(f"net_arch={self.net_arch}: layers need at least 1 unit")
        wanted = {None: self.market_order, "sequential": "sequential", "easiest": "sequential"}
        wanted |= {"shuffled": "shuffle", "need": "weighted"}
        if self.market_order not in ("sequential", wanted[self.curriculum]):
            raise ConfigError(
                f"curriculum={self.curriculum} orders the markets itself; "
                f"leave out market_order={self.market_order}"
            )
        resolved = self.resolved()
        if self.algorithm == "ppo":
            rollout, batch = self.n_envs * _given(resolved.n_steps), _given(resolved.batch_size)
            if batch > rollout:
                raise ConfigError(
                    f"batch_size {batch} is larger than a rollout of {rollout} "
                    f"(n_envs {self.n_envs} * n_steps {resolved.n_steps}); lower the one "
                    "or raise the others"
                )
            if rollout < 2:
                raise ConfigError("n_envs 1 with n_steps 1: ppo needs a rollout of 2 or more")

    @property
    def sim(self) -> SimConfig:
        """The settings of the simulation alone, as training uses them."""
        order = {"shuffled": "shuffle", "need": "weighted", None: self.market_order}
        values = {name: getattr(self, name) for name in _SIM_FIELDS}
        values["market_order"] = order.get(self.curriculum, "sequential")
        return SimConfig(**values)

    @property
    def session_ids(self) -> tuple[int, ...]:
        """The sessions to load, held-out ones included; empty if none was named."""
        named = self.sessions if self.session is None else (self.session,)
        return named + tuple(i for i in self.eval_sessions if i not in named) if named else ()

    @property
    def run_folder(self) -> Path:
        """Where everything of the run lies: the folder of the model."""
        return self.model_save_path.parent

    def resolved(self) -> TrainConfig:
        """The same with every None replaced that the algorithm and n_envs decide."""
        chosen = ALGORITHM_DEFAULTS[self.algorithm](self.n_envs, self.n_steps)
        tenth = max(1, self.total_timesteps // 10)
        chosen |= {"save_freq": tenth, "log_interval": 1}
        known = {k: v for k, v in chosen.items() if getattr(self, k) is None}
        return _replace_unchecked(self, known)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON has them; a store's password is left out."""
        shown = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self).items()
        }
        if self.store is not None:
            from kalshi_sim.store.urls import without_password  # --help waits for no store

            shown["store"] = without_password(self.store)
        return shown

    @staticmethod
    def from_json(values: Mapping[str, Any], where: str) -> TrainConfig:
        """The configuration in `values`; absent fields take their default.

        Raises:
            ConfigError: a name is unknown or a value is wrong; `where` says in which file.
        """
        unknown = sorted(set(values) - {f.name for f in fields(TrainConfig)})
        if unknown:
            raise ConfigError(f"{where}: unknown setting {', '.join(unknown)}")
        try:
            return TrainConfig(**values)
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"{where}: {error}") from error

    @staticmethod
    def from_file(path: Path) -> TrainConfig:
        """The configuration in a JSON file.

        Raises:
            ConfigError: the file cannot be read, is no JSON object, or holds a wrong value.
        """
        try:
            values = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read the config {path}: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"{path} is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: a config is a JSON object of settings by name")
        return TrainConfig.from_json(values, str(path))


_SIM_FIELDS: Final = tuple(f.name for f in fields(SimConfig))


def _replace_unchecked(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """Like `dataclasses.replace`, without the checks, which themselves need resolved values."""
    copy = object.__new__(TrainConfig)
    for f in fields(TrainConfig):
        object.__setattr__(copy, f.name, values.get(f.name, getattr(config, f.name)))
    return copy


def _given(value: int | None) -> int:
    assert value is not None
    return value


def _check(name: str, value: Any, hint: Any) -> None:
    if get_origin(hint) in (Union, types.UnionType):
        if value is None and type(None) in get_args(hint):
            return
        hint = next(h for h in get_args(hint) if h is not type(None))
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"{name}={value!r}: allowed are {', '.join(get_args(hint))}")
    elif hint is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{name}={value!r}: allowed are True and False")
    elif hint in (int, float):
        _check_number(name, value, whole=hint is int)
    elif hint in (str, Path):
        if not isinstance(value, hint):
            raise ConfigError(f"{name}={value!r}: must be text")
    elif not all(isinstance(v, int) and not isinstance(v, bool) for v in value):
        raise ConfigError(f"{name}={value!r}: must be whole numbers separated by commas")


def _check_number(name: str, value: Any, *, whole: bool) -> None:
    low, high = _RANGES.get(name, (-(2**62), 2**62))
    kinds = (int,) if whole else (int, float)
    right = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    if not right or not low <= value <= high:
        number = "a whole number" if whole else "a number"
        raise ConfigError(f"{name}={value!r}: must be {number} from {low} to {high}")


def with_changes(config: TrainConfig, **changes: Any) -> TrainConfig:
    """`config` with some fields changed and all checked."""
    return replace(config, **changes)

"""The spec of an environment made by `gymnasium.make`, which can be written as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from gymnasium.envs.registration import EnvSpec

from kalshi_sim.config import SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_sim.session import Session
from kalshi_sim.tape import Tape

_TAPE: Final = "tape: "
"""How the text begins that stands for a tape."""


@dataclass
class KalshiSpec(EnvSpec):
    """As gymnasium's, but `to_json` names a tape, which is arrays of megabytes, by its views."""

    @classmethod
    def of(cls, spec: EnvSpec) -> KalshiSpec:
        """The same as one that can be written as JSON.

        Args:
            spec: as `gymnasium.make` gives it.
        """
        return cls(**{f.name: getattr(spec, f.name) for f in fields(EnvSpec) if f.init})

    def to_json(self) -> str:
        """The spec as JSON, from which `EnvSpec.from_json` makes it again.

        Where it was made of a tape, `gymnasium.make` must be given that again: `tape=...`.

        Returns:
            JSON in one line.

        Raises:
            ValueError: it holds a function of one's own, which no JSON can.
        """
        kwargs = dict(self.kwargs)
        for name in ("features", "reward"):
            if kwargs.get(name) is not None:
                raise ValueError(f"{name} is a function of one's own, which no JSON holds")
        if isinstance(kwargs.get("config"), SimConfig):
            kwargs["config"] = asdict(kwargs["config"])
        tape = kwargs.get("tape")
        if isinstance(tape, Tape) or (tape is not None and not _plain(tape)):
            kwargs["tape"] = f"{_TAPE}{tape!r}"
        return EnvSpec.to_json(replace(self, kwargs=kwargs))


class HasSpec:
    """An environment whose spec, which `gymnasium.make` sets, can be written as JSON."""

    _spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """What it was made from; None if `gymnasium.make` did not make it."""
        return self._spec

    @spec.setter
    def spec(self, value: EnvSpec | None) -> None:
        if value is not None and not isinstance(value, KalshiSpec):
            value = KalshiSpec.of(value)
        self._spec = value


def _plain(source: Any) -> bool:
    """Whether ids of sessions are given, not sessions."""
    return not isinstance(source, Session) and all(
        isinstance(i, int) for i in ([source] if isinstance(source, int) else source)
    )


def given_config(config: SimConfig | Mapping[str, Any] | None) -> SimConfig | None:
    """The configuration that an environment is given, also as a spec's JSON has it.

    Raises:
        ConfigError: it names an unknown setting, or one is outside its range.
    """
    if config is None or isinstance(config, SimConfig):
        return config
    if not isinstance(config, Mapping):
        raise ConfigError(f"config={config!r}: must be a SimConfig")
    unknown = sorted(set(map(str, config)) - {f.name for f in fields(SimConfig)})
    if unknown:
        raise ConfigError(f"config: unknown {', '.join(unknown)}")
    return SimConfig(**config)


def check_is_no_text(tape: object) -> None:
    """Refuse the text that stands for a tape in JSON.

    Raises:
        ConfigError: it is such a text; the message says what to give instead.
    """
    if isinstance(tape, str) and tape.startswith(_TAPE):
        raise ConfigError(
            f"the JSON of this spec names {tape.removeprefix(_TAPE)}, which it cannot hold; "
            "give that: gymnasium.make(spec, tape=...)"
        )

"""What a result rests on: the data, what the models have seen of it, whose settings, who made it.

`Provenance` is part of every evaluation; terminal, JSON and page show it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from kalshi_sim import __version__
from kalshi_sim.errors import ConfigError
from kalshi_sim.origins import Origin, origin_of
from kalshi_sim.text import numbered

if TYPE_CHECKING:
    from kalshi_sim.tape import Tape

Sight = Literal["held out", "partly seen in training", "seen in training", "not known"]


@dataclass(frozen=True, kw_only=True)
class SessionOrigin:
    """Where the books of a session come from."""

    session_id: int
    origin: Origin | None = None
    """None: not stated, and not to be seen from its markets."""
    source: str | None = None
    """As the store has it."""


@dataclass(frozen=True, kw_only=True)
class ModelOrigin:
    """What is known of how a model was made, and how it was set up here."""

    name: str
    path: str | None = None
    algorithm: str | None = None
    trained_on: tuple[int, ...] | None = None
    """Sessions of its training, None if they are not known."""
    training_seed: int | None = None
    training_timesteps: int | None = None
    markets: int = 0
    """Markets played here."""
    markets_seen: int | None = None
    """Of these, markets of events that it was trained on; None: not known."""
    chosen_among: int | None = None
    """Evaluations on its held-out markets, played here, that it was the best of."""
    tries: int = 1
    """Models that could have been taken in its place: held-out evaluations of its run."""
    settings_of: str = "the command line and defaults"
    """Whose settings of the simulation it was played with."""
    changed: Mapping[str, Any] = field(default_factory=dict)
    """Settings it was trained with that this evaluation changed, by name."""

    @property
    def sight(self) -> Sight:
        """Whether the markets played here were held out from its training."""
        if self.markets_seen is None:
            return "not known"
        if self.markets_seen == 0:
            return "held out"
        return (
            "seen in training" if self.markets_seen == self.markets else "partly seen in training"
        )


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What an evaluation rests on."""

    sessions: tuple[SessionOrigin, ...]
    models: tuple[ModelOrigin, ...]
    """One for each policy that is no baseline."""
    markets: int
    events: int
    seed: int
    command: str | None = None
    """As it was given, without passwords; None from Python."""
    made_at: str | None = None
    """UTC, as 2026-03-18T23:10:00Z; None from Python."""
    version: str = __version__

    @property
    def models_tried(self) -> int:
        """How many models were evaluated beside each other."""
        return len(self.models)

    def model(self, name: str) -> ModelOrigin | None:
        """What is known of a model, None of a baseline."""
        return next((m for m in self.models if m.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """All of it by name, as JSON has it."""
        values = asdict(self)
        for model, shown in zip(self.models, values["models"], strict=True):
            shown["sight"] = model.sight
        return {**values, "models_tried": self.models_tried}

    def lines(self) -> list[tuple[str, str]]:
        """The same as (label, text) for people."""
        lines = [("data", "; ".join(_session_text(s) for s in self.sessions))]
        lines.append(("markets", f"{self.markets:,} of {numbered(self.events, 'event')}"))
        lines += [(model.name, "; ".join(_model_texts(model))) for model in self.models]
        if self.models_tried > 1:
            lines.append(
                (
                    "models",
                    f"{self.models_tried} tried: the best of several looks better than it is",
                )
            )
        made = [f"version {self.version}", f"seed {self.seed}"]
        if self.made_at is not None:
            made.append(self.made_at.replace("T", " ").replace("Z", " UTC"))
        lines.append(("made by", ", ".join(made)))
        if self.command is not None:
            lines.append(("command", self.command))
        return lines

    @staticmethod
    def of_tape(tape: Tape, names: Sequence[str], seed: int) -> Provenance:
        """What a tape alone shows, for models of which nothing is known.

        Args:
            tape: the markets.
            names: of the models.
            seed: of the evaluation.
        """
        ids = sorted({v.session_id for v in tape.views})
        return Provenance(
            sessions=tuple(_seen_origin(tape, i) for i in ids),
            models=tuple(ModelOrigin(name=n, markets=len(tape.views)) for n in names),
            markets=len(tape.views),
            events=len({v.event or v.market_ticker for v in tape.views}),
            seed=seed,
        )


def origins_of(tape: Tape, sources: Mapping[int, str]) -> tuple[SessionOrigin, ...]:
    """Where the books of a tape's sessions come from.

    Args:
        tape: the markets.
        sources: what their store, or they themselves, say of it, by session.

    Returns:
        The origin of each session, by number.
    """
    return tuple(
        SessionOrigin(
            session_id=number,
            origin=origin_of(
                sources.get(number, ""),
                (v.market_ticker for v in tape.views if v.session_id == number),
            ),
            source=sources.get(number),
        )
        for number in sorted({v.session_id for v in tape.views})
    )


def _seen_origin(tape: Tape, session_id: int) -> SessionOrigin:
    tickers = [v.market_ticker for v in tape.views if v.session_id == session_id]
    generated = origin_of("", tickers) == "generated"
    return SessionOrigin(session_id=session_id, origin="generated" if generated else None)


def _session_text(session: SessionOrigin) -> str:
    origin = session.origin or "origin not stated"
    source = f" ({session.source})" if session.source not in (None, "", "capture") else ""
    return f"session {session.session_id} {origin}{source}"


def _model_texts(model: ModelOrigin) -> list[str]:
    texts = []
    if model.sight == "not known":
        texts.append("not known whether it has seen these markets")
    elif model.sight == "held out":
        texts.append("these markets were held out from its training")
    else:
        texts.append(
            f"trained on {model.markets_seen} of these {numbered(model.markets, 'market')}"
        )
    if model.chosen_among is not None:
        texts.append(f"chosen on them as the best of {numbered(model.chosen_among, 'evaluation')}")
    texts.append(f"settings of {model.settings_of}")
    if model.changed:
        changes = ", ".join(f"{name}={value}" for name, value in model.changed.items())
        texts.append(f"trained with {changes}")
    if model.training_timesteps is not None:
        texts.append(f"{model.training_timesteps:,} steps, seed {model.training_seed}")
    return texts


def shown_command(words: Sequence[str]) -> str:
    """A command as one would type it, without the passwords of addresses in it."""
    return shlex.join(_without_secret(word) for word in words)


def _without_secret(word: str) -> str:
    from kalshi_sim.store.urls import is_address, mask_addresses, without_password

    name, equals, value = word.partition("=")
    if equals and name.startswith("-") and is_address(value):
        return f"{name}={without_password(value)}"
    return without_password(word) if is_address(word) else mask_addresses(word)


def now() -> str:
    """The time in UTC, as 2026-03-18T23:10:00Z; SOURCE_DATE_EPOCH takes its place if it is set.

    Raises:
        ConfigError: SOURCE_DATE_EPOCH is no number of seconds.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is None:
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        return datetime.fromtimestamp(int(given), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        raise ConfigError(
            f"SOURCE_DATE_EPOCH={given}: must be whole seconds since 1970, or not be set"
        ) from None

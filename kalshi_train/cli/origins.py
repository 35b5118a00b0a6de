"""What an evaluation of the command line rests on: sessions, training, command and time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kalshi_sim.errors import KalshiSimError
from kalshi_train.evaluation.provenance import (
    ModelOrigin,
    Provenance,
    SessionOrigin,
    now,
    origins_of,
    shown_command,
)
from kalshi_train.evaluation.tries import tries_beside

if TYPE_CHECKING:
    from kalshi_sim.tape import Tape
    from kalshi_train.cli.models import NamedModel

Market = tuple[int, str, str]
"""Session, ticker and event."""


def provenance_of(
    tape: Tape,
    store: str | None,
    models: Sequence[ModelOrigin],
    seed: int,
    command: Sequence[str],
) -> Provenance:
    """What an evaluation on `tape` rests on.

    Args:
        tape: the markets.
        store: where its sessions are, as on the command line.
        models: what is known of each model.
        seed: of the evaluation.
        command: the words of the command line, the program first.

    Raises:
        StoreError: the store cannot be read.
    """
    return Provenance(
        sessions=session_origins(tape, store),
        models=tuple(models),
        markets=len(tape.views),
        events=len({v.event or v.market_ticker for v in tape.views}),
        seed=seed,
        command=shown_command(command),
        made_at=now(),
    )


def session_origins(tape: Tape, store: str | None) -> tuple[SessionOrigin, ...]:
    """Where the books of a tape's sessions come from, as their store has it.

    Args:
        tape: the markets.
        store: where the sessions are, as on the command line.

    Returns:
        The origin of each session, by number.

    Raises:
        StoreError: the store cannot be read.
    """
    from kalshi_sim.store import open_store

    sources = {i.session_id: i.source for i in open_store(store).list_sessions()}
    return origins_of(tape, sources)


def model_origin(
    model: NamedModel, tape: Tape, store: str | None, settings_of: str, changed: dict[str, Any]
) -> ModelOrigin:
    """What is known of a model that is played on `tape`.

    Args:
        model: as named on the command line.
        tape: the markets.
        store: where the sessions are, as on the command line.
        settings_of: whose settings of the simulation it is played with.
        changed: settings of its training that this evaluation changes, by name.
    """
    config, run = model.config, model.run
    chosen = run.get("chosen", {})
    on_those = _share(tape, _markets(chosen.get("on", ())))
    return ModelOrigin(
        name=model.name,
        path=str(model.path) if model.function is None else f"{model.path}:{model.function}",
        algorithm=None if config is None else config.learner.algorithm,
        trained_on=None if config is None else config.session_ids or None,
        training_seed=None if config is None else config.seed,
        training_timesteps=run.get("num_timesteps"),
        markets=len(tape.views),
        markets_seen=_markets_seen(model, tape, store),
        tries=1 if model.function is not None else tries_beside(model.path),
        chosen_among=chosen.get("among") if on_those else None,
        settings_of=settings_of,
        changed=changed,
    )


def _markets_seen(model: NamedModel, tape: Tape, store: str | None) -> int | None:
    """How many of a tape's markets a model was trained on; None if that is not known."""
    if "trained_on" in model.run:
        return _share(tape, _markets(model.run["trained_on"]))
    if model.config is None:
        return None
    from kalshi_train.data.prepare import prepare

    try:
        config = model.config.changed(store=store or model.config.store)
        views = prepare(config).train.views
    except KalshiSimError:  # its sessions are no longer there
        return None
    return _share(tape, ((v.session_id, v.market_ticker, v.event) for v in views))


def _markets(values: Iterable[Sequence[Any]]) -> list[Market]:
    return [(int(v[0]), str(v[1]), str(v[2])) for v in values]


def _share(tape: Tape, others: Iterable[Market]) -> int:
    """How many markets of a tape are among others, or of an event that is."""
    known = list(others)
    tickers = {ticker for _, ticker, _ in known}
    events = {event for _, _, event in known if event}
    return sum(v.market_ticker in tickers or v.event in events for v in tape.views)

"""Which markets `kalshi-evaluate` plays, and notes on the choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from kalshi_sim.errors import ConfigError, NoViewsError
from kalshi_train.config import TrainConfig

if TYPE_CHECKING:
    from kalshi_sim.tape import Tape

_LEFT_OUT_SHOWN: Final = 5


def check_sessions(store: str | None, session_ids: Sequence[int]) -> None:
    """Be sure that the sessions are there, before anything that takes long.

    Args:
        store: as on the command line.
        session_ids: the sessions.

    Raises:
        SessionNotFoundError: the store lacks one.
        StoreError: the store or a session cannot be read.
    """
    from kalshi_sim.store import fingerprints, open_store

    fingerprints(open_store(store), session_ids)


def markets_to_play(
    config: TrainConfig,
    session_ids: Sequence[int],
    *,
    heldout: bool,
    final: bool = False,
    trained: TrainConfig | None,
) -> tuple[Tape, list[str]]:
    """The tape of the markets to play, and notes on it for the user.

    Args:
        config: the store, the options of the tape and, for `heldout`, how markets are held out.
        session_ids: the sessions named on the command line.
        heldout: take only the markets that the model's training held out.
        final: take only those that it kept for a last evaluation.
        trained: the settings the first model was trained with, if they are known.

    Returns:
        The tape of those markets, and sentences on what was left out.

    Raises:
        ConfigError: no session is named, or none can be held out.
        NoViewsError: no market is left.
        StoreError: the store cannot be read.
    """
    from kalshi_train.data.prepare import all_markets, prepare

    ids = tuple(session_ids)
    if heldout and final:
        raise ConfigError("give --heldout or --final, not both")
    if heldout or final:
        flag, did = ("--heldout", "held out") if heldout else ("--final", "kept")
        if trained is None:
            raise ConfigError(
                f"{flag}: it is not known which markets were {did}; it needs a model of "
                "kalshi-train, with its config.json beside it"
            )
        data = prepare(loaded(config, ids, chosen=True))
        tape, rule = (data.heldout, data.split.rule) if heldout else (data.final, data.final_rule)
        if tape is None:
            raise ConfigError(f"{flag}: the training run {did} nothing")
        return tape, [f"{did}: {rule}"]
    tape = all_markets(loaded(config, ids, chosen=False))
    shown = tape.skipped[:_LEFT_OUT_SHOWN]
    notes = [f"left out: {s.market_ticker}, {s.reason}" for s in shown]
    if len(tape.skipped) > len(shown):
        notes.append(f"left out: {len(tape.skipped) - len(shown)} more markets")
    if trained is not None and set(trained.session_ids) & set(ids):
        notes.append(
            "some of these markets are what the model was trained on; "
            "--heldout takes only those it has not seen"
        )
    return tape, notes


def loaded(config: TrainConfig, session_ids: Sequence[int], *, chosen: bool) -> TrainConfig:
    """Settings that name the sessions of the tape that markets to play are chosen from.

    Args:
        config: as of `markets_to_play`.
        session_ids: the sessions named on the command line.
        chosen: whether those are played that a training held out or kept.

    Returns:
        A changed copy.
    """
    ids = tuple(session_ids)
    if not chosen:
        return config.changed(session=None, sessions=ids, eval_sessions=())
    return config.changed(session=None, sessions=ids) if ids else config


def only_named(tape: Tape, tickers: str | None) -> Tape:
    """The views of the markets named.

    Args:
        tape: all markets to play.
        tickers: names separated by commas; None for all.

    Raises:
        NoViewsError: there is no such market.
    """
    if tickers is None:
        return tape
    wanted = [t.strip() for t in tickers.split(",") if t.strip()]
    known = {v.market_ticker for v in tape.views}
    unknown = [t for t in wanted if t not in known]
    if unknown or not wanted:
        raise NoViewsError(
            f"--markets: no market to play named {', '.join(unknown) or '(none given)'}; "
            f"there are {', '.join(sorted(known)[:10])}{', …' if len(known) > 10 else ''}"
        )
    return tape.select([i for i, v in enumerate(tape.views) if v.market_ticker in wanted])

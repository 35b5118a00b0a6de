"""From stored sessions to the two tapes of a run: one to learn from, one held out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kalshi_sim.cli.console import progress_bar
from kalshi_sim.errors import NoViewsError
from kalshi_sim.store import open_store
from kalshi_sim.tape_build import build_tape
from kalshi_sim.tape_cache import load_tape
from kalshi_sim.units import money_per_cent
from kalshi_train.config import TrainConfig, named_sessions, split_time_ms
from kalshi_train.data.split import (
    Split,
    set_aside,
    split_by_event,
    split_by_session,
    split_by_time,
)

if TYPE_CHECKING:
    from kalshi_sim.session import Session
    from kalshi_sim.tape import Tape

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """The tapes of a run; `heldout` is None where nothing is held out."""

    train: Tape
    heldout: Tape | None
    split: Split
    skipped: tuple[str, ...]
    """Markets left out, each with the reason."""
    final: Tape | None = None
    """Kept for a last evaluation, None if nothing is."""
    final_rule: str = "none"
    """How it was chosen, for people."""

    @property
    def longest_heldout(self) -> int:
        """Rows of the longest held-out market, 0 if nothing is held out."""
        return max((len(v) for v in self.heldout.views), default=0) if self.heldout else 0

    def describe(self) -> dict[str, Any]:
        """Counts and names, as JSON has them."""
        return {
            "train": describe_tape(self.train),
            "heldout": None if self.heldout is None else describe_tape(self.heldout),
            "heldout_rule": self.split.rule,
            "final": None if self.final is None else describe_tape(self.final),
            "final_rule": self.final_rule,
            "skipped": list(self.skipped),
        }


def describe_tape(tape: Tape) -> dict[str, Any]:
    """Views, events, sessions and rows of a tape, and the markets by name."""
    return {
        "markets": len(tape.views),
        "events": len({v.event for v in tape.views}),
        "sessions": sorted({int(v.session_id) for v in tape.views}),
        "rows": int(sum(len(v) for v in tape.views)),
        "tickers": [v.market_ticker for v in tape.views],
    }


def all_markets(config: TrainConfig, sessions: Sequence[Session] | None = None) -> Tape:
    """The tape of all sessions a configuration names.

    Args:
        config: the store, the sessions and the tape's options.
        sessions: take these instead of those the configuration names.

    Raises:
        ConfigError: no session is named.
        SessionNotFoundError: the store lacks one.
        StoreError: the store cannot be read.
        NoViewsError: no market has enough rows.
    """
    if sessions is not None:
        return build_tape(sessions, config.tape)
    wanted = named_sessions(config)
    store = open_store(config.store)
    names = ", ".join(map(str, wanted))
    with progress_bar(f"loading and replaying session {names}") as progress:
        return load_tape(store, wanted, config.tape, use_cache=config.cache, progress=progress)


def prepare(config: TrainConfig, sessions: Sequence[Session] | None = None) -> TrainingData:
    """Load sessions, build the tape, leave out markets, and hold markets out.

    Args:
        config: what to train on, and what to hold out.
        sessions: take these instead of those the configuration names.

    Returns:
        Tapes to train on and to hold out, and what was left out.

    Raises:
        NoViewsError: no market is left to train on; the message says why they were left out.
        ConfigError: the sessions or the held-out part cannot be what the configuration says.
    """
    tape = all_markets(config, sessions)
    skipped = [f"{s.market_ticker} (session {s.session_id}): {s.reason}" for s in tape.skipped]
    keep = np.arange(len(tape.views))
    if config.max_spread is not None:
        spread = mean_spread_cents(tape)
        wide = spread > config.max_spread
        skipped += [
            f"{tape.views[i].market_ticker}: mean spread {spread[i]:.1f} cents, "
            f"max_spread {config.max_spread:g}"
            for i in np.flatnonzero(wide)
        ]
        keep = np.flatnonzero(~wide)
    if not len(keep):
        raise NoViewsError(
            f"no market is left to train on; {len(skipped)} left out: {_shorten(skipped)}"
        )
    seed = config.seed if config.split_seed is None else config.split_seed
    every = [tape.views[i] for i in keep]
    aside = set_aside(every, config.final_sessions, config.final_fraction, seed)
    final, keep = keep[aside.heldout], keep[aside.train]
    views = [tape.views[i] for i in keep]
    if config.eval_sessions:
        split = split_by_session(views, config.eval_sessions)
    elif config.eval_from is not None:
        times = {"eval_from": config.eval_from, "eval_until": config.eval_until}
        begin, end = (split_time_ms(n, t) if t is not None else None for n, t in times.items())
        assert begin is not None
        split = split_by_time(views, tape.spans_ms()[keep], begin, end)
    else:
        split = split_by_event(views, config.eval_fraction, seed)
    if not len(split.heldout) and config.eval_fraction > 0:
        logger.warning(
            "only one event: nothing is held out, so memorising would look like learning; "
            "train on more events, or name --eval-sessions"
        )
    return TrainingData(
        train=tape.select(keep[split.train].tolist()),
        heldout=tape.select(keep[split.heldout].tolist()) if len(split.heldout) else None,
        split=split,
        skipped=tuple(skipped),
        final=tape.select(final.tolist()) if len(final) else None,
        final_rule=aside.rule,
    )


def mean_spread_cents(tape: Tape) -> npt.NDArray[np.float64]:
    """Mean spread of each view over its two-sided rows, in cents; inf without such a row.

    Returns:
        float64 [views] cents.
    """
    out = np.full(len(tape.views), np.inf)
    for i, view in enumerate(tape.views):
        tape.will_read([i])
        best = tape.best_bids(view.rows)
        two_sided = (best > 0).all(axis=1)
        if two_sided.any():
            spreads = tape.payout - best[two_sided].sum(axis=1)
            out[i] = spreads.mean() / money_per_cent(tape.payout)
    return out


def _shorten(reasons: Sequence[str], shown: int = 3) -> str:
    more = f"; and {len(reasons) - shown} more" if len(reasons) > shown else ""
    return "; ".join(reasons[:shown]) + more

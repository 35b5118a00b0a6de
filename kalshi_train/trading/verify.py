"""A run against the import of its own recording: the same actions at the same rows, bit for bit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from kalshi_sim.config import FillModel, SimConfig, TapeOptions
from kalshi_sim.errors import ConfigError, NoViewsError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.kernels import layout
from kalshi_sim.live.band import STATE, Band, settings_of_band
from kalshi_sim.live.cuts import with_cuts
from kalshi_sim.live.following import Cut
from kalshi_sim.live.so_far import ENDLESS
from kalshi_sim.session import Session
from kalshi_sim.tape import Tape
from kalshi_sim.tape_build import build_tape
from kalshi_train.trading.legs import legs_of
from kalshi_train.trading.log import read_log
from kalshi_train.trading.recording import SEGMENTS, recording_of
from kalshi_train.trading.trader import observation_digest

_FIRST: Final = 10
"""So many differences are described."""


@dataclass
class Verdict:
    """What a comparison came to."""

    markets: int = 0
    rows: int = 0
    fills: int = 0
    """Of all fill models."""
    differences: Counter[str] = field(default_factory=Counter)
    """By what differs."""
    described: list[str] = field(default_factory=list)
    cuts: Counter[str] = field(default_factory=Counter)
    """What was known only afterwards, by its kind."""
    not_compared: list[str] = field(default_factory=list)
    """Markets with too few rows for a view."""
    ended: bool = False
    """Whether its last leg ended in order; else the end of its recording may be lost."""
    lost: int = 0
    """Rows at the end that a killed run wrote down and did not record whole."""

    @property
    def total(self) -> int:
        """Differences of all kinds."""
        return sum(self.differences.values())

    def note(self, kind: str, text: str) -> None:
        """Count a difference.

        Args:
            kind: what differs.
            text: where and how.
        """
        self.differences[kind] += 1
        if len(self.described) < _FIRST:
            self.described.append(text)


def verify(run: Path) -> Verdict:
    """Import what a run recorded, replay its actions, and compare.

    Args:
        run: its folder.

    Returns:
        What differs.

    Raises:
        ConfigError: there is no such run, or its log was changed.
        DataError: the recording cannot be read.
    """
    legs = legs_of(read_log(run))
    if not legs:
        raise ConfigError(f"{run}: its log has no beginning; it is not that of a run")
    verdict = Verdict(ended=legs[-1][-1]["t"] == "end")
    for lines in legs:
        with recording_of(run, lines) as segments:
            _verify_leg(run, lines, segments, verdict)
    return verdict


def _verify_leg(
    run: Path, lines: list[dict[str, Any]], segments: list[Path], verdict: Verdict
) -> None:
    start = lines[0]
    by_market: dict[str, list[dict[str, Any]]] = {}
    cuts: list[Cut] = []
    payout = None
    for line in lines:
        if line["t"] in ("row", "cancel"):
            by_market.setdefault(line["m"], []).append(line)
        elif line["t"] == "cut":
            cuts.append(Cut(**{f.name: line[f.name] for f in fields(Cut)}))
        elif line["t"] == "book":
            payout = line["payout"]
    verdict.cuts.update(cut.kind for cut in cuts)
    if not by_market:
        return
    if not segments:
        raise ConfigError(f"{run / SEGMENTS} has no segments; the recording of the run is needed")
    ended = lines[-1]["t"] == "end"
    session = as_known(import_captures(segments, session_id=1), by_market, cuts)
    tape = _tape(session, start, payout)
    config = SimConfig(**start["config"])
    views = {} if tape is None else {v.market_ticker: i for i, v in enumerate(tape.views)}
    for ticker, own in by_market.items():
        if tape is None or ticker not in views:
            verdict.not_compared.append(ticker)
            continue
        verdict.markets += 1
        _compare(ticker, own, tape, views[ticker], config, start["models"], verdict, ended)


def as_known(session: Session, tickers: Any, cuts: list[Cut]) -> Session:
    """The session as the run knew it: its markets, without what trades say afterwards.

    Args:
        session: as imported.
        tickers: of the markets that were traded.
        cuts: of the run.
    """
    known = [m.ticker for m in session.markets if m.ticker in tickers]
    session = with_cuts(session.select(known), cuts)
    events = replace(session.events, traded=np.zeros_like(session.events.traded))
    return replace(session, events=events, trades_recorded=False)


def _tape(session: Session, start: dict[str, Any], payout: int | None) -> Tape | None:
    try:
        return build_tape(
            session,
            min_episode_length=3,
            options=TapeOptions(**start["tape"]),
            payout=payout,
        )
    except NoViewsError:
        return None


def endless(tape: Tape) -> layout.TapeArrays:
    """The arrays of a tape whose views have no end: a run does not know that it ends.

    Args:
        tape: it.
    """
    views = tape.arrays.views.copy()
    views[:, layout.V_STOP] = ENDLESS
    return tape.arrays._replace(views=views)


def _compare(
    ticker: str,
    own: list[dict[str, Any]],
    tape: Tape,
    view: int,
    config: SimConfig,
    models: list[FillModel],
    verdict: Verdict,
    ended: bool,
) -> None:
    """Replay one market's actions and compare row by row; after another row nothing is compared."""
    arrays = endless(tape)
    band = Band(settings_of_band(config, models, tape), tape.depth, config.history)
    first, rows = tape.views[view].start, len(tape.views[view])
    cancelled: set[int] = {line["r"] for line in own if line["t"] == "cancel"}
    action = layout.HOLD
    for nth, line in enumerate(line for line in own if line["t"] == "row"):
        row = line["r"]
        if not ended and row >= rows - 1:
            verdict.lost += 1
            continue
        if row != nth or row >= rows:
            verdict.note("rows", f"{ticker}: row {row} of the run is not in the recording")
            return
        if row == 0:
            band.start(arrays, view)
        else:
            band.step(arrays, action)
        fills = band.fills()
        if row in cancelled:
            band.cancel()
            band.observe(arrays)
        verdict.rows += 1
        verdict.fills += sum(map(len, fills))
        ts_ms = int(tape.ts_ms[first + row])
        if ts_ms != line["ts"]:
            verdict.note("rows", f"{ticker} row {row}: time {line['ts']} live, {ts_ms} replayed")
            return
        digests = [observation_digest(seen) for seen in band.observations]
        if digests != line["o"]:
            verdict.note("observations", f"{ticker} row {row}: another observation")
        if fills != line.get("f", [[] for _ in models]):
            verdict.note("fills", f"{ticker} row {row}: {line.get('f')} live, {fills} replayed")
        _compare_states(ticker, row, models, line["s"], band.states(), verdict)
        action = line["a"]


def _compare_states(
    ticker: str,
    row: int,
    models: list[FillModel],
    live: list[list[int]],
    replayed: list[list[int]],
    verdict: Verdict,
) -> None:
    for model, ours, theirs in zip(models, live, replayed, strict=True):
        for (name, _), a, b in zip(STATE, ours, theirs, strict=True):
            if a != b:
                verdict.note(name, f"{ticker} row {row}, {model}: {name} {a} live, {b} replayed")

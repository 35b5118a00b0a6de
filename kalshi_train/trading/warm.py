"""Compiling what decisions need before the first frame comes."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from kalshi_sim.config import SimConfig, TapeOptions
from kalshi_sim.ingest.segments import frame_line
from kalshi_sim.live.following import Following
from kalshi_train.evaluation.policies import Policy
from kalshi_train.trading.limits import Limits
from kalshi_train.trading.log import DecisionLog
from kalshi_train.trading.trader import Trader

_TICKER: Final = "KXWARM-26-A"
_FIRST_NS: Final = 1_767_225_600_000_000_000
"""2026-01-01, of no market."""
_STEP_NS: Final = 1_000_000_000
_SNAPSHOT: Final = (
    b'{"type":"orderbook_snapshot","sid":1,"seq":1,"msg":{"market_ticker":"%b",'
    b'"yes_dollars_fp":[["0.4000","100.00"]],"no_dollars_fp":[["0.5000","100.00"]]}}'
)
_DELTA: Final = (
    b'{"type":"orderbook_delta","sid":1,"seq":%d,"msg":{"market_ticker":"%b","price_dollars":'
    b'"0.4000","delta_fp":"%d.00","side":"yes","ts_ms":%d}}'
)
_ROWS: Final = 6


def warm_up(policy: Policy, config: SimConfig, tape: TapeOptions) -> None:
    """Trade a market that does not exist, so that the first real decision waits for no compiler.

    Args:
        policy: what will decide; a memory that it has begins anew with each run.
        config: settings of the simulation.
        tape: how rows are made.
    """
    following = Following(
        [_TICKER], replay=False, depth=tape.depth, row_interval_ms=tape.row_interval_ms
    )
    ticker = _TICKER.encode()
    frames = [_SNAPSHOT % ticker]
    for n in range(_ROWS):
        ms = (_FIRST_NS + (n + 1) * _STEP_NS) // 1_000_000
        frames.append(_DELTA % (n + 2, ticker, 10 if n % 2 else -10, ms))
    with tempfile.TemporaryDirectory() as folder:
        log = DecisionLog(Path(folder))
        models = tuple(dict.fromkeys(("through", config.fill_model, "touch")))
        trader = Trader(following, policy, replace(config), models, Limits(), log)
        for n, frame in enumerate(frames):
            ns = _FIRST_NS + n * _STEP_NS
            trader.take(frame_line(ns, ns, 1, frame))
            trader.decide()
        trader.finish()
        log.close()

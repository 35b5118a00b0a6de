"""Runs of paper trading over a recording, as its lines come."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from kalshi_sim.config import SimConfig, TapeOptions
from kalshi_sim.ingest.segments import segments_in
from kalshi_sim.live.following import Following
from kalshi_train.evaluation.policies import Policy
from kalshi_train.trading.limits import Limits
from kalshi_train.trading.log import DecisionLog
from kalshi_train.trading.run import band_of
from kalshi_train.trading.trader import Trader
from kalshi_train.trading.verify import SEGMENTS


def lines_of(segments: Path) -> list[bytes]:
    """All lines of a recording in order."""
    parts = [gzip.decompress(path.read_bytes()) for path in segments_in(segments)]
    return [line for part in parts for line in part.splitlines(keepends=True)]


def traded(
    segments: Path,
    tickers: Sequence[str],
    policy: Policy,
    folder: Path,
    *,
    config: SimConfig | None = None,
    limits: Limits | None = None,
    tape: TapeOptions | None = None,
    seed: int = 0,
) -> Trader:
    """A run in `folder` over a recording; rows are closed and decided at moments of chance."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(segments, folder / SEGMENTS)
    config = policy.config(config or SimConfig())
    tape, limits = tape or TapeOptions(), limits or Limits()
    following = Following(
        tickers, replay=True, depth=tape.depth, row_interval_ms=tape.row_interval_ms
    )
    log = DecisionLog(folder)
    log.write(
        {
            "t": "start",
            "config": asdict(config),
            "tape": asdict(tape),
            "models": list(band_of(config)),
        }
    )
    trader = Trader(following, policy, config, band_of(config), limits, log, seed=seed)
    rng = np.random.default_rng(seed)
    for line in lines_of(segments):
        trader.take(line)
        if rng.random() < 0.1:
            trader.close_rows(0)
        if rng.random() < 0.5:
            trader.decide()
        if rng.random() < 0.002:
            trader.stale()
    trader.finish()
    log.close()
    return trader

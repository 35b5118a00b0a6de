"""Runs of paper trading over a recording, as its lines come."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np

from kalshi_sim.config import SimConfig, TapeOptions
from kalshi_sim.ingest.export import export_captures
from kalshi_sim.ingest.segments import Header, frame_line, segments_in
from kalshi_sim.live.following import Following
from kalshi_sim.live.recorder.writer import SegmentWriter, WriterOptions
from kalshi_sim.session import Session
from kalshi_train.evaluation.policies import Policy
from kalshi_train.trading.limits import Limits
from kalshi_train.trading.log import DecisionLog
from kalshi_train.trading.recording import SEGMENTS
from kalshi_train.trading.rows import RowWriter
from kalshi_train.trading.run import band_of
from kalshi_train.trading.trader import Trader


def lines_of(segments: Path) -> list[bytes]:
    """All lines of a recording in order."""
    parts = [gzip.decompress(path.read_bytes()) for path in segments_in(segments)]
    return [line for part in parts for line in part.splitlines(keepends=True)]


def recording_of(session: Session, folder: Path) -> Path:
    """The segments of a session whose frames were received at their own times; without trades."""
    file = folder / "session.jsonl"
    export_captures(session, file)
    header = Header(run=0, number=0, began_ns=0, url="", use_yes_price=False)
    writer = SegmentWriter(folder / "segments", header, WriterOptions(floor_bytes=0))
    now_ns = 0
    for text in file.read_bytes().splitlines():
        found = msgspec.json.decode(text)
        frame = found["raw"].encode() if "raw" in found else text
        told = msgspec.json.decode(frame)
        if not told["type"].startswith("orderbook"):
            continue
        now_ns = max(now_ns, found.get("recv_ts_ns", told["msg"].get("ts_ms", 0) * 1_000_000))
        writer.put(frame_line(now_ns, now_ns, 1, frame), always=True)
    writer.close()
    return folder / "segments"


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
    steps = trading(
        *(segments, tickers, policy, folder),
        config=config,
        limits=limits,
        tape=tape,
        seed=seed,
    )
    return list(steps)[-1]


def trading(
    segments: Path,
    tickers: Sequence[str],
    policy: Policy,
    folder: Path,
    *,
    config: SimConfig | None = None,
    limits: Limits | None = None,
    tape: TapeOptions | None = None,
    seed: int = 0,
    replay: bool = True,
) -> Iterator[Trader]:
    """The same, line by line."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(segments, folder / SEGMENTS)
    config = policy.config(config or SimConfig())
    tape, limits = tape or TapeOptions(), limits or Limits()
    following = Following(
        tickers, replay=replay, depth=tape.depth, row_interval_ms=tape.row_interval_ms
    )
    with closing(DecisionLog(folder)) as log, closing(RowWriter(folder)) as rows:
        log.write(
            {
                "t": "start",
                "policy": policy.name,
                "config": asdict(config),
                "tape": asdict(tape),
                "models": list(band_of(config)),
                "markets": list(tickers),
            }
        )
        trader = Trader(
            following, policy, config, band_of(config), limits, log, seed=seed, rows=rows
        )
        rng = np.random.default_rng(seed)
        for line in lines_of(segments):
            trader.take(line)
            if rng.random() < 0.1:
                trader.close_rows(0)
            if rng.random() < 0.5:
                trader.decide()
            if rng.random() < 0.002:
                trader.stale()
            yield trader
        trader.finish()
    yield trader

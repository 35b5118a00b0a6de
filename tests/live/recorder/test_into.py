"""Recordings go into stores while they are made and afterwards, and are there once."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kalshi_sim.cli.commands import main
from kalshi_sim.ingest.segments import segments_in
from kalshi_sim.session import EventKind, Session
from kalshi_sim.store import open_store
from support.postgres import Database
from tests.live.recorder.test_record_command import key_files, started
from tests.live.recorder.test_recorder import true_sizes
from tests.live.recorder.test_segments import delta, line, snapshot, write
from tests.support.scripted_exchange import ScriptedExchange, scripted, until

A, B = "KXONE-26-A", "KXONE-26-B"
PLACES = ["folder", "postgresql", "kalshiflow"]


def place(kind: str, folder: Path, database: Database) -> tuple[str, list[str]]:
    """The store of a kind, and the options that write to it."""
    store = str(folder / "sessions") if kind == "folder" else database.url
    tables = ["--tables", "kalshiflow"] if kind == "kalshiflow" else []
    return store, ["--into", store, *tables]


def final_sizes(session: Session) -> dict[str, int]:
    """Contracts at 40 cents YES of each market at the end, 0 where the book is unknown."""
    sizes = {}
    for market in session.markets:
        events, size, known = session.market_events(market.ticker), 0, False
        for kind, price, change in zip(
            events.kind.tolist(), events.price.tolist(), events.size.tolist(), strict=True
        ):
            if kind in (EventKind.SNAPSHOT, EventKind.GAP):
                size, known = 0, kind == EventKind.SNAPSHOT
            elif known and price == 4000 and kind in (EventKind.LEVEL, EventKind.DELTA):
                size += change // 100
        sizes[market.ticker] = size
    return sizes


@pytest.mark.parametrize("kind", PLACES)
def test_a_recording_is_stored_while_it_is_made_and_whole_after_a_kill(
    tmp_path: Path, database: Database, kind: str
) -> None:
    store, into = place(kind, tmp_path, database)
    out = tmp_path / "out"
    keys = key_files(tmp_path / "keys")

    async def go(exchange: ScriptedExchange) -> None:
        async with scripted(exchange):
            child = await started(
                *["--environment", exchange.address, *keys, "--out", str(out), *into],
                *["--disk-floor-mib", "1", "--segment-seconds", "1", "--status-every", "0.5"],
            )
            await until(lambda: len(exchange.books()) > 0, 30)
            begun = time.monotonic()
            while time.monotonic() - begun < 30:  # it is stored by another process
                await exchange.change(A)
                await asyncio.sleep(0.05)
                if await asyncio.to_thread(stored, store):
                    break
            await exchange.change(B)
            await asyncio.sleep(1.2)
            child.kill()
            _, log = await child.communicate()
            assert stored(store), log.decode()

    exchange = ScriptedExchange([A, B])
    asyncio.run(go(exchange))
    assert len(segments_in(out)) > 1
    command = ["record", "--store-only", "--out", str(out), *into]
    assert main(command) == 0
    assert main(command) == 0
    (number,) = stored(store)
    session = open_store(store).load(number)
    if kind == "kalshiflow":  # these tables have no gaps: the end of the recording is none
        assert final_sizes(session) == true_sizes(exchange)
    deltas = int((session.events.kind == EventKind.DELTA).sum())
    assert deltas == sum(size - 100 for size in true_sizes(exchange).values())


def stored(store: str) -> list[int]:
    return [info.session_id for info in open_store(store).list_sessions()]


@pytest.mark.parametrize("kind", PLACES[1:])
def test_storing_that_is_killed_at_any_moment_is_one_session_in_the_end(
    tmp_path: Path, database: Database, kind: str
) -> None:
    store, into = place(kind, tmp_path, database)
    out = tmp_path / "out"
    changes = [line(2 + n, delta(2 + n, 2 + n)) for n in range(2000)]
    write(out, line(1, snapshot(1)), *changes)
    draw = random.Random(5)
    command = ["record", "--store-only", "--out", str(out), *into]
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-m", "kalshi_sim.cli", *command])
        time.sleep(draw.uniform(0.5, 1.5))
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert len(stored(store)) <= 1
    assert main(command) == 0
    (number,) = stored(store)
    session = open_store(store).load(number)
    assert int((session.events.kind == EventKind.DELTA).sum()) == 2000
    write(out, line(5_000, snapshot(1, "7.00", sid=2)))
    assert main(command) == 0
    assert stored(store) == [number]
    session = open_store(store).load(number)
    assert int((session.events.kind == EventKind.SNAPSHOT).sum()) == 2


def test_the_kalshiflow_tables_are_in_a_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    write(out, line(1, snapshot(1)))
    into = ["--into", str(tmp_path / "sessions"), "--tables", "kalshiflow"]
    assert main(["record", "--store-only", "--out", str(out), *into]) == 2
    assert "--tables kalshiflow: --into must be a postgresql:// URL" in capsys.readouterr().err


def test_both_kinds_of_tables_of_a_database_hold_a_recording(
    tmp_path: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    write(out, line(1, snapshot(1)), line(2, delta(2, 2)))
    for tables in ("own", "kalshiflow", "own", "kalshiflow"):
        into = ["--into", database.url, "--tables", tables]
        assert main(["record", "--store-only", "--out", str(out), *into]) == 0
    assert "p%40ss" not in capsys.readouterr().out
    assert "p%40ss" not in (out / "sessions.json").read_text()
    sources = [info.source for info in open_store(database.url).list_sessions()]
    assert sorted(sources) == ["capture", "kalshiflow C"]

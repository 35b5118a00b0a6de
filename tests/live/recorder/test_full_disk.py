"""A recording, and the log of the local exchange, on a disk that is full."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from kalshi_sim.errors import StoreError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.segments import segments_in
from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.live.exchange.log import SentLog
from kalshi_sim.live.recorder.writer import SegmentWriter, WriterOptions
from kalshi_sim.session import EventKind
from kalshi_sim.synthetic.session import generate_session
from tests.live.recorder.test_record_command import A, B, started
from tests.live.recorder.test_segments import HEADER, QUICK, delta, line, snapshot
from tests.live.recorder.test_segments import until as until_now
from tests.support.exchange_client import client_of
from tests.support.scripted_exchange import ScriptedExchange, scripted, until
from tests.support.small_disk import SmallDisk


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".recording")


def test_writing_goes_on_with_room_and_leaves_nothing_between(small_disk: SmallDisk) -> None:
    if not small_disk.mounted:
        pytest.skip("a small disk needs a mount, so root")
    out = small_disk.folder / "out"
    writer = SegmentWriter(out, HEADER, QUICK)
    writer.put(line(1, snapshot(1)))
    until_now(lambda: writer.written.lines == 2)
    small_disk.leave(0)
    seq = 1
    deadline = time.monotonic() + 10
    while not writer.full:
        assert time.monotonic() < deadline
        seq += 1
        writer.put(line(seq, delta(seq, seq)))
        time.sleep(0.01)
    time.sleep(10 * QUICK.flush_seconds)  # it is not tried again and again
    assert writer.full
    kept = names(out)
    assert len(kept) <= 2
    assert not [name for name in kept if name.startswith(".")]
    small_disk.leave(None)
    until_now(lambda: not writer.full)
    writer.put(line(900, snapshot(900)))
    writer.close()
    assert len(names(out)) == len(kept) + 1
    dropped = writer.written.without_room
    assert dropped > 0
    with pytest.raises(StoreError, match=f"was full: {dropped} frame"):
        writer.check_whole()
    session = import_captures(segments_in(out), session_id=1)
    snapshots = session.events[session.events.kind == EventKind.SNAPSHOT]
    assert snapshots.seq.tolist() == [1, 900]


def test_no_recording_begins_without_room(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"MiB are free .*--disk-floor-mib"):
        SegmentWriter(tmp_path, HEADER, WriterOptions(floor_bytes=2**62))
    SegmentWriter(tmp_path, HEADER, QUICK).close()


def test_a_killed_writer_s_temporary_segment_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".segment-0001-000001-20260318T000000Z.jsonl.gz.tmp"
    left.write_bytes(b"half")
    SegmentWriter(tmp_path, HEADER, QUICK).close()
    assert not left.exists()


def test_the_command_says_what_a_full_disk_cost(small_disk: SmallDisk) -> None:
    if not small_disk.mounted:
        pytest.skip("a small disk needs a mount, so root")

    async def go(exchange: ScriptedExchange) -> tuple[int | None, str]:
        async with scripted(exchange):
            small_disk.leave(4_096)
            child = await started(
                *("--environment", exchange.address, "--out", str(small_disk.folder / "out")),
                *("--disk-floor-mib", "0"),
            )
            await until(lambda: len(exchange.books()) > 0, 30)
            for _ in range(1_000):
                await exchange.change(A)
            assert child.stderr is not None
            while b"the disk is full: frames are dropped" not in await child.stderr.readline():
                assert child.returncode is None
            child.send_signal(signal.SIGINT)
            _, log = await child.communicate()
            return child.returncode, log.decode()

    code, log = asyncio.run(go(ScriptedExchange([A, B])))
    assert code == 1, log
    assert log.splitlines()[-1].startswith("kalshi-sim: the disk of ")
    assert "could not be written" in log.splitlines()[-1]


def test_a_log_that_cannot_be_written_ends_the_exchange() -> None:
    session = generate_session(3, markets=20, minutes=4, seed=5)
    exchange = LocalExchange(session, speed=0, log="/dev/full")

    async def go() -> None:
        async with client_of(exchange) as client, client.socket() as socket:
            tickers = [market.ticker for market in session.markets]
            params = {"channels": ["orderbook_delta"], "market_tickers": tickers}
            await socket.send({"id": 1, "cmd": "subscribe", "params": params})
            reading = asyncio.create_task(socket.rest_of_it(exchange))
            await asyncio.wait_for(exchange.log_failed(), 20)
            await reading  # what is sent does not suffer

    with pytest.raises(StoreError, match="cannot write /dev/full: No space left"):
        asyncio.run(go())


def test_what_is_left_of_a_log_is_said_at_its_end() -> None:
    log = SentLog(Path("/dev/full"))
    log.write(1, b"{}")
    assert log.error is None
    log.close()
    assert "No space left" in str(log.error)

"""What a recorder shows: a table, JSON lines, numbers for a monitor; it waits for no reader."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import struct
import sys
import termios
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kalshi_sim.ingest.segments import segments_in
from kalshi_sim.ingest.sources import Source
from tests.live.recorder.test_record_command import free_port, key_files
from tests.support.scripted_exchange import ScriptedExchange, scripted, until

A, B = "KXONE-26-A", "KXONE-26-B"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
STATUS = {
    "at", "connections", "connections_wanted", "markets_wanted", "markets_acknowledged",
    "books_unknown", "frames", "frames_per_second", "last_frame_age_s", "lag_s", "gaps",
    "gap_market_seconds", "connections_lost", "reconnects", "refused_frames", "dropped_frames",
    "queue_bytes", "disk_full", "disk_free_bytes", "segments", "bytes_written", "audited",
    "audited_share", "uptime_s", "problem",
}  # fmt: skip
F_SETPIPE_SZ = 1031


@asynccontextmanager
async def recording(
    exchange: ScriptedExchange, folder: Path, *options: str, **streams: Any
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command at work on a scripted exchange, with books known."""
    keys = key_files(folder / "keys")
    async with scripted(exchange):
        child = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "kalshi_sim.cli", "record"],
            *["--environment", exchange.address, *keys, "--out", str(folder / "out")],
            *["--disk-floor-mib", "1", *options],
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
            **streams,
        )
        try:
            await until(lambda: len(exchange.books()) > 0, 30)
            yield child
        finally:
            if child.returncode is None:
                child.kill()
            await child.wait()


async def stopped(child: asyncio.subprocess.Process, by: signal.Signals) -> int:
    child.send_signal(by)
    return await asyncio.wait_for(child.wait(), 20)


TABLE = {
    "connected": r"1 of 1",
    "markets acknowledged": r"2 of 2",
    "books unknown": r"0",
    "frames": r"\d+ \([\d.]+ a second\)",
    "last frame": r"\d+\.\d s ago",
    "lag": r"-?[\d,]+ ms",
    "gaps": r"1 \([\d.]+ market-seconds unknown\)",
    "connections lost": r"0 \(0 made anew\)",
    "refused, dropped frames": r"0, 0",
    "queue": r"\d+\.\d MiB",
    "disk": r"[\d,.]+ GiB left",
    "written": r"\d+\.\d MiB in 1 segment",
    "books that agree with REST": r"100\.0% of 2",
    "problem": r"none",
}


def test_a_terminal_of_80_columns_shows_that_it_works(tmp_path: Path) -> None:
    """Connected, acknowledged, messages a second, age, gaps and cost, drops, lag, disk, audit."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    os.set_blocking(ours, False)
    shown = bytearray()

    def seen() -> dict[str, str]:
        try:
            while data := os.read(ours, 65_536):
                shown.extend(data)
        except OSError:  # nothing more now
            pass
        text = _ESCAPES.sub("", shown.decode(errors="replace")).replace("\r", "")
        lines = [line for line in text.splitlines() if line.strip().startswith(tuple(TABLE))]
        assert max(map(len, lines), default=0) <= 80
        pairs = (re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in lines)
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}

    async def go(exchange: ScriptedExchange) -> int:
        options = ["--audit-every", "1"]
        async with recording(exchange, tmp_path, *options, stderr=theirs, stdout=theirs) as child:
            await exchange.change(A, lost=True)

            def all_there() -> bool:
                found = seen()
                return all(re.fullmatch(text, found.get(k, "")) for k, text in TABLE.items())

            begun = time.monotonic()
            while not all_there():
                assert time.monotonic() - begun < 20, (seen(), shown[-3000:])
                await exchange.change(A)
                await asyncio.sleep(0.2)
            code = await stopped(child, signal.SIGINT)
            seen()
            return code

    assert asyncio.run(go(ScriptedExchange([A, B]))) == 0
    os.close(theirs)
    os.close(ours)
    end = _ESCAPES.sub("", shown.decode()).replace("\r\n", "\n")
    assert re.search(r"recorded \d+ frames of 2 markets in 1 segment in ", end)


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_json_lines_and_a_monitor_have_the_same_numbers(tmp_path: Path, by: signal.Signals) -> None:
    port = free_port()

    async def go(exchange: ScriptedExchange) -> tuple[int, list[dict[str, Any]], str]:
        options = ["--json", "--status-every", "0.2", "--prometheus-port", str(port)]
        pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.DEVNULL}
        async with recording(exchange, tmp_path, *options, **pipes) as child:
            assert child.stdout is not None
            lines = [json.loads(await child.stdout.readline()) for _ in range(3)]
            address = f"http://127.0.0.1:{port}/metrics"
            async with aiohttp.ClientSession() as http, http.get(address) as answer:
                assert answer.content_type == "text/plain"
                metrics = await answer.text()
            code = await stopped(child, by)
            rest = (await child.stdout.read()).splitlines()
            return code, [*lines, *map(json.loads, rest)], metrics

    code, lines, metrics = asyncio.run(go(ScriptedExchange([A, B])))
    assert code == 0
    *statuses, end = lines
    assert all(set(status) == STATUS for status in statuses)
    assert set(end["recorded"]) == STATUS | {"segments"}
    assert end["recorded"]["frames"] >= statuses[-1]["frames"]
    (segment,) = end["recorded"]["segments"]
    assert Path(segment).is_file()
    found = dict(re.findall(r"^kalshi_sim_recorder_(\w+) (\S+)$", metrics, re.MULTILINE))
    names = STATUS - {"at", "problem", "audited_share"} | {"healthy"}
    assert names - {"lag_s"} <= set(found) <= names
    assert (found["markets_acknowledged"], found["healthy"], found["disk_full"]) == ("2", "1", "0")


@pytest.mark.parametrize("options", [["--json"], []], ids=["json", "lines"])
def test_a_reader_who_stops_reading_stops_nothing(tmp_path: Path, options: list[str]) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, F_SETPIPE_SZ, 4096)

    async def go(exchange: ScriptedExchange) -> None:
        async with recording(
            exchange, tmp_path, *options, "--status-every", "0.1", stdout=writing, stderr=writing
        ) as child:
            await asyncio.sleep(2)  # the pipe is full by now
            for _ in range(20):
                await exchange.change(A)
            await asyncio.sleep(1.2)
            child.kill()

    exchange = ScriptedExchange([A, B])
    asyncio.run(go(exchange))
    os.close(writing)
    os.close(reading)
    (segment,) = segments_in(tmp_path / "out")
    frames = b"".join(Source(segment).chunks())
    assert frames.count(b'"type": "orderbook_delta"') == 20

"""`kalshi-sim record` under load and under kills, against an exchange in another process.

    python -m benchmarks.recorder flood --frames 200000 --rate 10000
    python -m benchmarks.recorder kills --times 50

`flood` sends frames at a rate and says what the recorder took of a processor, of memory (also on
the way, after 10^6, 3 * 10^6 and 10^7 frames) and whether it dropped any. `kills` ends recorders by
SIGKILL at random moments, each in the folder of the one before, and says how much of what had been
sent to each is missing in its segments. Everything runs on loopback addresses.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from kalshi_sim.ingest.segments import segments_in
from kalshi_sim.ingest.sources import Source

_NUMBER: Final = re.compile(rb'"raw":\{"type":"orderbook_[^\n]*?"seq": ?(\d+)')
TICKER: Final = "KXFLOOD-26-A"
BURST_S: Final = 0.01
MARKS: Final = (1_000_000, 3_000_000, 10_000_000)
"""Frames after which memory is noted."""
WAITING: Final = 2**20
"""Bytes that may wait for the recorder."""


def frame(text: str) -> bytes:
    """A text as a frame of a server (RFC 6455): no mask, a length of two bytes."""
    data = text.encode()
    return b"\x81\x7e" + len(data).to_bytes(2, "big") + data


class Flood:
    """Sends deltas at a rate to every connection that subscribes to order books."""

    def __init__(self, rate: int, frames: int | None) -> None:
        """Send nothing yet.

        Args:
            rate: frames a second.
            frames: so many; None: without end.
        """
        self.rate = rate
        self.frames = frames
        self.sent: list[list[tuple[int, int]]] = []
        """Of each connection, (number, when it was sent in ns) for one frame of a burst."""
        self.done = asyncio.Event()
        self.at_mark: Callable[[int], None] = lambda frames: None
        """Called after so many frames."""

    async def ws(self, request: web.Request) -> web.WebSocketResponse:
        """A connection."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        feed = None
        sid = 0
        listed: list[dict[str, Any]] = []
        async for message in socket:
            what = json.loads(message.data)
            channel = what.get("params", {}).get("channels", [""])[0]
            if what["cmd"] == "subscribe":
                sid += 1
                reply = {"channel": channel, "sid": sid}
                listed.append(reply)
                await socket.send_json({"id": what["id"], "type": "subscribed", "msg": reply})
                if channel == "orderbook_delta":
                    assert request.transport is not None
                    feed = asyncio.create_task(self.feed(request.transport, sid))
            elif what["cmd"] == "list_subscriptions":
                await socket.send_json({"id": what["id"], "type": "ok", "msg": listed})
        if feed is not None:
            feed.cancel()
        return socket

    async def feed(self, transport: asyncio.WriteTransport, sid: int) -> None:
        """A snapshot, then deltas: whole bursts at once, or the sender is the slower of the two."""
        mine: list[tuple[int, int]] = []
        self.sent.append(mine)
        levels = {"yes_dollars_fp": [["0.4000", "1000000.00"]], "market_ticker": TICKER}
        first = {"type": "orderbook_snapshot", "sid": sid, "seq": 1, "msg": levels}
        transport.write(frame(json.dumps(first, separators=(",", ":"))))
        begun, seq = time.monotonic(), 1
        last = self.frames or 2**62
        while seq < last:
            due = min(int((time.monotonic() - begun) * self.rate) + 1, seq + self.rate, last)
            now = time.time_ns() // 1_000_000
            transport.write(b"".join(self._delta(sid, n, now) for n in range(seq + 1, due + 1)))
            for mark in MARKS:
                if seq < mark <= due:
                    self.at_mark(mark)
            seq = max(seq, due)
            if not mine or mine[-1][0] < seq:
                mine.append((seq, time.time_ns()))
            await asyncio.sleep(BURST_S)
            while transport.get_write_buffer_size() > WAITING:
                await asyncio.sleep(BURST_S / 10)
        self.done.set()

    @staticmethod
    def _delta(sid: int, seq: int, now_ms: int) -> bytes:
        return frame(
            f'{{"type":"orderbook_delta","sid":{sid},"seq":{seq},"msg":{{"market_ticker":'
            f'"{TICKER}","market_id":"9b0f6b43-5b68-4f9f-9f02-9a2d1b8ac1a1",'
            f'"price_dollars":"0.4000","delta_fp":"{seq % 97 + 1}.00","side":"yes",'
            f'"ts":"2026-11-27T08:00:00.{seq % 1000:03d}Z","ts_ms":{now_ms}}}}}'
        )

    async def markets(self, request: web.Request) -> web.Response:
        """The list of markets."""
        market = {"ticker": TICKER, "volume_fp": "1.00"}
        return web.json_response({"markets": [market], "cursor": ""})

    async def serve(self) -> tuple[web.AppRunner, str]:
        """Listen; the address."""
        application = web.Application()
        application.router.add_get("/trade-api/ws/v2", self.ws)
        application.router.add_get("/trade-api/v2/markets", self.markets)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


def recorder(address: str, out: Path) -> subprocess.Popen[str]:
    """The command, recording."""
    arguments = ["record", "--environment", address, "--out", str(out), "--json"]
    arguments += ["--disk-floor-mib", "1", "--audit-every", "0", "--channel", "orderbook_delta"]
    return subprocess.Popen(
        [sys.executable, "-m", "kalshi_sim.cli", *arguments, "--status-every", "1"],
        stdout=subprocess.PIPE,
        text=True,
    )


def numbers(paths: list[Path]) -> int:
    """How many frames segments hold, whose numbers have to be 1, 2, 3, ...; one at a time."""
    latest = 0
    for path in paths:
        for _, text in Source(path).blocks():
            for found in _NUMBER.finditer(text[: text.rfind(b"\n") + 1]):
                assert int(found[1]) == latest + 1, f"{path}: {found[1]!r} follows {latest}"
                latest += 1
    return latest


def memory_mib(pid: int) -> tuple[int, int]:
    """Memory of a process in MiB: now, and the most it ever had."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    found = dict(line.split(":", 1) for line in status.splitlines() if line.startswith("Vm"))
    return int(found["VmRSS"].split()[0]) // 1024, int(found["VmHWM"].split()[0]) // 1024


async def flood(frames: int, rate: int) -> dict[str, Any]:
    """Frames at a rate into one recorder."""
    exchange = Flood(rate, frames)
    runner, address = await exchange.serve()
    with tempfile.TemporaryDirectory() as folder:
        child = recorder(address, Path(folder))
        marks: dict[str, dict[str, int]] = {}

        def note(frames: int) -> None:
            now, most = memory_mib(child.pid)
            marks[f"{frames:,}"] = {"mib": now, "peak_mib": most}
            print(f"{frames:,} frames: {marks[f'{frames:,}']}", file=sys.stderr, flush=True)

        exchange.at_mark = note
        await exchange.done.wait()
        await asyncio.sleep(2)
        seconds = (exchange.sent[0][-1][1] - exchange.sent[0][0][1]) / 1e9
        _, peak = memory_mib(child.pid)
        ticks = Path(f"/proc/{child.pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()
        cpu = (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")
        child.send_signal(signal.SIGTERM)
        output, _ = await asyncio.to_thread(child.communicate)
        status = json.loads(output.splitlines()[-1])["recorded"]
        found = numbers(segments_in(Path(folder)))
    await runner.cleanup()
    return {
        "sent": frames,
        "seconds": round(seconds, 1),
        "frames_per_second": round(frames / seconds),
        "recorded": found,
        "dropped": status["dropped_frames"],
        "cpu_seconds": round(cpu, 1),
        "frames_per_cpu_second": round(frames / cpu),
        "peak_memory_mib": peak,
        "memory_after_frames": marks,
        "bytes_written": status["bytes_written"],
    }


async def kills(times: int, seed: int, rate: int) -> dict[str, Any]:
    """Recorders killed at random moments, one after the other in one folder."""
    draw = random.Random(seed)
    exchange = Flood(rate, None)
    runner, address = await exchange.serve()
    lost_ms: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        for nth in range(times):
            before = set(segments_in(out))
            child = recorder(address, out)
            while len(exchange.sent) <= nth:  # it connects in its own time
                await asyncio.sleep(0.01)
            await asyncio.sleep(draw.uniform(0.2, 2.5))
            child.kill()
            killed_ns = time.time_ns()
            child.communicate()
            paths = [path for path in segments_in(out) if path not in before]
            found = numbers(paths)
            missing = [at for seq, at in exchange.sent[nth] if seq > found and at < killed_ns]
            lost_ms.append((killed_ns - min(missing)) / 1e6 if missing else 0.0)
        segments = len(segments_in(out))
    await runner.cleanup()
    return {
        "kills": times,
        "segments": segments,
        "most_lost_ms": round(max(lost_ms), 1),
        "mean_lost_ms": round(sum(lost_ms) / times, 1),
        "beyond_a_second": sum(ms > 1000 for ms in lost_ms),
    }


def main() -> None:
    """Run one of the two and print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    flooding = commands.add_parser("flood")
    flooding.add_argument("--frames", type=int, default=200_000)
    flooding.add_argument("--rate", type=int, default=10_000)
    killing = commands.add_parser("kills")
    killing.add_argument("--times", type=int, default=50)
    killing.add_argument("--seed", type=int, default=0)
    killing.add_argument("--rate", type=int, default=500)
    chosen = parser.parse_args()
    if chosen.command == "flood":
        found = asyncio.run(flood(chosen.frames, chosen.rate))
    else:
        found = asyncio.run(kills(chosen.times, chosen.seed, chosen.rate))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

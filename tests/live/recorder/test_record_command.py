"""`kalshi-sim record` as a person runs it, against an exchange on a loopback socket."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from kalshi_sim.cli.commands import main
from kalshi_sim.ingest.segments import segments_in
from kalshi_sim.live.keys import new_private_key, private_pem
from kalshi_sim.store import open_store
from tests.live.recorder.test_segments import line, snapshot, write
from tests.support.scripted_exchange import ScriptedExchange, scripted, until

A, B = "KXONE-26-A", "KXONE-26-B"


def key_files(folder: Path) -> list[str]:
    folder.mkdir(exist_ok=True)
    (folder / "id").write_text("a-key-id\n", "utf-8")
    (folder / "key.pem").write_bytes(private_pem(new_private_key()))
    return ["--key-id-file", str(folder / "id"), "--key-file", str(folder / "key.pem")]


async def started(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kalshi_sim.cli",
        "record",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "KALSHI_API_KEY_ID": "", "KALSHI_PRIVATE_KEY": ""},
    )


def connected(exchange: ScriptedExchange, before: int) -> bool:
    return len(exchange.sockets) > before


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_stopped_recording_is_whole_and_stored_once(tmp_path: Path) -> None:
    port, store, out = free_port(), str(tmp_path / "sessions"), tmp_path / "out"
    keys = key_files(tmp_path / "keys")
    told: list[bytes] = []

    async def go(exchange: ScriptedExchange) -> None:
        async with scripted(exchange):
            common = ["--environment", exchange.address, *keys, "--out", str(out)]
            common += ["--disk-floor-mib", "1", "--into", store, "--status-every", "0.2"]
            for nth, stop in enumerate((signal.SIGTERM, signal.SIGINT)):
                child = await started(*common, "--prometheus-port", str(port))
                await until(partial(connected, exchange, nth), 30)
                await until(lambda: len(exchange.books()) > 0)
                for _ in range(20):
                    await exchange.change(A)
                await asyncio.sleep(0.5)
                async with (
                    aiohttp.ClientSession() as http,
                    http.get(f"http://127.0.0.1:{port}/metrics") as answer,
                ):
                    metrics = await answer.text()
                assert "kalshi_sim_recorder_markets_acknowledged 2" in metrics
                assert Path(f"/proc/{child.pid}/cmdline").read_bytes().find(b"a-key-id") < 0
                child.send_signal(stop)
                output, log = await child.communicate()
                assert child.returncode == 0, log.decode()
                told.extend((output, log))

    asyncio.run(go(ScriptedExchange([A, B])))
    assert b"recorded" in told[0]
    assert b"connected 1/1, markets 2/2 (0 unknown)" in told[1]
    secret = (tmp_path / "keys" / "key.pem").read_text("utf-8").splitlines()[1].encode()
    told += [path.read_bytes() for path in out.rglob("*") if path.is_file()]
    assert not any(secret in text or b"a-key-id" in text for text in told)
    assert len(segments_in(out)) == 2
    (info,) = open_store(store).list_sessions()
    assert (info.markets, info.deltas) == (2, 40)
    before = open_store(store).load(info.session_id)
    assert main(["record", "--store-only", "--out", str(out), "--into", store]) == 0
    (again,) = open_store(store).list_sessions()
    assert again.session_id == info.session_id
    after = open_store(store).load(again.session_id)
    for column in ("kind", "price", "size", "ts_ms", "seq", "sid"):
        assert (getattr(after.events, column) == getattr(before.events, column)).all()


def test_a_dry_run_lists_markets_and_records_nothing(tmp_path: Path) -> None:
    async def go(exchange: ScriptedExchange) -> dict[str, object]:
        async with scripted(exchange):
            child = await started(
                "--environment", exchange.address, "--dry-run", "--json", "--out", str(tmp_path)
            )
            output, log = await child.communicate()
            assert child.returncode == 0, log.decode()
            found: dict[str, object] = json.loads(output)
            return found

    assert asyncio.run(go(ScriptedExchange([A, B]))) == {"markets": 2, "tickers": [A, B]}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["KXA"], "wants a key"),
        (["--environment", "mars", "KXA"], "--environment: write production"),
        (["--channel", "ticker_v2", "--environment", "http://127.0.0.1:9"], "retired"),
        (["--channel", "trade", "--environment", "http://127.0.0.1:9"], "orderbook_delta must"),
        (["--discover-every", "0"], "--discover-every 0"),
        (["--key-file", "nowhere.pem", "KXA"], "nowhere.pem"),
        (["--store-only", "--out", "."], "--into STORE"),
    ],
)
def test_mistakes_are_said_in_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("KALSHI_API_KEY_ID", "KALSHI_PRIVATE_KEY_FILE", "KALSHI_PRIVATE_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["record", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_days_are_sessions_of_their_own(tmp_path: Path) -> None:
    out, store = tmp_path / "out", str(tmp_path / "sessions")
    for day, run in ((20261126, 1), (20261127, 2)):
        path = write(out, line(run, snapshot(1)))
        path.rename(out / f"segment-{run:04d}-000001-{day}T235959Z.jsonl.gz")
    for _ in range(2):
        command = ["record", "--store-only", "--out", str(out), "--into", store, "--per", "day"]
        assert main(command) == 0
        found = [info.session_id for info in open_store(store).list_sessions()]
        assert sorted(found) == [20261126, 20261127]

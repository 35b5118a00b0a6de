"""`kalshi-sim record` as a person runs it, against an exchange on a loopback socket."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace

from kalshi_sim.cli.commands import main
from kalshi_sim.ingest.segments import segments_in
from kalshi_sim.live.keys import new_private_key, private_pem
from kalshi_sim.live.recorder.access import environment_of
from kalshi_sim.live.recorder.writer import SegmentWriter
from kalshi_sim.store import open_store
from tests.live.recorder.test_segments import HEADER, QUICK, delta, line, snapshot, write
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
        (["--duration", "nan"], "--duration nan"),
        (["--duration", "inf"], "--duration inf"),
        (["--session", "3", "--environment", "http://127.0.0.1:9"], "without --into"),
        (
            [
                *[
                    "--session",
                    "3",
                    "--per",
                    "day",
                    "--into",
                    "s",
                    "--environment",
                    "http://127.0.0.1:9",
                ]
            ],
            "--session 3: with --per day",
        ),
        ([*["--into", "key.pem", "--environment", "http://127.0.0.1:9"]], "--into key.pem"),
        ([*["--into", "key.pem/s", "--environment", "http://127.0.0.1:9"]], "--into key.pem/s"),
        (["--environment", "http://127.0.0.1:9/elsewhere"], "--environment: write production"),
        (["--environment", "http://127.0.0.1:99999"], "--environment: write production"),
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
    (tmp_path / "key.pem").touch()
    for name in ("KALSHI_API_KEY_ID", "KALSHI_PRIVATE_KEY_FILE", "KALSHI_PRIVATE_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["record", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not (tmp_path / "recording").exists()


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


def test_a_day_whose_number_is_taken_is_said_and_counted_from_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, store = tmp_path / "out", str(tmp_path / "sessions")
    for folder, run in ((tmp_path / "other", 1), (out, 1)):
        path = write(folder, line(run, snapshot(1)))
        path.rename(folder / f"segment-{run:04d}-000001-20261127T235959Z.jsonl.gz")
        command = ["record", "--store-only", "--out", str(folder), "--into", store]
        assert main([*command, "--per", "day"]) == 0
    said = capsys.readouterr().out
    assert "already has session 20261127, and it is not of this recording" in said
    assert "session 1" in said
    assert [info.session_id for info in open_store(store).list_sessions()] == [1, 20261127]


def test_the_day_of_a_replay_is_that_of_its_data(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "out", replace(HEADER, replay=True), QUICK)
    writer.put(line(1, snapshot(1)))
    writer.put(line(2, delta(2, 2)))
    writer.close()
    store = str(tmp_path / "sessions")
    command = ["record", "--store-only", "--out", str(tmp_path / "out"), "--into", store]
    assert main([*command, "--per", "day"]) == 0
    assert [info.session_id for info in open_store(store).list_sessions()] == [20260318]


def test_a_number_that_cannot_be_is_refused_before_anything_is_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, store = tmp_path / "out", str(tmp_path / "sessions")
    write(out, line(1, snapshot(1)))
    assert main([*f"record --store-only --out {out} --into {store} --session 4".split()]) == 0
    here = f"record --environment http://127.0.0.1:9 --into {store} --duration 1"
    assert main([*f"{here} --out {out} --session 5".split()]) == 2
    assert "is session 4 of the store already" in capsys.readouterr().err
    assert main([*f"{here} --out {tmp_path / 'new'} --session 4".split()]) == 2
    assert "already has session 4, and it is not of this recording" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("options", [["--out", "out"], ["--dry-run"]])
def test_an_address_where_nobody_is_is_said_at_once_and_not_for_long(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    address = f"http://127.0.0.1:{free_port()}"
    begun = time.monotonic()
    assert main(["record", "--environment", address, "--duration", "1", *options]) == 1
    assert time.monotonic() - begun < 3
    said = capsys.readouterr().err
    assert said.count(f"{address} does not answer") >= 2
    assert "asked again in 0.5 s" in said


def test_named_markets_that_do_not_exist_are_said(tmp_path: Path) -> None:
    async def go(exchange: ScriptedExchange) -> list[tuple[int | None, str]]:
        found = []
        async with scripted(exchange):
            environment = ["--environment", f"{exchange.address}/trade-api/v2"]
            for nth, options in enumerate(
                (
                    [A, "KXNO-1"],
                    ["KXNO-1", "KXNO-2"],
                    ["KXNO-1", "--dry-run"],
                    ["--min-volume", "99"],
                )
            ):
                out = ["--out", str(tmp_path / str(nth)), "--duration", "0.5"]
                child = await started(*environment, *out, *options)
                _, log = await child.communicate()
                found.append((child.returncode, log.decode()))
        return found

    some, none, listed, empty = asyncio.run(go(ScriptedExchange([A, B])))
    assert some[0] == 0
    assert "warning: " in some[1]
    assert "has no market KXNO-1" in some[1]
    assert none[0] == 2
    assert "has no market KXNO-1, KXNO-2; check" in none[1]
    assert listed[0] == 2
    assert "has no market KXNO-1; check" in listed[1]
    assert empty[0] == 0
    assert "the selection matches no market" in empty[1]


def test_a_local_exchange_that_wants_a_key_says_how_to_give_it(tmp_path: Path) -> None:
    async def go(exchange: ScriptedExchange) -> tuple[int | None, str]:
        async with scripted(exchange):
            child = await started("--environment", exchange.address, "--out", str(tmp_path / "out"))
            _, log = await child.communicate()
            return child.returncode, log.decode()

    code, said = asyncio.run(go(ScriptedExchange([A], status=401)))
    assert code == 2
    assert "wants a key; give --key-id-file and --key-file" in said


@pytest.mark.parametrize("path", ["", "/", "/trade-api/v2", "/trade-api/ws/v2"])
def test_the_addresses_an_exchange_prints_are_accepted(path: str) -> None:
    for scheme in ("http", "ws"):
        found = environment_of(f"{scheme}://127.0.0.1:8765{path}")
        assert (found.rest, found.websocket) == ("http://127.0.0.1:8765", "ws://127.0.0.1:8765")

"""The command `kalshi-sim exchange`, run as people run it."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp import ClientSession

from kalshi_sim.cli.commands import main
from kalshi_sim.live.interface import WS_PATH
from kalshi_sim.live.keys import load_private_key, request_headers
from kalshi_sim.store import open_store
from kalshi_sim.synthetic.session import generate_session

COMMAND = [sys.executable, "-m", "kalshi_sim.cli", "exchange"]


def test_generated_markets_trade_order_by_order() -> None:
    options = ["--generate", "--session", "4", "--markets", "2", "--minutes", "1", "--json"]
    running = subprocess.Popen(
        [*COMMAND, *options, "--port", "0", "--speed", "0", "--begin", "now"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        text = ""
        while "}" not in text:
            text += running.stdout.readline()
            assert running.poll() is None, text
        rest = json.loads(text)["rest"]
        expected = [m.ticker for m in generate_session(4, markets=2, minutes=1, seed=9).markets]

        async def listed() -> list[str]:
            async with ClientSession() as http, http.get(f"{rest}/markets") as answer:
                return [market["ticker"] for market in (await answer.json())["markets"]]

        assert sorted(asyncio.run(listed())) == sorted(expected)
    finally:
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130
        running.communicate()


def test_the_command_asks_what_to_trade() -> None:
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "say what it trades: --session ID of the store, or --generate" in done.stderr


def test_the_command_serves_a_session_until_it_is_interrupted(tmp_path: Path) -> None:
    made = generate_session(4, markets=2, minutes=1, seed=5)
    open_store(str(tmp_path / "store")).save(made)
    options = ["--store", str(tmp_path / "store"), "--session", "4", "--port", "0", "--json"]
    log = ["--log", str(tmp_path / "sent.jsonl")]
    running = subprocess.Popen(
        [*COMMAND, *options, *log], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout is not None
        text = ""
        while True:
            text += running.stdout.readline()
            try:
                where = json.loads(text)
                break
            except ValueError:
                assert running.poll() is None, text
        key_file = Path(where["private_key_file"])
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        assert stat.S_IMODE(key_file.parent.stat().st_mode) == 0o700
        pem = key_file.read_bytes()

        async def ask() -> str:
            key = load_private_key(pem)
            now = time.time_ns() // 1_000_000
            headers = request_headers(where["key_id"], key, "GET", WS_PATH, now)
            async with (
                ClientSession() as http,
                http.ws_connect(where["websocket"], headers=headers) as socket,
            ):
                params = {"channels": ["orderbook_delta"], "market_ticker": made.markets[0].ticker}
                await socket.send_json({"id": 1, "cmd": "subscribe", "params": params})
                reply: str = await socket.receive_str(timeout=20)
                return reply

        assert '"type":"subscribed"' in asyncio.run(ask())
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 130
    assert err == "kalshi-sim: the exchange has ended\n"
    assert not key_file.parent.exists()
    assert '"raw":"{\\"id\\":1' in (tmp_path / "sent.jsonl").read_text()
    for shown in (text, out, err, (tmp_path / "sent.jsonl").read_text()):
        assert "PRIVATE" not in shown
        assert pem.decode().splitlines()[1] not in shown


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    made = generate_session(4, markets=1, minutes=1, seed=5)
    open_store(str(tmp_path)).save(made)
    keys, faults = tmp_path / "keys.json", tmp_path / "faults.json"
    keys.write_text('[{"key_id": "a", "tier": "gold", "public_key": "x"}]')
    faults.write_text('[{"fault": "fire"}]')
    store = ["--store", str(tmp_path)]
    for options, code, said in (
        (["--session", "4", "--keys", str(keys)], 2, "key 'a': no tier 'gold'"),
        (["--session", "4", "--keys", str(tmp_path / "none")], 2, "none: cannot be read"),
        (["--session", "4", "--faults", str(faults)], 2, "no fault 'fire'"),
        (["--session", "4", "--speed", "-1"], 2, "speed=-1.0"),
        (["--session", "5"], 2, "5"),
    ):
        done = subprocess.run(
            [*COMMAND, *store, *options], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--generate", "--skip", "nan"], "--skip"),
        (["--generate", "--skip", "inf"], "--skip"),
        (["--generate", "--markets", "1", "--minutes", "1", "--skip", "9"], "nothing is left"),
        (["--session", "9", "--markets", "3"], "go with --generate"),
    ],
)
def test_options_that_cannot_be_are_refused(
    capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(["exchange", *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error

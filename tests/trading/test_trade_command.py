"""`kalshi-trade` as a command, at a local exchange over real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3 import PPO

from kalshi_sim.config import SimConfig
from kalshi_sim.live.band import STATE
from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.live.exchange.faults import Fault
from kalshi_sim.live.keys import private_pem
from kalshi_sim.session import Session
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.tape_build import build_tape
from kalshi_sim.vec_env import KalshiVecEnv
from kalshi_train.cli.trade import main
from kalshi_train.config import TrainConfig
from kalshi_train.config_file import write_settings
from kalshi_train.trading.log import NAME, read_log
from tests.support.terminal import in_terminal

SESSION = generate_session(4, markets=6, minutes=10.0, seed=11)
BOOKS = "orderbook_delta"


async def started(*arguments: str) -> asyncio.subprocess.Process:
    code = "import sys; from kalshi_train.entry import trade; sys.exit(trade())"
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def keys(exchange: LocalExchange, folder: Path) -> list[str]:
    assert exchange.private_key is not None
    (folder / "id").write_text(exchange.key_id)
    (folder / "key.pem").write_bytes(private_pem(exchange.private_key))
    return ["--key-id-file", str(folder / "id"), "--key-file", str(folder / "key.pem")]


async def paper(
    folder: Path,
    model: str,
    *options: str,
    session: Session = SESSION,
    speed: float = 60.0,
    faults: tuple[Fault, ...] = (),
    end: str = "",
) -> tuple[int | None, str, str]:
    """A run of the command; `end` names what ends it."""
    async with LocalExchange(session, speed=speed, faults=faults) as exchange:
        process = await started(
            *(model, "--environment", exchange.url, "--limit", "50", *keys(exchange, folder)),
            *("--out", str(folder / "run"), "--disk-floor-mib", "1", *options),
        )
        if end:
            log = folder / "run" / NAME
            while not log.exists() or log.read_bytes().count(b'"t":"row"') < 30:
                await asyncio.sleep(0.1)
                assert process.returncode is None
            if end == "SIGKILL":
                await asyncio.sleep(3)  # of the recording half a second may be lost
            if end == "file":
                (folder / "run" / "STOP").touch()
            else:
                process.send_signal(getattr(signal, end))
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def test_a_run_is_traded_recorded_and_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = (
        Fault(fault="skip_seq", channel=BOOKS, after=40),
        Fault(fault="reorder_seq", channel=BOOKS, after=70),
        Fault(fault="abort", channel=BOOKS, after=110),
    )
    code, out, err = asyncio.run(
        paper(tmp_path, "random", "--duration", "9", "--json", "--page", "0", faults=faults)
    )
    assert code == 0, err
    assert "no orders are sent" in err
    assert "fill_model=queue" in err
    result = json.loads(out)
    assert list(result["profit_cents"]) == ["through", "queue", "touch"]
    assert result["decisions"] > 30
    assert result["latency_ms"]["p99"] > 0
    assert sum(m["orders"] for m in result["markets"]) > 10
    assert main(["--verify", str(tmp_path / "run"), "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["differences"] == 0
    assert verdict["rows"] > 30
    assert verdict["ended"]
    assert re.search(r"page: http://127\.0\.0\.1:\d+/ \(this machine alone\)", err)
    page = tmp_path / "run" / "page.html"
    left = page.read_bytes()
    assert main(["--report", str(tmp_path / "run"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["decisions"] == result["decisions"]
    assert told["profit_cents"] == result["profit_cents"]
    assert told["feed"]["frames"] > 0
    same = left == page.read_bytes()
    assert same  # the page that was served ends as that of the log


def test_a_terminal_shows_markets_orders_and_profits(tmp_path: Path) -> None:
    async def go() -> str:
        async with LocalExchange(SESSION, speed=60) as exchange:
            words = ["join-both-sides", "--environment", exchange.url, "--limit", "50"]
            words += ["--out", "run", "--disk-floor-mib", "1", "--duration", "5"]
            words += keys(exchange, tmp_path)
            return await asyncio.to_thread(
                in_terminal, "kalshi-trade", words, 160, tmp_path, errors_too=True
            )

    shown = asyncio.run(go())
    table, _, after = shown.partition("paper trading\n")
    for word in ("YES order", "NO order", "through", "queue", "touch", "latency p99"):
        assert word in table
    assert any(market.ticker in table for market in SESSION.markets)
    assert re.search(r"10 at \d+", table)
    assert "compare it: kalshi-trade --verify run" in after


@pytest.mark.parametrize("end", ["SIGTERM", "file"])
def test_a_kill_switch_takes_orders_back_and_ends_in_order(tmp_path: Path, end: str) -> None:
    code, out, err = asyncio.run(paper(tmp_path, "join-both-sides", speed=20, end=end))
    assert code == 0, err
    lines = list(read_log(tmp_path / "run"))
    assert lines[-1]["t"] == "end"
    assert "a signal came" in out or "STOP" in out
    places = [i for i, (name, _) in enumerate(STATE) if name in ("yes_size", "no_size")]
    left = [line for line in lines if line["t"] == "left"]
    assert len(left) > 3
    assert {state[i] for line in left for state in line["s"] for i in places} == {0}
    rested = [line for line in lines if line["t"] == "row"]
    assert any(state[i] for line in rested for state in line["s"] for i in places)


def test_a_killed_run_is_verified_as_far_as_it_came(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, _ = asyncio.run(paper(tmp_path, "random", speed=20, end="SIGKILL"))
    assert code == -signal.SIGKILL
    assert main(["--verify", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "did not end in order" in said
    assert "0 differences" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what trades"),
        (["hold"], "say which markets"),
        (["nothing.zip", "--limit", "1"], "there is no model at nothing.zip"),
        (["hold", "--limit", "0"], "--limit 0"),
        (["hold", "--limit", "1", "--environment", "elsewhere"], "--environment: write"),
        (["hold", "--limit", "1", "--duration", "-1"], "--duration"),
        (["hold", "--limit", "1", "--position-limit", "0"], "position_limit"),
        (["--verify", "nowhere"], "name the folder of a run"),
        (["hold", "--limit", "1"], "wants a key"),
    ],
)
def test_mistakes_are_said_in_one_line(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("KALSHI_API_KEY_ID", "KALSHI_PRIVATE_KEY_FILE", "KALSHI_PRIVATE_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown
    assert list(tmp_path.iterdir()) == []


def test_other_settings_than_those_of_training_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sim = SimConfig(latency_ms=20, history=2, actions="maker")
    env = KalshiVecEnv(build_tape(SESSION), n_envs=1, config=sim)
    PPO("MlpPolicy", env, n_steps=8, batch_size=8, policy_kwargs={"net_arch": [4]}).save(
        tmp_path / "model.zip"
    )
    write_settings(tmp_path / "config.json", TrainConfig(sim=sim).to_json())
    nobody = ["--limit", "1", "--environment", "http://127.0.0.1:9"]
    for other in (["--latency-ms", "50"], ["--fill-model", "touch"], ["--actions", "five"]):
        assert main([str(tmp_path / "model.zip"), *nobody, *other]) == 2
        said = capsys.readouterr().err
        assert "with the settings it was trained with" in said
        assert "fill_model=" not in said.partition("not with")[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.zip"]


def test_a_log_that_was_changed_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kalshi_train.trading.log import DecisionLog

    log = DecisionLog(tmp_path / "run")
    values: list[dict[str, Any]] = [{"t": "start"}, {"t": "row", "a": 1}, {"t": "end"}]
    for line in values:
        log.write(line)
    log.close()
    assert list(read_log(tmp_path / "run"))[1]["a"] == 1
    path = tmp_path / "run" / NAME
    whole = path.read_bytes()
    parts = whole.splitlines(keepends=True)
    for damaged in (
        whole.replace(b'"a":1', b'"a":2'),
        parts[0] + parts[2],
        parts[0] + parts[1] + parts[1] + parts[2],
        parts[1] + parts[0] + parts[2],
    ):
        path.write_bytes(damaged)
        assert main(["--verify", str(tmp_path / "run")]) == 2
        assert "damaged, or was changed" in capsys.readouterr().err
    path.write_bytes(whole[:-5])
    assert [line["t"] for line in read_log(tmp_path / "run")] == ["start", "row"]
    assert main(["hold", "--limit", "1", "--out", str(tmp_path / "run")]) == 2

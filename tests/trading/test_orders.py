"""`kalshi-trade --orders local`: a policy's orders at the true queue, in real processes."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from kalshi_sim.live.band import STATE
from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.live.exchange.faults import Fault
from kalshi_sim.synthetic.session import generate_with_truth
from kalshi_sim.units import SIZE_SCALE, parse_contracts
from kalshi_train.cli.trade import main
from kalshi_train.trading.gap_table import rows_of
from kalshi_train.trading.log import read_log
from support.ordering import (
    begun,
    check_account,
    held_by,
    keys_in,
    lines_of,
    to_exchange,
    until_log,
)

SESSION, TRUTH = generate_with_truth(4, markets=6, minutes=10.0, seed=11)
BOOKS = "orderbook_delta"
POSITION = [name for name, _ in STATE].index("position")
FAULTS = (
    Fault(fault="skip_seq", channel=BOOKS, after=60),
    Fault(fault="http", status=503, path="/events/orders", count=5),
    Fault(fault="fill_before_order", seconds=0.3),
    Fault(fault="abort", channel=BOOKS, after=150),
)


def test_orders_of_a_policy_are_the_exchanges_and_end_with_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, account = keys_in(tmp_path)

    async def go() -> tuple[int | None, str, str]:
        async with LocalExchange(
            SESSION, truth=TRUTH, speed=40, keys=keys, faults=FAULTS
        ) as exchange:
            process = await begun(
                tmp_path, *to_exchange(exchange, tmp_path, "join-both-sides"), "--json"
            )
            asked = asyncio.create_task(process.communicate())
            await until_log(
                tmp_path, process, lambda log: log.count(b'"t":"fill"') > 2 and b"was lost" in log
            )
            process.send_signal(signal.SIGTERM)
            out, err = await asked
            assert {f.fault for f in exchange.exchange.faults.happened} == {f.fault for f in FAULTS}
        return process.returncode, out.decode(), err.decode()

    code, out, err = asyncio.run(go())
    assert code == 0, err
    result = json.loads(out)
    assert "orders go to http://127.0.0.1:" in err
    assert list(result["profit_cents"]) == ["through", "queue", "touch", "exchange"]
    assert result["resting"] == lines_of(tmp_path, "end")[-1]["resting"] == 0
    assert result["sent"] == len(lines_of(tmp_path, "sent")) > 5
    check_account(account, tmp_path)
    for market in result["markets"]:
        size = int(held_by(account)[market["market"]] / SIZE_SCALE)
        last = [line for line in lines_of(tmp_path, "left") if line["m"] == market["market"]]
        assert last[0]["real"][POSITION] == size == market["models"]["exchange"]["position"]
    assert main(["--verify", str(tmp_path / "run"), "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["differences"] == 0
    assert verdict["rows"] > 30
    gap = verdict["gap"]
    assert gap["orders"] + gap["not_compared"] == len(lines_of(tmp_path, "answer"))
    assert 0 < gap["contracts"] <= sum(parse_contracts(f["count_fp"]) for f in account.fills) / 100
    through, touch = gap["models"]["through"], gap["models"]["touch"]
    assert (through["more"], through["early"]) == (0, 0)
    assert touch["missed"] <= touch["missed_own_impact"]
    assert touch["contracts"] > through["contracts"]
    assert main(["--report", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gap"] == gap
    data = (tmp_path / "run" / "page.html").read_text("utf-8").split('id="run-data">')[1]
    assert json.JSONDecoder().raw_decode(data)[0]["gap"]["rows"] == rows_of(gap)


def test_a_killed_run_goes_on_where_the_exchange_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, account = keys_in(tmp_path)

    async def go() -> str:
        async with LocalExchange(SESSION, truth=TRUTH, speed=15, keys=keys) as exchange:
            words = (*to_exchange(exchange, tmp_path, "random"), "--pricing", "join")
            first = await begun(tmp_path, *words)
            await until_log(tmp_path, first, lambda log: log.count(b'"t":"sent"') > 12)
            first.kill()
            await first.communicate()
            resting = sum(order.remaining > 0 for order in account.orders.values())
            second = await begun(tmp_path, "--resume", str(tmp_path / "run"))
            asked = asyncio.create_task(second.communicate())
            await until_log(
                tmp_path, second, lambda log: log.partition(b'"leg":1')[2].count(b'"t":"sent"') > 5
            )
            third = await begun(tmp_path, "--resume", str(tmp_path / "run"))
            _, refused = await third.communicate()
            assert third.returncode == 2
            assert b"another recorder writes to" in refused
            second.send_signal(signal.SIGTERM)
            _, err = await asked
            assert second.returncode == 0, err.decode()
        return f"{resting}"

    resting = int(asyncio.run(go()))
    check_account(account, tmp_path)
    starts = lines_of(tmp_path, "start")
    assert [line["leg"] for line in starts] == [0, 1]
    assert starts[0]["config"] == starts[1]["config"]
    assert starts[0]["config"]["pricing"] == "join"
    assert starts[0]["limits"] == starts[1]["limits"]
    lines = list(read_log(tmp_path / "run"))
    after = lines[lines.index(starts[1]) :]
    again = next(line for line in after if line["t"] == "reconcile")
    first_order = next(line for line in after if line["t"] == "order")
    assert after.index(again) < after.index(first_order)
    taken = sum(line["t"] == "withdraw" for line in after[: after.index(again)])
    assert taken == resting
    assert main(["--verify", str(tmp_path / "run")]) == 0
    assert "0 differences" in capsys.readouterr().out
    words = ["hold", "--seed", "3", "--latency-ms", "5", "--resume", str(tmp_path / "run")]
    assert main(words) == 2
    assert "leave out: model, --seed, settings" in capsys.readouterr().err


def test_a_second_interrupt_leaves_nothing_at_the_exchange(tmp_path: Path) -> None:
    keys, account = keys_in(tmp_path)

    def resting() -> int:
        return sum(order.remaining > 0 for order in account.orders.values())

    async def go() -> tuple[int | None, str]:
        async with LocalExchange(SESSION, truth=TRUTH, speed=15, keys=keys) as exchange:
            process = await begun(tmp_path, *to_exchange(exchange, tmp_path, "join-both-sides"))
            asked = asyncio.create_task(process.communicate())
            await until_log(tmp_path, process, lambda log: resting() > 2)
            process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.05)
            process.send_signal(signal.SIGINT)
            _, err = await asked
        return process.returncode, err.decode()

    code, err = asyncio.run(go())
    assert code == 130, err
    assert "Traceback" not in err
    assert resting() == 0


def test_a_key_without_the_right_is_refused_in_a_line(tmp_path: Path) -> None:
    keys, account = keys_in(tmp_path)
    account.scopes = frozenset({"read"})
    keys_in(tmp_path / "unknown")

    async def go() -> list[tuple[int | None, str]]:
        async with LocalExchange(SESSION, truth=TRUTH, speed=15, keys=keys) as exchange:
            out = []
            for folder in (tmp_path, tmp_path / "unknown"):
                process = await begun(folder, *to_exchange(exchange, folder, "join-both-sides"))
                _, err = await process.communicate()
                out.append((process.returncode, err.decode().splitlines()[-1]))
        return out

    for code, said in asyncio.run(go()):
        assert code == 2
        assert "orders need a key of this environment with the right to trade" in said
    assert lines_of(tmp_path, "end")[-1]["resting"] is None
    assert not (tmp_path / "unknown" / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--orders", "local"], "orders are not sent to production"),
        (["--orders", "local", "--environment", "demo"], "feed and orders are of one exchange"),
        (["--orders", "demo", "--environment", "http://127.0.0.1:8765"], "feed and orders are of"),
        (["--orders", "demo", "--environment", "production"], "orders are not sent to production"),
        (["--orders", "local", "--environment", "http://127.0.0.2:8765"], "orders are not sent to"),
        (["--orders", "production"], "--orders"),
    ],
)
def test_orders_go_to_no_other_place(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["hold", "--limit", "1", "--out", str(tmp_path / "run"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_gone_on_with_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--resume", str(tmp_path)]) == 2
    assert "name the folder of a run" in capsys.readouterr().err

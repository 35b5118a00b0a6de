"""`kalshi-trade --orders local` as a process, at a local exchange in this one."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.live.exchange.accounts import Account, Keys
from kalshi_sim.live.keys import new_private_key, private_pem
from kalshi_sim.units import parse_contracts
from kalshi_train.trading.log import NAME, read_log

KEY = "trader"
_LONGEST_S = 90.0


def keys_in(folder: Path) -> tuple[Keys, Account]:
    """A key whose account may send as many orders as it likes; its files are put into `folder`."""
    key, keys = new_private_key(), Keys()
    account = keys.add(KEY, key.public_key(), Account("user", tier_name="prestige"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "id").write_text(KEY)
    (folder / "key.pem").write_bytes(private_pem(key))
    return keys, account


def words_of_key(folder: Path) -> list[str]:
    """The options that name the key in `folder`."""
    return ["--key-id-file", str(folder / "id"), "--key-file", str(folder / "key.pem")]


async def begun(folder: Path, *words: str) -> asyncio.subprocess.Process:
    """The command, begun."""
    code = "import sys; from kalshi_train.entry import trade; sys.exit(trade())"
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, *words, *words_of_key(folder), "--disk-floor-mib", "1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def to_exchange(exchange: LocalExchange, folder: Path, model: str) -> Sequence[str]:
    """Words of a run that sends a policy's orders to an exchange."""
    return (
        *(model, "--orders", "local", "--environment", exchange.url, "--limit", "50"),
        *("--out", str(folder / "run"), "--orders-per-minute", "100000"),
    )


async def until_log(
    folder: Path, process: asyncio.subprocess.Process, enough: Callable[[bytes], bool]
) -> None:
    """Wait until the log of a process's run has what is waited for."""
    log = folder / "run" / NAME
    async with asyncio.timeout(_LONGEST_S):
        while not log.exists() or not enough(log.read_bytes()):
            await asyncio.sleep(0.05)
            assert process.returncode is None


def lines_of(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of the run's log of one kind."""
    return [line for line in read_log(folder / "run") if line["t"] == kind]


def held_by(account: Account) -> Counter[str]:
    """Positions by the exchange's own fills: a market may be settled by now."""
    held: Counter[str] = Counter(dict.fromkeys(account.positions, 0))
    for fill in account.fills:
        bought = parse_contracts(fill["count_fp"])
        held[fill["market_ticker"]] += bought if fill["book_side"] == "bid" else -bought
    return held


def check_account(account: Account, folder: Path) -> None:
    """What the run knows at its end is what the exchange has, and nothing was sent twice."""
    known = lines_of(folder, "reconcile")[-1]
    assert {t: parse_contracts(s) for t, s in known["positions"].items()} == held_by(account)
    assert known["orders"] == []
    assert not any(order.remaining for order in account.orders.values())
    ids = Counter(order.client_order_id for order in account.orders.values())
    intents = Counter(line["id"] for line in lines_of(folder, "order"))
    assert set(intents.values()) == set(ids.values()) == {1}
    assert ids.keys() <= intents.keys()
    filled = Counter((f["trade"], f["oid"]) for f in lines_of(folder, "fill"))
    assert filled == Counter((f["trade_id"], f["order_id"]) for f in account.fills)

"""20 policies at the local exchange: how far simulation is from it, and that runs are replayed.

    python -m benchmarks.trading_gap                          # orders, on a generated session
    python -m benchmarks.trading_gap --recording FILE ...     # and on a recorded one
    python -m benchmarks.trading_gap --mode paper

Each policy is run by `kalshi-trade` over real sockets with faults injected, then verified; with
orders the gap is measured. Prints a line a run and the sums, and ends with 1 if a run differs from
its replay, `through` filled what the exchange did not, or `touch` missed what was not the order's
own doing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO

from kalshi_sim.config import SimConfig
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.live.exchange.accounts import Account, Keys
from kalshi_sim.live.exchange.faults import Fault
from kalshi_sim.live.keys import new_private_key, private_pem
from kalshi_sim.session import Session
from kalshi_sim.synthetic.session import generate_with_truth
from kalshi_sim.synthetic.truth import TrueQueue
from kalshi_sim.tape_build import build_tape
from kalshi_sim.vec_env import KalshiVecEnv
from kalshi_train.cli.trade import main as trade
from kalshi_train.config import TrainConfig
from kalshi_train.config_file import write_settings

BOOKS = "orderbook_delta"
MODELS = ("through", "queue", "prob", "touch")
BASELINES = (
    *("always-buy", "join-both-sides", "join-and-cancel", "skew-inventory"),
    *("skew-forecast", "momentum", "imbalance", "hold"),
)


def faults(orders: bool) -> list[Fault]:
    """What goes wrong in each run."""
    out = [
        Fault(fault="skip_seq", channel=BOOKS, after=150),
        Fault(fault="repeat_seq", channel=BOOKS, after=250),
        Fault(fault="reorder_seq", channel=BOOKS, after=350),
        Fault(fault="abort", channel=BOOKS, after=450),
        Fault(fault="error_25", channel=BOOKS, after=600),
        Fault(fault="silence", channel=BOOKS, after=750, seconds=0.1),
    ]
    if orders:
        out += [
            Fault(fault="http", status=503, path="/events/orders", count=2, after=4),
            Fault(fault="fill_before_order", seconds=0.05),
        ]
    return out


def policies(folder: Path) -> list[tuple[str, list[str]]]:
    """Names and words of 20 policies; models are trained for a moment."""
    tape = build_tape(generate_with_truth(1, markets=12, minutes=10.0, seed=5)[0])
    out = [(name, [name]) for name in BASELINES]
    for seed in range(6):
        words = ["--seed", str(seed), "--actions", ("maker", "five", "sized")[seed % 3]]
        words += ["--pricing", "join"] if seed % 3 == 1 else []
        out.append((f"random {seed}", ["random", *words]))
    kinds: list[tuple[str, Any, str, dict[str, Any]]] = [
        ("ppo 1", PPO, "MlpPolicy", {"seed": 1}),
        ("ppo 2", PPO, "MlpPolicy", {"seed": 2}),
        ("ppo join", PPO, "MlpPolicy", {"seed": 3}),
        ("recurrent 1", RecurrentPPO, "MlpLstmPolicy", {"seed": 4}),
        ("recurrent 2", RecurrentPPO, "MlpLstmPolicy", {"seed": 5}),
        ("maskable", MaskablePPO, "MlpPolicy", {"seed": 6}),
    ]
    for name, make, network, options in kinds:
        sim = SimConfig(actions="maker") if name != "ppo join" else SimConfig(pricing="join")
        small: dict[str, Any] = {"net_arch": [16]}
        if make is RecurrentPPO:
            small["lstm_hidden_size"] = 16
        env = KalshiVecEnv(tape, n_envs=2, config=sim, seed=1)
        model = make(network, env, n_steps=32, batch_size=64, policy_kwargs=small, **options)
        model.learn(128)
        place = folder / name.replace(" ", "-")
        place.mkdir()
        model.save(place / "model.zip")
        write_settings(place / "config.json", TrainConfig(sim=sim).to_json())
        out.append((name, [str(place / "model.zip")]))
    return out


@contextlib.contextmanager
def exchange(
    session: Session, truth: TrueQueue | None, folder: Path, **options: Any
) -> Iterator[tuple[str, Account]]:
    """A local exchange in a thread of its own; its address, and the account of the key."""
    key, keys = new_private_key(), Keys()
    account = keys.add("bench", key.public_key(), Account("user", 10**9, "prestige"))
    (folder / "id").write_text("bench")
    (folder / "key.pem").write_bytes(private_pem(key))
    begun, over = threading.Event(), threading.Event()
    url: list[str] = []

    async def go() -> None:
        async with LocalExchange(session, truth=truth, keys=keys, **options) as server:
            url.append(server.url)
            begun.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(go()))
    thread.start()
    begun.wait()
    try:
        yield url[0], account
    finally:
        over.set()
        thread.join()


def run(words: list[str]) -> tuple[int, str]:
    """`kalshi-trade` with these words; its exit code and what it printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = trade(words)
    return code, out.getvalue()


def one(
    name: str, words: list[str], what: dict[str, Any], folder: Path, mode: str, seconds: float
) -> dict[str, Any]:
    """One run and what verify says of it."""
    folder.mkdir()
    options = {k: v for k, v in what.items() if k not in ("session", "truth", "name")}
    with exchange(
        what["session"],
        what["truth"] if mode == "local" else None,
        folder,
        faults=faults(mode == "local"),
        **options,
    ) as (url, account):
        more = [*("--environment", url, "--limit", "50", "--duration", str(seconds))]
        more += ["--key-id-file", str(folder / "id"), "--key-file", str(folder / "key.pem")]
        more += ["--out", str(folder / "run"), "--disk-floor-mib", "1", "--json"]
        more += ["--orders", mode, "--orders-per-minute", "100000", "--status-every", "1000"]
        code, out = run([*words, *more])
        resting = sum(order.remaining > 0 for order in account.orders.values())
    verdict_code, verdict = run(["--verify", str(folder / "run"), "--json"])
    found: dict[str, Any] = {"policy": name, "session": what["name"], "code": code}
    result = json.loads(out)
    verified = json.loads(verdict)
    found |= {k: result.get(k) for k in ("decisions", "sent", "refused", "resting")}
    found |= {"verify": verdict_code, "differences": verified["differences"]}
    found |= {"rows": verified["rows"], "rests": resting, "fills": verified["fills"]}
    return found | {"gap": verified.get("gap")}


def line_of(found: dict[str, Any]) -> str:
    """A run in one line."""
    text = f"{found['policy']:16s} {found['session']:10s} rows {found['rows']:5d}"
    text += f" differences {found['differences']}"
    gap = found["gap"]
    if gap is None:
        return f"{text} fills {found['fills']:5d}"
    text += f" sent {found['sent']:4d} filled {gap['contracts']:7.0f} not compared "
    text += f"{gap['not_compared']:3d} profit {gap['profit_cents']:9.1f}"
    for model in MODELS:
        m = gap["models"][model]
        text += f" | {model} +{m['more']:.0f} early {m['early']:.0f} -{m['missed']:.0f}"
        text += f"({m['missed_own_impact']:.0f}) {m['profit_cents']:.1f}"
    return text


def total(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """All runs together."""
    gaps = [r["gap"] for r in runs if r["gap"] is not None]
    out: dict[str, Any] = {
        "runs": len(runs),
        "rows": sum(r["rows"] for r in runs),
        "differences": sum(r["differences"] for r in runs),
        "resting": sum(r["rests"] for r in runs),
    }
    for key in (
        "orders",
        "contracts",
        "taken",
        "own_impact",
        "after_a_gap",
        "not_compared",
        "profit_cents",
    ):
        out[key] = sum(gap[key] for gap in gaps)
    for model in MODELS:
        each = [gap["models"][model] for gap in gaps]
        keys = ["contracts", "early", "more", "missed", "missed_own_impact"]
        keys += ["profit_cents", "profit_resting_cents"]
        sums = {key: sum(m[key] for m in each) for key in keys}
        matched = out["contracts"] - sums["missed"]
        sums["recall"] = matched / out["contracts"] if out["contracts"] else None
        sums["precision"] = matched / sums["contracts"] if sums["contracts"] else None
        out[model] = sums
    return out


def main() -> int:
    """The series; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=("local", "paper"), default="local")
    parser.add_argument("--recording", type=Path, nargs="*", default=[])
    parser.add_argument("--skip", type=float, default=180.0, help="minutes of the recording")
    parser.add_argument("--speed", type=float, default=60.0, help="of the generated session")
    parser.add_argument("--recorded-speed", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--policies", type=int, default=20)
    parser.add_argument("--out", type=Path, help="JSON lines, one a run")
    parser.add_argument("--keep", type=Path, help="folder for the runs")
    given = parser.parse_args()
    session, truth = generate_with_truth(4, markets=12, minutes=12.0, seed=11)
    sessions: list[dict[str, Any]] = [
        {"name": "generated", "session": session, "truth": truth, "speed": given.speed}
    ]
    if given.recording:
        recorded = import_captures(given.recording, session_id=18)
        skip = round(given.skip * 60_000)
        sessions.append(
            {"name": "recorded", "session": recorded, "truth": None}
            | {"speed": given.recorded_speed, "skip_ms": skip}
        )
    runs = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        (folder / "models").mkdir(parents=True)
        for number, (name, words) in enumerate(policies(folder / "models")[: given.policies]):
            for what in sessions:
                place = folder / f"{number:02d}-{what['name']}"
                found = one(name, words, what, place, given.mode, given.seconds)
                runs.append(found)
                print(line_of(found), flush=True)
                if given.out is not None:
                    with given.out.open("a") as file:
                        file.write(json.dumps(found) + "\n")
    for what in sessions:
        of = [found for found in runs if found["session"] == what["name"]]
        print(what["name"], json.dumps(total(of), indent=2))
    bad = [r for r in runs if r["differences"] or r["verify"] or r["rests"]]
    for r in runs:
        models = r["gap"]["models"] if r["gap"] is not None else None
        if models is not None and (
            models["through"]["more"]
            or models["through"]["early"]
            or models["touch"]["missed"] > models["touch"]["missed_own_impact"]
        ):
            bad.append(r)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

"""Steps on a card have the bits of steps on a processor.

Without a card Numba's CUDA simulator takes its place, in a process of its own; `make test-cuda`
runs the same on a card.
"""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from kalshi_sim import SimConfig
from kalshi_sim.config import FillModel, Pricing
from kalshi_sim.errors import NoViewsError
from kalshi_sim.session import Session
from tests.support.card_runs import ENVS, Case, run_case, tape_of
from tests.support.random_markets import (
    START_TIMES,
    STYLES,
    MarketKnobs,
    MarketWalk,
    make_session,
    market_info,
)
from tests.support.recorded import SESSIONS, Recorded
from tests.support.strategies import random_config

STEPS = 24
ORDERS = ("sequential", "shuffle", "weighted")
TABLES = (("five", 5), ("sized", 21), ("maker", 16))
REAL = bool(os.environ.get("KALSHI_SIM_TEST_CUDA"))


def session_of(rng: random.Random) -> Session:
    """Three markets, of one payout or the other, whose grids and fees change and that pause."""
    known = rng.random() < 0.5
    fine = rng.random() < 0.5
    markets = []
    for i in range(3):
        knobs = MarketKnobs(
            seed=rng.randrange(2**32),
            moments=rng.randrange(12, 40),
            style=rng.choice(STYLES),
            fine=fine,
            whole_sizes=rng.random() < 0.5,
            nasty=rng.random() < 0.5,
        )
        walk = MarketWalk(knobs, rng.choice(START_TIMES), known)
        events = walk.run()
        info = market_info(rng, walk, f"KXTEST-26-M{i}", changing=rng.random() < 0.5)
        markets.append((info, events))
    return make_session(markets, session_id=1, trades_recorded=known)


def chosen(rng: random.Random, session: Session, k: int, **fixed: object) -> Case:
    """A case with settings drawn around those that are fixed; k goes through the other choices."""
    order = ORDERS[k % len(ORDERS)]
    name, count = TABLES[k // 3 % len(TABLES)]
    if name == "maker":
        fixed["time_in_force"] = "gtc"
    starts: dict[str, object] = {"random_start": k % 2 == 0, "market_order": order, "actions": name}
    starts["history"] = 1 + 2 * (k % 4 == 1)
    config = random_config(rng, **{**starts, **fixed})
    actions = [[rng.randrange(count) for _ in range(ENVS)] for _ in range(STEPS)]
    weights = (0.5, 0.0, 2.0) if order == "weighted" else ()
    return Case(
        session,
        config,
        k,
        np.array(actions),
        depth=rng.choice((1, 3, 10)),
        interval=rng.choice((1, 1, 1000)),
        weights=weights,
        divided=order == "sequential" and k % 2 == 1,
    )


def playable(rng: random.Random, k: int, **fixed: object) -> Case:
    """A case of the first drawn session in which there is something to play."""
    while True:
        case = chosen(rng, session_of(rng), k, **fixed)
        try:
            tape_of(case)
        except NoViewsError:
            continue
        return case


def on_card(cases: list[Case], folder: Path) -> list[dict[str, np.ndarray]]:
    """What the card (or its simulator) makes of the cases, in a process of its own."""
    given, out = folder / "cases", folder / "out"
    given.write_bytes(pickle.dumps(cases))
    simulated = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    env = {**os.environ, **({} if REAL else simulated)}
    command = [sys.executable, "-m", "tests.support.card_runs", str(given), str(out)]
    subprocess.run(command, check=True, env=env, cwd=Path(__file__).parents[2])
    made: list[dict[str, np.ndarray]] = pickle.loads(out.read_bytes())
    return made


def assert_equal(cases: list[Case], folder: Path) -> None:
    """The processor and the card give the same bits in every case."""
    for case, card in zip(cases, on_card(cases, folder), strict=True):
        own = run_case(case, on_card=False)
        assert own.keys() == card.keys(), case.config
        for name in own:
            np.testing.assert_array_equal(own[name], card[name], f"{name} of {case.config}")


def test_equal_over_generated_markets(tmp_path: Path) -> None:
    """All fill models, pricings and latencies, drawn settings beside them; both payouts, tables,
    orders of views, masks, fills, finished episodes and resumes."""
    rng = random.Random(17)
    fixed = product(get_args(FillModel), get_args(Pricing), (0, 100))
    cases = [
        playable(rng, k, fill_model=model, latency_ms=latency)
        if pricing == "cross"
        else playable(
            rng,
            k,
            fill_model=model,
            pricing=pricing,
            latency_ms=latency,
            time_in_force="gtc",
            cash_start=1_000_000,
        )
        for k, (model, pricing, latency) in enumerate(fixed)
    ]
    assert {case.config.time_in_force for case in cases} == {"gtc", "ioc"}
    assert {case.config.valuation for case in cases} == {"mid", "liquidation"}
    assert_equal(cases, tmp_path)


def test_equal_over_slices_of_recordings(tmp_path: Path, recorded: Recorded) -> None:
    """One quiet market of each recording; fill model, pricing and latency go round."""
    rng = random.Random(3)
    cases = []
    for k, name in enumerate(SESSIONS):
        store = recorded.store(name)
        whole = recorded.session(name)
        sizes = np.diff(whole.market_offsets)
        enough = min(300, int(sizes.max()))
        quiet = min((n, i) for i, n in enumerate(sizes.tolist()) if n >= enough)[1]
        ticker = whole.markets[quiet].ticker
        session = store.load(SESSIONS[name][0], markets=[ticker])
        models, pricings = get_args(FillModel), get_args(Pricing)
        fixed = {
            "fill_model": models[k % len(models)],
            "pricing": pricings[k % len(pricings)],
            "latency_ms": 30 * (k % 3),
            "time_in_force": "gtc",
        }
        cases.append(replace(chosen(rng, session, k, **fixed), interval=1))
    assert_equal(cases, tmp_path)


@pytest.mark.skipif(REAL, reason="there is a card")
def test_no_card_is_one_clear_line() -> None:
    from kalshi_sim.cuda.simulator import CudaSimulator
    from kalshi_sim.errors import ConfigError
    from kalshi_sim.synthetic.session import generate_session
    from kalshi_sim.tape_build import build_tape

    tape = build_tape([generate_session(1, markets=1, minutes=2, deltas=200)])
    with pytest.raises(ConfigError, match="device cuda") as raised:
        CudaSimulator(tape, 4, SimConfig())
    assert "\n" not in str(raised.value)

"""What can be learnt from the features: forecasts of the mid, and what trading on them earns.

    python -m benchmarks.signal                       # the NBA evening, or a generated session
    python -m benchmarks.signal --store sessions --sessions 7,18 --by day
    python -m benchmarks.signal --models fold-1.zip fold-2.zip fold-3.zip    # RL on the same split

Events (or days) are held out in turn. On the rest ridge regression (on all 40 features that the
agent does not change, and on six of microprice, imbalance and flow) and a small network learn how
the mid moves in the next 1, 10 and 60 s. R2 is over the held-out rows, against a forecast of no
move, with an interval by event.
Then the held-out markets are played on the ridge forecast of 10 s: by a taker that crosses where it
is in the top hundredth and closes when it turns, and by a maker that joins the side it points to
and cancels when it turns; beside them the maker that asks no forecast, and the models given, one a
fold.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
import torch
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks import sessions
from benchmarks.folds import By, episodes_of, folds_of
from benchmarks.forecasts import (
    HORIZONS_S,
    SIX,
    Linear,
    forecast,
    network,
    ridge,
    sample,
    seen_features,
)
from kalshi_sim import SimConfig, Tape, build_tape, open_store
from kalshi_sim.actions import TABLES
from kalshi_sim.kernels.layout import BUY_NO, BUY_YES, HOLD, SELL_NO, SELL_YES
from kalshi_sim.kernels.observation import (
    ASK_DISTANCE,
    ASK_WORKING,
    BID_DISTANCE,
    BID_WORKING,
    POSITION,
)
from kalshi_sim.tape import MarketSessionView
from kalshi_train.evaluation import BASELINES
from kalshi_train.evaluation.intervals import mean_interval, student_quantile
from kalshi_train.evaluation.kernels import FIVE_ORDERS, ONE_ORDER
from kalshi_train.evaluation.measure import Episode, event_of, events, profits
from kalshi_train.evaluation.options import CONFIDENCE
from kalshi_train.evaluation.policies import Policy, policy_from_model
from kalshi_train.flag_types import SessionIds
from kalshi_train.models import load_model

TRADED: Final = 1
"""Index of the horizon that is traded on."""
TOP: Final = 99.0
"""Percentile of the forecasts' size from which the taker crosses."""
MAKER: Final = TABLES["maker"].names
CANCEL_YES, CANCEL_NO = MAKER.index("cancel_yes"), MAKER.index("cancel_no")
JOIN_YES, JOIN_NO = MAKER.index("buy_yes_join"), MAKER.index("buy_no_join")
Float32Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Forecast held-out markets, and trade on it."""

    store: str | None = None
    sessions: SessionIds = ()
    """Of the store; without, the recording that benchmarks use."""
    by: By = "event"
    held_out: int = 2
    """Events a fold."""
    models: tuple[Path, ...] = ()
    """Models that learnt on the same folds, one each, in their order."""
    fill_models: tuple[str, ...] = ("through", "queue", "touch")
    every: int = 4
    """Learn from and judge each row that is a multiple of this; 0: the first row of each second."""
    seed: int = 0
    forecasts_only: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Trade on nothing; a matter of a minute."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


@dataclass(frozen=True)
class Fit:
    """How well one kind of forecast does at one horizon, over all held-out rows."""

    kind: str
    horizon_s: int
    rows: int
    r2: float
    low: float
    high: float
    """Ends of the 95 % interval by event."""
    t: float
    events_above_zero: int
    events: int


@dataclass(frozen=True)
class Trader:
    """What one policy earned on all held-out markets under one fill model."""

    policy: str
    fill_model: str
    profit_cents: float
    """A market, after fees."""
    low: float | None
    high: float | None
    contracts: int
    cents_a_contract: float | None
    """Profit over contracts traded."""


def fit_of(kind: str, horizon: int, actual: FloatArray, said: FloatArray, names: Any) -> Fit:
    """R2 against a forecast of no move, with its interval by event (ratio of sums)."""
    known = np.isfinite(actual)
    actual, said, names = actual[known], said[known], np.asarray(names)[known]
    whole, index = np.unique(names, return_inverse=True)
    there = np.bincount(index, weights=actual**2)
    saved = there - np.bincount(index, weights=(actual - said) ** 2)
    n, r2 = len(whole), float(saved.sum() / there.sum())
    error = math.sqrt(n / (n - 1) * float(((saved - r2 * there) ** 2).sum())) / float(there.sum())
    half = student_quantile(CONFIDENCE, n - 1) * error
    above = int((saved > 0).sum())
    return Fit(
        kind, HORIZONS_S[horizon], len(actual), r2, r2 - half, r2 + half, r2 / error, above, n
    )


def taker(ask: Callable[[Int64Array, Float32Array], tuple[FloatArray, FloatArray]]) -> Any:
    """Crosses where the forecast is large, closes when it has turned; one order's worth."""

    def choose(episodes: Int64Array, seen: Float32Array, masks: Any) -> Int64Array:
        said, large = ask(episodes, seen)
        held = seen[:, POSITION]
        actions = np.full(len(seen), HOLD)
        actions[(said > large) & (held < ONE_ORDER)] = BUY_YES
        actions[(said < -large) & (held > -ONE_ORDER)] = BUY_NO
        actions[(held > 0) & (said <= 0)] = SELL_YES
        actions[(held < 0) & (said >= 0)] = SELL_NO
        return actions

    return choose


def maker(ask: Callable[[Int64Array, Float32Array], tuple[FloatArray, FloatArray]]) -> Any:
    """Joins the side that the forecast points to, cancels when it turns; five orders at most."""

    def choose(episodes: Int64Array, seen: Float32Array, masks: Any) -> Int64Array:
        said, large = ask(episodes, seen)
        held = seen[:, POSITION]
        bid, ask_there = seen[:, BID_WORKING] > 0, seen[:, ASK_WORKING] > 0
        moved = (seen[:, BID_DISTANCE] != 0, seen[:, ASK_DISTANCE] != 0)
        actions = np.full(len(seen), HOLD)
        actions[(said > large) & (held < FIVE_ORDERS) & (~bid | moved[0])] = JOIN_YES
        actions[(said < -large) & (held > -FIVE_ORDERS) & (~ask_there | moved[1])] = JOIN_NO
        actions[(said < 0) & bid] = CANCEL_YES
        actions[(said > 0) & ask_there] = CANCEL_NO
        return actions

    return choose


def on_forecasts(
    name: str, make: Any, forecasts: dict[str, tuple[Linear, float]], actions: str
) -> Policy:
    """A policy that asks of each event the forecast that was trained without it."""

    def begin(views: Sequence[MarketSessionView]) -> Any:
        found = [forecasts[event_of(v)] for v in views]
        weights = np.stack([f.weights for f, _ in found])
        constants = np.array([f.constant for f, _ in found])
        large = np.array([size for _, size in found])

        def ask(episodes: Int64Array, seen: Float32Array) -> tuple[FloatArray, FloatArray]:
            said = (seen_features(seen) * weights[episodes]).sum(axis=1) + constants[episodes]
            return said, large[episodes]

        return make(ask)

    settings = {"actions": actions, "pricing": "cross", "time_in_force": "gtc"}
    return Policy(name, "trades on a forecast", begin=begin, settings=settings, history=1)


def row_of(name: str, fill_model: str, played: Sequence[Episode]) -> Trader:
    """What one policy earned."""
    found = mean_interval(profits(played), events(played))
    contracts = sum(e.figures.contracts for e in played)
    total = sum(e.figures.profit_cents for e in played)
    each = total / contracts if contracts else None
    return Trader(name, fill_model, found.mean, found.low, found.high, contracts, each)


def play(tape: Tape, policies: dict[str, Policy], fill_models: Sequence[str]) -> list[Trader]:
    """Play all markets with each policy under each fill model."""
    rows = []
    for name, policy in policies.items():
        for fill_model in fill_models:
            config = SimConfig(fill_model=fill_model)  # type: ignore[arg-type]  # checked by it
            rows.append(row_of(name, fill_model, episodes_of(policy, tape, config)))
    return rows


def measure(tape: Tape, arguments: Arguments) -> tuple[list[Fit], list[Trader]]:
    """Forecasts and what trading on them earned, every event held out once."""
    samples = sample(tape, arguments.every)
    kinds = ("ridge", "ridge of 6", "network")
    said = {kind: np.full(samples.moves.shape, np.nan) for kind in kinds}
    takers: dict[str, tuple[Linear, float]] = {}
    makers: dict[str, tuple[Linear, float]] = {}
    folds = folds_of(tape, arguments.held_out, arguments.by)
    for number, views in enumerate(folds):
        out = sorted({event_of(tape.views[i]) for i in views})
        there = np.isin(samples.events, out)
        train = samples.of(~there)
        linear = [ridge(train, k) for k in range(len(HORIZONS_S))]
        for k, model in enumerate(linear):
            said["ridge"][there, k] = model(samples.features[there])
            few = ridge(train, k, SIX)
            said["ridge of 6"][there, k] = few(samples.features[there])
        net = network(train, arguments.seed + number)
        said["network"][there] = forecast(net, samples.features[there])
        size = np.abs(linear[TRADED](train.features))
        for event in out:
            takers[event] = (linear[TRADED], float(np.percentile(size, TOP)))
            makers[event] = (linear[TRADED], float(np.median(size)))
    fits = [
        fit_of(kind, k, samples.moves[:, k], given[:, k], samples.events)
        for kind, given in said.items()
        for k in range(len(HORIZONS_S))
    ]
    if arguments.forecasts_only:
        return fits, []
    policies = {
        "taker on the forecast": on_forecasts("taker on the forecast", taker, takers, "five"),
        "maker on the forecast": on_forecasts("maker on the forecast", maker, makers, "maker"),
        "join-both-sides": BASELINES["join-both-sides"],
    }
    traders = play(tape, policies, arguments.fill_models)
    if arguments.models:
        traders += learnt(tape, folds, arguments)
    return fits, traders


def learnt(tape: Tape, folds: Sequence[list[int]], arguments: Arguments) -> list[Trader]:
    """What models earned, each on the markets that its fold held out."""
    if len(arguments.models) != len(folds):
        raise SystemExit(f"{len(folds)} folds need as many models, not {len(arguments.models)}")
    rows = []
    for fill_model in arguments.fill_models:
        played: list[Episode] = []
        for path, views in zip(arguments.models, folds, strict=True):
            policy = policy_from_model(load_model(path), "RL")
            rules: dict[str, Any] = {"fill_model": fill_model}
            table = getattr(policy.model.action_space, "actions", "five")  # type: ignore[union-attr]  # it is loaded
            config = SimConfig(**rules, actions=table)
            played += episodes_of(policy, tape.select(views), config)
        rows.append(row_of("RL on the same split", fill_model, played))
    return rows


def show(fits: Sequence[Fit], traders: Sequence[Trader]) -> None:
    """Two tables, and what RL reached of the greedy trader."""
    console = Console(width=100)
    table = Table(
        "forecast", "ahead", "rows", "R2", "95 % interval by event", "t", "events above 0"
    )
    for f in fits:
        ends = f"{f.low:+.4f} to {f.high:+.4f}"
        above = f"{f.events_above_zero} of {f.events}"
        values = (f"{f.horizon_s} s", f"{f.rows:,}", f"{f.r2:+.4f}", ends, f"{f.t:.1f}", above)
        table.add_row(f.kind, *values)
    console.print(table)
    if not traders:
        return
    table = Table(
        "policy", "fills as", "cents a market", "interval", "contracts", "cents a contract"
    )
    for t in traders:
        ends = "-" if t.low is None else f"{t.low:+.0f} to {t.high:+.0f}"
        each = "-" if t.cents_a_contract is None else f"{t.cents_a_contract:+.2f}"
        table.add_row(
            t.policy, t.fill_model, f"{t.profit_cents:+.0f}", ends, f"{t.contracts:,}", each
        )
    console.print(table)
    for rl in (t for t in traders if t.policy.startswith("RL")):
        greedy = [t for t in traders if "forecast" in t.policy and t.fill_model == rl.fill_model]
        best = max(greedy, key=lambda t: t.profit_cents)
        both = min(rl.profit_cents, best.profit_cents) > 0
        share = f"{rl.profit_cents / best.profit_cents:.0%} of" if both else "beside"
        console.print(
            f"{rl.fill_model}: RL {rl.profit_cents:+.0f} cents a market, {share} the best trader "
            f"on the forecast ({best.policy}, {best.profit_cents:+.0f})"
        )


def tape_of(arguments: Arguments) -> Tape:
    """The markets of the sessions named, or of the recording that benchmarks use."""
    if not arguments.sessions:
        return sessions.tape(sessions.main_name())
    store = open_store(arguments.store)
    return build_tape([store.load(number) for number in arguments.sessions])


def main() -> None:
    """Measure and print."""
    arguments = tyro.cli(Arguments, description=__doc__)
    torch.set_num_threads(1)
    fits, traders = measure(tape_of(arguments), arguments)
    if arguments.json:
        print(
            json.dumps({"fits": [asdict(f) for f in fits], "traders": [asdict(t) for t in traders]})
        )
    else:
        show(fits, traders)


if __name__ == "__main__":
    main()

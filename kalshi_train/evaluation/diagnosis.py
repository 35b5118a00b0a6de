"""Why does it trade as it does, or not at all? What a policy's own choices say of that."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.config import SimConfig
from kalshi_sim.tape import Tape
from kalshi_sim.units import money_per_cent
from kalshi_train.evaluation.episodes import play_all
from kalshi_train.evaluation.explain import sentence_of
from kalshi_train.evaluation.figures import TotalFigures
from kalshi_train.evaluation.intervals import mean_interval
from kalshi_train.evaluation.measure import event_of
from kalshi_train.evaluation.played import Played
from kalshi_train.evaluation.policies import Policy
from kalshi_train.evaluation.sampled import Drawn, can_be_drawn

FloatArray = npt.NDArray[np.float64]

BUCKETS: Final = ((0, 1, "1"), (1, 2, "2"), (2, 5, "3 to 5"), (5, 100, "6 and more"))
"""Spreads in cents: above, at most, and as they are named."""
FEW_ORDERS: Final = 30
"""Orders of a bucket below which nothing is said of their advantage."""
DISCOUNT: Final = 0.99
"""Of models that keep none of their own."""


@dataclass(frozen=True)
class SpreadBucket:
    """Drawn orders against drawn holds, at rows whose spread lies between two numbers of cents."""

    spread_cents: str
    rows: int
    orders: int
    """Rows at which a valid order was drawn."""
    advantage_cents: float | None
    """What an order gained more than a hold, discounted as the model does; None with few."""
    standard_error_cents: float | None
    """By event; None with a single one."""


@dataclass(frozen=True)
class Diagnosis:
    """What a policy's choices say, under the chosen fill model; money in cents a market."""

    policy: str
    profit_cents: float
    """Of the most probable actions."""
    closed_cents: float
    """Part of it, before fees, of contracts sold or met by those of the other side."""
    settled_cents: float
    """Of contracts that a market's result paid out."""
    marked_cents: float
    """Of contracts still held at the end."""
    fees_cents: float
    hold_share: float
    invalid_share: float
    """Steps at which the most probable action was invalid and did nothing."""
    seeds: int
    """With which its actions were drawn."""
    drawn_profit_cents: float | None
    """Of drawn actions; None if none were drawn, as all below."""
    drawn_low_cents: float | None
    drawn_high_cents: float | None
    drawn_order_share: float | None
    """Share of rows at which a valid order was drawn."""
    entropy: float | None
    """Mean entropy of the actions' distribution, in nats."""
    entropy_share: float | None
    """Of the largest there is."""
    masked_share: float | None
    """Share of actions that were invalid, over the rows it stood on."""
    buckets: tuple[SpreadBucket, ...]
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """The figures by name, as JSON has them."""
        return asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Diagnosis:
        """What `to_json` gave."""
        buckets = tuple(SpreadBucket(**b) for b in values["buckets"])
        return Diagnosis(**{**values, "buckets": buckets})


@dataclass(frozen=True)
class _Draws:
    """What one seed's drawn episode gave at each of its steps."""

    event: str
    profit_cents: float
    spread: FloatArray
    """[steps] in cents"""
    gain: FloatArray
    """[steps] discounted change of equity from there on, in cents"""
    order: npt.NDArray[np.bool_]
    """[steps] a valid order was drawn"""
    hold: npt.NDArray[np.bool_]


def diagnose(
    policy: Policy,
    tape: Tape,
    config: SimConfig,
    total: TotalFigures,
    steps: int,
    *,
    seeds: int,
    seed: int = 0,
    confidence: float,
    resamples: int,
) -> Diagnosis:
    """What the choices of a policy on some markets say.

    Args:
        policy: of a model; of anything else, and with no seeds, actions are not drawn.
        tape: the markets.
        config: settings of the simulation.
        total: what its most probable actions came to there.
        steps: how many there were.
        seeds: how often its actions are drawn on every market.
        seed: the first of them.
        confidence: of the interval.
        resamples: of the bootstrap over events.
    """
    drawn: list[Drawn] = []
    episodes: list[_Draws] = []
    if can_be_drawn(policy):
        for number in range(seeds):
            drawn.append(Drawn(policy, seed + number))
            episodes += _draw(drawn[-1], tape, config)
    n = total.markets
    parts = {
        f"{name}_cents": getattr(total, f"{name}_cents") / n
        for name in ("profit", "closed", "settled", "marked", "fees")
    }
    low = high = mean = None
    if episodes:
        profit = np.array([e.profit_cents for e in episodes])
        groups = [e.event for e in episodes]
        found = mean_interval(profit, groups, confidence=confidence, resamples=resamples, seed=seed)
        mean, low, high = found.mean, found.low, found.high
    rows = sum(d.rows for d in drawn)
    entropy = sum(d.entropy for d in drawn) / rows if rows else None
    figures: dict[str, Any] = {
        "policy": policy.name,
        **parts,
        "hold_share": total.actions["hold"],
        "invalid_share": total.invalid_actions / max(1, steps),
        "seeds": len(drawn),
        "drawn_profit_cents": mean,
        "drawn_low_cents": low,
        "drawn_high_cents": high,
        "drawn_order_share": sum(int(e.order.sum()) for e in episodes) / rows if rows else None,
        "entropy": entropy,
        "entropy_share": None if entropy is None else entropy / math.log(len(total.actions)),
        "masked_share": sum(d.masked for d in drawn) / rows if rows else None,
        "buckets": tuple(_bucket(episodes, *b) for b in BUCKETS) if episodes else (),
    }
    sentence = sentence_of(figures, total.fills, can_be_drawn(policy))
    return Diagnosis(**figures, sentence=sentence)


def _draw(drawn: Drawn, tape: Tape, config: SimConfig) -> list[_Draws]:
    import torch

    gamma = float(getattr(drawn.policy.model, "gamma", DISCOUNT))

    def use(played: Played) -> _Draws:
        return _draws_of(tape, config, played, drawn, gamma)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several share a product by the machine's load, to other last bits
    try:
        return play_all(tape, config, drawn.policy, use, record_fills=False)
    finally:
        torch.set_num_threads(threads)


def _draws_of(tape: Tape, config: SimConfig, played: Played, drawn: Drawn, gamma: float) -> _Draws:
    view, cent = played.view, money_per_cent(tape.payout)
    steps = len(played.equity2) - 1
    change = np.diff(played.equity2) / (2 * cent)
    later = accumulate(change[::-1].tolist(), lambda after, now: now + gamma * after)
    best = tape.best_bids(slice(view.start, view.start + steps))
    actions = played.actions[:-1]
    rows = played.table.rows
    is_order = np.array([row.is_order for row in rows])[actions]
    is_hold = np.array([row.kind == "hold" for row in rows])[actions]
    valid = drawn.valid[view.session_id, view.market_ticker][:steps]
    return _Draws(
        event=event_of(view),
        profit_cents=float(played.equity2[-1] / (2 * cent) - config.cash_start),
        spread=(tape.payout - best.sum(axis=1)) / cent,
        gain=np.array(list(later), np.float64)[::-1],
        order=is_order & valid,
        hold=is_hold,
    )


def _bucket(episodes: Sequence[_Draws], above: float, most: float, name: str) -> SpreadBucket:
    """Orders against holds of one bucket, event by event, weighted by orders."""
    rows = orders = 0
    sums: dict[str, FloatArray] = {}
    for e in episodes:
        inside = (e.spread > above) & (e.spread <= most)
        order, hold = inside & e.order, inside & e.hold
        rows, orders = rows + int(inside.sum()), orders + int(order.sum())
        found = [order.sum(), e.gain[order].sum(), hold.sum(), e.gain[hold].sum()]
        sums[e.event] = sums.get(e.event, np.zeros(4)) + np.array(found, np.float64)
    both = [s for s in sums.values() if s[0] > 0 and s[2] > 0]
    counted = sum(s[0] for s in both)
    if counted < FEW_ORDERS:
        return SpreadBucket(name, rows, orders, None, None)
    weights = np.array([s[0] for s in both])
    gained = np.array([s[1] / s[0] - s[3] / s[2] for s in both])
    mean = float((weights * gained).sum() / counted)
    error = None
    if len(both) > 1:
        rest = weights * (gained - mean)
        error = float(math.sqrt(len(both) / (len(both) - 1) * (rest**2).sum()) / counted)
    return SpreadBucket(name, rows, orders, mean, error)

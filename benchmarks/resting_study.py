"""Resting orders of generated sessions: what each fill model gives them, and the truth.

Orders are stood in the simulation at any price (the actions only join or improve), at the end of
a row and behind what its level then shows, as docs/contract.md#6-resting-orders-fill-models says.
The truth is the generator's own queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_sim import BatchSimulator, SimConfig
from kalshi_sim.config import FillModel
from kalshi_sim.kernels import layout
from kalshi_sim.session import EventKind, Session
from kalshi_sim.synthetic.truth import TrueQueue
from kalshi_sim.tape import Tape
from kalshi_sim.units import SIZE_SCALE, money_per_cent, stored_per_money

Int64Array = npt.NDArray[np.int64]

RICH = 10**9
"""Cents: orders of a study are never cut for lack of cash."""
BATCH = 1024
LEAST_ROWS_LEFT = 5
"""Orders are placed no later than so many rows before a view's end."""


@dataclass(frozen=True)
class Orders:
    """Orders to place; every array is int64 [n]."""

    view: Int64Array
    row: Int64Array
    """Row of the view after which it arrives."""
    side: Int64Array
    price: Int64Array
    """Money of the tape."""
    ahead: Int64Array
    """Contracts its level shows then."""
    distance: Int64Array
    """Cents behind the best price of its side; -1 is better than the best."""
    size: int

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, rows: Int64Array) -> Orders:
        return Orders(
            self.view[rows],
            self.row[rows],
            self.side[rows],
            self.price[rows],
            self.ahead[rows],
            self.distance[rows],
            self.size,
        )


class Fills(NamedTuple):
    """Fills of `Orders`, in order of order and row; int64 [n] each."""

    order: Int64Array
    row: Int64Array
    """Row of the view whose events filled it."""
    contracts: Int64Array


def without_trades(session: Session) -> Session:
    """The session as a recorder without the trade channel would have it."""
    keep = session.events.kind != EventKind.TRADE
    events = session.events[keep]
    counts = np.concatenate([[0], np.cumsum(keep)])
    return replace(
        session,
        events=replace(events, traded=np.zeros_like(events.traded)),
        market_offsets=counts[session.market_offsets],
        trades_recorded=False,
    )


def draw_orders(
    tape: Tape,
    rng: np.random.Generator,
    *,
    per_view: int,
    size: int,
    distances: tuple[int, ...],
    truth: TrueQueue | None = None,
) -> Orders:
    """Orders at random rows and sides of every view, `per_view` for each distance in cents.

    With `truth` they stand on the grid of their market only.
    """
    found: list[tuple[int, ...]] = []
    cent, scale = money_per_cent(tape.payout), stored_per_money(tape.payout)
    for v, view in enumerate(tape.views):
        last = len(view) - LEAST_ROWS_LEFT
        grid = None if truth is None else set(truth.logs[view.market_ticker].grid.tolist())
        if last < 1:
            continue
        for distance in distances:
            for _ in range(per_view):
                row, side = int(rng.integers(last)), int(rng.integers(2))
                shown = tape.px[view.start + row], tape.qty[view.start + row]
                best, opposite = int(shown[0][side, 0]), int(shown[0][1 - side, 0])
                price = best - distance * cent
                if best == 0 or price <= 0 or price + opposite >= tape.payout:
                    continue
                if grid is not None and price * scale not in grid:
                    continue
                if price < shown[0][side, -1]:
                    continue  # beyond the tape's depth
                at = np.flatnonzero(shown[0][side] == price)
                ahead = int(shown[1][side, at[0]]) if len(at) else 0
                found.append((v, row, side, price, ahead, distance))
    view_of, row_of, side_of, price_of, ahead_of, distance_of = (
        np.array(found, dtype=np.int64).reshape(-1, 6).T
    )
    return Orders(view_of, row_of, side_of, price_of, ahead_of, distance_of, size)


def batches(tape: Tape, orders: Orders) -> Iterator[Int64Array]:
    """Indices of orders in batches of views of about the same length."""
    lengths = np.array([len(view) for view in tape.views])[orders.view]
    order = np.argsort(lengths, kind="stable")
    for first in range(0, len(order), BATCH):
        yield order[first : first + BATCH]


def simulated_fills(tape: Tape, orders: Orders, model: FillModel) -> Fills:
    """What the simulation fills of each order if nothing else is done until the view ends."""
    parts: list[npt.NDArray[np.int64]] = [np.empty((0, 3), np.int64)]
    config = SimConfig(
        cash_start=RICH,
        order_size=orders.size,
        max_position=orders.size,
        fill_model=model,
        record_fills=True,
    )
    for chosen in batches(tape, orders):
        part = orders[chosen]
        simulator = BatchSimulator(tape, len(part), config)
        simulator.reset()
        for env, view in enumerate(part.view):
            simulator.reset_one(env, int(view))
        alive = np.ones(len(part), np.bool_)
        hold = np.zeros(len(part), np.int64)
        row = 0
        while alive.any():
            stand_orders(simulator, part, np.flatnonzero(alive & (part.row == row)))
            _, _, done, _ = simulator.step(hold)
            row += 1
            fills = simulator.fills()
            fills = fills[alive[fills["env"]]]
            if len(fills):
                rows = np.full(len(fills), row)
                parts.append(np.stack([chosen[fills["env"]], rows, fills["qty"]], axis=1))
            alive &= done == 0
        simulator.close()
    table = np.concatenate(parts)
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    return Fills(*table.T)


def stand_orders(simulator: BatchSimulator, orders: Orders, which: Int64Array) -> None:
    """Let orders stand in their environments, behind all that their levels show."""
    core, side = simulator.agents.core, orders.side[which]
    core[which, layout.A_PRICE + side] = orders.price[which]
    core[which, layout.A_SIZE + side] = orders.size
    core[which, layout.A_AHEAD + side] = orders.ahead[which]
    core[which, layout.A_ENTERED + side] = simulator.tape.ts_ms[core[which, layout.A_ROW]]


def true_fills(tape: Tape, truth: TrueQueue, orders: Orders, *, hidden: bool = True) -> Fills:
    """What price-time priority gives each order until its view ends."""
    scale = stored_per_money(tape.payout)
    parts: list[npt.NDArray[np.int64]] = [np.empty((0, 3), np.int64)]
    for i in range(len(orders)):
        view = tape.views[int(orders.view[i])]
        times = tape.ts_ms[view.start : view.stop]
        fills = truth.fills(
            view.market_ticker,
            int(times[orders.row[i]]),
            int(orders.side[i]),
            int(orders.price[i]) * scale,
            orders.size * SIZE_SCALE,
            hidden=hidden,
        )
        in_time = fills.ts_ms <= times[-1]
        rows = np.searchsorted(times, fills.ts_ms[in_time])
        whole = np.cumsum(fills.size[in_time]) // SIZE_SCALE
        contracts = np.diff(whole, prepend=0)
        parts.append(np.stack([np.full(len(rows), i), rows, contracts], axis=1))
    return Fills(*np.concatenate(parts).T)


def contract_rows(fills: Fills, n: int, size: int) -> Int64Array:
    """Row in which the k-th contract of each order filled: int64 [n, size], -1 if it did not."""
    out = np.full((n, size), -1, np.int64)
    order = np.repeat(fills.order, fills.contracts)
    rows = np.repeat(fills.row, fills.contracts)
    firsts = np.searchsorted(order, np.arange(n))
    out[order, np.arange(len(order)) - firsts[order]] = rows
    return out


Policy = Callable[[npt.NDArray[np.float32], int], Int64Array]
"""Actions int64 [n] from observations [n, 52] and the number of steps so far."""


def play(tape: Tape, config: SimConfig, policy: Policy, seed: int = 0) -> npt.NDArray[np.float64]:
    """Profit in cents of one episode on every view, float64 [views]."""
    profit = np.zeros(len(tape.views))
    order = np.argsort([len(view) for view in tape.views], kind="stable")
    for first in range(0, len(order), BATCH):
        views = order[first : first + BATCH]
        simulator = BatchSimulator(tape, len(views), config, seed)
        simulator.reset()
        for env, view in enumerate(views):
            simulator.reset_one(env, int(view))
        observations = simulator.observations
        alive = np.ones(len(views), np.bool_)
        step = 0
        while alive.any():
            observations, _, _, finished = simulator.step(policy(observations, step))
            step += 1
            for k, env in enumerate(() if finished is None else finished.envs):
                if finished is not None and alive[env]:
                    result = simulator.episode(finished, k)
                    profit[views[env]] = result["equity_cents"] - config.cash_start
                    alive[env] = False
        simulator.close()
    return profit

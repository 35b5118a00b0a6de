"""What leaving the trades of a recording out does to each fill model.

    python -m benchmarks.recorded_fills STORE ID [ID ...]

Of a recording nobody knows the truth. With its trades `queue` is never further ahead than the true
order and close to it (docs/fill-models.md), so the same orders under `queue` with trades stand in
for the truth here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import tyro

from benchmarks.resting_study import Int64Array, draw_orders, simulated_fills, without_trades
from kalshi_sim import build_tape, open_store
from kalshi_sim.config import FillModel
from kalshi_sim.session import Session

DISTANCES: Final = (-1, 0, 1, 2)
BARE_MODELS: Final[tuple[FillModel, ...]] = ("through", "queue", "prob", "touch")


@dataclass(frozen=True)
class Arguments:
    """Compare the fill models without trades with `queue` with trades, on recordings."""

    store: Annotated[str, tyro.conf.Positional]
    sessions: Annotated[tuple[int, ...], tyro.conf.Positional]
    per_market: int = 8
    """Orders for each distance from the best price."""
    size: int = 10


def filled(session: Session, per_market: int, size: int) -> dict[str, Int64Array]:
    """Contracts filled by event: int64 [events] for `queue` with trades and each model without."""
    tape, bare = build_tape([session]), build_tape([without_trades(session)])
    rng = np.random.default_rng(session.session_id)
    orders = draw_orders(tape, rng, per_view=per_market, size=size, distances=DISTANCES)
    events = sorted({m.event for m in session.markets})
    event_of = {m.ticker: events.index(m.event) for m in session.markets}
    at = np.array([event_of[view.market_ticker] for view in tape.views])[orders.view]
    found = {"events": np.arange(len(events))}
    runs = [("trades", tape, "queue"), *((m, bare, m) for m in BARE_MODELS)]
    for name, book, model in runs:
        fills = simulated_fills(book, orders, model)
        sums = np.bincount(at[fills.order], fills.contracts, len(events))
        found[name] = sums.astype(np.int64)
    return found


def lines(found: Iterable[dict[str, Int64Array]]) -> list[str]:
    """The biases over all events together, and the least and largest of one, as Markdown."""
    parts = list(found)
    truth = np.concatenate([p["trades"] for p in parts])
    out = ["| model, trades left out | bias, contracts | by event |", "|---|---|---|"]
    for model in BARE_MODELS:
        got = np.concatenate([p[model] for p in parts])
        each = got[truth > 0] / truth[truth > 0] - 1.0
        spread = f"{each.min():+.0%} to {each.max():+.0%}"
        out.append(f"| `{model}` | {got.sum() / truth.sum() - 1.0:+.1%} | {spread} |")
    return out


def main() -> int:
    """Run the comparison; returns the exit code."""
    arguments = tyro.cli(Arguments)
    store = open_store(arguments.store)
    found = [
        filled(store.load(number), arguments.per_market, arguments.size)
        for number in arguments.sessions
    ]
    print("\n".join(lines(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

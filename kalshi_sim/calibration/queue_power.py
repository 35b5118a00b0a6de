"""How much likelier an order behind one's own is cancelled than one in front of it.

`queue_power` k means: of what is cancelled at a level, the share front^k / (front^k + back^k) was
in front of an order with `front` contracts before it and `back` behind. A cancellation is that of
one order, so all of it falls in front or behind, with the share as its chance, where both have
room for it. Thus each k of a grid gives the chance of every number of contracts in front after
every change, and of what was seen of it: places that the exchange said, fills, and trades that did
not fill the order. The k that makes all of it likeliest is the estimate. The interval draws whole
orders with replacement, since what is seen of one order hangs together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.calibration.estimate import CONFIDENCE, Estimate, too_little
from kalshi_sim.calibration.spells import Change, Seen, Sight, Spell
from kalshi_sim.units import SIZE_SCALE

NAME: Final = "queue_power"
NEEDED: Final = 20
"""Orders of which something was seen."""
POWERS: Final = (1, 2, 3)
"""Those the simulation knows."""
GRID: Final = np.round(np.arange(0.0, 8.05, 0.1), 1)
_DRAWS: Final = 1_000
_MOST_STATES: Final = 400
"""A longer queue is followed in parts of so many."""
_LEAST: Final = 1e-9
"""Nothing that was seen is taken to be less likely."""


def queue_power_of(spells: Sequence[Spell], seed: int = 0) -> Estimate:
    """The power under which what was seen is most likely.

    Args:
        spells: of one's own orders.
        seed: of the draws for the interval.

    Returns:
        The estimate; beside it the best of the powers that the simulation knows.
    """
    by_order: dict[int, npt.NDArray[np.float64]] = {}
    for spell in spells:
        zero = np.zeros(len(GRID))
        by_order[spell.order] = by_order.get(spell.order, zero) + log_likelihood(spell)
    informative = [found for found in by_order.values() if np.ptp(found) > 1e-9]
    of = "orders with fills or places"
    if len(informative) < NEEDED:
        return too_little(NAME, len(informative), of, NEEDED)
    table = np.stack(informative)
    total = table.sum(axis=0)
    rng = np.random.default_rng(seed)
    n = len(table)
    drawn = rng.multinomial(n, np.full(n, 1.0 / n), size=_DRAWS)
    best = GRID[np.argmax(drawn @ table, axis=1)]
    half = (1 - CONFIDENCE) / 2
    low, high = np.quantile(best, [half, 1 - half])
    known = [float(total[np.searchsorted(GRID, power)]) for power in POWERS]
    return Estimate(
        NAME,
        float(GRID[np.argmax(total)]),
        float(low),
        float(high),
        n,
        of,
        NEEDED,
        {
            "standard_error": float(best.std()),
            "nearest": POWERS[int(np.argmax(known))],
            "log_likelihood": dict(zip(map(str, POWERS), known, strict=True)),
        },
    )


def log_likelihood(spell: Spell) -> npt.NDArray[np.float64]:
    """How likely what was seen in a spell is, for each power of the grid.

    Args:
        spell: of one order.

    Returns:
        Logarithms float64 [len(GRID)].
    """
    queue = _Queue(spell.ahead, spell.ahead + spell.behind)
    total = np.zeros(len(GRID))
    for step in spell.steps:
        if isinstance(step, Sight):
            total += queue.see(step)
        else:
            queue.change(step)
    return total


class _Queue:
    """How likely each number of contracts in front of an order is, for each power of the grid."""

    def __init__(self, ahead: int, shown: int) -> None:
        self._unit = max(SIZE_SCALE, -(-ahead // _MOST_STATES))
        self._shown = shown
        self._front = np.arange(round(ahead / self._unit) + 1) * float(self._unit)
        self._chance = np.zeros((len(GRID), len(self._front)))
        self._chance[:, -1] = 1.0

    def see(self, sight: Sight) -> npt.NDArray[np.float64]:
        """Something is seen: its log likelihood, and what is impossible now is left out."""
        near = self._front - sight.ahead
        half = self._unit / 2
        if sight.how is Seen.EXACTLY:
            possible = np.abs(near) <= half
        else:
            possible = near >= -half if sight.how is Seen.AT_LEAST else near <= half
        kept = self._chance * possible
        sums = kept.sum(axis=1)
        if possible.any():
            # Where the rule has all but ruled it out, the place nearest to what is seen is taken.
            nearest = int(np.argmin(np.where(possible, np.abs(near), np.inf)))
            kept[sums < _LEAST, nearest] = _LEAST
            self._chance = kept / kept.sum(axis=1, keepdims=True)
        found: npt.NDArray[np.float64] = np.log(np.maximum(sums, _LEAST))
        return found

    def change(self, change: Change) -> None:
        """The level changes: trades take from the front, each cancellation is one order's."""
        if change.traded:
            self._chance = self._moved(self._chance, change.traded)
        before = self._shown - change.traded
        self._shown = before + change.added - change.cancelled
        if not change.cancelled:
            return
        front, back = self._front, np.maximum(before - self._front, 0.0)
        share = 1.0 / (1.0 + (back / np.maximum(front, 1.0)) ** GRID[:, None])
        # An order cannot stand where there are fewer contracts than it has.
        share = np.where(back < change.cancelled, 1.0, share)
        share = np.where(
            front < change.cancelled, np.where(back < change.cancelled, 1.0, 0.0), share
        )
        there = self._chance * share
        self._chance = self._chance - there + self._moved(there, change.cancelled)

    def _moved(self, chance: npt.NDArray[np.float64], by: int) -> npt.NDArray[np.float64]:
        """Chances with so many contracts fewer in front; a part of a unit is shared out."""
        whole, part = divmod(by / self._unit, 1.0)
        out = np.zeros_like(chance)
        for places, weight in ((int(whole), 1.0 - part), (int(whole) + 1, part)):
            if weight < _LEAST:
                continue
            gone = min(places, chance.shape[1] - 1)
            out[:, : chance.shape[1] - gone] += weight * chance[:, gone:]
            out[:, 0] += weight * chance[:, :gone].sum(axis=1)
        return out

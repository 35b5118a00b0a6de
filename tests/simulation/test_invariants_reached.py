"""What the invariants speak of occurs among the episodes drawn for them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis.errors import NoSuchExample

from kalshi_sim.reference.simulator import HOLD, SELL_NO, SELL_YES
from tests.support.cases import Episode, find_episode

pytestmark = pytest.mark.kernel
CHANGING: dict[str, Any] = {"market": {"changing": True}}


def fills(maker: bool) -> Callable[[Episode], bool]:
    """Whether an order filled at its entry, or while it rested."""
    return lambda episode: any(fill.maker == maker for fill in episode.run.fills)


def masked(episode: Episode) -> bool:
    """Whether an action was taken that was invalid."""
    pairs = zip(episode.actions, episode.run.masks, strict=False)
    return any(action != HOLD and not mask[action] for action, mask in pairs)


def rests_on_both_sides(episode: Episode) -> bool:
    """Whether orders of both sides rested at a time."""
    return any(all(state["order_size"]) for state in episode.run.states)


def sells_fill(episode: Episode) -> bool:
    """Whether a position was reduced."""
    positions = [abs(state["position"]) for state in episode.run.states[:-1]]
    sold = {SELL_YES, SELL_NO} & set(episode.actions)
    return bool(sold) and any(b < a for a, b in itertools.pairwise(positions))


def settles_a_position(episode: Episode) -> bool:
    """Whether a position was held up to the settlement."""
    return episode.settles and episode.run.states[-2]["position"] != 0


def fills_at_changed_fees(episode: Episode) -> bool:
    """Whether an entry filled at another multiplier than the first row's."""
    first = episode.terms(0).taker_multiplier
    entries = [fill.row for fill in episode.run.fills if not fill.maker]
    return any(episode.terms(row).taker_multiplier != first for row in entries)


def is_paused(episode: Episode) -> bool:
    """Whether the market was paused at a row."""
    return any(episode.terms(row).paused for row in range(len(episode.run.states)))


def rests_into_a_pause(episode: Episode) -> bool:
    """Whether an order rested when a pause began."""
    states = episode.run.states
    return any(
        any(states[row]["order_size"])
        and not episode.terms(row).paused
        and episode.terms(row + 1).paused
        for row in range(len(states) - 1)
    )


REACHED: dict[str, tuple[dict[str, Any], Callable[[Episode], bool]]] = {
    "an entry fills": ({"pricing": "cross"}, fills(maker=False)),
    "a resting order fills": ({"time_in_force": "gtc"}, fills(maker=True)),
    "an order fills after latency": ({"latency_ms": 1_500}, fills(maker=False)),
    "immediate-or-cancel fills": ({"time_in_force": "ioc"}, fills(maker=False)),
    "a maker short of cash fills": ({"pricing": "join", "cash_start": 60}, fills(maker=True)),
    "an invalid action": ({}, masked),
    "orders on both sides": ({}, rests_on_both_sides),
    "a sell fills": ({"latency_ms": 0}, sells_fill),
    "a position settles": ({}, settles_a_position),
    "fees change before an entry": (CHANGING, fills_at_changed_fees),
    "a pause": (CHANGING, is_paused),
    "a pause meets a resting order": (CHANGING, rests_into_a_pause),
}


@pytest.mark.parametrize("name", REACHED)
def test_what_an_invariant_speaks_of_occurs(name: str) -> None:
    fixed, reached = REACHED[name]
    assert reached(find_episode(reached, **fixed))


def test_what_never_occurs_is_found_to_be_missing() -> None:
    with pytest.raises(NoSuchExample):
        find_episode(fills(maker=True), time_in_force="ioc", latency_ms=0)

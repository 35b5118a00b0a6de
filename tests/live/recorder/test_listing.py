"""Markets are listed again as soon as one that was created can be in the list."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from kalshi_sim.errors import ConfigError
from kalshi_sim.live.recorder.listing import Listings
from kalshi_sim.live.recorder.selection import Selection

NOW_MS = 1_773_864_000_000


def created(opens_in_s: float, ticker: str = "KXONE-26-A", event: str = "KXONE-26") -> bytes:
    message = {
        "market_ticker": ticker,
        "event_type": "created",
        "open_ts": NOW_MS / 1000 + opens_in_s,
        "additional_metadata": {"event_ticker": event},
    }
    return json.dumps({"type": "market_lifecycle_v2", "sid": 1, "seq": 1, "msg": message}).encode()


@pytest.mark.parametrize(
    ("selection", "waits_s"),
    [
        (Selection(), 40),
        (Selection(status=("unopened", "open")), 0),
        (Selection(tickers=("KXONE-26-A",)), 0),
        (Selection(tickers=("KXONE-26-B",)), None),
        (Selection(events=("KXONE-26",)), 40),
        (Selection(events=("KXTWO-26",)), None),
        (Selection(series=("KXONE",)), 40),
        (Selection(series=("KXTWO",)), None),
    ],
)
def test_a_new_market_is_looked_for_when_it_opens_if_it_is_chosen(
    selection: Selection, waits_s: float | None
) -> None:
    assert selection.listed_in_s(created(40), NOW_MS) == waits_s
    later = created(-5)  # the frame came after the opening
    assert selection.listed_in_s(later, NOW_MS) == (None if waits_s is None else 0)


def test_a_wait_ends_when_the_first_of_several_new_markets_opens() -> None:
    listings = Listings(Selection(), every_s=30, soonest_s=0.1)
    for opens_in_s in (600, 0, 0):
        listings.created(created(opens_in_s), NOW_MS)
    began = time.monotonic()
    asyncio.run(listings.wait())
    assert 0.9 < time.monotonic() - began < 5
    with pytest.raises(TimeoutError):  # both that opened were due; the third is not yet
        asyncio.run(asyncio.wait_for(listings.wait(), 0.5))


@pytest.mark.parametrize("status", [(), ("open", "asleep")])
def test_a_status_that_no_market_has_is_refused(status: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="--status"):
        Selection(status=status)


def test_a_market_that_pauses_is_listed_on() -> None:
    asked = Selection(series=("KXONE", "KXTWO")).queries()
    assert [(query["series_ticker"], query["status"]) for query in asked] == [
        (series, status) for series in ("KXONE", "KXTWO") for status in ("open", "paused")
    ]

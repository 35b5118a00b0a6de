"""Two policies on the same markets: the difference, its interval, and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kalshi_sim.text import dollars
from kalshi_train.evaluation.measure import Episode, events, profits
from kalshi_train.evaluation.options import CONFIDENCE, RESAMPLES
from kalshi_train.evaluation.statistics import Interval, mean_interval


@dataclass(frozen=True)
class Comparison:
    """Profit of `first` minus profit of `second`, market by market, in cents a market."""

    first: str
    second: str
    fill_model: str
    difference_cents: float
    low_cents: float | None
    high_cents: float | None
    markets: int
    events: int
    first_better: int
    """Markets in which `first` earned more."""
    second_better: int
    distinguishable: bool
    """Whether the interval leaves out zero."""
    sentence: str


def compare(
    first: str,
    second: str,
    fill_model: str,
    ours: Sequence[Episode],
    theirs: Sequence[Episode],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare two policies' episodes of the same views, paired, by bootstrap over events.

    Args:
        first, second: names of the policies.
        fill_model: name of the model both were played under.
        ours, theirs: episodes of the first and of the second, view by view.
        confidence: of the interval, between 0 and 1.
        resamples: draws of the bootstrap.
        seed: of the draws.

    Returns:
        The mean difference per market in cents, its interval, and a sentence.
    """
    assert [e.view for e in ours] == [e.view for e in theirs]
    difference = profits(ours) - profits(theirs)
    groups = events(ours)
    found = mean_interval(difference, groups, confidence=confidence, resamples=resamples, seed=seed)
    count = len(set(groups))
    return Comparison(
        first=first,
        second=second,
        fill_model=fill_model,
        difference_cents=found.mean,
        low_cents=found.low,
        high_cents=found.high,
        markets=len(ours),
        events=count,
        first_better=int((difference > 0).sum()),
        second_better=int((difference < 0).sum()),
        distinguishable=found.excludes_zero,
        sentence=_sentence(first, second, fill_model, found, len(ours), count, confidence)
        if difference.any()
        else f"{first} and {second} earned the same in every market (fill model {fill_model}).",
    )


def _sentence(
    first: str,
    second: str,
    fill_model: str,
    found: Interval,
    markets: int,
    event_count: int,
    confidence: float,
) -> str:
    more = "more" if found.mean >= 0 else "less"
    of = "1 event" if event_count == 1 else f"{event_count} events"
    where = f"{markets} markets of {of}, fill model {fill_model}"
    start = f"{first} earned {dollars(abs(found.mean))} a market {more} than {second}"
    if found.low is None or found.high is None:
        return f"{start} ({where}); one event is too few for an interval."
    ends = f"{dollars(found.low, signed=True)} to {dollars(found.high, signed=True)}"
    interval = f"{100 * confidence:.0f} % interval {ends}"
    few = " With so few events the interval is rough." if event_count < 10 else ""
    if found.excludes_zero:
        return f"{start} ({interval}; {where}): more than chance explains.{few}"
    return f"{start} ({interval}; {where}): zero is inside, the two cannot be distinguished.{few}"

"""Two policies on the same markets: the difference, its interval, and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kalshi_sim.text import dollars, numbered
from kalshi_train.evaluation.measure import Episode, events, profits
from kalshi_train.evaluation.options import CONFIDENCE, RESAMPLES
from kalshi_train.evaluation.verdicts import Verdict, judge


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
    tries: int
    """Models that could have been taken in place of `first`."""
    first_better: int
    """Markets in which `first` earned more."""
    second_better: int
    distinguishable: bool
    """Whether neither chance nor the choice among the tries explains the difference."""
    sentence: str


def compare(
    first: str,
    second: str,
    fill_model: str,
    ours: Sequence[Episode],
    theirs: Sequence[Episode],
    *,
    tries: int = 1,
    chosen: bool = False,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare two policies' episodes of the same views, paired, by events.

    Args:
        first, second: names of the policies.
        fill_model: name of the model both were played under.
        ours, theirs: episodes of the first and of the second, view by view.
        tries: models that could have been taken in place of the first, itself included.
        chosen: the first was taken for being the best of them on these markets.
        confidence: of the interval, between 0 and 1.
        resamples: draws of the bootstrap.
        seed: of the draws.

    Returns:
        The mean difference per market in cents, its interval, and a sentence.
    """
    assert [e.view for e in ours] == [e.view for e in theirs]
    difference = profits(ours) - profits(theirs)
    found = judge(
        difference,
        events(ours),
        tries=tries,
        chosen=chosen,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )
    interval = found.interval
    return Comparison(
        first=first,
        second=second,
        fill_model=fill_model,
        difference_cents=interval.mean,
        low_cents=interval.low,
        high_cents=interval.high,
        markets=len(ours),
        events=interval.events,
        tries=tries,
        first_better=int((difference > 0).sum()),
        second_better=int((difference < 0).sum()),
        distinguishable=found.above or found.below,
        sentence=_sentence(first, second, fill_model, found, len(ours))
        if difference.any()
        else f"{first} and {second} earned the same in every market (fill model {fill_model}).",
    )


def _sentence(first: str, second: str, fill_model: str, found: Verdict, markets: int) -> str:
    mean = found.interval.mean
    more = "more" if mean >= 0 else "less"
    text = (
        f"{first} earned {dollars(abs(mean))} a market {more} than {second} "
        f"({found.interval_text}; {numbered(markets, 'market')}, {found.basis}, "
        f"fill model {fill_model})"
    )
    if found.doubt:
        return f"{text}: the two cannot be distinguished; {found.doubt}."
    return f"{text}: more than chance explains."

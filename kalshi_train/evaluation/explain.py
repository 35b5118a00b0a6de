"""A diagnosis in words: lines for the terminal and the page, and one plain sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kalshi_sim.text import dollars, numbered

if TYPE_CHECKING:
    from kalshi_train.evaluation.diagnosis import Diagnosis

SELDOM: Final = 0.001
"""Share of drawn actions that are orders below which the policy is sure of holding."""
OFTEN: Final = 0.05
"""Share of invalid actions from which masks are worth a word."""
UNDECIDED: Final = 0.7
"""Share of the largest entropy above which a policy has hardly decided."""


def lines(found: Diagnosis) -> list[tuple[str, str]]:
    """A diagnosis as labels and what belongs to them, for the terminal and the page."""

    def money(cents: float | None) -> str:
        return dollars(cents, signed=True)

    split = (
        f"closed {money(found.closed_cents)}, settled {money(found.settled_cents)}, "
        f"marked {money(found.marked_cents)}, fees {money(-found.fees_cents)}"
    )
    most = (
        f"{money(found.profit_cents)} a market; holds {found.hold_share:.1%}, "
        f"invalid {found.invalid_share:.1%}"
    )
    rows = [
        ("most probable action", most),
        ("of it", split),
    ]
    if found.drawn_profit_cents is None:
        return rows
    ends = "no interval"
    if found.drawn_low_cents is not None:
        ends = f"interval {money(found.drawn_low_cents)} to {money(found.drawn_high_cents)}"
    drawn = (
        f"{money(found.drawn_profit_cents)} a market ({ends}; {numbered(found.seeds, 'seed')}), "
        f"orders at {found.drawn_order_share:.2%} of the rows"
    )
    rows += [
        ("drawn actions", drawn),
        ("entropy", f"{found.entropy:.3f} nats, {found.entropy_share:.0%} of the largest"),
        ("invalid", f"{found.masked_share:.0%} of the actions were invalid"),
    ]
    for b in found.buckets:
        text = "too few orders"
        if b.advantage_cents is not None:
            error = b.standard_error_cents
            around = "" if error is None else f" ± {error:.2f}"
            text = f"{b.advantage_cents:+.2f}{around} ¢ an order against holding"
        rows.append(
            (f"spread {b.spread_cents} ¢", f"{text} ({b.orders:,} orders, {b.rows:,} rows)")
        )
    return rows


def sentence_of(figures: Mapping[str, Any], fills: int, drawable: bool) -> str:
    """A diagnosis in one plain sentence.

    Args:
        figures: all of `Diagnosis` but the sentence, by name.
        fills: of the most probable actions.
        drawable: whether the policy gives probabilities of its actions.
    """
    if fills == 0:
        reasons = [_why_not(figures, drawable)]
        if figures["invalid_share"] > OFTEN:
            reasons.append(
                f"at {figures['invalid_share']:.0%} of the steps its most probable action is "
                "invalid, which --mask rules out"
            )
        return f"{figures['policy']} does not trade: {'; '.join(reasons)}."
    names = {
        "closed_cents": "trades that closed",
        "settled_cents": "settlement",
        "marked_cents": "the mark of what is left",
        "fees_cents": "fees",
    }
    signed = {name: figures[name] * (-1 if name == "fees_cents" else 1) for name in names}
    parts = [
        f"{text} {dollars(signed[name], signed=True)}"
        for name, text in names.items()
        if figures[name]
    ]
    start = (
        f"{figures['policy']} trades, and its {dollars(figures['profit_cents'], signed=True)} a "
        f"market is {', '.join(parts) if parts else 'nothing'}"
    )
    if figures["entropy_share"] is not None and figures["entropy_share"] > UNDECIDED:
        share = f"{figures['entropy_share']:.0%}"
        return f"{start}; it has hardly decided yet (entropy {share} of the largest)."
    mean = figures["drawn_profit_cents"]
    if mean is None:
        return f"{start}."
    return f"{start}; with drawn actions {dollars(mean, signed=True)}."


def _why_not(figures: Mapping[str, Any], drawable: bool) -> str:
    if not drawable:
        return "it gives no probabilities of its actions, so nothing shows what others would earn"
    if not figures["seeds"]:
        return "with --stochastic 3 its actions are drawn, which shows what orders would gain"
    if figures["drawn_order_share"] < SELDOM:
        return (
            f"even drawn actions are orders at {figures['drawn_order_share']:.2%} of the rows "
            f"(entropy {figures['entropy']:.2f}): it is sure of holding, and learns nothing more "
            "of trading without a larger --ent-coef"
        )
    known = [b for b in figures["buckets"] if b.advantage_cents is not None]
    if not known:
        return "too few orders were drawn to say what they would gain; draw more (--stochastic)"
    best = max(known, key=lambda b: b.advantage_cents)
    error = best.standard_error_cents
    around = "" if error is None else f" ± {error:.2f}"
    text = (
        f"{best.advantage_cents:+.2f}{around} ¢ against holding at a spread of "
        f"{best.spread_cents} ¢ ({numbered(best.orders, 'drawn order')})"
    )
    if best.advantage_cents <= 2 * (error or 0.0):
        return f"its drawn orders gain nothing at any spread, at best {text}, so it holds"
    return f"its drawn orders gain {text}, which it has not learnt to take yet: train longer"

"""An evaluation as tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from kalshi_sim.actions import ACTIONS
from kalshi_sim.cli.console import count, decimal, print_table
from kalshi_sim.units import CENTS_PER_DOLLAR

if TYPE_CHECKING:
    from kalshi_train.evaluation.figures import TotalFigures
    from kalshi_train.evaluation.result import Evaluation, Run

MARKETS_SHOWN: Final = 40
"""Markets of a table; of more, those with the largest profit or loss."""


def show(evaluation: Evaluation) -> None:
    """Print everything but single fills."""
    tape, config = evaluation.tape, evaluation.config
    ids = ", ".join(str(i) for i in sorted({v.session_id for v in tape.views}))
    rows = sum(len(v) for v in tape.views)
    print(
        f"session {ids}: {len(tape.views)} markets, {count(rows)} rows · "
        f"cash ${config.cash_start / CENTS_PER_DOLLAR:,.2f} a market, "
        f"orders of {config.order_size}, pricing {config.pricing}, latency {config.latency_ms} ms, "
        f"fees {'on' if config.fees else 'off'}"
    )
    _profit_table(evaluation)
    _trading_table(evaluation)
    shown = evaluation.models or tuple(p.name for p in evaluation.policies)
    for name in shown[:3] if evaluation.models else ():
        _market_table(evaluation, name)
    if evaluation.stress:
        for name in dict.fromkeys(s.policy for s in evaluation.stress):
            _stress_table(evaluation, name)
    for name in evaluation.models:
        print(verdict(evaluation, name))
    for c in evaluation.comparisons:
        if c.fill_model == config.fill_model:
            print(c.sentence)
    if not evaluation.models:
        for caveat in evaluation.caveats:
            print(f"no evidence: {caveat}")


def verdict(evaluation: Evaluation, name: str) -> str:
    """Would it have made money? One plain sentence, and why it is no evidence where it is none.

    Args:
        evaluation: the result.
        name: of a policy in it.

    Returns:
        The sentence.
    """
    return " No evidence: ".join((_verdict(evaluation, name), *evaluation.caveats))


def _verdict(evaluation: Evaluation, name: str) -> str:
    chosen = evaluation.run(name).total
    low, high = (evaluation.run(name, m).total.profit_per_market_cents for m in _ends(evaluation))
    start = (
        f"{name}: {chosen.profit_per_market_cents:+,.1f} cents a market after fees "
        f"(fill model {evaluation.config.fill_model}; through {low:+,.1f}, touch {high:+,.1f})"
    )
    if not any(evaluation.run(name, m).total.fills for m in evaluation.fill_models):
        return f"{start}: it did not trade."
    bound = chosen.profit_per_market_low_cents
    if bound is None:
        return f"{start}; one event is too few for an interval."
    interval = interval_text(chosen, evaluation.confidence)
    if bound > 0 and low > 0:
        return f"{start}, {interval}: it made money, even if resting orders fill only when crossed."
    if bound > 0:
        return f"{start}, {interval}: it made money only if resting orders fill as assumed."
    high_bound = chosen.profit_per_market_high_cents
    if high_bound is not None and high_bound < 0:
        return f"{start}, {interval}: it lost money."
    return f"{start}, {interval}: no profit that chance does not explain."


def interval_text(total: TotalFigures, confidence: float) -> str:
    """The interval of the profit of a market, in words.

    Args:
        total: figures over all markets.
        confidence: of the interval, between 0 and 1.
    """
    low, high = total.profit_per_market_low_cents, total.profit_per_market_high_cents
    return f"{100 * confidence:g} % interval {low:+,.1f} to {high:+,.1f}"


def _ends(evaluation: Evaluation) -> tuple[str, str]:
    return evaluation.fill_models[0], evaluation.fill_models[-1]


def _percent(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def _signed(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:+,.{digits}f}"


def _rows(evaluation: Evaluation, cells: Any) -> list[list[str]]:
    """A row for each run; a policy's name stands on its first."""
    rows, before = [], ""
    for run in evaluation.runs:
        name = run.policy.name
        rows.append([name if name != before else "", run.fill_model, *cells(run)])
        before = name
    return rows


def _profit_table(evaluation: Evaluation) -> None:
    def cells(run: Run) -> Sequence[str]:
        t = run.total
        low, high = t.profit_per_market_low_cents, t.profit_per_market_high_cents
        return (
            _signed(t.profit_per_market_cents),
            "-" if low is None else f"{low:+,.0f} to {high:+,.0f}",
            _signed(t.profit_cents, 0),
            _percent(t.return_on_capital, 2),
            decimal(t.sharpe, 2),
            _percent(t.win_rate, 0),
            decimal(t.max_drawdown_cents, 0),
            decimal(t.fees_cents, 0),
            decimal(t.turnover_cents, 0),
        )

    print_table(
        "Profit after fees, in cents",
        (
            "policy",
            "fills",
            "a market",
            f"{100 * evaluation.confidence:g} % interval",
            "in total",
            "return",
            "Sharpe",
            "won",
            "drawdown",
            "fees",
            "turnover",
        ),
        _rows(evaluation, cells),
        left=2,
    )


def _trading_table(evaluation: Evaluation) -> None:
    def cells(run: Run) -> Sequence[str]:
        t = run.total
        return (
            count(t.fills),
            count(t.contracts),
            _percent(t.maker_share, 0),
            _signed(t.spread_capture_cents, 2),
            *(
                _signed(m, 2)
                for m in (t.markout_1s_cents, t.markout_10s_cents, t.markout_60s_cents)
            ),
            decimal(t.inventory_mean),
            count(t.inventory_max),
            *(_percent(t.actions[name], 0) for name in ACTIONS),
        )

    print_table(
        "Trading: cents a contract won at once and after 1, 10 and 60 s, inventory, actions",
        (
            "policy",
            "fills",
            "number",
            "contracts",
            "maker",
            "spread",
            "1 s",
            "10 s",
            "60 s",
            "held",
            "at most",
            *(name.replace("_", " ") for name in ACTIONS),
        ),
        _rows(evaluation, cells),
        left=2,
    )


def _market_table(evaluation: Evaluation, name: str) -> None:
    runs = {m: evaluation.run(name, m).episodes for m in evaluation.fill_models}
    chosen = evaluation.run(name).episodes
    order = range(len(chosen))
    if len(chosen) > MARKETS_SHOWN:
        largest = sorted(order, key=lambda i: (-abs(chosen[i].figures.profit_cents), i))
        order = sorted(largest[:MARKETS_SHOWN])  # type: ignore[assignment]  # either is fine
    rows = []
    for i in order:
        f = chosen[i].figures
        rows.append(
            [
                f.market_ticker,
                count(f.rows),
                *(_signed(runs[m][i].figures.profit_cents) for m in evaluation.fill_models),
                decimal(f.max_drawdown_cents, 0),
                decimal(f.sharpe, 3),
                decimal(f.fees_cents, 0),
                count(f.fills),
                _percent(f.maker_share, 0),
                _signed(f.spread_capture_cents, 2),
                _signed(f.markout_60s_cents, 2),
                decimal(f.inventory_mean),
                _percent(f.actions["hold"], 0),
            ]
        )
    left_out = len(chosen) - len(rows)
    print_table(
        f"{name} by market, in cents; all but profit under fill model "
        f"{evaluation.config.fill_model}"
        + (f" ({left_out} markets with less profit or loss are not shown)" if left_out else ""),
        (
            "market",
            "rows",
            *evaluation.fill_models,
            "drawdown",
            "Sharpe/min",
            "fees",
            "fills",
            "maker",
            "spread",
            "60 s",
            "held",
            "hold",
        ),
        rows,
    )


def _stress_table(evaluation: Evaluation, name: str) -> None:
    mine = [s for s in evaluation.stress if s.policy == name]
    rows = []
    for condition in dict.fromkeys(s.condition for s in mine):
        found = {s.fill_model: s for s in mine if s.condition == condition}
        chosen = found[evaluation.config.fill_model]
        rows.append(
            [
                condition,
                *(_signed(found[m].profit_per_market_cents) for m in evaluation.fill_models),
                _percent(chosen.return_on_capital, 2),
                decimal(chosen.fees_cents, 0),
                count(chosen.fills),
                count(chosen.contracts),
            ]
        )
    print_table(
        f"{name} under stress: profit a market in cents",
        ("condition", *evaluation.fill_models, "return", "fees", "fills", "contracts"),
        rows,
    )

"""An evaluation as tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, get_args

from kalshi_sim.actions import FIVE, by_intent
from kalshi_sim.cli.console import count, decimal
from kalshi_sim.cli.tables import Layout, print_pairs, print_table, print_text
from kalshi_sim.config import FillModel
from kalshi_sim.text import dollars, numbered
from kalshi_train.evaluation.explain import lines

if TYPE_CHECKING:
    from kalshi_train.evaluation.result import Evaluation, Run

MARKETS_SHOWN: Final = 40
"""Markets of a table; of more, those with the largest profit or loss."""


PROFIT_COLUMNS: Final = (
    "policy",
    "fills as",
    "a market",
    "interval",
    "in total",
    "return",
    "won",
    "drawdown",
    "fees",
    "Sharpe",
    "turnover",
)
TRADING_COLUMNS: Final = (
    "policy",
    "fills as",
    "fills",
    "contracts",
    "maker",
    "spread",
    "1 s",
    "10 s",
    "60 s",
    "held",
    "most held",
    *(name.replace("_", " ") for name in FIVE.names),
    "cancel",
)
MARKET_COLUMNS: Final = (
    "market",
    *("through", "queue", "prob", "touch"),
    "fills",
    "fees",
    "drawdown",
    "maker",
    "spread",
    "60 s",
    "held",
    "hold",
    "rows",
    "Sharpe/min",
)
STRESS_COLUMNS: Final = (
    "condition",
    *("through", "queue", "prob", "touch"),
    "fills",
    "contracts",
    "return",
    "fees",
)
TABLES: Final = (PROFIT_COLUMNS, TRADING_COLUMNS, MARKET_COLUMNS, STRESS_COLUMNS)
"""Columns of the tables, the important ones first."""


def show(evaluation: Evaluation, layout: Layout | None = None) -> None:
    """Print everything but single fills.

    Args:
        evaluation: the result.
        layout: which columns of the tables to show; those that fit if omitted.
    """
    layout = layout or Layout()
    tape, config = evaluation.tape, evaluation.config
    rows = sum(len(v) for v in tape.views)
    rules = (
        f"{dollars(config.cash_start)} a market, orders of {config.order_size}, "
        f"pricing {config.pricing}, latency {config.latency_ms} ms, "
        f"fees {'on' if config.fees else 'off'}, fill model {config.fill_model}, "
        f"{count(rows)} rows"
    )
    print_pairs("", [*evaluation.provenance.lines(), ("settings", rules)])
    _profit_table(evaluation, layout)
    _trading_table(evaluation, layout)
    shown = evaluation.models or tuple(p.name for p in evaluation.policies)
    for name in shown[:3] if evaluation.models else ():
        _market_table(evaluation, name, layout)
    if evaluation.stress:
        for name in dict.fromkeys(s.policy for s in evaluation.stress):
            _stress_table(evaluation, name, layout)
    for found in evaluation.diagnoses:
        print_pairs(f"Why {found.policy} trades as it does", lines(found))
    print()
    for name in evaluation.models:
        print_text(verdict(evaluation, name))
    for found in evaluation.diagnoses:
        print_text(found.sentence)
    for null in evaluation.nulls:
        print_text(null.sentence)
    for c in evaluation.comparisons:
        if c.fill_model == config.fill_model:
            print_text(c.sentence)
    if not evaluation.models:
        for caveat in evaluation.caveats:
            print_text(f"no evidence: {caveat}")


def verdict(evaluation: Evaluation, name: str) -> str:
    """Would it have made money? One plain sentence, and why it is no evidence where it is none.

    Args:
        evaluation: the result.
        name: of a policy in it.

    Returns:
        The sentence.
    """
    return " No evidence: ".join((_verdict(evaluation, name), *evaluation.caveats_of(name)))


def _verdict(evaluation: Evaluation, name: str) -> str:
    ends = [evaluation.verdict(name, m) for m in _ends(evaluation)]
    low, high = (end.interval.mean for end in ends)
    found = evaluation.verdict(name)
    total = evaluation.run(name).total
    start = (
        f"{name}: {_profit(found.interval.mean)} a market after fees "
        f"({found.interval_text}; {numbered(total.markets, 'market')}, {found.basis}; "
        f"fill model {evaluation.config.fill_model}; through {_profit(low)}, touch {_profit(high)})"
    )
    if not any(evaluation.run(name, m).total.fills for m in evaluation.fill_models):
        return f"{start}: it did not trade."
    if found.above and ends[0].above:
        return f"{start}: it made money, even if resting orders fill only when crossed."
    if found.above:
        return f"{start}: it made money only if resting orders fill as assumed."
    if found.below:
        return f"{start}: it lost money."
    return f"{start}: no verdict: {found.doubt}."


def _ends(evaluation: Evaluation) -> tuple[str, str]:
    return evaluation.fill_models[0], evaluation.fill_models[-1]


def _percent(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def _profit(cents: float | None) -> str:
    return dollars(cents, signed=True)


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


def _profit_table(evaluation: Evaluation, layout: Layout) -> None:
    def cells(run: Run) -> Sequence[str]:
        t = run.total
        low, high = t.profit_per_market_low_cents, t.profit_per_market_high_cents
        return (
            _profit(t.profit_per_market_cents),
            "-" if low is None else f"{_profit(low)} to {_profit(high)}",
            _profit(t.profit_cents),
            _percent(t.return_on_capital, 2),
            _percent(t.win_rate, 0),
            dollars(t.max_drawdown_cents),
            dollars(t.fees_cents),
            decimal(t.sharpe, 2),
            dollars(t.turnover_cents),
        )

    print_table(
        f"Profit after fees; interval: {100 * evaluation.confidence:g} %",
        PROFIT_COLUMNS,
        _rows(evaluation, cells),
        left=2,
        layout=layout,
    )


def _trading_table(evaluation: Evaluation, layout: Layout) -> None:
    cancels = any("cancel" in by_intent(run.total.actions) for run in evaluation.runs)
    columns = TRADING_COLUMNS if cancels else TRADING_COLUMNS[:-1]
    intents = (*FIVE.names, *("cancel",) * cancels)

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
            *(_percent(by_intent(t.actions).get(name, 0.0), 0) for name in intents),
        )

    print_table(
        "Trading: cents a contract won at once and after 1, 10 and 60 s, inventory, actions",
        columns,
        _rows(evaluation, cells),
        left=2,
        layout=layout,
    )


def _market_table(evaluation: Evaluation, name: str, layout: Layout) -> None:
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
                *(_profit(runs[m][i].figures.profit_cents) for m in evaluation.fill_models),
                count(f.fills),
                dollars(f.fees_cents),
                dollars(f.max_drawdown_cents),
                _percent(f.maker_share, 0),
                _signed(f.spread_capture_cents, 2),
                _signed(f.markout_60s_cents, 2),
                decimal(f.inventory_mean),
                _percent(f.actions["hold"], 0),
                count(f.rows),
                decimal(f.sharpe, 3),
            ]
        )
    left_out = len(chosen) - len(rows)
    print_table(
        f"{name} by market (spread and 60 s: cents a contract); all but profit under fill model "
        f"{evaluation.config.fill_model}"
        + (f" ({left_out} markets with less profit or loss are not shown)" if left_out else ""),
        _with_fill_models(MARKET_COLUMNS, evaluation),
        rows,
        layout=layout,
    )


def _with_fill_models(columns: Sequence[str], evaluation: Evaluation) -> list[str]:
    """`columns` without the fill models that were not played."""
    known = get_args(FillModel)
    return [name for name in columns if name not in known or name in evaluation.fill_models]


def _stress_table(evaluation: Evaluation, name: str, layout: Layout) -> None:
    mine = [s for s in evaluation.stress if s.policy == name]
    rows = []
    for condition in dict.fromkeys(s.condition for s in mine):
        found = {s.fill_model: s for s in mine if s.condition == condition}
        chosen = found[evaluation.config.fill_model]
        rows.append(
            [
                condition,
                *(_profit(found[m].profit_per_market_cents) for m in evaluation.fill_models),
                count(chosen.fills),
                count(chosen.contracts),
                _percent(chosen.return_on_capital, 2),
                dollars(chosen.fees_cents),
            ]
        )
    print_table(
        f"{name} under stress: profit a market",
        _with_fill_models(STRESS_COLUMNS, evaluation),
        rows,
        layout=layout,
    )

"""The gap between simulation and exchange as a table."""

from __future__ import annotations

from typing import Any, Final

from kalshi_sim.cli.tables import Layout, print_pairs, print_table
from kalshi_sim.text import dollars, numbered, printable

COLUMNS: Final = (
    *("fill model", "contracts", "recall", "precision", "later by", "before it", "never there"),
    *("missed", "profit", "place error"),
)


def show(gap: dict[str, Any], layout: Layout | None = None) -> None:
    """Print it.

    Args:
        gap: as `kalshi_train.trading.gap.Gap.as_dict` gives it.
        layout: which columns are shown.
    """
    print_table("simulation and exchange", COLUMNS, rows_of(gap), layout=layout, least=[])
    print_pairs("", notes_of(gap))
    for text in gap["described"]:
        print(f"  {printable(text, 500)}")


def notes_of(gap: dict[str, Any]) -> list[tuple[str, str]]:
    """What the table is of, as names and texts.

    Args:
        gap: as for `show`.
    """
    after = f"{gap['after_a_gap']:,.0f} contracts filled after a gap"
    return [
        ("orders", f"{gap['orders']:,} compared in {numbered(gap['markets'], 'market')}"),
        ("not compared", f"{gap['not_compared']:,} orders without a book, {after} in it"),
        ("own impact", f"{gap['taken']:,.0f} contracts taken, {gap['own_impact']:,.0f} met"),
    ]


def rows_of(gap: dict[str, Any]) -> list[list[str]]:
    """The table's rows: each fill model, then the exchange.

    Args:
        gap: as for `show`.
    """
    rows = [
        [
            name,
            f"{model['contracts']:,.0f}",
            _share(model["recall"]),
            _share(model["precision"]),
            "-" if model["delay_ms_median"] is None else f"{model['delay_ms_median']:,.0f} ms",
            f"{model['early']:,.0f}",
            f"{model['more']:,.0f}",
            f"{model['missed']:,.0f} ({model['missed_own_impact']:,.0f} own impact)",
            dollars(model["profit_cents"], signed=True),
            "-" if model["places"] == 0 else f"{model['place_error_mean_abs']:,.0f}",
        ]
        for name, model in gap["models"].items()
    ]
    exchange = f"{gap['contracts']:,.0f}", dollars(gap["profit_cents"], signed=True)
    rows.append(["exchange", exchange[0], *["-"] * 6, exchange[1], "-"])
    return rows


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"

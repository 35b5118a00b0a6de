"""The figures of a run as a person reads them."""

from __future__ import annotations

from typing import Any

import pytest

from kalshi_sim.cli.tables import Layout
from kalshi_train.trading.figures import show

MODELS = ("through", "queue", "touch")


def found() -> dict[str, Any]:
    """Figures of a run on five markets, as `figures` gives them."""
    model = {"position": 0, "fills": 12, "open": [None, None], "profit_cents": -540.0}
    markets = [
        {
            "market": f"KXNBAGAME-26MAR18LALHOU-M{i}",
            "rows": 1_200,
            "orders": 30,
            "blocked": {},
            "halted": None,
            "models": dict.fromkeys(MODELS, model),
        }
        for i in range(5)
    ]
    return {
        "why": "its time is over",
        "decisions": 6_000,
        "latency_ms": {"p50": 1.0, "p99": 4.0, "max": 9.0},
        "chosen": "queue",
        "profit_cents": dict.fromkeys(MODELS, -2_700.0),
        "markets": markets,
    }


def test_profits_are_the_last_columns_to_go(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    show(found())
    table, _, rest = capsys.readouterr().out.partition("not shown: ")
    rest = " ".join(rest.split())
    assert max(map(len, table.splitlines())) <= 80
    assert all(f"profit {model}" in table for model in MODELS)
    assert table.count("-$5.40") == 15
    assert "+0" not in table
    assert rest.startswith(
        "rows, orders, position, fills through, fills queue, fills touch (--wide"
    )
    assert "profit through -$27.00, queue -$27.00, touch -$27.00" in rest
    show(found(), Layout(columns="fills queue"))
    assert "fills queue" in capsys.readouterr().out

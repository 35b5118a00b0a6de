"""`markets.csv`: every column, and every wrong value named by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.markets_csv import read_markets_csv
from kalshi_sim.session import MarketInfo
from tests.support.wire import T0


def read(folder: Path, text: str) -> dict[str, MarketInfo]:
    path = folder / "markets.csv"
    path.write_text(text)
    return read_markets_csv(path)


def test_every_column_is_read_exactly(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "market_ticker,event_ticker,close_time,result,settlement_value,settlement_time,sub_penny,"
        "price_ranges,taker_multiplier,maker_multiplier,fee_unit\n"
        "A-1,A,2026-03-18T19:36:06Z,scalar,0.3755,2026-03-18T19:36:06.005Z,true,"
        "0:0.1:0.001;0.1:1:0.01,0.5,1,0.0001\n"
        "A-2,,,yes,,,,,,,\n"
        "\n"
        "A-3,,,,,,,,,,\n",
    )
    assert found["A-1"] == MarketInfo(
        "A-1",
        event_ticker="A",
        close_time_ms=T0,
        settlement_value=3755,
        settlement_known_ms=T0 + 5,
        sub_penny=True,
        price_ranges=((0, 1000, 10), (1000, 10_000, 100)),
        taker_multiplier=5_000,
        maker_multiplier=10_000,
        fee_unit=1,
    )
    assert found["A-2"] == MarketInfo("A-2", settlement_value=10_000)
    assert found["A-3"] == MarketInfo("A-3")


def test_price_ranges_are_read_as_the_exchange_writes_them(tmp_path: Path) -> None:
    bands = '[{""start"":""0.0000"",""end"":""1.0000"",""step"":""0.0100""}]'
    found = read(tmp_path, f'market_ticker,price_ranges\nA-1,"{bands}"\n')
    assert found["A-1"].price_ranges == ((0, 10_000, 100),)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: the column market_ticker is missing"),
        ("ticker,result\nA,yes\n", "line 1: the column market_ticker is missing"),
        ("market_ticker,colour\nA,red\n", "line 1: unknown column 'colour'"),
        ("market_ticker,result,result\nA,yes,no\n", "line 1: a column stands there twice"),
        ("market_ticker,result\nA,yes\nB,maybe\n", "line 3, column result: 'maybe'"),
        ("market_ticker,result\nA\n", "line 2: 1 cells, but the header has 2"),
        ("market_ticker,result\n,yes\n", "line 2: market_ticker is empty"),
        ("market_ticker,result\nA,yes\nA,no\n", "line 3: A stands there twice"),
        ("market_ticker,close_time\nA,tomorrow\n", "column close_time: not a time"),
        ("market_ticker,settlement_value\nA,1.5\n", "column settlement_value"),
        ("market_ticker,result,settlement_value\nA,yes,0.5\n", "contradicts"),
        ("market_ticker,result\nA,scalar\n", "needs a settlement_value"),
        ("market_ticker,sub_penny\nA,perhaps\n", "neither true nor false"),
        ("market_ticker,price_ranges\nA,0:1\n", "'0:1' are no price ranges: '0:1' is not start"),
        ("market_ticker,price_ranges\nA,[]\n", "'[]' are no price ranges: no price range"),
        ("market_ticker,price_ranges\nA,[1]\n", "'[1]' are no price ranges: Expected `object`"),
        ("market_ticker,price_ranges\nA,1:0:0.01\n", "start < end"),
        ("market_ticker,taker_multiplier\nA,-1\n", "is negative"),
        ("market_ticker,fee_unit\nA,0\n", "not above 0"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    assert complaint in str(caught.value)
    assert "markets.csv" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        read_markets_csv(tmp_path / "nowhere.csv")

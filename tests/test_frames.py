"""Tables for notebooks: readable units, the same in Arrow, pandas and polars; nothing is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kalshi_sim import BatchSimulator, KalshiVecEnv, SimConfig, build_tape, load_tape, open_store
from kalshi_sim.errors import ConfigError
from kalshi_sim.frames import Tabular
from kalshi_sim.session import NO_TIME, EventKind, Events, Session
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.tape import Tape
from tests.test_extras import run_without


@pytest.fixture(scope="module")
def session() -> Session:
    return generate_session(7, markets=4, minutes=10, seed=2)


@pytest.fixture(scope="module")
def tape(session: Session) -> Tape:
    return build_tape(session, depth=3)


def test_events_are_shown_in_cents_and_contracts(session: Session) -> None:
    table = session.to_arrow()
    events = session.events
    assert len(table) == len(events)
    priced = events.kind != EventKind.SNAPSHOT
    shown = np.array(table["price_cents"].to_pylist(), float)
    assert np.array_equal(np.isnan(shown), ~priced)
    assert np.array_equal(np.rint(shown[priced] * 100).astype(int), events.price[priced])
    sizes = np.array(table["contracts"].to_pylist(), float)[priced]
    assert np.array_equal(np.rint(sizes * 100).astype(int), events.size[priced])
    assert table["kind"].to_pylist() == [EventKind(k).name.lower() for k in events.kind]
    tickers = [
        m.ticker for m in session.markets for _ in range(len(session.market_events(m.ticker)))
    ]
    assert table["market_ticker"].to_pylist() == tickers
    assert table["time"].cast("int64").to_pylist() == events.ts_ms.tolist()


def test_what_an_event_has_not_is_null() -> None:
    events = Events.from_columns(
        kind=[0, 1, 4, 5],
        side=[0, 1, 0, 1],
        price=[0, 4200, 0, 4210],
        size=[0, 1300, 0, 0],
        ts_ms=[NO_TIME, 1_700_000_000_123, 1_700_000_000_124, 1_700_000_000_125],
    )
    rows = events.to_arrow().to_pylist()
    assert [r["kind"] for r in rows] == ["snapshot", "level", "gap", "drop_level"]
    assert [r["side"] for r in rows] == [None, "no", None, "no"]
    assert [r["price_cents"] for r in rows] == [None, 42.0, None, 42.1]
    assert [r["contracts"] for r in rows] == [None, 13.0, None, None]
    assert [r["seq"] for r in rows] == [None] * 4
    assert rows[0]["time"] is None
    assert rows[1]["time"].isoformat() == "2023-11-14T22:13:20.123000+00:00"


def test_a_tape_shows_asks_of_yes_and_features_by_name(tape: Tape) -> None:
    table = tape.to_arrow()
    assert len(table) == sum(len(v) for v in tape.views)
    shown = tape.qty[:, 1, 0] > 0
    ask = np.array(table["ask_cents_1"].to_pylist(), float)
    assert np.array_equal(ask[shown] * tape.payout // 100, (tape.payout - tape.px[:, 1, 0])[shown])
    assert np.array_equal(np.isnan(ask), ~shown)
    assert np.array_equal(table["mid_cents"].to_numpy(), tape.mark2 / 2)
    assert np.array_equal(table["momentum_10s"].to_numpy(), tape.features[:, 28])
    assert np.array_equal(table["fee_rate"].to_numpy(), tape.features[:, 39])
    assert "cash_ratio" not in table.column_names
    small = tape.select([1]).to_arrow(levels=1, features=False)
    assert small.column_names[-4:] == [
        "bid_cents",
        "bid_contracts",
        "ask_cents",
        "ask_contracts",
    ]
    assert small["row"].to_pylist() == list(range(len(tape.views[1])))
    with pytest.raises(ConfigError, match="levels"):
        tape.to_arrow(levels=4)


def test_fills_name_their_market_and_time(tape: Tape) -> None:
    simulator = BatchSimulator(tape, 3, SimConfig(record_fills=True), n_threads=1)
    simulator.reset()
    for action in [1, 0, 3, 0, 2, 1] * 30:
        simulator.step(np.full(3, action))
    fills = simulator.fills()
    assert len(fills) > 5
    table = fills.to_arrow()
    assert table["contracts"].to_pylist() == fills["qty"].tolist()
    assert table["side"].to_pylist() == ["yes" if s == 0 else "no" for s in fills["side"]]
    first = {v.market_ticker: v for v in tape.views}
    for row in table.to_pylist():
        at = first[row["market_ticker"]].start + row["row"]
        assert row["time"].timestamp() == pytest.approx(tape.ts_ms[at] / 1000, abs=1e-4)
        assert row["price_cents"] in range(1, 100)
    mine = fills[fills["env"] == 1]
    assert mine.to_pandas()["env"].unique().tolist() == [1]
    assert fills[:2].to_arrow().to_pylist() == table.to_pylist()[:2]
    assert type(fills[["env", "row"]]) is np.ndarray
    with pytest.raises(ConfigError, match="copied or sorted"):
        np.sort(fills).to_arrow()  # type: ignore[attr-defined]  # numpy's stubs forget the class
    assert len(simulator.fills().to_arrow()) == 0


def test_pandas_and_polars_have_the_same(session: Session, tape: Tape) -> None:
    tables: list[Tabular] = [session, session.events, tape]
    for one in tables:
        arrow = one.to_arrow()
        pandas, polars = one.to_pandas(), one.to_polars()
        assert list(pandas.columns) == list(polars.columns) == arrow.column_names
        assert len(pandas) == len(polars) == len(arrow)
        assert str(pandas["time"].dtype) == "datetime64[ms, UTC]"
        assert polars["time"].dtype == pl.Datetime("ms", "UTC")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_missing_library_is_named(library: str) -> None:
    done = run_without(
        (library,),
        "from kalshi_sim.synthetic.session import generate_session\n"
        "session = generate_session(1, markets=1, minutes=1)\n"
        f"print(len(session.to_arrow()) > 0)\nsession.to_{library}()\n",
    )
    assert done.stdout == "True\n"
    assert done.stderr.splitlines()[-1].endswith(
        f"this needs {library}, which is not installed; pip install 'kalshi-sim[frames]'"
    )


def test_what_a_person_means_makes_a_tape(session: Session, tmp_path: Path) -> None:
    whole = build_tape([session])
    assert np.array_equal(build_tape(session).rows, whole.rows)
    store = open_store(tmp_path)
    store.save(session)
    for given in (session, [session], whole, 7, [7]):
        env = KalshiVecEnv(given, 2, store=tmp_path)
        assert np.array_equal(env.tape.rows, whole.rows)
    assert np.array_equal(load_tape(tmp_path, 7).rows, whole.rows)


@pytest.mark.parametrize("given", [9, "sessions", None, [9], ["a"], object()])
def test_what_is_no_session_says_how_to_come_to_one(given: object) -> None:
    with pytest.raises(ConfigError, match=r"open_store\('sessions'\)\.load\(9\)"):
        build_tape(given)  # type: ignore[arg-type]  # that is the test

"""What objects say of themselves at a prompt: their size and names, never their arrays."""

from __future__ import annotations

from pathlib import Path

import pytest

from kalshi_sim import (
    BatchSimulator,
    KalshiVecEnv,
    KalshiVectorEnv,
    LiveMarket,
    MarketAgnosticKalshiEnv,
    Tape,
    build_tape,
    open_store,
)
from kalshi_sim.session import QualityReport, Session
from kalshi_sim.synthetic.session import generate_session
from kalshi_train import (
    CurriculumEnvironmentFactory,
    SessionBasedEnvironment,
    SessionDataLoader,
    evaluate,
)


@pytest.fixture(scope="module")
def session() -> Session:
    return generate_session(7, markets=3, minutes=5, seed=1, deltas=300)


@pytest.fixture(scope="module")
def tape(session: Session) -> Tape:
    return build_tape([session])


def test_a_session_and_its_tape(session: Session, tape: Tape) -> None:
    assert repr(session).startswith("Session(7: 3 markets, ")
    assert f"{len(session.events):,} events with trades" in repr(session)
    assert "5.0 minutes, from synthetic)" in repr(session)
    assert repr(tape).startswith(
        f"Tape(session 7: {len(tape.views)} views, {len(tape):,} rows of 1 ms"
    )
    view = tape.views[0]
    assert repr(view).startswith(
        f"MarketSessionView({view.market_ticker} of session 7: {len(view):,} rows, 0:{len(view)}"
    )


def test_events_and_a_report_are_counts(session: Session) -> None:
    info = session.info
    assert repr(session.events).startswith(
        f"Events({len(session.events)}: {info.snapshots} snapshot"
    )
    assert repr(session.events).endswith(f"{info.deltas} delta, {info.trades} trade)")
    assert repr(session.events[:0]) == "Events(0: none)"
    assert repr(session.quality).startswith("QualityReport(3 markets: frames ")
    assert len(repr(session.quality)) < 400
    assert repr(QualityReport()) == "QualityReport(0 markets: nothing counted; 0 notes)"


def test_what_makes_environments_names_its_store_without_a_password(tmp_path: Path) -> None:
    assert (
        repr(SessionDataLoader(tmp_path)) == f"SessionDataLoader(ParquetStore({str(tmp_path)!r}))"
    )
    factory = CurriculumEnvironmentFactory("postgresql://me:secret@db/sessions")
    assert "secret" not in repr(factory)
    assert "me@db/sessions" in repr(factory)
    assert repr(CurriculumEnvironmentFactory(None)) == "CurriculumEnvironmentFactory(None)"


def test_a_session_without_events_has_no_time() -> None:
    empty = generate_session(7, markets=1, minutes=5, seed=1, deltas=10).select([])
    assert repr(empty).startswith("Session(7: 0 markets, 0 events")


def test_environments_name_their_tape(tape: Tape, tmp_path: Path) -> None:
    assert repr(BatchSimulator(tape, 2)).startswith("BatchSimulator(2 environments on ")
    assert repr(KalshiVecEnv(tape, n_envs=2)) == f"KalshiVecEnv(2 environments of {tape!r})"
    assert repr(KalshiVectorEnv(tape, 2)) == f"KalshiVectorEnv(2 environments of {tape!r})"
    assert repr(MarketAgnosticKalshiEnv(tape)) == f"MarketAgnosticKalshiEnv({tape!r})"
    env = SessionBasedEnvironment(str(tmp_path), [7, 8], n_envs=4)
    assert repr(env) == "SessionBasedEnvironment(session 7, 8: 4 environments, not initialized)"


def test_a_store_names_its_folder(tmp_path: Path) -> None:
    assert repr(open_store(tmp_path)) == f"ParquetStore({str(tmp_path)!r})"


def test_a_live_market_has_its_best_prices(session: Session) -> None:
    ticker = session.markets[0].ticker
    market = LiveMarket(session.markets[0])
    assert repr(market) == f"LiveMarket({ticker}: 0 rows)"
    market.feed(session.market_events(ticker))
    market.finish()
    yes, no = market.px[-1, :, 0].tolist()
    assert repr(market) == f"LiveMarket({ticker}: {len(market):,} rows, best YES {yes} NO {no})"


def test_an_evaluation_says_what_was_earned(tape: Tape) -> None:
    found = evaluate({"idle": lambda obs: obs[:, 0].astype(int) * 0}, tape, baselines=["hold"])
    views = len(tape.views)
    assert repr(found) == (
        f"Evaluation(idle, hold on {views} markets under through / queue / touch; "
        "idle $0.00 a market)"
    )
    assert repr(found.run("idle")) == f"Run(idle under queue: {views} markets, $0.00 a market)"

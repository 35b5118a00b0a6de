"""Sessions and shared tapes in a server that speaks Google Cloud Storage's language."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kalshi_sim import open_store
from kalshi_sim.errors import SessionNotFoundError, StoreError
from kalshi_sim.store import fingerprints
from kalshi_sim.store.objects import ObjectStore
from kalshi_sim.store.parquet import ParquetStore
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.tape_cache import load_tape
from support.google_store import BUCKET, GoogleServer
from tests.store.test_postgres_store import assert_same
from tests.test_tape_cache import assert_equal

pytestmark = pytest.mark.kernel


def test_a_store_in_google_cloud_is_like_any_other(
    google_server: GoogleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = generate_session(4, markets=6, minutes=6, seed=4)
    store = open_store(google_server.address(f"{BUCKET}/a/sessions"))
    assert isinstance(store, ObjectStore)
    assert (store.list_sessions(), store.next_session_id()) == ([], 1)
    info = store.save(session)
    assert store.list_sessions() == [info]
    assert (store.exists(4), store.exists(5), store.next_session_id()) == (True, False, 5)
    assert_same(store.load(4), session)
    ticker = session.markets[1].ticker
    assert_same(store.load(4, [ticker]), session.select([ticker]))
    with pytest.raises(StoreError, match="already has session 4"):
        store.save(session)
    other = replace(session, source="another")
    store.save(other, overwrite=True)
    assert_same(store.load(4), other)
    store.save(replace(session, session_id=7))
    files = ParquetStore(tmp_path / "files")
    files.save(other)
    assert fingerprints(store, [7, 4])[1] == files.fingerprint(4)
    monkeypatch.setenv("KALSHI_SIM_SHARED_TAPES", google_server.address(f"{BUCKET}/tapes"))
    monkeypatch.setenv("KALSHI_SIM_TAPES", str(tmp_path / "cache"))
    made = load_tape(store, [4, 7])
    monkeypatch.setenv("KALSHI_SIM_TAPES", str(tmp_path / "elsewhere"))
    assert_equal(load_tape(store, [4, 7], load=lambda *_: pytest.fail("loaded")), made)
    store.delete(7)
    with pytest.raises(SessionNotFoundError, match=r"has no session 7; it has 4$"):
        store.load(7)


def test_a_bucket_that_is_not_there_is_no_empty_store(google_server: GoogleServer) -> None:
    absent = open_store(google_server.address("absent/s"))
    with pytest.raises(StoreError, match=r"^cannot read gs://absent/s\S* there is no bucket"):
        absent.list_sessions()
    with pytest.raises(
        StoreError, match=r"^cannot write to gs://absent/s\S* there is no bucket absent$"
    ):
        absent.save(generate_session(4, markets=2, minutes=3, seed=4))

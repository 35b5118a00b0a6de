"""Sessions in a real S3-compatible server: whole or not at all, and no more fetched than asked."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from kalshi_sim import open_store
from kalshi_sim.cli.commands import main
from kalshi_sim.errors import ConfigError, SessionNotFoundError, StoreError
from kalshi_sim.session import Events, Session
from kalshi_sim.store import ManagedStore, fingerprints
from kalshi_sim.store.objects import ObjectStore
from kalshi_sim.store.parquet import ParquetStore
from kalshi_sim.store.places import ObjectPlace
from kalshi_sim.store.urls import UNSHOWN_OBJECTS, mask_addresses, without_password
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.tape_cache import load_tape
from support.object_store import KEY, SECRET, ObjectServer, wire_to
from tests.store.test_postgres_store import assert_same


@pytest.fixture(scope="module")
def session() -> Session:
    """A small session."""
    return generate_session(4, markets=6, minutes=6, seed=4)


@pytest.fixture
def bucket(object_server: ObjectServer) -> str:
    """A new bucket."""
    return object_server.make_bucket()


@pytest.fixture
def store(object_server: ObjectServer, bucket: str) -> ObjectStore:
    """An empty store in it."""
    found = open_store(object_server.address(f"{bucket}/a/sessions"))
    assert isinstance(found, ObjectStore)
    return found


def test_many_fingerprints_are_those_of_each(store: ObjectStore, session: Session) -> None:
    numbers = [3, 1, 4, 1, 20]
    for number in set(numbers):
        store.save(replace(session, session_id=number))
    found = fingerprints(store, numbers)
    assert found == [store.fingerprint(n) for n in numbers]
    assert len(set(found)) == len(set(numbers))
    assert fingerprints(store, []) == []
    with pytest.raises(SessionNotFoundError, match=r"has no session 7; it has 1, 3, 4, 20$"):
        fingerprints(store, [1, 7, 8])


def test_a_session_comes_back_as_it_was(
    store: ObjectStore, session: Session, tmp_path: Path
) -> None:
    assert isinstance(store, ManagedStore)
    assert store.list_sessions() == []
    assert store.next_session_id() == 1
    info = store.save(session)
    assert store.list_sessions() == [info]
    assert (store.exists(4), store.exists(5)) == (True, False)
    assert_same(store.load(4), session)
    tickers = [session.markets[i].ticker for i in (4, 1)]
    assert_same(store.load(4, tickers), session.select(tickers))
    files = ParquetStore(tmp_path / "sessions")
    files.save(session)
    assert store.fingerprint(4) == files.fingerprint(4)
    for place in (store, files):
        columns = place.load_columns(4, ["ts_ms", "kind"], tickers)
        wanted = session.select(tickers).events
        assert set(columns) == {"ts_ms", "kind"}
        for name, found in columns.items():
            assert found.dtype == getattr(wanted, name).dtype
            np.testing.assert_array_equal(found, getattr(wanted, name))
        with pytest.raises(ConfigError, match="no column colour; they have kind"):
            place.load_columns(4, ["colour"])
    assert_same(pickle.loads(pickle.dumps(store)).load(4), session)
    assert store.next_session_id() == 5
    with pytest.raises(SessionNotFoundError, match=r"has no session 5; it has 4"):
        store.load(5)
    with pytest.raises(SessionNotFoundError, match="no market 'X'"):
        store.load(4, ["X"])


def test_a_session_is_overwritten_and_deleted(
    store: ObjectStore, session: Session, object_server: ObjectServer, bucket: str
) -> None:
    store.save(session)
    with pytest.raises(StoreError, match="already has session 4"):
        store.save(session)
    named = replace(session, name="again")
    store.save(named, overwrite=True)
    assert store.load(4).name == "again"
    assert [i.name for i in store.list_sessions()] == ["again"]
    assert sum(key.endswith(".parquet") for key in object_server.keys(bucket)) == 1
    store.delete(4)
    assert store.list_sessions() == []
    assert [k for k in object_server.keys(bucket) if not k.endswith("/")] == []
    with pytest.raises(SessionNotFoundError):
        store.delete(4)


def test_a_session_overwritten_while_it_is_read_is_read_anew(
    store: ObjectStore, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(session)
    before = store._existing(4)
    store.save(replace(session, name="again"), overwrite=True)
    described, real = iter([before]), store._existing
    # The description that a reader has got just before it was overwritten.
    monkeypatch.setattr(store, "_existing", lambda number: next(described, None) or real(number))
    assert store.load(4).name == "again"


def test_a_save_that_fails_anywhere_leaves_all_or_nothing(
    object_server: ObjectServer, bucket: str, session: Session
) -> None:
    outcomes: list[int] = []
    said: list[str] = []
    while len(said) == len(outcomes) < 30:  # until nothing was left to refuse
        failing = len(outcomes) + 1
        noted = replace(session, note=str(failing))
        with wire_to(object_server.port) as wire:
            wire.refuse_from = failing
            far = open_store(object_server.address(f"{bucket}/{failing}", wire.port))
            try:
                far.save(noted)
            except StoreError as error:
                said.append(str(error))
        direct = open_store(object_server.address(f"{bucket}/{failing}"))
        found = direct.list_sessions()
        outcomes.append(len(found))
        if found:
            assert_same(direct.load(4), noted)
        else:  # what was left is seen by nobody
            assert direct.next_session_id() == 1
    assert SECRET not in "".join(said)
    assert len(outcomes) > 6
    assert outcomes == sorted(outcomes)
    assert (outcomes[0], outcomes[-1]) == (0, 1)


def test_a_killed_writer_leaves_nothing_to_see(
    object_server: ObjectServer, bucket: str, session: Session
) -> None:
    address = object_server.address(f"{bucket}/s")
    code = (
        "import os, signal, sys\n"
        "from kalshi_sim import open_store\n"
        "from kalshi_sim.store.places import ObjectPlace\n"
        "from kalshi_sim.synthetic.session import generate_session\n"
        "ObjectPlace.write = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        "open_store(sys.argv[1]).save(generate_session(4, markets=2, minutes=2))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, address], check=False)
    assert done.returncode == -9
    assert any(key.endswith(".parquet") for key in object_server.keys(bucket))
    store = open_store(address)
    assert store.list_sessions() == []
    store.save(session)
    assert_same(store.load(4), session)


def test_of_two_writers_of_one_session_one_gives_way(
    store: ObjectStore, session: Session, object_server: ObjectServer, bucket: str
) -> None:
    object_server.put(f"{bucket}/a/sessions/session-4/other.claim", b"claim")
    with pytest.raises(StoreError, match=r"is saving session 4 .*, or was ended while it did; try"):
        store.save(session)
    assert not store.exists(4)


def test_what_is_old_and_named_by_nobody_is_removed(
    store: ObjectStore,
    session: Session,
    object_server: ObjectServer,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("old.claim", "old.parquet"):
        object_server.put(f"{bucket}/a/sessions/session-4/{name}", b"x")
    real = ObjectPlace.names

    def days_later(place: ObjectPlace, folder: str = "") -> dict[str, float]:
        found = real(place, folder)
        return {name: at - 200_000 * name.startswith("old") for name, at in found.items()}

    monkeypatch.setattr(ObjectPlace, "names", days_later)
    store.save(session)
    assert len([k for k in object_server.keys(bucket) if "session-4/" in k and k[-1] != "/"]) == 1
    assert_same(store.load(4), session)


def test_a_damaged_object_is_one_error(
    store: ObjectStore, session: Session, object_server: ObjectServer, bucket: str
) -> None:
    store.save(session)
    (data,) = [k for k in object_server.keys(bucket) if k.endswith(".parquet")]
    object_server.put(f"{bucket}/{data}", b"PAR1 of another kind")
    with pytest.raises(StoreError, match=r"cannot be read, or is damaged") as raised:
        store.load(4)
    assert SECRET not in str(raised.value)
    object_server.put(f"{bucket}/a/sessions/session-4.json", b"{}")
    with pytest.raises(StoreError, match=r"session-4\.json.* is damaged"):
        store.load(4)


def test_only_what_is_asked_for_is_fetched(
    object_server: ObjectServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_sim.store.parquet_file._GROUP_ROWS", 1)  # a group a market
    large = generate_session(7, markets=24, minutes=60, seed=7)
    open_store(object_server.address(f"{bucket}/s")).save(large)

    def fetched(markets: list[str] | None, columns: list[str] | None = None) -> int:
        with wire_to(object_server.port) as wire:
            store = ObjectStore(object_server.address(f"{bucket}/s", wire.port))
            if columns is None:
                store.load(7, markets)
            else:
                store.load_columns(7, columns, markets)
            return wire.received

    one = [large.markets[3].ticker]
    everything = fetched(None)
    footer = fetched(one, ["side"])
    sizes = {"all": everything, "market": fetched(one), "column": fetched(None, ["side"])}
    print("bytes fetched:", sizes, "least:", footer)
    assert everything > footer + 50_000
    assert sizes["market"] - footer < (everything - footer) / 4
    # Columns of so small groups lie closer together than what one request fetches at once.
    assert sizes["column"] - footer < (everything - footer) * 0.9


def test_commands_take_an_address_and_show_no_key(
    object_server: ObjectServer,
    bucket: str,
    session: Session,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    address = object_server.address(f"{bucket}/s")
    open_store(address).save(session)
    assert main(["list", "--store", address, "--json"]) == 0
    assert main(["delete", "99", "--yes", "--store", address]) != 0
    wrong = object_server.address("absent/s")
    assert main(["validate", "9", "--store", wrong]) != 0
    assert main(["list", "--store", address.replace("s3://", "s4://")]) == 2
    tape = load_tape(address, 4)
    assert len(tape.views) > 0
    said = "".join(capfd.readouterr()) + repr(open_store(address))
    assert f"s3://{bucket}/s" in said
    for secret in (SECRET, SECRET.replace("/", "%2F"), KEY):
        assert secret not in said


def test_a_bucket_that_is_not_there_is_no_empty_store(object_server: ObjectServer) -> None:
    absent = open_store(object_server.address("absent/s"))
    for ask in (absent.list_sessions, absent.next_session_id, lambda: absent.load(4)):
        with pytest.raises(StoreError, match=r"^cannot read s3://absent/s\S* there is no bucket"):
            ask()
    with pytest.raises(ConfigError, match=r"^s3:// names no bucket"):
        open_store("s3://")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"s3://{KEY}:{SECRET}@bucket/path", UNSHOWN_OBJECTS),
        (f"s3://{KEY}:abc@bucket/path?region=x&session_token=abc", "s3://bucket/path?region=x"),
        ("gs://bucket/path", "gs://bucket/path"),
        ("GS://anonymous@bucket/path", "gs://bucket/path"),
        ("abfs://box@acc.dfs.core.windows.net/p", "abfs://box@acc.dfs.core.windows.net/p"),
        ("abfs://:key==@acc.dfs.core.windows.net/p", "abfs://acc.dfs.core.windows.net/p"),
        ("fsspec+memory://sessions", "fsspec+memory://sessions"),
        ("s3://bucket/a@b", UNSHOWN_OBJECTS),
    ],
)
def test_addresses_are_shown_without_keys(address: str, shown: str) -> None:
    assert without_password(address) == shown
    assert "abc" not in mask_addresses(f"cannot read {address}: no")
    assert SECRET not in mask_addresses(f"cannot read {address}: no")


def test_any_file_system_of_fsspec_is_a_store(session: Session) -> None:
    store = open_store("fsspec+memory://place/sessions")
    store.save(session)
    assert_same(store.load(4), session)
    store.delete(4)
    assert store.list_sessions() == []
    with pytest.raises(ConfigError, match=r"^fsspec\+nothing://x cannot be understood"):
        open_store("fsspec+nothing://x")


def test_every_column_can_be_asked_for(store: ObjectStore, session: Session) -> None:
    store.save(session)
    names = [f.name for f in fields(Events)]
    for name, found in store.load_columns(4, names).items():
        np.testing.assert_array_equal(found, getattr(session.events, name))

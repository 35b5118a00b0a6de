"""No command shows, logs, stores or names a file by a password, wherever one was written."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from kalshi_sim.cli.commands import main
from kalshi_sim.store import open_store
from kalshi_sim.synthetic.session import generate_session
from kalshi_train.cli.runs import main as runs_main
from support.postgres import PASSWORD, QUOTED_PASSWORD, Database

SECRET = "hunter2-secret"
ADDRESSES = [
    f"postgresql://u:{SECRET}@127.0.0.1:1/db?connect_timeout=2",
    f"mysql://u:{SECRET}@h/db",
    f"host=h user=u password={SECRET}",
]
COMMANDS = [
    "merge 1 2 --store {}",
    "rename 1 2 --store {}",
    "results markets.csv --store {}",
    "measure 1 --store {}",
    "measure 1 --store sessions --against {}",
    "delete 1 --yes --store {}",
    "generate --store {}",
    "generate --like 1 --like-store {} --store sessions",
    "validate 1 --store {}",
    "exchange --session 1 --store {} --port 0",
    "exchange --session 1 --store sessions --port 0 --keys {}",
    "record --environment http://127.0.0.1:1 --into {}",
    "record --store-only --out recording --into {}",
    "record --environment {}",
    "record --key-id-file {}",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a store and what else the commands name."""
    monkeypatch.chdir(tmp_path)
    open_store("sessions").save(generate_session(1, markets=2, minutes=2, seed=1))
    Path("markets.csv").write_text("market_ticker,result\nA,yes\n")
    Path("recording").mkdir()
    return tmp_path


def holds(folder: Path, *secrets: str) -> list[Path]:
    """Files whose name or content has a secret."""
    return [
        path
        for path in folder.rglob("*")
        for secret in secrets
        if secret in str(path) or (path.is_file() and secret.encode() in path.read_bytes())
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_address_that_is_wrong_is_not_repeated(
    command: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for address in ADDRESSES:
        code = main([word.replace("{}", address) for word in command.split()])
        out, err = capfd.readouterr()
        assert code in (1, 2), out + err
        assert SECRET not in out + err
        assert len(err.strip().splitlines()) == 1, err
        assert not holds(here, SECRET)


def test_an_exchange_s_address_has_no_password(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # somebody is there
        port = server.getsockname()[1]
        code = main(["record", "--environment", f"http://u:{SECRET}@127.0.0.1:{port}"])
    assert code == 2
    out, err = capfd.readouterr()
    assert SECRET not in out + err


def test_commands_on_stored_sessions(
    database: Database, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store = open_store(database.url)
    for number in (1, 2):
        store.save(generate_session(number, markets=4, minutes=3, seed=number))
    for command in (
        "merge 1 2",
        "rename 3 7 --name third --note noted",
        "results markets.csv 1",
        "measure 1",
        "rename 7 --name again --json",
        "merge 1 2 --json",
        "delete 1 --yes",
        "validate 2",
    ):
        main([*command.split(), "--store", database.url])
        out, err = capfd.readouterr()
        assert out + err
        for secret in (PASSWORD, QUOTED_PASSWORD):
            assert secret not in out + err, command
    assert runs_main([str(here)]) == 2
    assert not holds(here, PASSWORD, QUOTED_PASSWORD)

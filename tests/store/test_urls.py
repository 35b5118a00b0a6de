"""Addresses of stores: what is understood, what is refused, and that no password is shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_sim.errors import ConfigError
from kalshi_sim.store import open_store
from kalshi_sim.store.parquet import ParquetStore
from kalshi_sim.store.postgres.store import PostgresStore
from kalshi_sim.store.urls import UNSHOWN, mask_addresses, parse_address, without_password

SECRET = "s3cr3tPW"
UNDERSTOOD = [
    f"postgresql://u:{SECRET}@127.0.0.1:1/db",
    f"postgres://u:{SECRET}@127.0.0.1:1/db",
    f"POSTGRESQL://u:{SECRET}@127.0.0.1:1/db",
    f"  postgresql://u:{SECRET}@127.0.0.1:1/db\n",
    f"postgresql+asyncpg://u:{SECRET}@127.0.0.1:1/db",
    f"postgresql+psycopg2://u:{SECRET}@127.0.0.1:1/db",
    f"postgresql://127.0.0.1:1/db?user=u&password={SECRET}",
    f"postgresql://127.0.0.1:1/db?user=u&sslpassword={SECRET}&options=-c%20x={SECRET}",
    f"postgresql://u:%73%33{SECRET}%40@127.0.0.1:1/db",
    f"postgresql://u:a/{SECRET}@127.0.0.1:1/db",
    f"postgresql://u:a?{SECRET}#@127.0.0.1:1/db",
]
REFUSED = [
    f"mysql://u:{SECRET}@h/db",
    f"MySQL+PyMySQL://u:{SECRET}@h/db",
    f"sqlite:///{SECRET}:x@y",
    f"postgresql:/u:{SECRET}@h/db",
    f"postgresql:u:{SECRET}@h/db",
    f"postgresql+asyncpg:/u:{SECRET}@h/db",
    f"https://u:{SECRET}@h/db",
    f"://u:{SECRET}@h/db",
    f"u:{SECRET}@h/db",
    f"u:pa/{SECRET}@h/db",
    f"folder/mysql://u:{SECRET}@h",
    f"file:///u:{SECRET}@h",
    f"jdbc:postgresql://h/db?user=u&password={SECRET}",
    f"postgresql//u:{SECRET}@h/db",
    f"postgresql\uff1a//u:{SECRET}@h/db",
    f"postgresql ://u:{SECRET}@h/db",
    f"\ufeffpostgresql://u:{SECRET}@h/db",
    f"'postgresql://u:{SECRET}@h/db'",
    f"DATABASE_URL=postgresql://u:{SECRET}@h/db",
    f"host=h user=u password={SECRET} dbname=d",
    f"dbname = d PASSWORD = {SECRET}",
]


@pytest.mark.parametrize("address", UNDERSTOOD)
def test_spellings_of_postgresql_are_understood(address: str) -> None:
    parsed = parse_address(address)
    assert parsed.kind == "postgresql"
    assert parsed.text.startswith("postgresql://")
    assert isinstance(open_store(address), PostgresStore)
    assert SECRET not in repr(open_store(address))


@pytest.mark.parametrize("address", REFUSED)
def test_other_addresses_are_refused_without_their_password(address: str) -> None:
    with pytest.raises(ConfigError) as raised:
        open_store(address)
    assert SECRET not in str(raised.value)
    assert "postgresql://user:password@host" in str(raised.value)
    assert without_password(address) == UNSHOWN


@pytest.mark.parametrize(
    "folder",
    [
        *("sessions", "/data/sessions", "./a:b@c", "../x", "a@b", "12:30", "C:", "~/s", "a=b"),
        *("postgres/sessions", "./user=me", "/data//12:30", "bypass", "user", "/a/password=x"),
    ],
)
def test_folders_stay_folders(folder: str) -> None:
    assert parse_address(folder).kind == "folder"
    assert parse_address(folder).text == folder
    assert without_password(folder) == folder


@pytest.mark.parametrize("name", ["", "  ", "a\0b"])
def test_a_name_that_cannot_be_one(name: str) -> None:
    with pytest.raises(ConfigError, match=r"store's name"):
        parse_address(name)


def test_a_path_object_of_a_url_is_refused() -> None:
    with pytest.raises(ConfigError) as raised:
        open_store(Path(f"postgresql://u:{SECRET}@h/db"))
    assert SECRET not in str(raised.value)


def test_an_empty_database_url_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", " ")
    assert isinstance(open_store(), ParquetStore)


@pytest.mark.parametrize("address", [*UNDERSTOOD, *REFUSED, f"postgresql://u:a,{SECRET}'@h/d"])
@pytest.mark.parametrize("form", ["no model at {}", "there is no '{}'; look", "--store={}"])
def test_messages_are_masked(address: str, form: str) -> None:
    assert SECRET not in mask_addresses(form.format(address))


def test_masking_leaves_our_own_messages() -> None:
    text = (
        "postgresql://me@h:5432/d: it must look like postgresql://user:password@host:5432/database"
    )
    assert mask_addresses(text) == text


@pytest.mark.parametrize(
    "command",
    [
        ["kalshi_sim.cli.commands:main", "list"],
        ["kalshi_sim.cli.commands:main", "import", "{}", "--session", "1"],
        ["kalshi_sim.cli.commands:main", "import", "{}", "{}"],
        ["kalshi_sim.cli.commands:main", "list", "{}"],
        ["kalshi_sim.cli.commands:main", "export", "1", "--to", "{}"],
        ["kalshi_train.cli.train:train_main", "--session", "1", "--log-file", "run/log"],
        ["kalshi_train.cli.train:train_main", "--session", "{}"],
        ["kalshi_train.cli.train:evaluate_main", "--session", "1"],
        ["kalshi_train.cli.train:evaluate_main", "{}"],
    ],
    ids=lambda c: " ".join(c)[-40:],
)
def test_no_output_file_or_name_holds_the_password(command: list[str], tmp_path: Path) -> None:
    program, *arguments = command
    module, function = program.split(":")
    for number, address in enumerate((UNDERSTOOD[4], REFUSED[3])):
        work = tmp_path / str(number)
        work.mkdir()
        code = f"import sys; from {module} import {function} as f; sys.exit(f(sys.argv[1:]))"
        run = subprocess.run(
            [sys.executable, "-c", code, *(a.format(address) for a in arguments)],
            env={**os.environ, "DATABASE_URL": address},
            capture_output=True,
            text=True,
            cwd=work,
            check=False,
        )
        assert run.returncode in (1, 2), run.stderr
        assert SECRET not in run.stdout + run.stderr
        assert "Traceback" not in run.stderr
        for path in work.rglob("*"):
            assert SECRET not in str(path)
            assert path.is_dir() or SECRET.encode() not in path.read_bytes()

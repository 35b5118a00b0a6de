"""A disk that is full while something is written: one clear line, and nothing that was is lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kalshi_sim.cli.commands import main
from kalshi_sim.errors import StoreError
from kalshi_sim.store import open_store
from kalshi_sim.store.postgres.store import PostgresStore
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.tape_cache import load_tape
from support.postgres import ROLE, Server, execute
from tests.store.test_postgres_store import assert_same
from tests.support.saver import numbered
from tests.support.small_disk import NO_ROOM, SmallDisk

STEPS = ["--n-envs", "8", "--n-steps", "32", "--save-freq", "500", "--num-threads", "1"]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """On a roomy disk: a store `s` of one session, and its capture."""
    folder = tmp_path_factory.mktemp("here")
    open_store(folder / "s").save(generate_session(1, markets=20, minutes=10, seed=1))
    out = str(folder / "capture.jsonl")
    assert main(["export", "1", "--store", str(folder / "s"), "--out", out]) == 0
    return folder


def check(run: subprocess.CompletedProcess[str], code: int, pattern: str = NO_ROOM) -> None:
    """One line that says what there is no room for, and the exit code."""
    assert run.returncode == code, run.stderr
    (line,) = [text for text in run.stderr.splitlines() if text.strip()]
    assert re.search(pattern, line), line


def test_import(here: Path, small_disk: SmallDisk) -> None:
    target = small_disk.folder / "s"
    old = replace(generate_session(1, markets=1, minutes=1, seed=2), session_id=1)
    open_store(target).save(old)
    before = small_disk.contents()
    small_disk.leave(20_000)
    command = ["import", str(here / "capture.jsonl"), "--store", str(target), "--session"]
    for number, overwrite in (("1", ["--overwrite"]), ("2", [])):
        run = small_disk.run("kalshi-sim", *command, number, *overwrite)
        check(run, 1, rf"^kalshi-sim: cannot write .*session-{number}\.parquet: {NO_ROOM}")
        assert small_disk.contents() == before
    small_disk.leave(None)
    assert small_disk.run("kalshi-sim", *command, "2").returncode == 0


def test_tape_cache(here: Path, small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    tapes = small_disk.folder / "tapes"
    monkeypatch.setenv("KALSHI_SIM_TAPES", str(tapes))
    kept = len(load_tape(open_store(here / "s"), [1], min_episode_length=100))
    assert kept > 0
    before = small_disk.contents()
    small_disk.leave(100_000)
    run = small_disk.run("kalshi-sim", "analyze", "1", "--store", str(here / "s"))
    check(run, 0, rf"the tape was not cached in .*tapes: cannot write .*{NO_ROOM}")
    assert "20 markets" in run.stdout
    assert small_disk.contents() == before
    assert [p.name.startswith(".") for p in tapes.iterdir()] == [False]


@pytest.mark.parametrize("out", ["new", "old", "one.jsonl.gz"])
def test_export(out: str, here: Path, small_disk: SmallDisk) -> None:
    target = small_disk.folder / out
    command = ["export", "1", "--store", str(here / "s"), "--out", str(target), "--overwrite"]
    if out != "new":
        assert main(command) == 0
    before = small_disk.contents()
    small_disk.leave(8_192)
    check(small_disk.run("kalshi-sim", *command), 1, f"^kalshi-sim: cannot write .*: {NO_ROOM}")
    assert small_disk.contents() == before
    assert target.exists() == (out != "new")
    small_disk.leave(None)
    assert small_disk.run("kalshi-sim", *command).returncode == 0


def test_commands_that_write_sessions(here: Path, small_disk: SmallDisk) -> None:
    target = small_disk.folder / "s"
    store = open_store(target)
    for number in (1, 2):
        made = generate_session(number, markets=20, minutes=10, seed=number)
        store.save(made)
    markets = small_disk.folder / "markets.csv"
    markets.write_text(
        "market_ticker,result\n"
        + "".join(f"{m.ticker},{'yes' if m.settlement_value else 'no'}\n" for m in made.markets)
    )
    markets_now = tuple(replace(m, settlement_value=None) for m in made.markets)
    unknown = replace(made, markets=markets_now)
    store.save(unknown, overwrite=True)
    before = small_disk.contents()
    small_disk.leave(8_192)
    for number, words in (
        (3, ["merge", "1", "2"]),
        (9, ["rename", "1", "9"]),
        (1, ["rename", "1", "--name", "first"]),
        (2, ["results", str(markets), "2"]),
    ):
        run = small_disk.run("kalshi-sim", *words, "--store", str(target))
        check(run, 1, rf"^kalshi-sim: cannot write .*session-{number}\.parquet: {NO_ROOM}")
        assert small_disk.contents() == before, words
    run = small_disk.run("kalshi-sim", "delete", "1", "--yes", "--store", str(target))
    assert run.returncode == 0, run.stderr
    assert store.load(2).markets[0].settlement_value is None


_WRITERS = """
import logging, sys, threading
from pathlib import Path
from kalshi_sim.errors import StoreError
from kalshi_train.training.curves import TensorBoardWriter, quiet_threads
from kalshi_train.training.logs import setup_logging
from kalshi_train.training.metrics import JsonLinesWriter
from kalshi_train.training.run_lock import locked

folder = Path(sys.argv[1])

def lock():
    with locked(folder):
        print("locked")

def metrics():
    writer = JsonLinesWriter(folder / "metrics.jsonl")
    writer.write({"a": 0.5}, {"a": None}, 1)

def curves():
    with quiet_threads():
        writer = TensorBoardWriter(folder / "tensorboard")
        for step in range(100):
            writer.write({"a": 0.5}, {"a": None}, step)

for work in (lock, metrics, curves):
    try:
        work()
        print("nothing said")
    except StoreError as error:
        print(error)
setup_logging("INFO", folder / "log.txt")
for text in ("first", "second"):
    logging.getLogger("kalshi_train").info(text)
"""


def test_what_a_training_writes_besides_models(small_disk: SmallDisk) -> None:
    small_disk.leave(0)
    run = small_disk.python(_WRITERS, str(small_disk.folder))
    assert run.returncode == 0, run.stderr
    told = run.stdout.splitlines()
    for name, line in zip(
        (r"\.training\.lock", r"metrics\.jsonl", "tensorboard"), told, strict=True
    ):
        assert re.fullmatch(f"cannot write .*{name}: {NO_ROOM}.*", line), line
    first, said, second = run.stderr.splitlines()
    assert (first, second) == ("first", "second")
    assert re.fullmatch(r"cannot write the log file .*log\.txt: .*; going on", said)
    assert not (small_disk.folder / ".training.lock").exists()


def test_what_is_printed(here: Path) -> None:
    for words in (["list", "--store", str(here / "s")], ["--version"], ["--help"]):
        with Path("/dev/full").open("w") as full:
            run = subprocess.run(
                [sys.executable, "-m", "kalshi_sim.cli", *words],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        check(run, 1, "^kalshi-sim: No space left on device; free some space")


def test_checkpoints_and_the_report(here: Path, small_disk: SmallDisk) -> None:
    run_folder = small_disk.folder / "run"
    train = ["--store", str(here / "s"), "--session", "1", "--model-save-path"]
    train += [str(run_folder / "m.zip"), *STEPS, "--total-timesteps"]
    first = small_disk.run("kalshi-train", *train, "1024")
    assert first.returncode == 0, first.stderr
    models = {n: c for n, c in small_disk.contents().items() if n.endswith(".zip")}
    assert len(models) >= 3
    small_disk.leave(16_000)
    more = small_disk.run("kalshi-train", *train, "4096", "--resume-from", str(run_folder))
    assert more.returncode == 1, more.stderr
    assert re.search(rf"^kalshi-train: cannot write .*zip: {NO_ROOM}", more.stderr, re.MULTILINE)
    assert "Traceback" not in more.stderr
    after = small_disk.contents()
    assert {n: c for n, c in after.items() if n.endswith(".zip")} == models
    assert not [n for n in after if n.endswith(".tmp")]

    report = small_disk.folder / "r.html"
    report.write_text("an earlier one")
    evaluate = [str(run_folder / "m.zip"), "--store", str(here / "s"), "--session", "1"]
    evaluate += ["--report", str(report)]
    small_disk.leave(16_000)
    told = small_disk.run("kalshi-evaluate", *evaluate)
    assert told.returncode == 1, told.stderr
    assert "Traceback" not in told.stderr
    assert re.search(rf"^kalshi-evaluate: cannot write .*r\.html: {NO_ROOM}", told.stderr)
    assert report.read_text() == "an earlier one"

    small_disk.leave(None)
    rest = small_disk.run("kalshi-train", *train, "4096", "--resume-from", str(run_folder))
    assert rest.returncode == 0, rest.stderr
    shutil.rmtree(run_folder)


def test_postgresql(postgres_server: Server, small_disk: SmallDisk) -> None:
    if not small_disk.mounted:
        pytest.skip("a tablespace on a small disk needs a mount, so root")
    place = small_disk.folder / "space"
    place.mkdir()
    owner = postgres_server.data.stat()
    os.chown(place, owner.st_uid, owner.st_gid)
    admin = postgres_server.admin_url()
    execute(admin, f"CREATE TABLESPACE small LOCATION '{place}'")
    execute(admin, f"CREATE DATABASE small OWNER {ROLE} TABLESPACE small")
    url = postgres_server.url("small")
    store = PostgresStore(url)
    try:
        store.save(numbered(1))
        small_disk.leave(300_000)
        for attempt in (replace(numbered(2), session_id=1), numbered(2)):
            with pytest.raises(
                StoreError, match=r"saving session .*No space left on device.*; free"
            ):
                store.save(attempt, overwrite=True)
        run = small_disk.run("kalshi-sim", "generate", "--store", url, "--session", "3")
        check(run, 1, "^kalshi-sim: .*saving session 3: .*No space left on device.*; free some")
        assert_same(store.load(1), numbered(1))
        assert [info.session_id for info in store.list_sessions()] == [1]
        small_disk.leave(None)
        store.save(numbered(2))
        assert_same(store.load(2), numbered(2))
    finally:
        small_disk.leave(None)
        execute(admin, "DROP DATABASE small WITH (FORCE)", "DROP TABLESPACE small")

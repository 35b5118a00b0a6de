"""Every example of docs/formats.md does what the page says."""

from __future__ import annotations

import re
import shlex
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim.cli.commands import main
from kalshi_sim.ingest import readers
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.session import EventKind
from kalshi_sim.store import open_store
from tests.support.wire import T0, rows

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
EXAMPLES = re.findall(r"^```(\w+) ([^\n]+)\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
FILES = [example for example in EXAMPLES if example[0] != "python"]
MARKET = "KXGAME-26MAR18AB-A"
WITHOUT_CHANGE = ("polls.jsonl", "snapshots.csv")
REBUILT = ("deltas.csv", "no-snapshot.jsonl")


def write(folder: Path, language: str, name: str, text: str) -> Path:
    path = folder / name
    if language == "sql":
        with sqlite3.connect(path) as connection:
            connection.executescript(text)
        connection.close()
    else:
        path.write_text(text, "utf-8")
    return path


def run(folder: Path, path: Path, options: str) -> int:
    arguments = [str(path), "--store", str(folder / "sessions"), "--session", "1"]
    return main(["import", *arguments, *shlex.split(options)])


@pytest.mark.parametrize(("language", "heading", "text"), FILES, ids=[e[1] for e in FILES])
def test_the_example_is_read_or_refused_as_the_page_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], language: str, heading: str, text: str
) -> None:
    name, _, rest = heading.partition(" ")
    path = write(tmp_path, language, name, text)
    if rest.startswith("refused: "):
        assert run(tmp_path, path, "") == 1
        assert rest.removeprefix("refused: ") in capsys.readouterr().err
        return
    assert run(tmp_path, path, rest) == 0
    session = open_store(str(tmp_path / "sessions")).load(1)
    assert [m.ticker for m in session.markets] == [MARKET]
    if name in WITHOUT_CHANGE:
        assert session.quality.total.snapshots == session.quality.total.rows == 2
        return
    if name in REBUILT:
        assert session.source == "capture, rebuilt start"
        assert rows(session.events, EventKind.LEVEL)[0] == (0, 4000, 2_500)
    else:
        assert rows(session.events, EventKind.LEVEL) == [(0, 4000, 10_000), (1, 5500, 8_000)]
    assert rows(session.events, EventKind.DELTA)[-1] == (0, 4000, -2_500)
    assert int(session.events[session.events.kind == EventKind.DELTA].ts_ms[-1]) == T0 + 100


def test_the_page_has_an_example_of_every_format() -> None:
    page = PAGE.read_text("utf-8")
    for reader in readers.READERS:
        if reader not in (readers.CANDLES, readers.TRADES):
            assert f"\n| `{reader.name}` |" in page
            assert f"\n## {reader.name}\n" in page
    assert len(FILES) == page.count("\n```") // 2 - 1


def test_the_reader_of_the_page_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [text for language, _, text in EXAMPLES if language == "python"]
    names: dict[str, Any] = {}
    exec(compile(code, "formats.md", "exec"), names)
    monkeypatch.setattr(readers, "READERS", (names["PipeReader"](), *readers.READERS))
    path = tmp_path / "changes.txt"
    path.write_text(f"{MARKET}|{T0}|no|55|80\n{MARKET}|{T0 + 100}|yes|40|-25\n")
    session = import_captures([path], session_id=1, missing_snapshot="smallest")
    assert rows(session.events, EventKind.DELTA) == [(1, 5500, 8_000), (0, 4000, -2_500)]

"""The documents say what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from kalshi_sim import SimConfig, open_store
from kalshi_sim.fees import DEFAULT_SCHEDULE, FeeSchedule
from kalshi_sim.synthetic.session import generate_session
from tests.support.markdown import DOCUMENTS, anchors, links
from tests.test_imports import ROOMS, TRAIN_ROOMS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LIMITS = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
BIAS = LIMITS.partition("## What each option does to the bias")[2]


PYTHON = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", [f.name for f in fields(SimConfig)])
def test_the_limits_page_tells_the_bias_of_every_option(name: str) -> None:
    assert f"`{name}`" in BIAS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name, hint in get_type_hints(SimConfig).items()
        if get_origin(hint) is Literal and name != "market_order"
        for value in get_args(hint)
    ],
)
def test_the_limits_page_tells_the_bias_of_every_choice(name: str, value: str) -> None:
    assert f"`{value}`" in BIAS


def test_the_bold_defaults_of_the_limits_page_are_the_defaults() -> None:
    defaults = {f.name: f.default for f in fields(SimConfig)}
    seen = set()
    option = ""
    for line in BIAS.splitlines():
        if (row := re.match(r"\| (?:`(\w+)`)? ?\|(.*?)\|", line)) is None:
            continue
        option = row[1] or option
        for bold in re.findall(r"\*\*`?([\w.]+)`?\*\*", line):
            if option in defaults:
                seen.add(option)
                assert str(defaults[option]) == bold, option
    assert {"fill_model", "pricing", "latency_ms", "valuation", "random_start"} <= seen


@pytest.mark.parametrize(("text", "session"), [(README, 18), (PYTHON, 9)], ids=["README", "python"])
def test_the_python_of_the_documents_runs(
    text: str, session: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    open_store("sessions").save(generate_session(session, markets=8, minutes=10))
    code = "\n".join(blocks(text, "python"))
    long, short = ".learn(1_000_000)", ".learn(1)"
    assert long in code
    names: dict[str, Any] = {}
    exec(compile(code.replace(long, short), "document", "exec"), names)
    assert names["model"].num_timesteps == 32 * 1024
    assert (tmp_path / "mine.zip").is_file()


def test_the_readme_fits_a_stranger() -> None:
    assert len(README.splitlines()) < 120


def test_the_fee_rules_of_the_documents_load(tmp_path: Path) -> None:
    (text,) = blocks(PYTHON, "json")
    path = tmp_path / "fees.json"
    path.write_text(text)
    extra = FeeSchedule.from_file(path).rules[len(DEFAULT_SCHEDULE.rules) :]
    assert [rule.series for rule in extra] == ["KXEXAMPLE*", "KXOTHER"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for file, anchor in links(document):
        target = document.parent / file if file else document
        assert target.exists(), file
        if anchor:
            assert anchor in anchors(target), f"{file}#{anchor}"


def test_every_page_is_in_the_navigation() -> None:
    """Also said by `make docs`, which needs what the other tests do without."""
    listed = re.findall(
        r"^ +- [^:]+: ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE
    )
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_files_that_documents_name_are_there() -> None:
    folders = "kalshi_sim|kalshi_train|tests|benchmarks|support|examples|docs"
    named = {
        (document.name, path)
        for document in DOCUMENTS
        for path in re.findall(rf"`((?:{folders})/[\w./-]+)`", document.read_text("utf-8"))
    }
    assert len(named) > 40
    assert [where for where in sorted(named) if not (ROOT / where[1]).exists()] == []


SOURCES = [
    path
    for folder in ("kalshi_sim", "kalshi_train", "tests", "benchmarks", "support", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def test_references_to_documents_in_the_code_lead_somewhere() -> None:
    wrong, seen = [], 0
    for path in SOURCES:
        for name, anchor in re.findall(
            r"\bdocs/([\w-]+\.md)(?:#([\w-]+))?", path.read_text("utf-8")
        ):
            target = ROOT / "docs" / name
            seen += 1
            if not target.is_file() or (anchor and anchor not in anchors(target)):
                wrong.append(f"{path.relative_to(ROOT)}: docs/{name}#{anchor}")
    assert wrong == []
    assert seen > 10


def test_the_contract_is_referred_to_by_links() -> None:
    bare = re.compile(r"\bsection \d|\bsimulation\.md\b")
    found = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path != Path(__file__) and bare.search(path.read_text("utf-8"))
    ]
    assert found == []


def test_the_page_of_features_is_printed_from_the_table() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "kalshi_sim.features"], capture_output=True, check=True, cwd=ROOT
    ).stdout.decode()
    assert printed == (ROOT / "docs" / "features.md").read_text("utf-8")
    assert [int(i) for i in re.findall(r"^\| (\d+) \|", printed, re.MULTILINE)] == list(range(52))


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def places(text: str) -> list[tuple[str, str]]:
    """(file, name) of every row that begins with a place in the code."""
    return re.findall(r"^\| `([\w/]+\.py)` `(\w+)` \|", text, re.MULTILINE)


@pytest.mark.parametrize("place", places(ARCHITECTURE), ids=" ".join)
def test_the_architecture_names_what_is_there(place: tuple[str, str]) -> None:
    file, name = place
    source = (ROOT / file).read_text("utf-8")
    assert re.search(rf"^ *(?:def |class )?{name}\b", source, re.MULTILINE)


@pytest.mark.parametrize(
    ("heading", "tables", "most"),
    [("size", 1, 10), ("flag", 2, 4), ("action", 1, 7), ("feature", 1, 3)],
)
def test_the_ways_through_the_code_are_short(heading: str, tables: int, most: int) -> None:
    _, found, rest = ARCHITECTURE.partition(f"## The way of one {heading}")
    ways = [places(way) for way in rest.partition("\n## ")[0].split("| where |")[1:]]
    assert found
    assert len(ways) == tables
    for way in ways:
        assert 2 <= len({file for file, _ in way}) <= most


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
HOW_TO = dict(
    re.findall(
        r"^\| (?:a|an) ([\w ]+) \| (.*) \|$",
        CONTRIBUTING.partition("## How to add something")[2].partition("### Tried")[0],
        re.MULTILINE,
    )
)


@pytest.mark.parametrize("what", HOW_TO)
def test_the_files_that_an_addition_touches_are_there(what: str) -> None:
    named = re.findall(r"`((?:kalshi_sim|kalshi_train|docs)/[\w/.]*)`", HOW_TO[what])
    assert named
    for path in named:
        assert (ROOT / path).exists(), path


def test_what_was_tried_touched_the_files_of_the_how_to() -> None:
    tried = re.findall(
        r"^\| (\w+) [`a-z].*? \| (.*?) \| [^|]*\|$",
        CONTRIBUTING.partition("### Tried")[2].replace("\\|", ":"),
        re.MULTILINE,
    )
    found = [what for what, _ in tried]
    assert found == ["feature", "fill", "reader", "flag", "table", "kind", "schedule", "setting"]
    for what, row in tried:
        files = re.findall(r"`([\w/.]+\.py)`", row)
        assert len(files) <= (4 if what in ("kind", "setting") else 3), what
        for file in files:
            new = what == "reader" and file == "ingest/readers/pipes.py"
            assert new != (ROOT / "kalshi_sim" / file).exists(), file


@pytest.mark.parametrize(("package", "rooms"), [("sim", ROOMS), ("train", TRAIN_ROOMS)])
def test_the_architecture_has_the_rooms_in_the_order_of_their_imports(
    package: str, rooms: tuple[str, ...]
) -> None:
    table = ARCHITECTURE.partition(f"| `kalshi_{package}.` |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    assert tuple(" ".join(re.findall(r"`(\w+)`", row)) for row in rows) == rooms

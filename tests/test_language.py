"""Words that readers stumbled over, private or no technical English, and plain ones instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.markdown import DOCUMENTS

ROOT = Path(__file__).resolve().parents[1]
INSTEAD = {
    r"dear(?:er|est)?": "expensive, costlier, highest",
    r"surer": "more reliably",
    r"states? nothing": "leaves it as it is",
    r"in flight": "pending",
    r"what it can change is a few integers an environment": "a few integers per environment",
}
KNOWN = {
    r"laid|woven|weaves?|weaving": "assigned, interleaved",
    r"(?:\w*_)?(?:told|tells|telling|tell(?!\())(?:_\w+)?": "given, known, recorded; says, shows",
}
SOURCES = [
    path
    for package in ("kalshi_sim", "kalshi_train", "examples", "benchmarks")
    for path in sorted((ROOT / package).rglob("*"))
    if path.suffix in (".py", ".ipynb") and "tests" not in path.parts
]


def found(paths: list[Path], words: dict[str, str]) -> list[str]:
    """file:line: word -> what to write instead."""
    out = []
    for path in paths:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            out += [
                f"{path.relative_to(ROOT)}:{number}: {hit[0]!r} -> {instead}"
                for word, instead in words.items()
                if (hit := re.search(rf"\b(?:{word})\b", line, re.IGNORECASE))
            ]
    return out


def test_sources_use_plain_words() -> None:
    assert len(SOURCES) > 200
    assert found(SOURCES, INSTEAD) == []


def test_sources_use_plain_words_for_what_is_known() -> None:
    assert found(SOURCES, KNOWN) == []


def test_documents_use_plain_words() -> None:
    assert len(DOCUMENTS) > 15
    assert found(DOCUMENTS, INSTEAD | KNOWN) == []


@pytest.mark.parametrize(
    "text",
    [
        "It is dear.",
        "Still in flight",
        "what it tells us",
        "self._told_ms = 0",
        "market.told_ranges",
        "captures cannot tell it",
        "frames are woven",
        "surer\n",
    ],
)
def test_such_words_are_found(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"Nothing here.\n{text}")
    monkeypatch.setattr("tests.test_language.ROOT", tmp_path)
    (line,) = found([path], INSTEAD | KNOWN)
    assert line.startswith("page.md:2: ")

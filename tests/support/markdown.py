"""Headings, links and tables of the project's Markdown documents."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def without_code(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub and mkdocs make them."""
    text = without_code(document.read_text("utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}


def links(document: Path) -> list[tuple[str, str]]:
    """(file, anchor) of every link to another place of the project; either may be empty."""
    targets = re.findall(r"\]\(([^)\s]+)\)", without_code(document.read_text("utf-8")))
    split = (t.partition("#") for t in targets if not t.startswith(("http:", "https:")))
    return [(file, anchor) for file, _, anchor in split]

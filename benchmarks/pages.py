"""Tables that benchmarks write into pages of docs/."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path


def write_between_markers(path: Path, name: str, text: str) -> None:
    """Replace what stands between a page's markers of that name; the file is written whole."""
    page = path.read_text(encoding="utf-8")
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"{path.name} lacks the lines {start} and {end}")
    page = pattern.sub(lambda _: f"{start}\n{text}\n{end}", page)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, delete=False, encoding="utf-8"
    ) as temporary:
        temporary.write(page)
    Path(temporary.name).chmod(path.stat().st_mode)
    os.replace(temporary.name, path)

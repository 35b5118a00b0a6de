"""Prints the lowest versions pyproject.toml allows, as constraints for pip.

    python -m support.lowest > lowest.txt

PyTorch stands at the version of constraints.txt: its lowest release comes from PyPI only as a build
with several GB of CUDA libraries.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PINNED = "torch"


def lowest(project: Path = ROOT / "pyproject.toml") -> list[str]:
    """`name==version` of every requirement with a lower bound, its extras left out."""
    table = tomllib.loads(project.read_text("utf-8"))["project"]
    groups = [table["dependencies"], *table["optional-dependencies"].values()]
    found = []
    for requirement in (r for group in groups for r in group):
        match = re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)", requirement)
        if match is not None and match[1] != _PINNED:
            found.append(f"{match[1]}=={match[2]}")
    pins = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return found + [pin for pin in pins if pin.startswith(f"{_PINNED}==")]


if __name__ == "__main__":
    sys.stdout.write("\n".join(lowest()) + "\n")

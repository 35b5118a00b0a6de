"""Prints the lowest versions that pyproject.toml allows, as constraints for pip.

    python -m support.lowest > lowest.txt

Those of what the package itself needs, extras included; the tools of the tests stand at the
versions of constraints.txt. So does PyTorch: its lowest release comes from PyPI only as a build
with several GB of CUDA libraries.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from kalshi_sim.extras import EXTRAS

ROOT = Path(__file__).resolve().parents[1]
_PINNED = "torch"


def _lower_bounds(requirements: list[str]) -> dict[str, str]:
    found = (re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)", r) for r in requirements)
    return {match[1]: match[2] for match in found if match is not None}


def lowest(project: Path = ROOT / "pyproject.toml") -> list[str]:
    """`name==version` of everything the package needs, then of PyTorch and the tests' tools."""
    table = tomllib.loads(project.read_text("utf-8"))["project"]
    groups = [table["dependencies"], *(table["optional-dependencies"][e] for e in EXTRAS)]
    bounds = {n: v for group in groups for n, v in _lower_bounds(group).items() if n != _PINNED}
    tools = {_PINNED, *_lower_bounds(table["optional-dependencies"]["dev"])}
    pins = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return [f"{n}=={v}" for n, v in bounds.items()] + [
        pin for pin in pins if pin.partition("==")[0] in tools
    ]


if __name__ == "__main__":
    sys.stdout.write("\n".join(lowest()) + "\n")

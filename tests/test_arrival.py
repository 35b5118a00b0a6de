"""What is done when a module is imported: once, however it is asked for, and whatever fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import importlib, importlib.util, sys
sys.path.insert(0, {folder!r})
from kalshi_sim.arrival import when_imported
done = []
when_imported("guest", lambda: done.append(sys.modules["guest"].value))
{lines}
import guest
assert done == [7], done
importlib.reload(guest)
assert done == [7], done
assert type(guest.__spec__.loader).__name__ == "SourceFileLoader"
assert importlib.util.find_spec("guest").loader.get_source("guest").startswith("import")
"""
FAILS = """
open({flag!r}, "w").close()
try:
    import guest
    raise SystemExit("it was imported")
except ImportError:
    assert done == []
import os
os.remove({flag!r})
"""
BLOCKED = """
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == "guest":
            raise ImportError(name)
sys.meta_path.insert({place}, Blocker())
try:
    import guest
    raise SystemExit("it was imported")
except ImportError:
    pass
sys.meta_path = [f for f in sys.meta_path if not isinstance(f, Blocker)]
"""
LATER = """
kept = sys.path.pop(0)
assert importlib.util.find_spec("guest") is None
sys.path.insert(0, kept)
importlib.invalidate_caches()
"""


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "assert importlib.util.find_spec('guest') and importlib.util.find_spec('guest')",
        FAILS,
        BLOCKED.replace("{place}", "0"),
        BLOCKED.replace("{place}", "1"),
        LATER,
    ],
    ids=["plain", "asked for", "fails first", "blocked before", "blocked after", "comes later"],
)
def test_the_work_is_done_once_it_is_loaded(tmp_path: Path, lines: str) -> None:
    flag = str(tmp_path / "fail")
    (tmp_path / "guest.py").write_text(
        f"import os\nif os.path.exists({flag!r}):\n    raise ImportError('not now')\nvalue = 7\n"
    )
    code = SCRIPT.format(folder=str(tmp_path), lines=lines.replace("{flag!r}", repr(flag)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_module_that_is_there_is_served_at_once() -> None:
    from kalshi_sim.arrival import when_imported

    found: list[int] = []
    before = list(sys.meta_path)
    when_imported("sys", lambda: found.append(1))
    assert found == [1]
    assert sys.meta_path == before


def test_the_list_of_finders_is_left_alone_while_others_walk_it(tmp_path: Path) -> None:
    code = (
        "import sys, kalshi_sim; before = list(sys.meta_path); import gymnasium; "
        "assert all(a is b for a, b in zip(before, sys.meta_path, strict=True))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)

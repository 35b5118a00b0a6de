"""docs/live.md: its way from an API key to a trained policy, word for word, and its example."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import platformdirs

from kalshi_sim.store import open_store
from tests.live.recorder.test_record_command import free_port

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "live.md").read_text("utf-8")


def chapter(title: str, language: str) -> list[str]:
    """The blocks of code of a chapter."""
    text = TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands() -> str:
    """The commands of the way, with another port and a shorter training."""
    blocks = chapter("From an API key to a trained policy", "bash")
    # Whatever fails, what runs in the background ends with it, or its output would be waited for.
    script = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + "\n".join(blocks)
    for shown, here in (("8765", str(free_port())), ("200000", "1024")):
        assert shown in script
        script = script.replace(shown, here)
    return script


def test_the_example_of_one_market_runs() -> None:
    (code,) = chapter("One market as it happens", "python")
    exec(compile(code, "live.md", "exec"), {})


def test_the_steps_from_a_key_to_a_trained_policy_run(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    surroundings = {
        **os.environ,
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(Path(platformdirs.user_cache_dir("kalshi-sim")).parent),
    }
    running = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", commands()],
        cwd=tmp_path,
        env=surroundings,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = running.communicate(timeout=300)
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == 0, output
    assert "12 markets on 1 connection; nothing was recorded" in output
    assert re.search(r"recorded [\d,]+ frames of 12 markets in 1 segment", output)
    original = open_store(str(tmp_path / "exchange")).load(4)
    (info,) = open_store(str(tmp_path / "sessions")).list_sessions()
    assert (info.session_id, info.markets) == (1, 12)
    assert (info.deltas, info.trades) == (original.info.deltas, original.info.trades)
    assert (tmp_path / "trained_models" / "trained_model.zip").is_file()
    secret = (home / ".kalshi" / "key.pem").read_text("utf-8").splitlines()[1]
    assert secret not in output
    assert not any(secret.encode() in p.read_bytes() for p in (tmp_path / "recording").iterdir())

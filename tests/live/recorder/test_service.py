"""The documented systemd unit and container file start the command as it is."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_sim.cli.commands import main

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "recording.md").read_text("utf-8")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_unit_holds_together(tmp_path: Path) -> None:
    program, user = str(Path(sys.executable).parent / "kalshi-sim"), "root"
    text = block("ini").replace("/opt/kalshi/bin/kalshi-sim", program)
    unit = tmp_path / "kalshi-recorder.service"
    unit.write_text(text.replace("User=recorder", f"User={user}"))
    assert text.count("ExecStart=") == text.count("[Service]") == 1
    if (verify := shutil.which("systemd-analyze")) is not None:
        done = subprocess.run(
            [verify, "verify", "--man=no", unit], capture_output=True, text=True, check=False
        )
        assert (done.returncode, unit.name in done.stderr) == (0, False), done.stderr


@pytest.mark.parametrize("where", ["unit", "container"])
def test_its_command_is_understood(
    where: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It gets as far as the key, whose files are not here."""
    if where == "unit":
        (line,) = re.findall(r"^ExecStart=(.*)$", block("ini"), re.MULTILINE)
        words = shlex.split(line)
        key, folders = "/etc/kalshi/id", "/var/lib/kalshi"
    else:
        (line,) = re.findall(r"^ENTRYPOINT (.*)$", block("dockerfile"), re.MULTILINE)
        words = json.loads(line)
        key, folders = "/run/secrets/kalshi_id", "/data"
    assert Path(words[0]).name == "kalshi-sim"
    here = [word.replace(folders, str(tmp_path)) for word in words[1:]]
    monkeypatch.setenv("KALSHI_PRIVATE_KEY_FILE", "/etc/kalshi/key.pem")
    assert main(here) == 2
    assert f"{key}: No such file" in capsys.readouterr().err

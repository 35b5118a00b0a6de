"""JSON files with a digest: what is damaged is not used."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim.errors import ConfigError
from kalshi_sim.sealed import read_sealed, write_sealed
from kalshi_train.cli.runs import find_runs
from kalshi_train.config import TrainConfig
from kalshi_train.config_file import write_settings
from kalshi_train.training.metrics import JsonLinesWriter, read_metrics

VALUES: dict[Any, Any] = {"b": [1, 2.5, None], "a": {"é": "ü", "10": (1, 2)}, 2: True}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_sealed(path, VALUES)
    assert read_sealed(path, "result") == json.loads(json.dumps(VALUES))
    path.write_text('{"by": "hand"}')
    assert read_sealed(path, "result") == {"by": "hand"}


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_sealed(path, VALUES)
    good = path.read_bytes()
    rng = random.Random(0)
    for at in range(len(good)):
        changed = bytearray(good)
        changed[at] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        try:
            found = read_sealed(path, "result")
        except ConfigError as error:
            assert "x.json" in str(error)  # noqa: PT017  # it may also be without effect
        else:
            found.pop("digest", None)  # of a blank of the layout, or of the digest's own name
            assert found == json.loads(json.dumps(VALUES)) or "digest" not in changed.decode()


@pytest.mark.parametrize("text", ["[]", "5", "[" * 100_000, "{", "", "\xff"])
def test_what_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"x\.json"):
        read_sealed(path, "result")


def test_runs_with_damaged_files_are_left_out_and_named(tmp_path: Path) -> None:
    for name in ("good", "odd", "settings", "results"):
        (tmp_path / name).mkdir()
        write_settings(tmp_path / name / "config.json", TrainConfig(session=1).to_json())
        write_sealed(tmp_path / name / "training_results.json", {"total_timesteps": 12345})
    for name, file in (("settings", "config.json"), ("results", "training_results.json")):
        path = tmp_path / name / file
        path.write_bytes(path.read_bytes().replace(b"1", b"2"))
    by_hand = {"heldout": [1], "best_model": "none"}  # by hand: no digest
    (tmp_path / "odd" / "training_results.json").write_text(json.dumps(by_hand))
    runs, notes = find_runs(tmp_path)
    assert [run.folder.name for run in runs] == ["good", "odd"]
    assert [run.figures()["steps"] for run in runs] == [12345, None]
    assert len(notes) == 2
    assert all("is not as it was written" in note for note in notes)


def test_damaged_lines_of_metrics_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [b'{"timesteps":1,"a":2.5}', b'{"timesteps":2,"\xff":1}', b"5", b'{"timesteps":"x"}']
    path.write_bytes(b"\n".join([*lines, b"[" * 100_000, b'{"timesteps":3}', b'{"times']))
    assert [record["timesteps"] for record in read_metrics(path)] == [1, 3]
    assert read_metrics(tmp_path / "none") == []


def test_a_flipped_bit_of_metrics_takes_its_line_and_changes_no_other(
    tmp_path: Path,
) -> None:
    path = tmp_path / "metrics.jsonl"
    writer = JsonLinesWriter(path)
    for step in (2_500, 5_000, 7_500):
        writer.write({"trading/fills": step / 7, "rollout/episodes": 3.0}, {}, step)
    writer.close()
    whole, records = path.read_bytes(), read_metrics(path)
    assert [record["timesteps"] for record in records] == [2_500, 5_000, 7_500]
    assert all(
        set(record) == {"timesteps", "trading/fills", "rollout/episodes"} for record in records
    )
    for at in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            found = read_metrics(path)
            assert all(record in records for record in found), (at, bit)
            assert len(found) >= len(records) - 2

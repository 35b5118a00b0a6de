"""What `import` and `analyze` say of what was not looked for, and of options that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kalshi_sim.cli.commands import main
from tests.support.wire import book, delta, write


def run(folder: Path, *options: str) -> int:
    path = write(folder / "capture.jsonl", book(), *[delta(2 + i, i) for i in range(12)])
    return main(
        [
            "import",
            str(path),
            "--store",
            str(folder / "s"),
            "--session",
            "1",
            "--overwrite",
            *options,
        ]
    )


def gaps_line(text: str) -> str:
    (line,) = [line for line in text.splitlines() if line.strip().startswith("gaps")]
    return " ".join(line.split()[1:])


@pytest.mark.parametrize(
    ("options", "shown"), [((), "not checked"), (("--whole-subscription",), "0")]
)
def test_gaps_are_shown_as_not_checked_where_they_were_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], shown: str
) -> None:
    assert run(tmp_path, *options) == 0
    assert gaps_line(capsys.readouterr().out) == shown
    assert main(["analyze", "1", "--store", str(tmp_path / "s")]) == 0
    assert gaps_line(capsys.readouterr().out) == shown
    assert run(tmp_path, *options, "--json") == 0
    assert json.loads(capsys.readouterr().out)["gaps_checked"] == bool(options)


def test_missing_results_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "1 of 1 markets have no result" in out
    assert "--markets" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--format", "nonsense"), "no such format; known are auto"),
        (("--envelope", "a=b"), "write FIELD or FIELD=recv:FIELD"),
        (("--envelope", "a", "--format", "polls"), "another format than --format polls"),
        (("--max-line-bytes", "0"), "--max-line-bytes 0: must be above 0"),
        (("--max-unpacked-bytes", "-1"), "--max-unpacked-bytes -1: must be above 0"),
        (("--missing-snapshot", "largest"), "largest"),
    ],
)
def test_options_that_are_none_are_a_users_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    assert run(tmp_path, *options) == 2
    printed = capsys.readouterr()
    assert said in " ".join((printed.err + printed.out).split())


def test_a_line_longer_than_allowed_fails_the_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--max-line-bytes", "50") == 1
    assert "line 1: longer than 50 bytes" in capsys.readouterr().err

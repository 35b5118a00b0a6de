"""Run the benchmarks and write their figures down.

    python -m benchmarks.table [--full] [--only NAME] [--pytest-json FILE] [--no-write]

Each benchmark runs in a process of its own. The figures go to benchmarks/results.json and, between
the marks there, to docs/performance.md: the headlines at its start, all of them at its end. Both
keep what other machines measured: a run takes the place of the former one of its machine only.
`make bench` is this, after the pytest-benchmark suites whose JSON it reads.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figure, figure

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results.json"
MODULES: Final = ("step", "busy", "training", "baselines", "startup", "memory", "peers")
DOCUMENT: Final = ROOT / "docs" / "performance.md"
MARKS: Final = {
    "headlines": ("<!-- headlines:start -->", "<!-- headlines:end -->"),
    "all": ("<!-- benchmarks:start -->", "<!-- benchmarks:end -->"),
}
VERSIONS: Final = ("numpy", "numba", "torch", "stable-baselines3")
LOADING: Final = {
    "test_fetch_records": "1 000 000 rows fetched from PostgreSQL as Records",
    "test_copy_deltas": "1 000 000 deltas from PostgreSQL as columns",
    "test_copy_beats_fetch": "columns against Records",
    "test_load_recorded_session": "the whole recorded session, books and all",
    "test_load_saved_session": "the same from the lossless tables",
    "test_save_session": "saving it there",
}
"""Names of the tests of bench_loading that the table shows."""
_LOADED_ROWS = 1_000_000
_LOADING_GROUP = "Loading from PostgreSQL"


def run_module(name: str, full: bool) -> list[Figure]:
    """The figures of one benchmark, measured in a process of its own.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", f"benchmarks.bench_{name}", "--json"]
    print(f"bench_{name} ...", file=sys.stderr, flush=True)
    done = subprocess.run(
        command + ["--full"] * full, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"bench_{name} failed")
    return [Figure(**f) for f in json.loads(done.stdout.splitlines()[-1])]


def pytest_figures(path: Path) -> list[Figure]:
    """The figures of a pytest-benchmark run that says what it measured."""
    benchmarks = json.loads(path.read_text(encoding="utf-8"))["benchmarks"]
    return [f for entry in benchmarks for f in _entry_figures(entry)]


def _entry_figures(entry: dict[str, Any]) -> list[Figure]:
    info, stats, name = entry["extra_info"], entry["stats"], entry["name"]
    if "figure" in info:
        return _work_figures(info, stats)
    if name in LOADING:
        return _loading_figures(name, info, stats)
    return []


def _work_figures(info: dict[str, Any], stats: dict[str, Any]) -> list[Figure]:
    """Amount of work per second, of the wall clock and of the processor."""
    if "ratios" in info:
        times, target = info["ratios"], info["at_least"]
        shown = info["headline"]
        return [figure(info["group"], info["figure"], "×", times, at_least=target, headline=shown)]
    amount, group, unit = info["amount"], info["group"], info["unit"]
    what, runs, shown, target = info["figure"], stats["rounds"], info["headline"], info["at_least"]
    wall = [amount / stats[s] for s in ("median", "max", "min")]
    busy = [amount / t for t in info["processor_seconds"]]
    if not busy:
        return [
            Figure(
                group, what, unit, wall[0], wall[1], wall[2], runs, at_least=target, headline=shown
            )
        ]
    out = [
        figure(group, f"{what}, of one core", unit, busy, at_least=target, headline=shown),
        Figure(group, what, unit, wall[0], wall[1], wall[2], runs),
    ]
    if "row_bytes" in info:
        size = info["row_bytes"]
        out.append(
            figure(
                group, f"{what}: a row of the tape", "bytes", [size], at_most=400, headline=shown
            )
        )
    return out


def _loading_figures(name: str, info: dict[str, Any], stats: dict[str, Any]) -> list[Figure]:
    what, runs = LOADING[name], stats["rounds"]
    if "times_faster" in info:
        times = (info["times_faster"], info["times_faster_least"], info["times_faster_most"])
        return [Figure(_LOADING_GROUP, what, "×", *times, runs, at_least=5, headline=True)]
    median, low, high = (_LOADED_ROWS / stats[s] for s in ("median", "max", "min"))
    target = 500_000 if name == "test_copy_deltas" else None
    return [
        Figure(
            _LOADING_GROUP,
            what,
            "rows/s",
            median,
            low,
            high,
            runs,
            at_least=target,
            headline=target is not None,
        )
    ]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in VERSIONS},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def number(value: float) -> str:
    """A number as the tables show it: three digits that count, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def _target(f: Figure) -> str:
    if f.reached is None:
        return ""
    sign, value = ("≥", f.at_least) if f.at_least is not None else ("≤", f.at_most)
    assert value is not None
    return f"{sign} {number(value)} {'✓' if f.reached else '✗'}"


def render(results: dict[str, Any], headline: bool) -> str:
    """The figures as Markdown: one table, a group after the other."""
    about = dict(results["machine"])
    versions = ", ".join(f"{n} {about[n]}" for n in ("python", *VERSIONS))
    measured = (
        f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB, "
        f"{about['system']}; {versions}. `{results['command']}`, {results['date']}. Medians, and "
        "the range of the runs; what is divided was measured in turn in one run."
    )
    lines = [
        measured,
        "",
        "| | median | lowest to highest | target |",
        "|---|---:|---:|---:|",
    ]
    figures = [Figure(**f) for f in results["figures"]]
    shown = [f for f in figures if f.headline or not headline]
    for group in dict.fromkeys(f.group for f in shown):
        lines.append(f"| **{group}** | | | |")
        for f in (f for f in shown if f.group == group):
            spread = f"{number(f.low)} to {number(f.high)}" if f.runs > 1 else ""
            lines.append(f"| {f.name} | {number(f.median)} {f.unit} | {spread} | {_target(f)} |")
    return "\n".join(lines) + "\n"


def between_marks(document: str, text: str, marks: tuple[str, str]) -> str:
    """The document with `text` between its marks.

    Raises:
        ValueError: it has no marks.
    """
    before, start, rest = document.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not start or not end:
        raise ValueError(f"the document has no lines {' and '.join(marks)} to write between")
    return f"{before}{start}\n{text}{end}{after}"


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def runs_with(results: dict[str, Any], kept: Path) -> list[dict[str, Any]]:
    """The runs of all machines, this one first; it replaces the former of the same machine.

    Args:
        results: what was measured just now.
        kept: results.json.

    Returns:
        One run a machine: a processor and a number of cores.
    """
    found: list[dict[str, Any]] = json.loads(kept.read_text("utf-8")) if kept.exists() else []
    return [results, *(run for run in found if _which(run) != _which(results))]


def _which(results: dict[str, Any]) -> tuple[str, int]:
    return results["machine"]["processor"], results["machine"]["cores"]


def render_all(runs: Sequence[dict[str, Any]]) -> str:
    """All figures as Markdown, a table for each machine."""
    tables = []
    for run in runs:
        processor, cores = _which(run)
        title = f"### {processor}, {cores} cores, {run['date']}"
        tables.append(f"{title}\n\n{render(run, headline=False)}")
    return "\n".join(tables)


def write(results: dict[str, Any], kept: Path = RESULTS, document: Path = DOCUMENT) -> None:
    """Write results.json, and both tables of docs/performance.md.

    Args:
        results: what was measured just now.
        kept: results.json.
        document: docs/performance.md.
    """
    runs = runs_with(results, kept)
    write_whole(kept, json.dumps(runs, indent=1, ensure_ascii=False) + "\n")
    text = between_marks(
        document.read_text("utf-8"), render(results, headline=True), MARKS["headlines"]
    )
    write_whole(document, between_marks(text, render_all(runs), MARKS["all"]))


def collect(modules: Sequence[str], full: bool, pytest_json: Path | None) -> dict[str, Any]:
    """Measure everything."""
    figures = pytest_figures(pytest_json) if pytest_json is not None else []
    for name in modules:
        figures += run_module(name, full)
    return {
        "machine": machine(),
        "command": "make bench" + (" BENCH_ARGS=--full" if full else ""),
        "date": datetime.now(UTC).date().isoformat(),
        "figures": [asdict(f) for f in figures],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="full scaling tables")
    parser.add_argument("--only", choices=MODULES, help="one benchmark; writes nothing")
    parser.add_argument("--pytest-json", type=Path, help="JSON of the pytest-benchmark suites")
    parser.add_argument("--no-write", action="store_true", help="only print")
    args = parser.parse_args()
    modules = MODULES if args.only is None else (args.only,)
    results = collect(modules, args.full, args.pytest_json)
    print(render(results, headline=False))
    if args.only is None and not args.no_write:
        write(results)


if __name__ == "__main__":
    main()

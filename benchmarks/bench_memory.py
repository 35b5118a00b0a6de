"""Memory: of a training run, and of eight processes on one cached tape.

    python -m benchmarks.bench_memory [--full]

Reads /proc, so there are no figures where the system has none.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import sessions
from benchmarks.figures import Figure, figure, main
from kalshi_sim.tape_files import save_tape

GROUP = "Memory"
PROCESSES = 8
MB = 1e6
_TRAIN_STEPS = 65_536
_TRAIN = "import sys; from kalshi_train.cli.train import train_main; sys.exit(train_main())"
_TOUCH = """
import sys, time
from pathlib import Path
import numpy as np
from kalshi_sim import KalshiVecEnv, SimConfig
from kalshi_sim.tape_files import open_tape

def memory():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    kb = {line.split()[0].rstrip(":"): int(line.split()[1]) for line in lines}
    private = kb["Private_Clean"] + kb["Private_Dirty"]
    return f"{kb['Rss']} {kb['Pss']} {private}"

print(flush=True)
input()
before = memory()
start = time.perf_counter()
tape = open_tape(Path(sys.argv[1]))
print(time.perf_counter() - start, flush=True)
input()
opened = memory()
env = KalshiVecEnv(tape, 64, SimConfig(random_start=True))
env.reset()
env.step(np.zeros(64, np.int64))
env.close()
stepped = memory()
columns = [c for c in vars(tape).values() if isinstance(c, np.ndarray) and c.size]
touched = sum(int(c.reshape(-1)[:: 512 // c.itemsize].sum()) for c in columns)
print(flush=True)
input()
print(before, opened, stepped, memory(), sep=";", flush=True)
input()
"""


def _start(code: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *args],
        cwd=sessions.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a process that was to be measured failed")
    return line


def _go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _all_go_on(processes: list[subprocess.Popen[str]]) -> None:
    """Let all go on once, and wait until the last one waits again."""
    for process in processes:
        _go_on(process)
    for process in processes:
        _line(process)


def _shared(name: str) -> list[Figure]:
    """Processes that have all read every page of one cached tape, alive together."""
    with tempfile.TemporaryDirectory() as folder:
        tape = sessions.tape(name)
        save_tape(tape, Path(folder) / "tape")
        size = sum(v.nbytes for v in vars(tape).values() if isinstance(v, np.ndarray))
        processes = [_start(_TOUCH, str(Path(folder) / "tape")) for _ in range(PROCESSES)]
        for process in processes:
            _line(process)
        opening = []
        for process in processes:  # one after the other; then all have it at once
            _go_on(process)
            opening.append(float(_line(process)))
        _all_go_on(processes)
        for process in processes:
            _go_on(process)
        reports = [
            [[1024 * int(kb) for kb in at.split()] for at in _line(p).split(";")] for p in processes
        ]
        for process in processes:
            _go_on(process)
            process.wait()
    added = [(opened[2] - before[2]) / MB for before, opened, _, _ in reports]
    resident = sum(last[0] for *_, last in reports) / MB
    real = sum(last[1] for *_, last in reports) / MB
    what = f"{PROCESSES} processes on one cached {name} tape of {size / MB:,.0f} MB"
    return [
        figure(GROUP, "opening a cached tape", "s", opening, at_most=0.05, headline=True),
        figure(GROUP, "private memory that it adds", "MB", added, at_most=10, headline=True),
        figure(GROUP, f"{what}: memory in all (Pss)", "MB", [real], headline=True),
        figure(GROUP, f"{what}: if each had its own (Rss)", "MB", [resident]),
        figure(
            GROUP,
            f"{what}: tapes in memory",
            "×",
            [(real - sum(s[2] for _, _, s, _ in reports) / MB) / (size / MB)],
            at_most=1.25,
            headline=True,
        ),
    ]


def _peak(tapes: str, *args: str) -> float:
    """Peak resident memory in MB of a run of kalshi-train that caches tapes in a folder."""
    command = [sys.executable, "-c", _TRAIN, *args]
    environment = os.environ | {"KALSHI_SIM_TAPES": tapes}
    process = subprocess.Popen(
        command, cwd=sessions.ROOT, stdout=subprocess.DEVNULL, env=environment
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"kalshi-train failed with exit code {process.returncode}")
    return usage.ru_maxrss * 1024 / MB


def _training(name: str) -> Figure:
    """Of two runs the larger: the first has to build the tape that the second finds."""
    sessions.store(name)
    peaks = []
    settings = (
        f"--store {sessions.STORE} --session {sessions.session_id(name)} --n-envs 1024 "
        f"--total-timesteps {_TRAIN_STEPS} --eval-fraction 0 --log-level ERROR --no-progress"
    )
    with tempfile.TemporaryDirectory() as folder:
        for run in range(2):
            model = f"{folder}/{run}/model.zip"
            peaks.append(_peak(f"{folder}/tapes", *settings.split(), "--model-save-path", model))
    what = f"kalshi-train on the {name} session, 1024 environments: peak resident memory"
    return figure(GROUP, what, "MB", [max(peaks)], at_most=1500, headline=True)


def measure(full: bool) -> list[Figure]:
    if not Path("/proc/self/smaps_rollup").exists():
        return []
    name = sessions.main_name()
    return [_training(name), *_shared(name)]


if __name__ == "__main__":
    main(measure, __doc__)

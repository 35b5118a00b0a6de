"""This tree against another commit of the repository, in turn on this machine.

    python -m benchmarks.against COMMIT [--rounds 7] [--only text]

The other commit is checked out beside; one process of each tree waits for orders, and both do the
same work one after the other, so that whatever else the machine does meets both alike. Sessions are
those that the other commit imports and generates: both read the same files. A ratio above 1 says
that this tree is faster.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Final

from benchmarks.sessions import RECORDINGS, ROOT, main_name

_PREPARE: Final = """
import sys
from benchmarks import sessions
sessions.store(*sys.argv[1:])
print(sessions.STORE)
"""
_WORK: Final = """
import sys, tempfile, time, warnings
from pathlib import Path
from benchmarks import bench_algorithms, bench_step, sessions
from kalshi_sim import build_tape
from kalshi_sim.store.parquet import ParquetStore
from kalshi_sim.tape_cache import open_tape, save_tape
warnings.simplefilter("ignore")
given = ParquetStore(Path(sys.argv[1]))
own = Path(tempfile.mkdtemp(dir=sys.argv[2]))
kept = {}

def once(key, make):
    if key not in kept:
        kept[key] = make()
    return kept[key]

def session(name):
    return once(("session", name), lambda: given.load(sessions.session_id(name)))

def tape(name):
    return once(("tape", name), lambda: build_tape([session(name)]))

def stored(name):
    store = ParquetStore(own)
    store.save(session(name))
    return store

def cached(name):
    save_tape(tape(name), own / name)
    return own / name

def work(what, name, *rest):
    if what == "load":
        store = once(("store", name), lambda: stored(name))
        return lambda: store.load(sessions.session_id(name))
    if what == "open":
        path = once(("cache", name), lambda: cached(name))
        return lambda: open_tape(path)
    if what == "build":
        held = session(name)
        return lambda: build_tape([held])
    if what == "step":
        n_envs, threads, actions = rest
        make = lambda: bench_step.Stepper(tape(name), int(n_envs), int(threads), actions == "hold")
        return once((what, name, *rest), make).step
    case = next(c for c in bench_algorithms.CASES if c.name.replace(" ", "_") == name)
    make = lambda: case.model(bench_algorithms.PAIRS[case.algorithm][1])
    model = once((what, name), make)
    return lambda: model.learn(case.steps)

for line in sys.stdin:
    do = work(*line.split())
    begin = time.perf_counter()
    do()
    print(time.perf_counter() - begin, flush=True)
"""
_CASES: Final = (
    "PPO 1024 envs x 64 steps, batch 8192, 10 epochs",
    "PPO 1024 envs x 64 steps, batch 8192, 4 epochs",
    "PPO 64 envs x 64 steps, batch 512, 10 epochs",
    "A2C 1024 envs x 5 steps",
    "A2C 64 envs x 5 steps",
)


def orders() -> list[str]:
    """What is compared: a word, a session or a case, and what is to be known of it."""
    names = list(dict.fromkeys([main_name(), "generated"]))
    sizes = [(1, 1), (8, 1), (64, 1), *product((1024, 4096, 65_536), (1, 2))]
    return [
        *(f"{what} {name}" for what, name in product(("load", "open", "build"), names)),
        *(
            f"step {name} {n_envs} {threads} {actions}"
            for name, (n_envs, threads), actions in product(names, sizes, ("random", "hold"))
        ),
        *(f"learn {case.replace(' ', '_')}" for case in _CASES),
    ]


@contextlib.contextmanager
def _checked_out(commit: str) -> Iterator[Path]:
    """A folder with the files of another commit; what they look for beside them is there too."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
        if RECORDINGS.is_dir():
            (Path(folder) / "shared").symlink_to(RECORDINGS.parent)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def _environment(tree: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree)}


class _Worker:
    """A process that works with the code of one tree."""

    def __init__(self, tree: Path, data: Path, scratch: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORK, str(data), str(scratch)],
            cwd=tree,
            env=_environment(tree),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self, order: str) -> float:
        """How long it works on an order."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(order, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def end(self) -> None:
        """Let it go."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def compare(commit: str, rounds: int, only: str) -> None:
    """Print the table."""
    with _checked_out(commit) as tree, tempfile.TemporaryDirectory() as scratch:
        made = subprocess.run(
            [sys.executable, "-c", _PREPARE, *dict.fromkeys([main_name(), "generated"])],
            cwd=tree,
            env=_environment(tree),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        data = Path(scratch) / "sessions"
        shutil.copytree(made.stdout.strip(), data)
        workers = [_Worker(where, data, Path(scratch)) for where in (tree, ROOT)]
        print(f"| work | {commit} | this tree | this tree is so many times as fast |")
        print("|---|---:|---:|---:|")
        for order in orders():
            if only in order:
                _compare_one(order, workers, rounds)
        for worker in workers:
            worker.end()


def _compare_one(order: str, workers: list[_Worker], rounds: int) -> None:
    for worker in workers:
        worker.seconds(order)
    times = []
    for turn in range(rounds):
        pair = [w.seconds(order) for w in (workers if turn % 2 else reversed(workers))]
        times.append(pair if turn % 2 else pair[::-1])
    ratios = [theirs / ours for theirs, ours in times]
    theirs, ours = (statistics.median(t[k] for t in times) * 1000 for k in (0, 1))
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(
        f"| {order} | {theirs:.1f} ms | {ours:.1f} ms | {statistics.median(ratios):.2f} × "
        f"({spread}) |",
        flush=True,
    )


def main() -> None:
    """Compare as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("commit", help="what to compare with")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="only work whose name contains this text")
    args = parser.parse_args()
    compare(args.commit, args.rounds, args.only)


if __name__ == "__main__":
    main()

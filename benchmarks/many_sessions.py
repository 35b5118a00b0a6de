"""Hundreds of generated sessions in an S3-compatible store: replayed, trained on, evaluated.

    python -m benchmarks.many_sessions [200] [--limit MB] [--workers 1 2 4]

Runs the commands as they are, in processes of their own, and samples their memory: what is their
own (anonymous), and the mapped pages of libraries and tapes. With --limit they run in a control
group that has no more memory than that, file cache included. With --workers the sessions are
replayed into tapes by so many processes, and nothing else is done.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.control_group import ControlGroup, limited_to
from kalshi_sim import open_store
from kalshi_sim.synthetic.session import generate_session
from support.object_store import ObjectServer, object_server_running

MARKETS, MINUTES = 16, 240
STEPS = 65_536
_SAMPLE_S = 0.02
_TRAIN = "import sys; from kalshi_train.entry import train; sys.exit(train())"
_EVALUATE = "import sys; from kalshi_train.entry import evaluate; sys.exit(evaluate())"
_REPLAY = """
import sys
from kalshi_sim import load_tape
store, *ids = sys.argv[1:]
for number in ids:
    load_tape(store, int(number))
"""


@dataclass(frozen=True)
class Ran:
    """What a command took; memory in bytes at its highest."""

    seconds: float
    own: int
    mapped: int
    output: str

    def line(self, name: str) -> str:
        """For people."""
        return (
            f"{name:<34}{self.seconds:8.1f} s   own {self.own / 1e6:7,.0f} MB   "
            f"mapped {self.mapped / 1e6:7,.0f} MB"
        )


def run(code: str, *arguments: str, env: dict[str, str], group: ControlGroup | None = None) -> Ran:
    """Run Python code in a process of its own, and sample its memory."""
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", code if group is None else group.joined(code), *arguments],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | env,
        )
        own = mapped = 0
        while process.poll() is None:
            try:
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            except OSError:
                break
            found = {line.partition(":")[0]: line.split()[1:] for line in lines}
            if "RssAnon" in found:
                own = max(own, 1024 * int(found["RssAnon"][0]))
                mapped = max(mapped, 1024 * int(found["RssFile"][0]))
            time.sleep(_SAMPLE_S)
        process.wait()
        out.seek(0)
        output = out.read()
    assert process.returncode == 0, output[-2000:]
    return Ran(time.perf_counter() - begin, own, mapped, output)


def fill(address: str, sessions: int) -> None:
    """Generate sessions into a store, those that it lacks."""
    store = open_store(address)
    known = {i.session_id for i in store.list_sessions()}
    for number in range(1, sessions + 1):
        if number not in known:
            store.save(generate_session(number, markets=MARKETS, minutes=MINUTES, seed=number))


def train_and_evaluate(
    address: str, sessions: int, folder: Path, group: ControlGroup | None
) -> None:
    """Both commands on so many sessions, with an empty cache and again with a full one."""
    env = {"KALSHI_SIM_TAPES": str(folder / f"tapes-{sessions}")}
    ids = ",".join(map(str, range(1, sessions + 1)))
    for which in ("first", "second"):
        model = folder / f"model-{sessions}-{which}"
        trained = run(
            _TRAIN,
            *("--store", address, "--sessions", ids, "--model-save-path", str(model)),
            *("--total-timesteps", str(STEPS), "--no-tensorboard", "--json"),
            env=env,
            group=group,
        )
        print(trained.line(f"train, {sessions} sessions, {which}"), flush=True)
        for what, markets in (("held out", ["--heldout"]), ("all", ["--sessions", ids])):
            evaluated = run(
                _EVALUATE,
                *(str(model), "--store", address, *markets, "--baselines", "none"),
                *("--report", "None", "--json"),
                env=env,
                group=group,
            )
            print(evaluated.line(f"evaluate {what}, {sessions}, {which}"), flush=True)
    size = sum(f.stat().st_size for f in Path(env["KALSHI_SIM_TAPES"]).rglob("*.npy"))
    last = trained.output[trained.output.index("{") :]
    rows = json.loads(last)["data"]
    print(
        f"{'tape':<28}{size / 1e6:8.1f} MB; trained on {rows['train']['markets']} markets, "
        f"held out {rows['heldout']['markets']} of {rows['heldout']['events']} events",
        flush=True,
    )


def replay(address: str, sessions: int, workers: int, folder: Path) -> None:
    """Replay all sessions into tapes of their own by so many processes."""
    env = {
        "KALSHI_SIM_TAPES": str(folder / f"own-{workers}"),
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
    }
    ids = [str(i) for i in range(1, sessions + 1)]
    shares = [ids[i::workers] for i in range(workers)]
    begin = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        ran = list(pool.map(lambda share: run(_REPLAY, address, *share, env=env), shares))
    seconds = time.perf_counter() - begin
    own = max(r.own for r in ran)
    print(
        f"{f'replay, {workers} workers':<28}{seconds:8.1f} s   {sessions / seconds:6.1f} sessions/s"
        f"   own {own / 1e6:,.0f} MB each",
        flush=True,
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sessions", type=int, nargs="*", default=[200])
    parser.add_argument("--limit", type=int, help="MB that the commands may use")
    parser.add_argument("--workers", type=int, nargs="*", default=[])
    asked = parser.parse_args()
    with object_server_running() as server, tempfile.TemporaryDirectory() as temporary:
        address = _address(server)
        begin = time.perf_counter()
        fill(address, max(asked.sessions))
        print(f"{max(asked.sessions)} sessions saved in {time.perf_counter() - begin:.1f} s")
        for sessions in asked.sessions:
            if asked.workers:
                for workers in asked.workers:
                    replay(address, sessions, workers, Path(temporary))
            elif asked.limit is None:
                train_and_evaluate(address, sessions, Path(temporary), None)
            else:
                with limited_to(asked.limit * 10**6) as group:
                    train_and_evaluate(address, sessions, Path(temporary), group)
                    peak = group.peak_bytes()
                print(f"{'control group':<28}{peak / 1e6:8,.0f} MB of {asked.limit:,} at most")


def _address(server: ObjectServer) -> str:
    return server.address(f"{server.make_bucket()}/sessions")


if __name__ == "__main__":
    main()

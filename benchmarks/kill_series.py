"""Kill what writes, at moments spread over all of its time: nothing half, and no left-overs.

    python -m benchmarks.kill_series 20             # kills of each: import, tape, train, ...
    python -m benchmarks.kill_series 20 train       # of one

After each kill what is there must be whole (what was there before, or the new), and a second run
must end well, give the bytes of a run that was not disturbed, and leave no temporary file. Prints
a table and fails if one of that did not hold. PostgreSQL: of five kills two come as COMMIT is
sent, to the client before or after it is sent, to its backend, or to the whole server.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import asyncpg

from kalshi_sim.errors import KalshiSimError
from kalshi_sim.file_sets import check_finished
from kalshi_sim.ingest.export import export_captures
from kalshi_sim.store import open_store
from kalshi_sim.store.metadata import content_digest
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.tape_files import open_tape
from kalshi_train.training.checkpoints import find_checkpoint, read_checkpoint
from support.commit_proxy import Forward, commit_proxy
from support.kills import Series, digest, run_series
from support.postgres import execute, make_database, make_server, query, wait_until

_TRAIN: Final = (
    *("--session=1", "--seed=5", "--num-threads=1", "--n-envs=8", "--n-steps=32"),
    *("--total-timesteps=30000", "--save-freq=1000", "--eval-freq=5000", "--net-arch=32,32"),
    *("--no-tensorboard", "--log-level=ERROR"),
)
_OURS: Final = "application_name = 'kalshi-sim' AND datname = current_database()"
_STRAY: Final = (
    "SELECT count(*) FROM kalshi_sim_events e WHERE NOT EXISTS "
    "(SELECT FROM kalshi_sim_sessions s WHERE s.session_id = e.session_id)"
)


class Import(Series):
    """`kalshi-sim import`, of a new session and over an old one in turns."""

    name = "import"

    def command(self, overwrite: bool) -> list[str]:
        capture = str(self.sessions.parent / "capture.jsonl")
        more = ["--overwrite"] if overwrite else []
        return ["kalshi-sim", "import", capture, "--store", str(self.folder), "--session=1", *more]

    def before(self, k: int) -> bool:
        super().before(k)
        if k % 2:
            old = replace(open_store(self.sessions).load(2), session_id=1)
            open_store(self.folder).save(old)
        return bool(k % 2)

    def state(self) -> str:
        store = open_store(self.folder)
        if not store.exists(1):
            return "none"
        events = len(store.load(1).events)
        return "old" if events == len(open_store(self.sessions).load(2).events) else "new"

    def product(self) -> str:
        return digest(self.folder)


class Tape(Series):
    """`kalshi-sim analyze`, which builds and caches a tape."""

    name = "tape"

    def __init__(self, folder: Path, sessions: Path, stack: ExitStack) -> None:
        super().__init__(folder, sessions, stack)
        self.env = {"KALSHI_SIM_TAPES": str(self.folder)}

    def command(self, overwrite: bool) -> list[str]:
        return ["kalshi-sim", "analyze", "1", "--store", str(self.sessions)]

    def state(self) -> str:
        found = [path for path in self.folder.iterdir() if not path.name.startswith(".")]
        for path in found:
            open_tape(path)
        return "new" if found else "none"

    def product(self) -> str:
        return digest(self.folder)


class Train(Series):
    """`kalshi-train` with checkpoints, the best and the final model; resumed after each kill."""

    name = "train"

    def command(self, overwrite: bool) -> list[str]:
        more = ["--resume-from", str(self.folder)] if overwrite else []
        model = str(self.folder / "m.zip")
        return [
            *("kalshi-train", "--store", str(self.sessions), "--model-save-path", model),
            *_TRAIN,
            *more,
        ]

    def state(self) -> str:
        models = sorted(self.folder.rglob("*.zip"))
        for path in models:
            if not path.name.startswith("."):
                read_checkpoint(path)
        if (self.folder / "m.zip").exists():
            return "new"
        return "old" if list((self.folder / "checkpoints").glob("*.zip")) else "none"

    def finish(self, overwrite: bool) -> None:
        super().finish(bool(list((self.folder / "checkpoints").glob("*.zip"))))

    def product(self) -> str:
        newest = find_checkpoint(self.folder)
        found = hashlib.sha256(repr(newest.run["progress"]["eval_profits"]).encode())
        for model in (self.folder / "m.zip", newest.path):
            with zipfile.ZipFile(model) as archive:
                for name in ("policy.pth", "policy.optimizer.pth"):
                    found.update(archive.read(name))
        return found.hexdigest()


class Export(Series):
    """`kalshi-sim export` into a folder: a new one, and over an old export in turns."""

    name = "export"

    @property
    def target(self) -> Path:
        """The folder of the captures."""
        return self.folder / "out"

    def command(self, overwrite: bool) -> list[str]:
        more = ["--overwrite"] if overwrite else []
        store = str(self.sessions)
        return ["kalshi-sim", "export", "1", "--store", store, "--out", str(self.target), *more]

    def before(self, k: int) -> bool:
        super().before(k)
        if k % 2:
            export_captures(open_store(self.sessions).load(2), self.target)
            self._old = digest(self.target)
        return bool(k % 2)

    def state(self) -> str:
        if not self.target.exists():
            return "none"
        try:
            check_finished(path for path in self.target.iterdir() if path.suffix != ".tmp")
        except KalshiSimError:
            return "refused"
        found = digest(self.target)
        return "old" if found == getattr(self, "_old", "") else "new"

    def product(self) -> str:
        return digest(self.target)


class Postgres(Series):
    """A stored session into PostgreSQL, a new one and over an old one in turns."""

    name = "postgres"
    _moments: Final = ("client, COMMIT unsent", "client", "backend", "server")
    """What is killed as COMMIT is sent."""

    def __init__(self, folder: Path, sessions: Path, stack: ExitStack) -> None:
        super().__init__(folder, sessions, stack)
        self.server = stack.enter_context(contextmanager(make_server)())
        self.database = stack.enter_context(contextmanager(make_database)(self.server))
        self.proxy = stack.enter_context(commit_proxy(self.server.port))
        self.store = open_store(self.database.url)
        known = open_store(sessions)
        self.old = replace(known.load(2), session_id=1)
        self.states = {content_digest(self.old): "old", content_digest(known.load(1)): "new"}

    def command(self, overwrite: bool) -> list[str]:
        url = self.database.url.replace(f":{self.server.port}/", f":{self.proxy.port}/")
        more = ["--overwrite"] if overwrite else []
        return ["kalshi-sim", "import", str(self.sessions), "--session=1", "--store", url, *more]

    def before(self, k: int) -> bool:
        tables = "kalshi_sim_events, kalshi_sim_sessions"
        execute(self.database.admin_url, f"DROP TABLE IF EXISTS {tables}")
        if k % 2:
            self.store.save(self.old)
        return bool(k % 2)

    def kill(self, k: int, process: Any, moment: float) -> None:
        if k % 5 < 3:  # at a random moment, as the others
            super().kill(k, process, moment)
        else:
            victim = self._moments[(k // 5 + k % 5) % len(self._moments)]
            busy = threading.Lock()

            def act(forward: Forward) -> None:
                with busy:
                    strike(forward)

            def strike(forward: Forward) -> None:
                if victim.startswith("client"):
                    if victim == "client":
                        forward()
                    os.kill(process.pid, signal.SIGKILL)
                elif victim == "backend":
                    (row,) = query(
                        self.database.admin_url, f"SELECT pid FROM pg_stat_activity WHERE {_OURS}"
                    )
                    forward()
                    os.kill(row[0], signal.SIGKILL)
                else:
                    forward()
                    self.server.stop("immediate")
                    wait_until(self._started, 60)

            self.proxy.at_commit = act
            process.join()
            self.proxy.at_commit = None
            with busy:  # the server is there again
                pass
        wait_until(self._settled, 60)

    def _started(self) -> bool:
        try:
            self.server.start()
        except subprocess.CalledProcessError:  # children of the last one are still there
            return False
        return True

    def _settled(self) -> bool:
        """Whether the server answers and has noticed that the client is gone."""
        ours = f"SELECT count(*) FROM pg_stat_activity WHERE {_OURS}"
        try:
            return query(self.database.admin_url, ours) == [(0,)]
        except (OSError, asyncpg.PostgresError):  # it recovers
            return False

    def state(self) -> str:
        if not self.store.exists(1):
            return "none"
        return self.states.get(content_digest(self.store.load(1)), "half")

    def left(self) -> int:
        there = query(self.database.admin_url, "SELECT to_regclass('kalshi_sim_events') IS NULL")
        if there == [(True,)]:
            return 0
        return int(query(self.database.admin_url, _STRAY)[0][0])

    def product(self) -> str:
        return content_digest(self.store.load(1))


KINDS: Final[tuple[type[Series], ...]] = (Import, Tape, Train, Export, Postgres)


def make_sessions(folder: Path, minutes: int = 12) -> Path:
    """A store of two sessions in `folder`, beside a capture of the first."""
    store = open_store(folder / "sessions")
    for number in (1, 2):
        made = generate_session(1, markets=24, minutes=minutes + number, seed=number)
        store.save(replace(made, session_id=number))
    export_captures(store.load(1), folder / "capture.jsonl")
    return folder / "sessions"


def main() -> int:
    """Kill as the command line says; 1 if something was half, lost or left."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    chosen = [kind for kind in KINDS if kind.name in sys.argv[2:] or not sys.argv[2:]]
    failed = False
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        sessions = make_sessions(folder)
        print(f"{'':<12}{'kills':>6}  {'found afterwards':<36}{'temporary':>10}  reruns")
        for kind in chosen:
            seen, most, wrong = run_series(kind(folder, sessions, stack), kills)
            states = ", ".join(f"{n} {state}" for state, n in sorted(seen.items()))
            equal = "all equal" if not wrong else f"{len(wrong)} WRONG"
            print(f"{kind.name:<12}{kills:>6}  {states:<36}{most:>10}  {equal}", flush=True)
            for line in wrong:
                print(f"    {line}")
            failed = failed or bool(wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Import of captures much larger than memory should hold: how much memory, how long.

    python -m benchmarks.large_import 10 [--folder /where/there/is/room]

Repeats a recording (a generated one without recordings) under other tickers and subscriptions
until its frames have so many GB as JSON, compressed as recorders do, imports and stores that in a
process of its own, and prints what memory it took: of its own (anonymous) at most, and all that was
resident at most, most of which is the file of what memory does not hold: the system writes it to
disk wherever memory is short.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

from zlib_ng import zlib_ng

from benchmarks import sessions
from kalshi_sim.ingest.export import export_captures

_TICKER = b'"market_ticker":"'
_SID = b'"sid":'
_IMPORT = """
import sys
from pathlib import Path
from kalshi_sim import open_store
from kalshi_sim.ingest.capture import import_captures

files, whole, store = sorted(Path(sys.argv[1]).glob("*.gz")), sys.argv[2] == "whole", sys.argv[3]
session = import_captures(files, session_id=1, whole_subscription=whole)
print(len(session.markets), len(session.events), flush=True)
open_store(store).save(session)
"""
_EVERY_S = 0.05
_GZIP = zlib_ng.MAX_WBITS | 16


def write_captures(folder: Path, most: float) -> int:
    """Captures of at least so many bytes of frames as text; how many they are."""
    name = sessions.main_name()
    files = sessions.captures(name) if name in sessions.recorded_names() else _exported(folder)
    written = 0
    for copy in count(1):
        for path in files:
            text = zlib_ng.decompress(path.read_bytes(), wbits=_GZIP)
            text = text.replace(_TICKER, _TICKER + b"%d-" % copy).replace(
                _SID, b"%b%d" % (_SID, copy)
            )
            packed = zlib_ng.compress(text, level=1, wbits=_GZIP)
            (folder / f"{copy}-{path.stem}.gz").write_bytes(packed)
            written += len(text)
            if written >= most:
                return written
    raise AssertionError


def _exported(folder: Path) -> list[Path]:
    made = export_captures(sessions.session("generated"), folder / "generated.jsonl.gz")
    return [path.rename(path.with_suffix(".source")) for path in made.files]


def _memory(process: int) -> tuple[int, int]:
    """Anonymous and resident memory of a process, in kB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    values = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
    return int(values["RssAnon"]), sum(map(int, values.values()))


def main() -> None:
    """Write, import, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gigabytes", type=float)
    parser.add_argument("--whole-subscription", action="store_true")
    parser.add_argument("--folder", type=Path, default=None)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        written = write_captures(folder, asked.gigabytes * 1e9)
        start = time.perf_counter()
        whole = "whole" if asked.whole_subscription else "each"
        command = [sys.executable, "-c", _IMPORT, name, whole, f"{name}/store"]
        process = subprocess.Popen(command, cwd=sessions.ROOT, stdout=subprocess.PIPE, text=True)
        own = resident = 0
        while process.poll() is None:
            try:
                now = _memory(process.pid)
            except (OSError, KeyError):
                continue
            own, resident = max(own, now[0]), max(resident, now[1])
            time.sleep(_EVERY_S)
        seconds = time.perf_counter() - start
        said = process.stdout.read().split() if process.stdout else []
        if process.returncode != 0:
            sys.exit("the import failed")
        markets, events = map(int, said)
        print(
            f"{written / 1e9:.2f} GB of frames, {markets:,} markets, {events:,} events: "
            f"{own / 1e6:.2f} GB of memory of its own at most, {resident / 1e6:.2f} GB resident, "
            f"{seconds:.0f} s"
        )


if __name__ == "__main__":
    main()

"""Import generated captures of known truth: none may give another book without saying so.

    python -m benchmarks.import_captures --seed 1 --captures 10000
    python -m benchmarks.import_captures --seed 1 --captures 2000 --only equal-sids --layout all

Each seed is a recording of some markets by one or two sockets, with reconnects and the faults of
recorders; it lies in files of one layout, by turns, and its import is compared with what was sent.
Prints how many imports came to what, the first seeds of each that is not right, and fails if one
was wrong and did not say so, or was refused for a wrong reason.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from kalshi_sim.errors import DataError
from support.captures import Recording
from support.compared import TRADES_APART, allowed, differences, is_rightly_refused
from support.imported import NOTED, SHARED, UNASSIGNED, UNNUMBERED, imported, says
from support.layouts import LAYOUTS, files_of

Case = tuple[int, str]
"""A seed and a layout."""
RIGHT: Final = "right"
RIGHT_NOTED: Final = "right, with a note"
REFUSED: Final = "refused by name"
WRONG_NOTED: Final = "different, and noted"
SILENT: Final = "different, silent"
WRONGLY_REFUSED: Final = "refused for a wrong reason"
OUTCOMES: Final = (
    *(RIGHT, RIGHT_NOTED, REFUSED, WRONG_NOTED, TRADES_APART, SILENT),
    WRONGLY_REFUSED,
)
FAILURES: Final = (SILENT, WRONGLY_REFUSED)
ALL: Final = "all"
EQUAL_SIDS: Final = "equal-sids"
_SHOWN: Final = 12
"""Seeds of an outcome that are printed; of failures all are."""


def outcome(folder: Path, recording: Recording, layout: str, seed: int) -> tuple[str, bool]:
    """What came of an import, and whether it noted two sockets under one sid that are none.

    Args:
        folder: where the files are written.
        recording: the capture.
        layout: which files it lies in.
        seed: draws where they are cut, and their order.
    """
    files = files_of(recording, layout, random.Random(seed))
    try:
        session = imported(folder, [[line.text for line in file] for file in files])
    except DataError as error:
        rightly = is_rightly_refused(recording, layout, error)
        return (REFUSED if rightly else WRONGLY_REFUSED), False
    found = differences(recording, files, session).keys()
    noted = says(session, *NOTED)
    if not found:
        said = noted or says(session, UNASSIGNED, UNNUMBERED)
        name = RIGHT_NOTED if said else RIGHT
    elif found == {TRADES_APART} and not noted:
        name = TRADES_APART
    else:
        name = WRONG_NOTED if noted or found <= allowed(recording, session) else SILENT
    return name, says(session, SHARED) and not recording.equal_sids


def cases(seeds: Iterable[int], layout: str | None, only: str | None) -> Iterator[Case]:
    """The imports of a run.

    Args:
        seeds: of the captures.
        layout: of all captures, "all" for each of them; None: by turns.
        only: "equal-sids": captures of two sockets under the same sids, the others are passed over.
    """
    for seed in seeds:
        if only == EQUAL_SIDS and not Recording(seed).equal_sids:
            continue
        if layout == ALL:
            yield from ((seed, each) for each in LAYOUTS)
        else:
            yield seed, layout or LAYOUTS[seed % len(LAYOUTS)]


def run(imports: Iterable[Case]) -> tuple[dict[str, list[Case]], list[Case]]:
    """The imports by what came of them, and those with a false note of two sockets."""
    found: dict[str, list[Case]] = defaultdict(list)
    falsely: list[Case] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed, layout in imports:
            name, is_false = outcome(Path(folder), Recording(seed), layout, seed)
            found[name].append((seed, layout))
            if is_false:
                falsely.append((seed, layout))
            if name in FAILURES:
                print(f"{name}: {seed} {layout}", flush=True)
    return found, falsely


def table(found: dict[str, list[Case]], falsely: list[Case]) -> str:
    """A line for each outcome: how many, and the first seeds of those that are not right."""
    lines = [f"{'imports':<28}{sum(map(len, found.values())):>8,}"]
    for name in OUTCOMES:
        known = found.get(name, [])
        shown = known if name in FAILURES else known[: 0 if name == RIGHT else _SHOWN]
        lines.append(_line(name, known, shown))
    lines.append(_line("false notes of two sockets", falsely, falsely))
    return "\n".join(lines)


def _line(name: str, known: list[Case], shown: list[Case]) -> str:
    seeds = ", ".join(f"{seed} {layout}" for seed, layout in shown)
    return f"{name:<28}{len(known):>8,}  {seeds}".rstrip()


def main(args: list[str] | None = None) -> int:
    """Import as the command line says; 1 if any was wrong and did not say so."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the first capture")
    parser.add_argument("--captures", type=int, default=1000, help="how many seeds")
    parser.add_argument("--only", choices=[EQUAL_SIDS], help="two sockets under the same sids")
    parser.add_argument("--layout", choices=[ALL, *LAYOUTS], help="default: by turns")
    given = parser.parse_args(args)
    logging.disable(logging.WARNING)
    begun = time.process_time()
    seeds = range(given.seed, given.seed + given.captures)
    found, falsely = run(cases(seeds, given.layout, given.only))
    print(table(found, falsely))
    print(f"{'processor seconds':<28}{time.process_time() - begun:>8,.0f}")
    return int(any(found.get(name) for name in FAILURES))


if __name__ == "__main__":
    sys.exit(main())

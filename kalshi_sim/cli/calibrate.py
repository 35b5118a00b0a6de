"""`kalshi-sim calibrate`: settings of the simulation from one's own orders, with errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from kalshi_sim.cli.console import print_json
from kalshi_sim.cli.options import JsonOption, StoreOption
from kalshi_sim.cli.tables import print_table, print_text
from kalshi_sim.text import printable

if TYPE_CHECKING:
    from kalshi_sim.calibration.estimate import Estimate
    from kalshi_sim.calibration.result import Calibration
    from kalshi_sim.session import Session


def calibrate(
    source: Annotated[
        Positional[Path],
        arg(
            metavar="RUN|FILE",
            help="Folder of a run of kalshi-trade with orders, or your own orders (.csv, .jsonl).",
        ),
    ],
    session: Annotated[
        int | None,
        arg(metavar="N", help="Of your own orders: the session recorded while they rested."),
    ] = None,
    store: StoreOption = None,
    out: Annotated[Path, arg(metavar="FILE", help="Where the settings go.")] = Path(
        "calibration.json"
    ),
    seed: Annotated[int, arg(help="Of the draws for the interval of queue_power.")] = 0,
    as_json: JsonOption = False,
) -> int:
    """Latency, trade share and queue power from your own orders, with 95 % intervals.

    Writes a file of settings for --settings of kalshi-train and kalshi-evaluate.
    """
    from kalshi_sim.calibration.own_log import read_own_log
    from kalshi_sim.calibration.own_run import read_own_run
    from kalshi_sim.calibration.result import calibrate as estimate
    from kalshi_sim.calibration.result import write_calibration

    is_run = source.is_dir()
    log = read_own_run(source) if is_run else read_own_log(source)
    found = estimate(log, _recorded(source, session, store, is_run=is_run), source.name, seed)
    if found.settings:
        write_calibration(out, found)
    if as_json:
        print_json(found.to_json())
    else:
        _show(found, out)
    return 0 if found.settings else 1


def _recorded(
    source: Path, session: int | None, store: str | None, *, is_run: bool
) -> Session | None:
    if is_run:
        from kalshi_sim.calibration.own_run import SEGMENTS
        from kalshi_sim.ingest.capture import import_captures
        from kalshi_sim.ingest.segments import segments_in

        return import_captures(segments_in(source / SEGMENTS), session_id=1)
    if session is None:
        return None
    from kalshi_sim.store import open_store

    return open_store(store).load(session)


def _show(found: Calibration, out: Path) -> None:
    known = [estimate for estimate in found.estimates if estimate.known]
    if known:
        print_table(
            "calibration",
            ["what", "estimate", "95 % interval", "from"],
            [[e.name, _value(e, e.value), _interval(e), f"{e.n:,} {e.of}"] for e in known],
        )
    for estimate in found.estimates:
        if not estimate.known:
            print_text(estimate.missing)
    if found.trade_share is None:
        print_text(
            "without --session there is no recording: trade_share and queue_power are not estimated"
        )
    if not found.by_exchange_clock:
        print_text("latencies are round trips: the way to the exchange alone is shorter")
    for why, count in found.left_out.items():
        print_text(f"left out: {count:,} {printable(why)}")
    if found.settings:
        said = ", ".join(f"{name}={value}" for name, value in found.settings.items())
        name = printable(str(out))
        print_text(f"{said} in {name}; kalshi-train --settings {name}")
    else:
        print_text("nothing was estimated, and no file written")


def _value(estimate: Estimate, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f} ms" if estimate.name.startswith("latency") else f"{value:.4g}"


def _interval(estimate: Estimate) -> str:
    return f"{_value(estimate, estimate.low)} to {_value(estimate, estimate.high)}"

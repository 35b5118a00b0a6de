"""`kalshi-sim import`: recordings, or a session of another store, into a store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from kalshi_sim.cli.console import progress_bar
from kalshi_sim.cli.options import (
    JsonOption,
    SkipOption,
    StoreOption,
    check_free,
    checked_id,
    shown,
)
from kalshi_sim.cli.session_tables import report_import
from kalshi_sim.errors import ConfigError
from kalshi_sim.ingest.formats import (
    FORMATS,
    MAX_LINE_BYTES,
    MAX_UNPACKED_BYTES,
    Limits,
    MissingSnapshot,
)
from kalshi_sim.store import SessionStore, open_store
from kalshi_sim.store.urls import is_address, without_password


def import_sessions(
    sources: Annotated[
        Positional[tuple[str, ...]],
        arg(metavar="FILE...", help="Recordings, or one store to copy a session from."),
    ],
    store: StoreOption = None,
    session: Annotated[
        int | None, arg(metavar="ID", help="Number of the session; else the next free one.")
    ] = None,
    markets: Annotated[
        Path | None, arg(metavar="FILE", help="CSV of close times and results.")
    ] = None,
    whole_subscription: Annotated[
        bool, arg(help="The files hold all of their subscriptions: holes in seq are gaps.")
    ] = False,
    use_yes_price: Annotated[
        bool, arg(help="The recording subscribed with use_yes_price: NO prices in YES terms.")
    ] = False,
    format: Annotated[  # noqa: A002  # the option's name
        str, arg(metavar="NAME", help=f"Format of the files: auto, {FORMATS}.")
    ] = "auto",
    envelope: Annotated[
        str | None,
        arg(
            metavar="FIELD[=recv:FIELD]",
            help="Field of a line that holds the frame, and the one of its time of receipt.",
        ),
    ] = None,
    missing_snapshot: Annotated[
        MissingSnapshot,
        arg(
            help="Deltas before a market's first snapshot: drop them, or begin with the smallest "
            "book that keeps every level at zero or more (no evidence)."
        ),
    ] = "drop",
    nearest_tick: Annotated[
        bool, arg(help="Round prices and sizes that miss a tick by a float's noise (1e-9).")
    ] = False,
    max_bad_lines: Annotated[int, arg(help="Skip up to so many malformed lines.")] = 0,
    max_line_bytes: Annotated[
        int, arg(help="Refuse a longer line (a JSON array counts as one).")
    ] = MAX_LINE_BYTES,
    max_unpacked_bytes: Annotated[
        int, arg(help="Refuse a compressed file that unpacks to more.")
    ] = MAX_UNPACKED_BYTES,
    skip_bad_rows: SkipOption = False,
    overwrite: Annotated[bool, arg(help="Replace the session if the store has it.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Recordings (docs/formats.md), or a session of another store, into a store."""
    if not sources:
        raise ConfigError("name capture files, a store folder or a postgresql:// URL to import")
    if max_bad_lines < 0:
        raise ConfigError(f"--max-bad-lines {max_bad_lines}: must be 0 or more")
    for name, value in (("line", max_line_bytes), ("unpacked", max_unpacked_bytes)):
        if value <= 0:
            raise ConfigError(f"--max-{name}-bytes {value}: must be above 0")
    target = open_store(store)
    origin = _as_store(sources, skip_bad_rows)
    if origin is not None and session is None:
        raise ConfigError("say which session to copy, with --session ID")
    number = target.next_session_id() if session is None else checked_id(session)
    check_free(target, number, store, overwrite=overwrite)
    begun = time.perf_counter()
    if origin is not None:
        imported = origin.load(number)
    else:
        for source in sources:
            if not Path(source).is_file():
                raise ConfigError(f"there is no capture file {without_password(source)}")
        from kalshi_sim.ingest.capture import import_captures

        with progress_bar("importing") as progress:
            imported = import_captures(
                list(sources),
                session_id=number,
                markets_csv=markets,
                whole_subscription=whole_subscription,
                use_yes_price=use_yes_price,
                max_bad_lines=max_bad_lines,
                format=format,
                envelope=envelope,
                nearest_tick=nearest_tick,
                missing_snapshot=missing_snapshot,
                limits=Limits(max_line_bytes, max_unpacked_bytes),
                progress=progress,
            )
    seconds = time.perf_counter() - begun
    target.save(imported, overwrite=overwrite)
    report_import(imported, shown(store), seconds, as_json=as_json)
    return 0


def _as_store(sources: Sequence[str], skip_bad_rows: bool) -> SessionStore | None:
    """The store that a single source names, or None if the sources are captures."""
    if len(sources) != 1:
        return None
    source = sources[0]
    if is_address(source):
        return open_store(source, skip_bad_rows=skip_bad_rows)
    if Path(source).is_dir():
        if not any(Path(source).glob("session-*.parquet")):
            raise ConfigError(
                f"{source} is a folder without sessions; name the capture files in it"
            )
        return open_store(source)
    return None

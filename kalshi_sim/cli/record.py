"""`kalshi-sim record`: the live exchange into segments, and those into a store."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from kalshi_sim.cli.options import JsonOption, checked_id
from kalshi_sim.errors import ConfigError
from kalshi_sim.extras import import_module


def record(
    tickers: Annotated[
        Positional[tuple[str, ...]],
        arg(metavar="TICKER...", help="Markets; if none are named, all that the filters keep."),
    ] = (),
    event: Annotated[
        tuple[str, ...], arg(metavar="TICKER...", help="All markets of these events.")
    ] = (),
    series: Annotated[
        tuple[str, ...], arg(metavar="TICKER...", help="All markets of these series.")
    ] = (),
    status: Annotated[
        tuple[Literal["unopened", "open", "paused", "closed", "settled"], ...],
        arg(
            metavar="STATUS...",
            help="Markets that are not named have one of these: unopened, open, paused, closed, "
            "settled.",
        ),
    ] = ("open", "paused"),
    min_volume: Annotated[int, arg(help="Contracts traded so far, at least.")] = 0,
    max_spread: Annotated[
        int | None, arg(metavar="CENTS", help="Spread at most; both sides quoted.")
    ] = None,
    closes_within: Annotated[
        float | None, arg(metavar="HOURS", help="Hours to the close, at most.")
    ] = None,
    limit: Annotated[
        int | None, arg(metavar="N", help="At most so many markets, those traded most.")
    ] = None,
    environment: Annotated[
        str,
        arg(
            metavar="WHERE",
            help="production, demo, or the address of a local exchange (http://127.0.0.1:8765).",
        ),
    ] = "production",
    key_id_file: Annotated[
        Path | None,
        arg(metavar="FILE", help="File with the key's id; else KALSHI_API_KEY_ID."),
    ] = None,
    key_file: Annotated[
        Path | None,
        arg(
            metavar="FILE",
            help="Private key (PEM); else KALSHI_PRIVATE_KEY_FILE, else KALSHI_PRIVATE_KEY.",
        ),
    ] = None,
    out: Annotated[Path, arg(metavar="FOLDER", help="Segments are written here.")] = Path(
        "recording"
    ),
    into: Annotated[
        str | None,
        arg(
            metavar="STORE",
            help="Also store the segments as a session, while recording and at the end: in a "
            "folder or at a postgresql:// URL.",
        ),
    ] = None,
    per: Annotated[
        Literal["recording", "day"], arg(help="One session for all, or one for each day (UTC).")
    ] = "recording",
    session: Annotated[
        int | None,
        arg(
            metavar="ID", help="Number of the session (not with --per day); else the next free one."
        ),
    ] = None,
    tables: Annotated[
        Literal["own", "kalshiflow"],
        arg(
            help="With --into postgresql://: own tables, which hold everything, or those of the "
            "kalshiflow recorder, for other programs that read them."
        ),
    ] = "own",
    store_only: Annotated[
        bool, arg(help="Record nothing: store the segments that are in --out (needs --into).")
    ] = False,
    channel: Annotated[
        tuple[str, ...],
        arg(metavar="NAME...", help="Channels; orderbook_delta, trade and market_lifecycle_v2."),
    ] = ("orderbook_delta", "trade", "market_lifecycle_v2"),
    index_id: Annotated[
        tuple[str, ...],
        arg(metavar="ID...", help="Settlement indices (BRTI, ETHUSD_RTI): cfbenchmarks_value."),
    ] = (),
    use_yes_price: Annotated[
        bool, arg(help="Subscribe with use_yes_price; the header of each segment says so.")
    ] = False,
    markets_per_connection: Annotated[
        int, arg(help="Markets on one connection; more markets take more connections.")
    ] = 500,
    discover_every: Annotated[
        float, arg(metavar="SECONDS", help="How often markets are listed again.")
    ] = 60.0,
    audit_every: Annotated[
        float, arg(metavar="SECONDS", help="How often books are compared with REST; 0: never.")
    ] = 300.0,
    disk_floor_mib: Annotated[
        int, arg(metavar="MIB", help="Stop writing while less than this is free.")
    ] = 1024,
    segment_seconds: Annotated[
        int, arg(help="How often a new segment begins; with --into, how often it stores.")
    ] = 3600,
    queue_mib: Annotated[
        int,
        arg(
            metavar="MIB",
            help="Largest queue of frames to be written; frames beyond it are dropped and marked.",
        ),
    ] = 256,
    duration: Annotated[
        float | None,
        arg(metavar="SECONDS", help="Stop after this time in all; else on Ctrl-C or SIGTERM."),
    ] = None,
    status_every: Annotated[
        float, arg(metavar="SECONDS", help="How often a line of status is printed.")
    ] = 10.0,
    prometheus_port: Annotated[
        int | None, arg(metavar="PORT", help="Serve http://127.0.0.1:PORT/metrics.")
    ] = None,
    dry_run: Annotated[bool, arg(help="List the markets that would be recorded, and end.")] = False,
    as_json: JsonOption = False,
) -> int:
    """The live exchange into segments, without losing a frame (docs/recording.md)."""
    for name, value, least in (
        ("markets-per-connection", markets_per_connection, 1),
        ("discover-every", discover_every, 0.1),
        ("audit-every", audit_every, 0),
        ("disk-floor-mib", disk_floor_mib, 0),
        ("segment-seconds", segment_seconds, 1),
        ("queue-mib", queue_mib, 1),
        ("status-every", status_every, 0.1),
        ("duration", duration, 0),
        ("min-volume", min_volume, 0),
        ("max-spread", max_spread, 0),
        ("closes-within", closes_within, 0),
        ("limit", limit, 1),
    ):
        if value is not None and not (math.isfinite(value) and value >= least):
            raise ConfigError(f"--{name} {value}: must be a number of {least} or more")
    if session is not None:
        checked_id(session)
    work = import_module("kalshi_sim.live.recorder.command")
    command = work.RecordCommand(
        selection=work.Selection(
            tickers=tickers,
            events=event,
            series=series,
            status=status,
            min_volume=min_volume,
            max_spread=max_spread,
            closes_within=closes_within,
            limit=limit,
        ),
        environment=environment,
        key_id_file=key_id_file,
        key_file=key_file,
        out=out,
        into=into,
        per=per,
        session=session,
        tables=tables,
        channels=channel,
        index_ids=index_id,
        use_yes_price=use_yes_price,
        markets_per_connection=markets_per_connection,
        discover_every_s=discover_every,
        audit_every_s=audit_every,
        disk_floor_mib=disk_floor_mib,
        segment_seconds=segment_seconds,
        queue_mib=queue_mib,
        duration_s=duration,
        status_every_s=status_every,
        prometheus_port=prometheus_port,
        as_json=as_json,
    )
    if store_only:
        code: int = command.store_only()
    elif dry_run:
        code = command.dry_run()
    else:
        code = command.run()
    return code

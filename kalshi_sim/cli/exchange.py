"""`kalshi-sim exchange`: a local exchange of a session or generated markets, for clients."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from tyro.conf import arg

from kalshi_sim.cli.console import print_json
from kalshi_sim.cli.options import JsonOption, SkipOption, StoreOption, checked_id
from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.interrupts import Interrupted
from kalshi_sim.store import open_store
from kalshi_sim.units import MS_PER_MINUTE
from kalshi_sim.validated import Within, check_value

if TYPE_CHECKING:
    from kalshi_sim.live.exchange import LocalExchange

MAX_SKIP_MINUTES: Final = 10 * 24 * 60


def exchange(
    session: Annotated[
        int | None, arg(metavar="ID", help="The session it replays; with --generate: its number.")
    ] = None,
    store: StoreOption = None,
    generated: Annotated[
        bool,
        arg(
            name="generate",
            help="Trade generated markets order by order, in a true price-time queue.",
        ),
    ] = False,
    markets: Annotated[int | None, arg(help="With --generate: how many markets (500).")] = None,
    minutes: Annotated[float | None, arg(help="With --generate: length in minutes (35).")] = None,
    seed: Annotated[
        int | None, arg(help="With --generate: the same seed, the same markets (9).")
    ] = None,
    speed: Annotated[
        float, arg(help="Seconds of the session per second; 0: as fast as clients read.")
    ] = 1.0,
    skip: Annotated[
        float, arg(metavar="MINUTES", help="Begin so long after the session's start.")
    ] = 0.0,
    host: Annotated[str, arg(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, arg(help="Port to listen at; 0: any free one.")] = 8765,
    begin: Annotated[
        Literal["subscription", "now", "control"],
        arg(
            help="When its time begins: at the first subscription to order books (0.5 s after one "
            "to another channel of markets), now, or POST /control/begin."
        ),
    ] = "subscription",
    keys: Annotated[
        Path | None,
        arg(metavar="FILE", help="JSON list of API keys (docs/live.md); else a new key is made."),
    ] = None,
    faults: Annotated[
        Path | None, arg(metavar="FILE", help="JSON list of faults (docs/live.md).")
    ] = None,
    openings: Annotated[
        Path | None,
        arg(
            metavar="FILE",
            help="JSON list of markets that are created, or open, later (docs/live.md).",
        ),
    ] = None,
    log: Annotated[
        Path | None, arg(metavar="FILE", help="Write every frame that is sent, as JSON lines.")
    ] = None,
    skip_bad_rows: SkipOption = False,
    as_json: JsonOption = False,
) -> int:
    """A local exchange over WebSocket and REST, of a session or generated, until Ctrl-C."""
    from kalshi_sim.live.exchange import LocalExchange
    from kalshi_sim.live.exchange.accounts import load_keys
    from kalshi_sim.live.exchange.faults import load_faults
    from kalshi_sim.live.exchange.openings import load_openings

    check_value("--skip", skip, float, Within(0, MAX_SKIP_MINUTES))
    try:
        given = None if keys is None else load_keys(keys)
        waiting = [] if faults is None else load_faults(faults)
        coming = [] if openings is None else load_openings(openings)
    except DataError as error:  # a mistake of whoever wrote the file
        raise ConfigError(str(error)) from error
    if generated:
        from kalshi_sim.synthetic.session import generate_with_truth

        number = 0 if session is None else checked_id(session)
        wanted = {"markets": markets, "minutes": minutes, "seed": seed}
        asked: dict[str, Any] = {k: v for k, v in wanted.items() if v is not None}
        replayed, truth = generate_with_truth(number, **asked)
    elif (markets, minutes, seed) != (None, None, None):
        raise ConfigError("--markets, --minutes and --seed go with --generate")
    elif session is None:
        raise ConfigError("say what it trades: --session ID of the store, or --generate")
    else:
        replayed = open_store(store, skip_bad_rows=skip_bad_rows).load(checked_id(session))
        truth = None
    server = LocalExchange(
        replayed,
        truth=truth,
        speed=speed,
        begin=begin,
        host=host,
        port=port,
        keys=given,
        faults=waiting,
        log=log,
        skip_ms=round(skip * MS_PER_MINUTE),
        openings=coming,
    )
    import asyncio

    try:
        with _test_key(server) as key_file:
            asyncio.run(_serve(server, key_file, as_json=as_json))
    except Interrupted as stop:
        lost = f"; {server.log_error}" if server.log_error is not None else ""
        raise Interrupted(stop.signum, f"the exchange has ended{lost}") from None
    return 0


async def _serve(server: LocalExchange, key_file: Path | None, *, as_json: bool) -> None:
    """Run the exchange, and say where it is; it ends when its log cannot be written."""
    async with server:
        where = {"rest": server.rest_url, "websocket": server.ws_url}
        if key_file is not None:
            where |= {"key_id": server.key_id, "private_key_file": str(key_file)}
        if as_json:
            print_json(where)
        else:
            print(f"REST       {where['rest']}")
            print(f"WebSocket  {where['websocket']}")
            if key_file is not None:
                print(f"API key    {server.key_id}, private key in {key_file}")
            print("Ctrl-C ends it", flush=True)
        await server.log_failed()


@contextlib.contextmanager
def _test_key(server: LocalExchange) -> Iterator[Path | None]:
    """A file with the private key that the exchange made, which its owner alone reads."""
    if server.private_key is None:
        yield None
        return
    from kalshi_sim.live.keys import private_pem

    folder = Path(tempfile.mkdtemp(prefix="kalshi-sim-exchange-"))
    try:
        path = folder / "test-key.pem"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(private_pem(server.private_key))
        yield path
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""`kalshi-sim delete`, `rename`, `merge` and `results`: sessions that are already stored."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from kalshi_sim.cli.console import count, print_json
from kalshi_sim.cli.options import JsonOption, StoreOption, check_free, checked_id, shown
from kalshi_sim.cli.tables import print_text
from kalshi_sim.errors import ConfigError, DataError, StoreError
from kalshi_sim.store import ManagedStore, open_store
from kalshi_sim.text import printable


def delete(
    session_id: Annotated[Positional[int], arg(metavar="ID", help="Number of the session.")],
    store: StoreOption = None,
    yes: Annotated[bool, arg(help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Remove a session from a store, for good."""
    source = open_store(store)
    source.check_writable(session_id)
    if not yes:
        _ask(f"delete session {session_id} of {shown(store)} for good?")
    source.delete(session_id)
    if as_json:
        print_json({"deleted": session_id})
    else:
        print_text(f"session {session_id} is deleted from {shown(store)}")
    return 0


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise ConfigError("say --yes to delete without being asked")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().casefold() not in ("y", "yes"):
        raise ConfigError("nothing was deleted")


def rename(
    session_id: Annotated[Positional[int], arg(metavar="ID", help="Number of the session.")],
    new_id: Annotated[
        Positional[int | None], arg(metavar="[NEW]", help="Its new number; kept, if not given.")
    ] = None,
    store: StoreOption = None,
    name: Annotated[str | None, arg(metavar="TEXT", help="A name that lists show.")] = None,
    note: Annotated[str | None, arg(metavar="TEXT", help="A note that lists show.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Give a session another number, a name or a note."""
    if new_id is None and name is None and note is None:
        raise ConfigError("say what to change: a new number, --name TEXT or --note TEXT")
    source = open_store(store)
    number = session_id if new_id is None else checked_id(new_id)
    moved = number != session_id
    if moved:
        check_free(source, number, store, overwrite=False)
    source.check_writable(session_id)
    session = source.load(session_id)
    session = replace(
        session,
        session_id=number,
        name=session.name if name is None else name,
        note=session.note if note is None else note,
    )
    source.save(session, overwrite=not moved)
    if moved:
        source.delete(session_id)  # only now: a session is never nowhere
    if as_json:
        print_json({"session_id": number, "name": session.name, "note": session.note})
        return 0
    named = f" {printable(session.name)!r}" if session.name else ""
    was = f" (was {session_id})" if moved else ""
    print_text(f"session {number}{was}{named}: stored in {shown(store)}")
    return 0


def merge(
    session_ids: Annotated[
        Positional[tuple[int, ...]], arg(metavar="ID...", help="Numbers of the sessions.")
    ],
    store: StoreOption = None,
    session: Annotated[
        int | None, arg(metavar="ID", help="Number of the new session; else the next free one.")
    ] = None,
    overwrite: Annotated[bool, arg(help="Replace the session if the store has it.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Make one session of several, which stay as they are."""
    if len(set(session_ids)) < 2 or len(set(session_ids)) < len(session_ids):
        raise ConfigError("name two or more different sessions to merge")
    source = open_store(store)
    number = source.next_session_id() if session is None else checked_id(session)
    check_free(source, number, store, overwrite=overwrite)
    from kalshi_sim.ingest.combine import combine_sessions

    merged = combine_sessions([source.load(i) for i in session_ids], number)
    source.save(merged, overwrite=overwrite)
    if as_json:
        print_json({"session_id": number, "of": session_ids, "markets": len(merged.markets)})
    else:
        names = ", ".join(map(str, session_ids))
        print_text(
            f"session {number} is made of {names}: {count(len(merged.markets))} markets, "
            f"{count(len(merged.events))} events"
        )
    return 0


def results(
    file: Annotated[
        Positional[Path], arg(metavar="FILE", help="CSV of markets: market_ticker, result, …")
    ],
    session_ids: Annotated[
        Positional[tuple[int, ...]], arg(metavar="[ID...]", help="All sessions, if not given.")
    ] = (),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> int:
    """Add results that became known after the recording (docs/formats.md: markets.csv)."""
    if not file.is_file():
        raise ConfigError(f"there is no file {file}; give a CSV file of markets with their results")
    source = open_store(store)
    from kalshi_sim.ingest.markets_csv import read_markets_csv
    from kalshi_sim.ingest.results import with_results

    known = read_markets_csv(file)
    if all(market.settlement_value is None for market in known.values()):
        raise DataError(f"{file} has no result of any market; it needs a column result")
    for number in session_ids:
        source.check_writable(number)
    numbers, left = session_ids, 0
    if not session_ids:
        every = [info.session_id for info in source.list_sessions()]
        numbers = tuple(number for number in every if _is_writable(source, number))
        left = len(every) - len(numbers)
    done = []
    for number in numbers:
        session, gained = with_results(source.load(number), known)
        if gained:
            source.save(session, overwrite=True)
        missing = sum(market.settlement_value is None for market in session.markets)
        done.append({"session_id": number, "gained": gained, "without_result": missing})
    if as_json:
        print_json(done)
        return 0
    for line in done:
        print_text(
            f"session {line['session_id']}: {count(line['gained'])} markets gained a result, "
            f"{count(line['without_result'])} have none"
        )
    if left:
        print_text(f"{left} sessions of the kalshiflow recorder were not changed")
    return 0


def _is_writable(store: ManagedStore, session_id: int) -> bool:
    try:
        store.check_writable(session_id)
    except StoreError:
        return False
    return True

"""`kalshi-sim validate`: the checks on a session, as a table or JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

from kalshi_sim.cli.tables import print_pairs
from kalshi_sim.errors import KalshiSimError, NoViewsError
from kalshi_sim.fees import chosen_schedule
from kalshi_sim.store import SessionStore, open_store
from kalshi_sim.validation import validate_session

_WORDS: Final[dict[bool | None, str]] = {True: "holds", False: "FAILS", None: "not made"}


def run_validation(
    store: SessionStore | str | None,
    session_id: int | None,
    json_output: bool,
    fee_schedule: Path | None = None,
) -> int:
    """Check a session (the newest one without an id), print a table or JSON.

    Args:
        store: the store, or its address.
        session_id: which session; None: the newest.
        json_output: whether to print JSON.
        fee_schedule: file of dated fees; None: the published ones.

    Returns:
        0 if all holds, 1 if something does not, 2 if the session cannot be checked at all.
    """
    try:
        source = store if isinstance(store, SessionStore) else open_store(store)
        if session_id is None:
            listed = source.list_sessions()
            if not listed:
                raise NoViewsError("the store holds no session to validate")
            session_id = max(info.session_id for info in listed)
        fees = chosen_schedule(None, fee_schedule)
        checks = validate_session(source.load(session_id), fees)
    except KalshiSimError as error:
        print(f"kalshi-sim: {error}", file=sys.stderr)
        return 2
    failed = [c for c in checks if c.held is False]
    if json_output:
        report = {
            "session_id": session_id,
            "valid": not failed,
            "checks": [asdict(c) for c in checks],
        }
        print(json.dumps(report))
    else:
        rows = [(c.name, f"{_WORDS[c.held]}: {c.detail}") for c in checks]
        print_pairs(f"Session {session_id}", rows)
    return 1 if failed else 0

"""A process that saves sessions until it is killed: run as `python -m tests.support.saver URL`.

It imports once, then forks a child for each number that comes in; the child saves that session
to the store and may be killed meanwhile.
"""

from __future__ import annotations

import os
import sys

import numpy as np

from kalshi_sim.session import Events, MarketInfo, Session
from kalshi_sim.store import open_store

N_EVENTS = 12_000


def numbered(number: int) -> Session:
    """The session that is saved under a number, the same in every process."""
    rng = np.random.default_rng(number)
    events = Events.from_columns(
        kind=np.full(N_EVENTS, 2),
        side=rng.integers(0, 2, N_EVENTS),
        price=rng.integers(1, 10_000, N_EVENTS),
        size=rng.integers(-(2**40), 2**40, N_EVENTS),
        ts_ms=np.sort(rng.integers(1, 2**41, N_EVENTS)),
    )
    return Session(
        session_id=number,
        markets=(MarketInfo("KXA-1"), MarketInfo("KXB-2")),
        events=events,
        market_offsets=np.array([0, 4_000, N_EVENTS]),
        first_book_ms=1,
        last_message_ms=2**41,
        trades_recorded=False,
    )


def main() -> None:
    store = open_store(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        session = numbered(int(line))
        child = os.fork()
        if child == 0:
            store.save(session)
            os._exit(0)
        print(child, flush=True)
        sys.stdin.readline()  # the child keeps its number until it was killed
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()

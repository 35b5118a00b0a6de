"""`kalshi-sim replay`: sessions into tapes, before a training or an evaluation asks for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

from tyro.conf import arg

from kalshi_sim.cli.console import count, decimal, print_json, print_notes, progress_bar
from kalshi_sim.cli.options import (
    ColumnsOption,
    FeesOption,
    JsonOption,
    StoreOption,
    WideOption,
    shown,
)
from kalshi_sim.cli.session_ids import SessionIds
from kalshi_sim.cli.tables import Layout, print_table, print_text
from kalshi_sim.config import TapeOptions
from kalshi_sim.errors import ConfigError, SessionNotFoundError
from kalshi_sim.store import open_store
from kalshi_sim.text import numbered, printable

if TYPE_CHECKING:
    from kalshi_sim.session_tapes import SessionTape

_COLUMNS: Final = ("session", "tape", "markets", "left out", "rows", "MB", "seconds", "machine")
_SHOWN: Final = 25
"""Sessions that a table lists; those that failed are all named."""
_DEFAULTS: Final = TapeOptions()


def replay(
    sessions: Annotated[
        SessionIds, arg(metavar="ID,ID-ID,...", help="Which sessions; all of them, if not given.")
    ] = (),
    store: StoreOption = None,
    jobs: Annotated[
        int | None, arg(metavar="N", help="Processes at a time; else one for each processor.")
    ] = None,
    ray: Annotated[
        str | None,
        arg(
            metavar="ADDRESS",
            help="Replay on a Ray cluster instead: host:port of its head, or auto. The tapes lie "
            "in the caches of its nodes, and where KALSHI_SIM_SHARED_TAPES says.",
        ),
    ] = None,
    min_episode_length: Annotated[
        int, arg(help="Leave out markets of fewer rows; as for training.")
    ] = _DEFAULTS.min_episode_length,
    depth: Annotated[int, arg(help="Levels a side; as for training.")] = _DEFAULTS.depth,
    row_interval_ms: Annotated[
        int, arg(help="Length of a row in ms; as for training.")
    ] = _DEFAULTS.row_interval_ms,
    fee_schedule: FeesOption = None,
    wide: WideOption = False,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> int:
    """Sessions into tapes in the cache, so that what uses them starts at once."""
    layout = Layout(wide, columns)
    layout.check(_COLUMNS)
    if jobs is not None and (jobs < 1 or ray is not None):
        raise ConfigError(
            f"--jobs {jobs}: must be 1 or more"
            if jobs < 1
            else "give --jobs or --ray, not both: the cluster decides how many run at once"
        )
    options = TapeOptions(
        min_episode_length=min_episode_length,
        depth=depth,
        row_interval_ms=row_interval_ms,
        fee_schedule=fee_schedule,
    )
    wanted = _chosen(store, sessions)
    from kalshi_sim.session_tapes import evicted, replay_sessions_into_tapes

    with progress_bar("replaying sessions") as progress:
        tapes = replay_sessions_into_tapes(
            store, wanted, options, jobs=jobs, ray=ray, progress=progress
        )
    notes = _notes(tapes, 0 if ray is not None else evicted(tapes), on_cluster=ray is not None)
    if as_json:
        print_json({"sessions": tapes, "counts": _counts(tapes), "notes": notes})
    else:
        _show(tapes, layout, shown(store))
        print_notes(notes)
    return int(any(t.how == "failed" for t in tapes))


def _chosen(store: str | None, sessions: Sequence[int]) -> Sequence[int]:
    if sessions:
        if len(set(sessions)) < len(sessions):
            raise ConfigError("--sessions: a session is named twice")
        return sessions
    every = [info.session_id for info in open_store(store).list_sessions()]
    if not every:
        raise SessionNotFoundError(f"{shown(store)} has no sessions; import or generate one")
    return every


def _counts(tapes: Sequence[SessionTape]) -> dict[str, int]:
    counts = Counter(t.how for t in tapes)
    return {how: counts[how] for how in ("replayed", "fetched", "cached", "failed")}


def _notes(tapes: Sequence[SessionTape], gone: int, *, on_cluster: bool) -> list[str]:
    """Where the tapes are, if not just in the cache of this machine."""
    from kalshi_sim.shared_tapes import VARIABLE, shared_place

    notes = []
    done = [t for t in tapes if t.how != "failed"]
    if on_cluster and done and shared_place() is None:
        hosts = ", ".join(sorted({t.host for t in done}))
        notes.append(
            f"the tapes lie in the caches of the nodes that made them ({hosts}), not on this "
            f"machine; with {VARIABLE} all would find them in a shared place"
        )
    if gone:
        notes.append(
            f"{numbered(gone, 'tape')} of these had to go again: the cache is full; raise "
            "KALSHI_SIM_CACHE_BYTES"
        )
    return notes


def _show(tapes: Sequence[SessionTape], layout: Layout, store: str) -> None:
    listed = tapes[:_SHOWN]
    size = sum(t.bytes for t in tapes)
    print_table(
        f"{numbered(len(tapes), 'session')} of {store}: "
        + ", ".join(f"{n:,} {how}" for how, n in _counts(tapes).items() if n)
        + f"; {size / 1e6:,.1f} MB",
        _COLUMNS,
        [
            (
                str(t.session_id),
                t.how,
                count(t.views),
                count(t.skipped),
                count(t.rows),
                decimal(t.bytes / 1e6),
                decimal(t.seconds),
                t.host,
            )
            for t in listed
        ],
        words=("tape", "machine"),
        layout=layout,
        least=("machine", "left out", "seconds"),
    )
    if len(tapes) > len(listed):
        print_text(f"and {len(tapes) - len(listed):,} more; --json names all")
    for tape in tapes:
        if tape.how == "failed":
            print_text(f"session {tape.session_id} failed: {printable(tape.reason)}")

"""Tapes on disk: built once, then mapped into memory and shared by every process.

A cached tape is keyed by the content of its sessions, the options of the build and the code
that built it, so nothing stale can be opened. It is there whole or not at all, so any number of
processes may use one cache.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa

from kalshi_sim import __version__, gate
from kalshi_sim.config import TapeOptions
from kalshi_sim.errors import ConfigError, NoViewsError, StoreError
from kalshi_sim.fees import FeeSchedule, chosen_schedule
from kalshi_sim.files import remove_leftovers, room_for, taking_turns, whole_folder
from kalshi_sim.kernels.jit import cache_root, source_digest
from kalshi_sim.session import Session
from kalshi_sim.shared_tapes import fetch, share
from kalshi_sim.store import SessionStore, default_address, fingerprints, open_store
from kalshi_sim.tape import Tape
from kalshi_sim.tape_build import build_tape, no_views_message, replay_sessions
from kalshi_sim.tape_files import open_tape, save_header, save_tape
from kalshi_sim.tape_join import JoinedTape, Replayed
from kalshi_sim.units import PAYOUT_CENT, PAYOUT_FINE

DEFAULT_LIMIT_BYTES: Final = 20 * 2**30
_PARTS: Final = 1000
"""Steps of progress that a session is."""
_BUILDERS: Final = (
    "tape.py",
    "tape_build.py",
    "tape_join.py",
    "tape_rows.py",
    "views.py",
    "market_state.py",
    "quality.py",
    "events.py",
    "market_info.py",
    "quality_report.py",
    "session.py",
    "fees.py",
)

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where tapes are cached: KALSHI_SIM_TAPES, else below the cache of the compiled kernels."""
    named = os.environ.get("KALSHI_SIM_TAPES")
    return Path(named) if named else cache_root() / "tapes"


def limit_bytes() -> int:
    """How large the cache may grow: KALSHI_SIM_CACHE_BYTES, else 20 GiB.

    Raises:
        ConfigError: the variable is not a whole number.
    """
    text = os.environ.get("KALSHI_SIM_CACHE_BYTES")
    if text is None:
        return DEFAULT_LIMIT_BYTES
    if not text.isdecimal():
        raise ConfigError(f"KALSHI_SIM_CACHE_BYTES={text!r}: must be a whole number of bytes")
    return int(text)


def _share(
    progress: Callable[[int, int], None] | None, done: int, total: int
) -> Callable[[int, int], None] | None:
    """Progress of one of several sessions, `done` of which are over, as that of all."""
    if progress is None:
        return None
    return lambda part, whole: progress(_PARTS * done + _PARTS * part // whole, _PARTS * total)


def _save_joined(
    store: SessionStore,
    session_ids: Sequence[int],
    names: Mapping[int, str],
    options: TapeOptions,
    schedule: FeeSchedule,
    folder: Path,
    load: Callable[[SessionStore, Sequence[int]], Sequence[Session]] | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Write the tape of several sessions, of which one at a time is in memory.

    Sessions whose own tape is in the cache are not replayed.

    Raises:
        NoViewsError: no market has enough rows.
        OSError, StoreError: the folder cannot be written, or a session not be read.
    """
    payout = PAYOUT_CENT
    done = 0
    with room_for(folder), whole_folder(folder) as temporary:
        while done < len(session_ids):
            with JoinedTape(temporary, options.depth) as joined:
                for done, number in enumerate(session_ids, 1):
                    key = tape_key([names[number]], options, schedule)
                    place = folder.parent / key
                    own = _open_cached(place) or (_open_cached(place) if fetch(place) else None)
                    if own is not None and own.payout == payout:
                        made = Replayed(
                            payout, own.rows, own.flow, list(own.views), list(own.skipped)
                        )
                    else:
                        (session,) = load(store, [number]) if load else [store.load(number)]
                        pa.default_memory_pool().release_unused()
                        gate.check_session(session)
                        fine = payout if payout == PAYOUT_FINE else None
                        made = replay_sessions(
                            [session],
                            options,
                            fee_schedule=schedule,
                            payout=fine,
                            progress=_share(progress, done - 1, len(session_ids)),
                        )
                    if made.payout != payout:  # finer money units than those before it: once more
                        payout, done = made.payout, 0
                        break
                    joined.add(made)
        if not joined.views:
            shortest = options.min_episode_length
            raise NoViewsError(no_views_message(session_ids, joined.skipped, shortest))
        described = {
            "payout": payout,
            "depth": options.depth,
            "row_interval_ms": options.row_interval_ms,
            "min_episode_length": options.min_episode_length,
            "views": tuple(joined.views),
            "skipped": tuple(joined.skipped),
        }
        save_header(temporary, described)


def tape_key(fingerprints: Sequence[str], options: TapeOptions, fee_schedule: FeeSchedule) -> str:
    """The name of a tape in the cache: equal names mean equal bytes.

    Args:
        fingerprints: of the sessions, as `SessionStore.fingerprint` gives them, in the tape's
            order.
        options: how the tape is built.
        fee_schedule: the fees it is built with.
    """
    digest = hashlib.sha256(source_digest().encode())
    package = Path(__file__).parent
    for name in _BUILDERS:
        digest.update((package / name).read_bytes())
    bare = replace(options, fee_schedule=None)  # which file the fees came from is no part of it
    digest.update(repr((__version__, list(fingerprints), bare, fee_schedule)).encode())
    return digest.hexdigest()[:32]


def load_tape(
    store: SessionStore | str | os.PathLike[str],
    session_ids: Sequence[int] | int,
    options: TapeOptions | None = None,
    *,
    min_episode_length: int | None = None,
    depth: int | None = None,
    row_interval_ms: int | None = None,
    fee_schedule: FeeSchedule | None = None,
    use_cache: bool = True,
    load: Callable[[SessionStore, Sequence[int]], Sequence[Session]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tape:
    """The tape of stored sessions, from the cache if it is there, else built and cached.

    Of several sessions one at a time is in memory while the tape is built; it is mapped then, so
    that its pages come and go as they are used.

    Args:
        store: where the sessions are, or a folder or URL to open.
        session_ids: one, or several in this order.
        options: how sessions become a tape; by default `TapeOptions()`. The three arguments
            after it change one option each.
        min_episode_length: fewest rows a view may have.
        depth: levels a side.
        row_interval_ms: length of a row's interval.
        fee_schedule: dated fees; by default those of the options' file, or the published ones.
        use_cache: False neither reads nor writes the cache.
        load: loads the sessions where the tape must be built; by default `store.load` of each.
        progress: as in `build_tape`.

    Returns:
        The tape; mapped from the cache where possible.

    Raises:
        SessionNotFoundError: the store lacks one of the sessions.
        StoreError: the store cannot be read.
        NoViewsError: no market has enough rows.
        ConfigError: an option is outside its range.
    """
    options = (options or TapeOptions()).changed(
        min_episode_length=min_episode_length, depth=depth, row_interval_ms=row_interval_ms
    )
    schedule = chosen_schedule(fee_schedule, options.fee_schedule)
    store = open_store(store) if isinstance(store, (str, os.PathLike)) else store
    session_ids = _listed_ids(session_ids)
    folder = None
    if use_cache:
        names = fingerprints(store, session_ids)
        folder = cache_folder() / tape_key(names, options, schedule)
        cached = _open_cached(folder) or (_open_cached(folder) if fetch(folder) else None)
        if cached is not None:
            return cached
    if folder is None:
        return _replayed(store, session_ids, options, schedule, load, progress)
    with _one_builder(folder):
        # Another process may have built it since.
        return _open_cached(folder) or _cached_anew(
            store, session_ids, names, options, schedule, folder, load, progress
        )


@contextmanager
def _one_builder(folder: Path) -> Iterator[None]:
    """Inside the block no other process of this machine builds the same tape."""
    with ExitStack() as held:
        with suppress(OSError):  # a cache that cannot be written is said when the tape is there
            folder.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(taking_turns(folder.with_name(f".{folder.name}.lock"), _say_waiting))
        yield


def _say_waiting() -> None:
    _log.info("another process replays the same sessions; waiting for their tape")


def _replayed(
    store: SessionStore,
    session_ids: Sequence[int],
    options: TapeOptions,
    schedule: FeeSchedule,
    load: Callable[[SessionStore, Sequence[int]], Sequence[Session]] | None,
    progress: Callable[[int, int], None] | None,
) -> Tape:
    """The tape of sessions that are all in memory at once."""
    sessions = load(store, session_ids) if load else [store.load(i) for i in session_ids]
    pa.default_memory_pool().release_unused()  # what reading left behind; the tape needs the room
    return build_tape(sessions, options, fee_schedule=schedule, progress=progress)


def _cached_anew(
    store: SessionStore,
    session_ids: Sequence[int],
    names: Sequence[str],
    options: TapeOptions,
    schedule: FeeSchedule,
    folder: Path,
    load: Callable[[SessionStore, Sequence[int]], Sequence[Session]] | None,
    progress: Callable[[int, int], None] | None,
) -> Tape:
    """The tape of sessions, replayed and written into the cache, if that is possible."""
    if len(session_ids) > 1:
        try:
            named = dict(zip(session_ids, names, strict=True))
            _save_joined(store, session_ids, named, options, schedule, folder, load, progress)
        except (OSError, StoreError) as error:  # what a session itself has is found again below
            _log.warning("the tape was not cached in %s: %s", folder.parent, error)
        else:
            prune(folder.parent, limit_bytes(), keep=folder)
            cached = _open_cached(folder)
            if cached is not None:
                share(folder)
                return cached
    tape = _replayed(store, session_ids, options, schedule, load, progress)
    try:
        save_tape(tape, folder)
        share(folder)
        prune(folder.parent, limit_bytes(), keep=folder)
    except (OSError, StoreError) as error:
        _log.warning("the tape was not cached in %s: %s", folder.parent, error)
        return tape
    return _open_cached(folder) or tape  # the mapped one is shared with other processes


def _listed_ids(session_ids: Sequence[int] | int) -> list[int]:
    given = session_ids if isinstance(session_ids, Sequence) else [session_ids]
    return [gate.check_int("a session's id", i, 0, gate.MAX_SEED) for i in given]


Playable = Tape | Session | Sequence[Session] | int | Sequence[int]
"""What environments can be made of: a tape, sessions, or with a store the ids of sessions."""


def as_tape(source: Playable, store: SessionStore | str | os.PathLike[str] | None = None) -> Tape:
    """The tape that is meant by a tape, by sessions, or by ids of sessions in a store.

    Args:
        source: a tape; one or several sessions, which are replayed; or one or several ids.
        store: where the ids are, or a folder or URL to open; the default store if omitted.

    Returns:
        The tape; of ids the cached one (`load_tape`).

    Raises:
        ConfigError: it is none of these.
        StoreError: the sessions cannot be loaded.
        NoViewsError: no market has enough rows.
    """
    if isinstance(source, Tape):
        return source
    ids = [source] if isinstance(source, int) else source
    if isinstance(ids, Sequence) and ids and all(isinstance(i, int) for i in ids):
        return load_tape(default_address() if store is None else store, ids)  # type: ignore[arg-type]  # all are ints
    return build_tape(gate.listed_sessions(source))  # type: ignore[arg-type]  # refused if not


def _open_cached(folder: Path) -> Tape | None:
    if not folder.is_dir():
        return None
    try:
        tape = open_tape(folder)
    except (ValueError, msgspec.MsgspecError) as error:
        _log.warning("the cached tape %s is damaged and built anew: %s", folder, error)
        shutil.rmtree(folder, ignore_errors=True)
        return None
    except OSError as error:  # no fault of the tape: too many open files, another owner
        _log.warning("the cached tape %s cannot be opened just now: %s", folder, error)
        return None
    with suppress(OSError):
        os.utime(folder)  # pruning goes by last use
    return tape


def prune(cache: Path, most_bytes: int, keep: Path | None = None) -> list[Path]:
    """Delete the tapes used longest ago until the rest fits; returns what was deleted.

    What killed builds left behind goes first. Tapes that a process has mapped stay readable to
    it.

    Args:
        cache: folder of the tapes.
        most_bytes: what may stay.
        keep: a tape never deleted.
    """
    remove_leftovers(cache)
    entries = []
    for folder in cache.iterdir():
        if folder.name.startswith("."):
            continue  # being written just now
        with suppress(OSError):  # another process may be pruning too
            size = sum(f.stat().st_size for f in folder.iterdir())
            entries.append((folder.stat().st_mtime, size, folder))
    total = sum(size for _, size, _ in entries)
    deleted = []
    for _, size, folder in sorted(entries):
        if total <= most_bytes:
            break
        if folder == keep:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():  # else it is another owner's
            deleted.append(folder)
            total -= size
    return deleted

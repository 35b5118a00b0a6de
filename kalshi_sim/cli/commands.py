"""`kalshi-sim`: import, look at, generate, export and validate recorded sessions.

Exit code 0: done · 1: the work failed (bad data, a store that cannot be read) · 2: the command
was wrong. Heavy imports wait until a command needs them, so that `--help` is quick.
"""

from __future__ import annotations

import contextlib
import functools
import io
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, arg

from kalshi_sim.cli.console import print_json, print_table, progress_bar
from kalshi_sim.cli.session_tables import report_import, session_row, show_analysis
from kalshi_sim.cli.shell import holds_secret, run_command
from kalshi_sim.errors import ConfigError, SessionNotFoundError
from kalshi_sim.store import SessionStore, default_address, open_store
from kalshi_sim.store.urls import is_address, without_password

_DESCRIPTION = """Recorded Kalshi order books: import, look at, generate, export, validate.

  kalshi-sim import captures/*.gz --markets markets.csv --whole-subscription --session 18
  kalshi-sim list
  kalshi-sim analyze 18

A store is a folder or a postgresql:// URL: --store, else DATABASE_URL, else the folder sessions.
`kalshi-sim --version` prints the version."""

StoreOption = Annotated[
    str | None,
    arg(
        metavar="STORE",
        help="Store: a folder or a postgresql:// URL; else DATABASE_URL, else ./sessions.",
    ),
]
JsonOption = Annotated[bool, arg(name="json", help="Print JSON.")]
SkipOption = Annotated[
    bool,
    arg(help="Leave out rows of a kalshiflow database that cannot be right; they are counted."),
]


def import_sessions(
    sources: Annotated[
        Positional[tuple[str, ...]],
        arg(metavar="CAPTURE...", help="Capture files, or one store to copy a session from."),
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
    max_bad_lines: Annotated[int, arg(help="Skip up to so many malformed lines.")] = 0,
    skip_bad_rows: SkipOption = False,
    overwrite: Annotated[bool, arg(help="Replace the session if the store has it.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Captures (files of WebSocket frames), or a session of another store, into a store."""
    if not sources:
        raise ConfigError("name capture files, a store folder or a postgresql:// URL to import")
    if max_bad_lines < 0:
        raise ConfigError(f"--max-bad-lines {max_bad_lines}: must be 0 or more")
    target = open_store(store)
    origin = _as_store(sources, skip_bad_rows)
    if origin is not None and session is None:
        raise ConfigError("say which session to copy, with --session ID")
    number = target.next_session_id() if session is None else _checked_id(session)
    _check_free(target, number, store, overwrite=overwrite)
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
                progress=progress,
            )
    seconds = time.perf_counter() - begun
    target.save(imported, overwrite=overwrite)
    report_import(imported, _shown(store), seconds, as_json=as_json)
    return 0


def _check_free(target: SessionStore, number: int, store: str | None, *, overwrite: bool) -> None:
    """Refuse a number that is taken before the work, not after it."""
    if not overwrite and target.exists(number):
        raise ConfigError(
            f"{_shown(store)} already has session {number}; "
            "choose another --session, or --overwrite"
        )


def _checked_id(session_id: int) -> int:
    if session_id < 0:
        raise ConfigError(f"--session {session_id}: must be 0 or more")
    return session_id


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


def _shown(store: str | None) -> str:
    return without_password(store or default_address())


def list_sessions(store: StoreOption = None, as_json: JsonOption = False) -> int:
    """The sessions of a store."""
    sessions = open_store(store).list_sessions()
    if as_json:
        print_json(sessions)
        return 0
    if not sessions:
        print(f"{_shown(store)} has no sessions; kalshi-sim import or generate makes one")
        return 0
    print_table(
        f"sessions in {_shown(store)}",
        (
            "session",
            "source",
            "started (UTC)",
            "minutes",
            "markets",
            "snapshots",
            "deltas",
            "trades",
        ),
        [session_row(info) for info in sessions],
        left=3,
    )
    return 0


def analyze(
    session_id: Annotated[
        Positional[int | None], arg(metavar="[ID]", help="All, if not given.")
    ] = None,
    store: StoreOption = None,
    min_episode_length: Annotated[int, arg(help="Fewest rows of a suitable market.")] = 10,
    top: Annotated[int, arg(help="Show so many markets, those with most rows.")] = 25,
    skip_bad_rows: SkipOption = False,
    as_json: JsonOption = False,
) -> int:
    """Rows, spreads, depth, activity, coverage and quality of sessions; suitable markets."""
    source = open_store(store, skip_bad_rows=skip_bad_rows)
    found = []
    for number in _chosen(source, session_id, store):
        from kalshi_sim.analysis import analyze_session

        session = source.load(number)
        with progress_bar(f"session {number}") as progress:
            analysis = analyze_session(
                session, min_episode_length=min_episode_length, progress=progress
            )
        found.append(analysis)
        if not as_json:
            show_analysis(session, analysis, top)
    if as_json:
        print_json(found if session_id is None else found[0])
    return 0


def _chosen(source: SessionStore, session_id: int | None, store: str | None) -> list[int]:
    if session_id is not None:
        return [session_id]
    every = [info.session_id for info in source.list_sessions()]
    if not every:
        raise SessionNotFoundError(f"{_shown(store)} has no sessions; import or generate one")
    return every


def generate(
    session: Annotated[
        int | None, arg(metavar="ID", help="Number of the session; else the next free one.")
    ] = None,
    store: StoreOption = None,
    markets: Annotated[int, arg(help="How many markets.")] = 500,
    minutes: Annotated[float, arg(help="Length in minutes.")] = 35.0,
    seed: Annotated[int, arg(help="The same seed gives the same session.")] = 9,
    edge: Annotated[
        float, arg(help="Planted predictability, 0 (none) to 1: imbalance that leads the mid.")
    ] = 0.0,
    overwrite: Annotated[bool, arg(help="Replace the session if the store has it.")] = False,
    as_json: JsonOption = False,
) -> int:
    """A realistic synthetic session, from a true price-time queue."""
    target = open_store(store)
    number = target.next_session_id() if session is None else _checked_id(session)
    _check_free(target, number, store, overwrite=overwrite)
    from kalshi_sim.synthetic.session import generate_session

    begun = time.perf_counter()
    made = generate_session(number, markets=markets, minutes=minutes, seed=seed, edge=edge)
    seconds = time.perf_counter() - begun
    target.save(made, overwrite=overwrite)
    report_import(made, _shown(store), seconds, as_json=as_json)
    return 0


def export(
    session_id: Annotated[Positional[int], arg(metavar="ID", help="Number of the session.")],
    store: StoreOption = None,
    out: Annotated[
        Path | None, arg(metavar="PATH", help="A capture file (.gz compresses), or a folder.")
    ] = None,
    to: Annotated[str | None, arg(metavar="STORE", help="Copy into this store instead.")] = None,
    overwrite: Annotated[bool, arg(help="Replace what is there.")] = False,
    skip_bad_rows: SkipOption = False,
    as_json: JsonOption = False,
) -> int:
    """A session back into captures, or into another store."""
    if (out is None) == (to is None):
        raise ConfigError("say where to: --out FILE or --out FOLDER for captures, or --to STORE")
    session = open_store(store, skip_bad_rows=skip_bad_rows).load(session_id)
    if to is not None:
        open_store(to).save(session, overwrite=overwrite)
        files, hint = [without_password(to)], ""
    else:
        from kalshi_sim.ingest.export import export_captures

        assert out is not None
        written = export_captures(session, out, overwrite=overwrite)
        files, hint = [str(f) for f in written.files], written.import_command
    if as_json:
        print_json({"session_id": session_id, "written": files, "import_command": hint})
        return 0
    print(f"session {session_id} written to {', '.join(files)}")
    if hint:
        print(f"import it again with: {hint}")
    return 0


def validate(
    session_id: Annotated[
        Positional[int | None], arg(metavar="[ID]", help="The newest, if not given.")
    ] = None,
    store: StoreOption = None,
    skip_bad_rows: SkipOption = False,
    as_json: JsonOption = False,
) -> int:
    """Check that environments on a session hold to their contracts."""
    source = open_store(store, skip_bad_rows=skip_bad_rows)
    from kalshi_sim.validation import run_validation

    return run_validation(source, session_id, as_json)


_COMMANDS: Final[dict[str, Callable[..., Any]]] = {
    "import": import_sessions,
    "list": list_sessions,
    "analyze": analyze,
    "generate": generate,
    "export": export,
    "validate": validate,
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command `kalshi-sim`; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run_command(
        "kalshi-sim",
        lambda: _dispatch(arguments),
        arguments=arguments,
        mistakes=(SessionNotFoundError,),
        interrupted="interrupted; nothing was stored",
    )


def _dispatch(arguments: Sequence[str]) -> int:
    shown = io.StringIO() if holds_secret(arguments) else sys.stderr
    try:
        with contextlib.redirect_stderr(shown):
            command = tyro.extras.subcommand_cli_from_dict(
                _prepared(_COMMANDS),
                prog="kalshi-sim",
                description=_DESCRIPTION,
                args=list(arguments),
                config=(FlagCreatePairsOff,),
            )
    except SystemExit as end:
        if end.code in (0, None) or shown is sys.stderr:
            raise
        raise ConfigError(
            "the arguments cannot be understood; they are not shown, as one may hold a password "
            "(kalshi-sim COMMAND --help)"
        ) from None
    code: int = command()
    return code


def _prepared(commands: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Commands that, called with their arguments, give what does the work."""

    def prepare(work: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(work)
        def prepared(*args: Any, **kwargs: Any) -> Callable[[], int]:
            return functools.partial(work, *args, **kwargs)

        return prepared

    return {name: prepare(work) for name, work in commands.items()}

"""`kalshi-sim`: import, look at, generate, export and validate recorded sessions.

Exit code 0: done · 1: the work failed (bad data, a store that cannot be read) · 2: the command
was wrong. Heavy imports wait until a command needs them, so that `--help` is quick.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, arg

from kalshi_sim.cli.calibrate import calibrate
from kalshi_sim.cli.command_line import mistakes_in_a_line
from kalshi_sim.cli.console import Progress, print_json, progress_bar
from kalshi_sim.cli.exchange import exchange
from kalshi_sim.cli.generate import generate, measure
from kalshi_sim.cli.import_ import import_sessions
from kalshi_sim.cli.manage import delete, merge, rename, results
from kalshi_sim.cli.options import (
    ColumnsOption,
    FeesOption,
    JsonOption,
    SkipOption,
    StoreOption,
    WideOption,
    shown,
)
from kalshi_sim.cli.record import record
from kalshi_sim.cli.replay import replay
from kalshi_sim.cli.session_tables import (
    LIST_COLUMNS,
    MARKET_COLUMNS,
    show_analysis,
    show_sessions,
)
from kalshi_sim.cli.shell import run_command
from kalshi_sim.cli.tables import Layout
from kalshi_sim.errors import ConfigError, SessionNotFoundError
from kalshi_sim.store import SessionStore, open_store
from kalshi_sim.store.urls import without_password
from kalshi_sim.text import printable

if TYPE_CHECKING:
    from kalshi_sim.config import TapeOptions
    from kalshi_sim.session import Session
    from kalshi_sim.tape import Tape

_DESCRIPTION = """Recorded Kalshi order books: import, look at, generate, export, validate.

  kalshi-sim import captures/*.gz --markets markets.csv --whole-subscription
  kalshi-sim list
  kalshi-sim analyze 18

A store is a folder or a postgresql:// URL: --store, else DATABASE_URL, else the folder sessions.
`kalshi-sim --version` prints the version."""


def list_sessions(
    store: StoreOption = None,
    wide: WideOption = False,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> int:
    """The sessions of a store."""
    layout = Layout(wide, columns)
    layout.check(LIST_COLUMNS)
    sessions = open_store(store).list_sessions()
    if as_json:
        print_json(sessions)
        return 0
    if not sessions:
        print(f"{shown(store)} has no sessions; kalshi-sim import or generate makes one")
        return 0
    show_sessions(f"sessions in {shown(store)}", sessions, layout)
    return 0


def analyze(
    session_id: Annotated[
        Positional[int | None], arg(metavar="[ID]", help="All, if not given.")
    ] = None,
    store: StoreOption = None,
    min_episode_length: Annotated[int, arg(help="Fewest rows of a suitable market.")] = 10,
    top: Annotated[int, arg(help="Show so many markets, those with most rows.")] = 25,
    fee_schedule: FeesOption = None,
    skip_bad_rows: SkipOption = False,
    wide: WideOption = False,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> int:
    """Rows, spreads, depth, activity, coverage and quality of sessions; suitable markets."""
    layout = Layout(wide, columns)
    layout.check(MARKET_COLUMNS)
    source = open_store(store, skip_bad_rows=skip_bad_rows)
    from kalshi_sim.config import TapeOptions

    options = TapeOptions(min_episode_length=min_episode_length, fee_schedule=fee_schedule)
    found = []
    for number in _chosen(source, session_id, store):
        from kalshi_sim.analysis import analyze_session

        session = source.load(number)
        with progress_bar(f"session {number}") as progress:
            tape = _tape_of(source, session, options, progress)
            analysis = analyze_session(session, min_episode_length=min_episode_length, tape=tape)
        found.append(analysis)
        if not as_json:
            show_analysis(session, analysis, top, layout)
    if as_json:
        print_json(found if session_id is None else found[0])
    return 0


def _tape_of(
    source: SessionStore, session: Session, options: TapeOptions, progress: Progress
) -> Tape | None:
    """The session's tape, cached as for training; None if no market has rows enough."""
    from kalshi_sim.errors import NoViewsError
    from kalshi_sim.tape_cache import load_tape

    try:
        return load_tape(
            source, [session.session_id], options, load=lambda *_: [session], progress=progress
        )
    except NoViewsError:
        return None


def _chosen(source: SessionStore, session_id: int | None, store: str | None) -> list[int]:
    if session_id is not None:
        return [session_id]
    every = [info.session_id for info in source.list_sessions()]
    if not every:
        raise SessionNotFoundError(f"{shown(store)} has no sessions; import or generate one")
    return every


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
    print(printable(f"session {session_id} written to {', '.join(files)}"))
    if hint:
        print(printable(f"import it again with: {hint}"))
    return 0


def validate(
    session_id: Annotated[
        Positional[int | None], arg(metavar="[ID]", help="The newest, if not given.")
    ] = None,
    store: StoreOption = None,
    fee_schedule: FeesOption = None,
    skip_bad_rows: SkipOption = False,
    as_json: JsonOption = False,
) -> int:
    """Check that environments on a session hold to their contracts."""
    source = open_store(store, skip_bad_rows=skip_bad_rows)
    from kalshi_sim.cli.validate import run_validation

    return run_validation(source, session_id, as_json, fee_schedule)


_COMMANDS: Final[dict[str, Callable[..., Any]]] = {
    "record": record,
    "import": import_sessions,
    "list": list_sessions,
    "analyze": analyze,
    "measure": measure,
    "generate": generate,
    "export": export,
    "replay": replay,
    "validate": validate,
    "exchange": exchange,
    "calibrate": calibrate,
    "results": results,
    "rename": rename,
    "merge": merge,
    "delete": delete,
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
        ends_process=argv is None,
    )


def _dispatch(arguments: Sequence[str]) -> int:
    with mistakes_in_a_line("kalshi-sim", arguments, tuple(_COMMANDS)):
        command = tyro.extras.subcommand_cli_from_dict(
            _prepared(_COMMANDS),
            prog="kalshi-sim",
            description=_DESCRIPTION,
            args=list(arguments),
            config=(FlagCreatePairsOff,),
        )
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

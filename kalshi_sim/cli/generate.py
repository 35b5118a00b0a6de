"""`kalshi-sim generate` and `measure`: sessions of a profile, and how alike two sessions trade."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from tyro.conf import Positional, arg

from kalshi_sim.cli.console import print_json, progress_bar
from kalshi_sim.cli.options import (
    ColumnsOption,
    JsonOption,
    StoreOption,
    WideOption,
    check_free,
    checked_id,
    shown,
)
from kalshi_sim.cli.session_tables import report_import
from kalshi_sim.cli.tables import Layout, print_table, print_text
from kalshi_sim.errors import ConfigError
from kalshi_sim.store import open_store

if TYPE_CHECKING:
    from kalshi_sim.likeness.figures import Comparison, Measured
    from kalshi_sim.session import Session
    from kalshi_sim.synthetic.profile import Profile

USUAL_ROUNDS: Final = 8

MarketsOption = Annotated[
    str | None,
    arg(metavar="TEXT", help="Only markets whose ticker has this in it."),
]


def generate(
    session: Annotated[
        int | None, arg(metavar="ID", help="Number of the session; else the next free one.")
    ] = None,
    store: StoreOption = None,
    markets: Annotated[
        int | None, arg(help="How many markets; else 500, or as many as the profile has.")
    ] = None,
    minutes: Annotated[
        float | None, arg(help="Length in minutes; else 35, or the profile's.")
    ] = None,
    seed: Annotated[int, arg(help="The same seed gives the same session.")] = 9,
    edge: Annotated[
        float, arg(help="Planted predictability, 0 (none) to 1: imbalance that leads the mid.")
    ] = 0.0,
    making: Annotated[
        bool, arg(help="Markets in which only quotes pay that are cancelled in time.")
    ] = False,
    profile: Annotated[
        str | None,
        arg(metavar="NAME", help="nba, fight, crypto-15m, quiet, or a file of --save-profile."),
    ] = None,
    like: Annotated[
        int | None, arg(metavar="ID", help="Measure this session and generate its likeness.")
    ] = None,
    like_store: Annotated[
        str | None, arg(metavar="STORE", help="Where the session of --like is; else --store.")
    ] = None,
    like_markets: MarketsOption = None,
    rounds: Annotated[
        int | None, arg(help=f"Rounds of the fit of --like ({USUAL_ROUNDS}).")
    ] = None,
    save_profile: Annotated[
        Path | None, arg(metavar="FILE", help="Keep the profile found by --like (.json).")
    ] = None,
    overwrite: Annotated[bool, arg(help="Replace the session if the store has it.")] = False,
    as_json: JsonOption = False,
) -> int:
    """A session from a true price-time queue: a usual one, of a profile, or like a recording."""
    _check_options(profile, like, like_store, like_markets, save_profile, rounds, overwrite)
    target = open_store(store)
    number = target.next_session_id() if session is None else checked_id(session)
    check_free(target, number, store, overwrite=overwrite)
    chosen = None
    if profile is not None:
        from kalshi_sim.synthetic.profile import read_profile

        chosen = read_profile(profile)
    elif like is not None:
        recording = _loaded(like_store or store, like, like_markets)
        chosen = _fitted(recording, USUAL_ROUNDS if rounds is None else rounds, save_profile)
    from kalshi_sim.synthetic.session import generate_session

    begun = time.perf_counter()
    made = generate_session(
        number,
        markets=markets,
        minutes=minutes,
        seed=seed,
        edge=edge,
        making=making,
        profile=chosen,
    )
    seconds = time.perf_counter() - begun
    target.save(made, overwrite=overwrite)
    report_import(made, shown(store), seconds, as_json=as_json)
    if chosen is not None and like is not None and not as_json:
        from kalshi_sim.likeness.measure import measure as measured

        _show_comparison(_recorded(chosen), measured(made), chosen.recording)
    return 0


def _check_options(
    profile: str | None,
    like: int | None,
    like_store: str | None,
    like_markets: str | None,
    save_profile: Path | None,
    rounds: int | None,
    overwrite: bool,
) -> None:
    if profile is not None and like is not None:
        raise ConfigError("give --profile NAME or --like ID, not both")
    if like is None and (like_store, like_markets, rounds, save_profile) != (None,) * 4:
        raise ConfigError(
            "--like-store, --like-markets, --rounds and --save-profile go with --like ID"
        )
    if rounds is not None and not 1 <= rounds <= 100:
        raise ConfigError(f"--rounds {rounds}: must be a whole number from 1 to 100")
    if save_profile is not None:
        if save_profile.suffix != ".json":
            raise ConfigError(f"--save-profile {save_profile}: must end in .json")
        if save_profile.exists() and not overwrite:
            raise ConfigError(f"{save_profile} is there already; choose another, or --overwrite")


def _loaded(store: str | None, number: int, text: str | None) -> Session:
    """A session, or those of its markets whose ticker has `text` in it."""
    session = open_store(store).load(number)
    if text is None:
        return session
    chosen = [m.ticker for m in session.markets if text in m.ticker]
    if not chosen:
        raise ConfigError(f"session {number} has no market with {text!r} in its ticker")
    return session.select(chosen)


def _fitted(recording: Session, rounds: int, save: Path | None) -> Profile:
    from kalshi_sim.files import write_whole
    from kalshi_sim.likeness.fit import fit
    from kalshi_sim.synthetic.profile import profile_text

    name = save.stem if save is not None else f"like-{recording.session_id}"
    with progress_bar(f"fitting a likeness of session {recording.session_id}") as progress:
        found = fit(recording, name, rounds, lambda done, total, _: progress(done, total))
    if save is not None:
        write_whole(save, profile_text(found).encode())
    return found


_FIGURE_COLUMNS: Final = ("figure", "value", "standard error")
_COMPARED_COLUMNS: Final = ("figure", "recorded", "generated", "difference")


def measure(
    session_id: Annotated[Positional[int], arg(metavar="ID", help="Number of the session.")],
    store: StoreOption = None,
    markets: MarketsOption = None,
    against: Annotated[
        str | None,
        arg(metavar="NAME", help="Compare with a profile's recording (a name, or a file)."),
    ] = None,
    wide: WideOption = False,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> int:
    """How a session trades: spreads, sizes, removals, moves, bursts, trades; or how alike it is."""
    from kalshi_sim.likeness.measure import measure as measured
    from kalshi_sim.synthetic.profile import read_profile

    layout = Layout(wide, columns)
    layout.check(_FIGURE_COLUMNS if against is None else _COMPARED_COLUMNS)
    profile = None if against is None else read_profile(against)
    session = _loaded(store, session_id, markets)
    with progress_bar(f"measuring session {session_id}") as progress:
        found = measured(session, progress)
    if profile is None:
        _show_figures(session_id, found, layout, as_json=as_json)
        return 0
    from kalshi_sim.likeness.figures import compare

    recorded = _recorded(profile)
    if as_json:
        print_json([_line(c) for c in compare(recorded, found)])
    else:
        _show_comparison(recorded, found, profile.recording, layout)
    return 0


def _recorded(profile: Profile) -> Measured:
    from kalshi_sim.likeness.figures import Measured

    return Measured(profile.figures, profile.errors)


def _show_figures(session_id: int, found: Measured, layout: Layout, *, as_json: bool) -> None:
    from kalshi_sim.likeness.figures import FIGURES

    if as_json:
        print_json({"session_id": session_id, "figures": found.values, "errors": found.errors})
        return
    rows = [
        (figure.text, figure.shown(found.values[key]), figure.shown(found.errors.get(key)))
        for key, figure in FIGURES.items()
    ]
    title = f"how session {session_id} trades"
    print_table(title, _FIGURE_COLUMNS, rows, layout=layout, wrap=True)


def _line(c: Comparison) -> dict[str, object]:
    return {
        "figure": c.figure.key,
        "recorded": c.recorded,
        "generated": c.generated,
        "difference": c.difference,
        "alike": c.alike,
        "settled": c.settled,
    }


def _show_comparison(
    recorded: Measured, found: Measured, name: str, layout: Layout | None = None
) -> None:
    from kalshi_sim.likeness.figures import TOLERANCE, compare

    lines = compare(recorded, found)
    rows = [
        (
            c.figure.text,
            c.figure.shown(c.recorded),
            c.figure.shown(c.generated),
            "-" if c.difference is None else f"{c.difference:+.0%}".replace("%", " %"),
        )
        for c in lines
        if c.recorded is not None
    ]
    print_table(f"compared with {name}", _COMPARED_COLUMNS, rows, layout=layout, wrap=True)
    compared = [c for c in lines if c.difference is not None]
    alike = sum(c.alike for c in compared)
    print_text(f"{alike} of {len(compared)} figures are within {TOLERANCE:.0%}".replace("%", " %"))
    if any(c.recorded is not None and not c.settled for c in lines):
        print_text("-: chance alone moves this figure of the recording by a quarter; not compared")

"""`kalshi-trade`: a trained policy on live markets, and the proof that it is the simulation's."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import tyro

from kalshi_sim.cli.command_line import parse_command
from kalshi_sim.cli.shell import run_command
from kalshi_sim.cli.tables import Layout
from kalshi_sim.config import SimConfig, TapeOptions
from kalshi_sim.errors import ConfigError, KalshiSimError
from kalshi_sim.extras import import_module
from kalshi_sim.text import numbered, printable
from kalshi_train.cli.models import NamedModel, named_models
from kalshi_train.cli.rules import SIM_FIELDS, WHOLE_EPISODES, Rules, sim_of
from kalshi_train.trading.limits import Limits

if TYPE_CHECKING:
    from kalshi_train.trading.verify import Verdict

_DESCRIPTION = """A trained policy on live markets.

  kalshi-trade trained_models --series KXNBAGAME   live feed, simulated fills
  kalshi-trade join-both-sides --environment http://127.0.0.1:8765 --limit 5
  kalshi-trade quoter.zip --environment http://127.0.0.1:8765 --orders local
  kalshi-trade --resume trading/local-20261127T150000Z
  kalshi-trade --verify trading/paper-20261127T150000Z
  kalshi-trade --report trading/paper-20261127T150000Z

Paper trading sends no orders; with --orders they go to the demo environment or to a local exchange,
and nowhere else. The feed is recorded while it is traded upon; orders are filled by
the simulator's own kernels under three fill models at once (through, the model's own, touch).
Settings of the simulation are those the model was trained with. `--verify` imports what was
recorded, replays the same actions and compares every row, bit for bit."""

_OF_TRAINING: Final = (*WHOLE_EPISODES, "end_of_data")
"""Settings of episodes, which live markets do not have."""
_BAD: Final = 1


@dataclass(frozen=True, kw_only=True)
class _Rules(Rules):
    """Settings of the simulation; live markets have no end of their data."""

    end_of_data: tyro.conf.Suppress[Literal["terminate", "truncate"]] = "terminate"


@dataclass(frozen=True, kw_only=True)
class _Command:
    rules: _Rules = field(default_factory=_Rules)
    """Settings of the simulation (default: as trained; another value than that is refused)."""
    limits: Limits = field(default_factory=Limits)
    """What holds whatever the policy wants."""

    model: tyro.conf.Positional[str | None] = None
    """A saved model (Stable-Baselines3 zip), the folder of a run, a function (FILE.py:NAME), or a
    built-in policy by name."""
    verify: Path | None = None
    """Compare a run with the import of its recording, and end."""
    report: Path | None = None
    """Write the page of a run from its log into its folder (page.html), and end."""
    page: int | None = None
    """Serve a page of the run on this port of this machine (0: a free one), and leave it in the
    run's folder as page.html."""
    resume: Path | None = None
    """Go on with a run that sent orders, after reconciling them with the exchange."""
    environment: str = "production"
    """Whose feed: production, demo, or a local exchange (http://127.0.0.1:8765)."""
    orders: Literal["paper", "demo", "local"] = "paper"
    """Where orders go: nowhere (paper), to the demo environment, or to the local exchange that
    --environment names."""
    markets: str | None = None
    """Tickers separated by commas."""
    event: str | None = None
    """All markets of these events, separated by commas."""
    series: str | None = None
    """All markets of these series, separated by commas."""
    limit: int | None = None
    """At most so many markets, those traded most."""
    out: Path | None = None
    """Folder of the run (default: trading/paper-TIME, or local-, demo-)."""
    duration: float | None = None
    """Stop after so many seconds; else on Ctrl-C, SIGTERM or a file STOP in the run's folder."""
    seed: int = 0
    """Of random actions."""
    key_id_file: Path | None = None
    """File with the key's id; else KALSHI_API_KEY_ID."""
    key_file: Path | None = None
    """Private key (PEM); else KALSHI_PRIVATE_KEY_FILE, else KALSHI_PRIVATE_KEY."""
    disk_floor_mib: int = 1024
    """Stop recording while less than this is free."""
    queue_every: float = 1.0
    """Seconds between two looks at the places of orders in their queues at the exchange."""
    status_every: float = 10.0
    """Seconds between two lines of status."""
    trust: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Run the code that model files hold (policies of your own); only for files you made."""
    wide: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show all columns of the table, however wide."""
    columns: str | None = None
    """Show only these columns of the table, by name, separated by commas."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print figures as JSON instead of tables."""

    @property
    def sim(self) -> SimConfig:
        """The settings of the simulation."""
        return sim_of(self.rules)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code (2: a user's mistake)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run_command(
        "kalshi-trade",
        lambda: _run(arguments),
        arguments=arguments,
        mistakes=(KalshiSimError,),
        ends_process=argv is None,
    )


def _run(arguments: Sequence[str]) -> int:
    # The first pass finds the model, the second one starts from its settings.
    command = _parse(arguments, SimConfig())
    if command.verify is not None:
        return _verify(command, command.verify)
    if command.report is not None:
        return _report(command, command.report)
    if command.resume is not None:
        command = _as_begun(command, command.resume)
    if command.model is None:
        raise ConfigError(
            "say what trades: a model, FILE.py:NAME, or a built-in policy (kalshi-trade --help)"
        )
    model, policy = _policy(command)
    tape = TapeOptions()
    if model is not None and model.config is not None:
        trained = _of_live(model.config.sim)
        given, tape = _parse(arguments, trained), model.config.tape
        _refuse_other_settings(given.sim, trained, model)
        command = replace(command, rules=given.rules)
    return _trade(command, policy, tape)


def _as_begun(command: _Command, run: Path) -> _Command:
    """A run that was begun before, as it was asked for then."""
    from kalshi_train.trading.legs import earlier
    from kalshi_train.trading.run import STOP_FILE

    start = earlier(run).start
    if start["orders"] == "paper":
        raise ConfigError(f"{run} sent no orders: there is nothing to go on with; begin anew")
    if (run / STOP_FILE).exists():
        raise ConfigError(f"the file {run / STOP_FILE} stops the run; remove it")
    _refuse_other_words(command)
    words = start["words"]
    kept = [n for n in SIM_FIELDS if n not in _OF_TRAINING]
    rules: dict[str, Any] = {name: start["config"][name] for name in kept}
    return replace(
        command,
        rules=_Rules(**rules),
        limits=Limits(**start["limits"]),
        model=words["model"],
        environment=words["environment"],
        orders=start["orders"],
        markets=",".join(start["markets"]),
        event=None,
        series=None,
        limit=None,
        seed=words["seed"],
        out=run,
    )


def _refuse_other_words(command: _Command) -> None:
    """What a run was begun with stays: a word that says otherwise would be passed over."""
    plain = _default(SimConfig())
    asked = ("model", "environment", "orders", "markets", "event", "series", "limit", "seed", "out")
    given = [n if n == "model" else f"--{n}" for n in asked]
    given = [
        w for w, n in zip(given, asked, strict=True) if getattr(command, n) != getattr(plain, n)
    ]
    given += ["settings"] * (command.rules != plain.rules)
    given += ["limits"] * (command.limits != plain.limits)
    if given:
        raise ConfigError(
            f"--resume goes on with what the run was begun with; leave out: {', '.join(given)}"
        )


def _place(command: _Command) -> Any:
    """Where orders go; None: they are filled by simulation alone."""
    from kalshi_sim.live.orders.hosts import order_place

    if command.orders == "paper":
        return None
    place = order_place(command.environment)
    if place.kind != command.orders:
        raise ConfigError(
            f"--orders {command.orders} does not go with --environment "
            f"{printable(command.environment, 100)}: feed and orders are of one exchange"
        )
    return place


def _policy(command: _Command) -> tuple[NamedModel | None, Any]:
    from kalshi_train.evaluation.policies import BASELINES

    word = command.model or ""
    if word in BASELINES and not Path(word).exists():
        return None, BASELINES[word]
    model = named_models([Path(word)])[0]
    return model, model.policy(trust=command.trust)


def _of_live(config: SimConfig) -> SimConfig:
    """A model's settings without those of episodes."""
    plain = SimConfig()
    return replace(config, **{name: getattr(plain, name) for name in _OF_TRAINING})


def _refuse_other_settings(given: SimConfig, trained: SimConfig, model: NamedModel) -> None:
    other = [n for n in SIM_FIELDS if getattr(given, n) != getattr(trained, n)]
    if other:
        said = ", ".join(f"{n}={getattr(given, n)} (trained: {getattr(trained, n)})" for n in other)
        raise ConfigError(
            f"{model.name} is traded with the settings it was trained with, not with {said}; "
            "leave them out, or train a model with them"
        )


def _trade(command: _Command, policy: Any, tape: TapeOptions) -> int:
    config = policy.config(command.sim)
    work = import_module("kalshi_train.trading.run")
    access = import_module("kalshi_sim.live.recorder.access")
    written = import_module("kalshi_sim.live.recorder.output")
    discovery = import_module("kalshi_sim.live.recorder.selection")
    for name in ("duration", "status_every", "queue_every"):
        value = getattr(command, name)
        if value is not None and not 0 < value < 10**9:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: must be more than 0")
    if command.limit is not None and command.limit < 1:
        raise ConfigError(f"--limit {command.limit}: must be 1 or more")
    if not (command.markets or command.event or command.series or command.limit):
        raise ConfigError("say which markets: --markets, --event, --series or --limit")
    place = _place(command)
    environment = access.environment_of(command.environment)
    credentials = access.credentials_of(command.key_id_file, command.key_file)
    if credentials is None and environment.websocket.startswith("wss:"):
        raise ConfigError(
            f"the exchange wants a key also for its feed; set {access.KEY_ID} and "
            f"{access.KEY_FILE}, or give --key-id-file and --key-file; a key that can only read "
            "is enough"
        )
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    out = command.out or Path("trading") / f"{command.orders}-{stamp}"
    shown = work.settings_text(config) | {"row_interval_ms": tape.row_interval_ms}
    from kalshi_train.trading.status import status_line, status_table

    with contextlib.closing(written.Output()) as output, _page(command.page, out) as page:
        output.say(
            f"{command.orders} trading of {policy.name}: "
            + ("no orders are sent" if place is None else f"orders go to {place.root}")
            + f"; feed {environment.rest}"
        )
        output.say(", ".join(f"{name}={value}" for name, value in shown.items()))
        output.say(
            f"fill models {', '.join(work.band_of(config))}; the policy sees {config.fill_model}"
        )
        if page is not None:
            output.say(f"page: {page.address} (this machine alone)")
        trader, writer = work.trade(
            work.RunOptions(
                policy=policy,
                config=config,
                tape=tape,
                selection=discovery.Selection(
                    tickers=_words(command.markets),
                    events=_words(command.event),
                    series=_words(command.series),
                    limit=command.limit,
                ),
                environment=environment,
                credentials=credentials,
                out=out,
                limits=command.limits,
                orders=place,
                words={
                    "model": command.model,
                    "environment": command.environment,
                    "seed": command.seed,
                },
                resume=command.resume is not None,
                queue_every_s=command.queue_every,
                seed=command.seed,
                duration_s=command.duration,
                disk_floor_mib=command.disk_floor_mib,
                show=lambda trader, recorder: output.keep(
                    lambda: status_line(trader, recorder.status()),
                    lambda: status_table(trader, recorder.status()),
                    command.status_every,
                ),
                say=output.say,
            )
        )
    if page is not None and page.failed:
        print(f"the page ended early; write it: kalshi-trade --report {out}", file=sys.stderr)
    from kalshi_train.trading.figures import figures, show

    result = figures(trader)
    if command.json:
        print(json.dumps(result | {"run": str(out)}, indent=2))
    else:
        show(result, Layout(command.wide, command.columns))
        print(f"the run is in {out}; compare it: kalshi-trade --verify {out}")
    writer.check_whole()
    return _BAD if result.get("resting", 0) != 0 else 0


def _page(port: int | None, folder: Path) -> contextlib.AbstractContextManager[Any]:
    """What serves the page of a run, or nothing."""
    if port is None:
        return contextlib.nullcontext()
    process = import_module("kalshi_train.report.trading.process")
    page: contextlib.AbstractContextManager[Any] = process.PageProcess(folder, port)
    return page


def _report(command: _Command, run: Path) -> int:
    pages = import_module("kalshi_train.report.trading.page")
    so_far = import_module("kalshi_train.report.trading.so_far").RunSoFar.of_finished(run)
    path = run / pages.PAGE_NAME
    found = import_module("kalshi_train.trading.gap").gap_of(run)
    gap = None if found is None else found.as_dict()
    pages.write_page(so_far, path, gap)
    figures = so_far.figures() | {"gap": gap}
    if command.json:
        print(json.dumps(figures | {"page": str(path)}, indent=2))
    else:
        print(f"{numbered(figures['decisions'], 'decision')}; the page is {printable(str(path))}")
    return 0


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _verify(command: _Command, run: Path) -> int:
    work = import_module("kalshi_train.trading.verify")
    verdict: Verdict = work.verify(run)
    gap = import_module("kalshi_train.trading.gap").gap_of(run)
    if command.json:
        values = {
            "markets": verdict.markets,
            "rows": verdict.rows,
            "fills": verdict.fills,
            "differences": verdict.total,
            "by_kind": dict(verdict.differences),
            "cuts": dict(verdict.cuts),
            "not_compared": verdict.not_compared,
            "ended": verdict.ended,
            "lost": verdict.lost,
            "gap": None if gap is None else gap.as_dict(),
        }
        print(json.dumps(values, indent=2))
        return _code(verdict)
    print(
        f"{numbered(verdict.markets, 'market')}, {numbered(verdict.rows, 'row')}, "
        f"{numbered(verdict.fills, 'fill')} under all fill models: live minus replay "
        f"{numbered(verdict.total, 'difference')}"
    )
    for kind, count in sorted(verdict.differences.items()):
        print(f"  {kind}: {count:,}")
    for text in verdict.described:
        print(f"  {printable(text)}")
    late = verdict.cuts["late"]
    gaps = verdict.cuts["gap"]
    if late or gaps:
        print(
            f"replayed as it was known: {numbered(gaps, 'gap')} (in each market the end of the "
            f"recording is one), and {numbered(late, 'frame')} that came after the row had been "
            "closed"
        )
    if verdict.not_compared:
        print(f"too few rows to compare: {printable(', '.join(verdict.not_compared), 500)}")
    if not verdict.ended:
        print(
            "the run did not end in order: its last "
            f"{numbered(verdict.lost, 'row')} were not recorded whole, all before was compared"
        )
    if verdict.rows == 0:
        print("nothing was compared, so nothing is proven")
    if gap is not None:
        import_module("kalshi_train.trading.gap_table").show(gap.as_dict())
    return _code(verdict)


def _code(verdict: Verdict) -> int:
    """The exit code: no difference, and something that was compared."""
    return 0 if verdict.rows and not verdict.total else _BAD


def _parse(arguments: Sequence[str], base: SimConfig) -> _Command:
    """What stands on the command line, on top of settings.

    Raises:
        ConfigError: one line that says what is wrong.
    """
    return parse_command(_Command, "kalshi-trade", _DESCRIPTION, arguments, _default(base))


def _default(base: SimConfig) -> _Command:
    """A command line without words, on top of settings."""
    kept = [n for n in SIM_FIELDS if n not in _OF_TRAINING]
    rules: dict[str, Any] = {name: getattr(base, name) for name in kept}
    return _Command(rules=_Rules(**rules))

"""How wrong is each fill model? Against the true queue of generated sessions.

    python -m benchmarks.fill_models                 # prints the tables of the usual sessions
    python -m benchmarks.fill_models --profile nba   # those of a profile
    python -m benchmarks.fill_models --write         # and writes them into docs/

Exit code 0 only if what the contract claims of the models holds (docs/fill-models.md).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import tyro

from benchmarks.join_both_sides import model_profit, true_profit
from benchmarks.pages import write_between_markers
from benchmarks.resting_study import (
    Int64Array,
    Orders,
    contract_rows,
    draw_orders,
    simulated_fills,
    true_fills,
    without_trades,
)
from kalshi_sim import build_tape
from kalshi_sim.config import FillModel
from kalshi_sim.synthetic.profile import Profile, read_profile
from kalshi_sim.synthetic.queue_book import LOG_SIZE
from kalshi_sim.synthetic.session import generate_with_truth
from kalshi_sim.synthetic.truth import TrueQueue
from kalshi_sim.tape import Tape
from kalshi_sim.units import MS_PER_SECOND, SIZE_SCALE

MODELS: Final[tuple[FillModel, ...]] = get_args(FillModel)
DISTANCES: Final = (-1, 0, 1, 2)
NEVER: Final = 2**40
PROFILE_ROWS: Final = 2_500
"""Of a market of a profile, about; the truth about one is looked up in all its changes."""
DOCS: Final = Path(__file__).resolve().parents[1] / "docs"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare the fill models with the truth on generated sessions."""

    sessions: int = 3
    markets: int = 500
    minutes: float = 35
    orders_per_market: int = 8
    """For each distance from the best price."""
    size: int = 10
    """Contracts of an order."""
    seed: int = 9
    profile: str | None = None
    """Of this kind of market, with its own number of markets and `PROFILE_ROWS` rows in each."""
    write: bool = False
    """Write the tables into docs/fill-models.md, of the usual sessions into docs/limits.md too."""


class Comparison(NamedTuple):
    """Contracts of one model against the truth; bias in contracts is of the true ones."""

    truth: int
    model: int
    both: int
    earlier: int
    """Contracts the model fills in an earlier row than the truth, or that the truth does not."""
    later: int
    """Contracts the truth fills in an earlier row than the model, or that the model does not."""
    delay_s: float
    """Mean seconds by which the model is later, over contracts both fill."""

    @property
    def recall(self) -> float:
        """Share of the true contracts that the model fills."""
        return self.both / max(1, self.truth)

    @property
    def precision(self) -> float:
        """Share of the model's contracts that are true."""
        return self.both / max(1, self.model)

    @property
    def bias(self) -> float:
        """Contracts too many, as a share of the true ones."""
        return self.model / max(1, self.truth) - 1.0


class Case(NamedTuple):
    """One session with its orders and what is true of them."""

    tape: Tape
    bare: Tape
    """The same without recorded trades."""
    truth: TrueQueue
    orders: Orders
    when: Int64Array
    """Row of each contract's true fill, int64 [n, size], -1 for never."""
    when_seen: Int64Array
    """Likewise without what takers wanted and did not get."""


def make_case(
    session_id: int,
    *,
    markets: int,
    minutes: float,
    seed: int,
    per_market: int,
    size: int,
    profile: Profile | None = None,
) -> Case:
    """Generate a session, draw orders and look up the truth."""
    session, truth = generate_with_truth(
        session_id, markets=markets, minutes=minutes, seed=seed, profile=profile
    )
    tape, bare = build_tape([session]), build_tape([without_trades(session)])
    rng = np.random.default_rng([seed, session_id])
    orders = draw_orders(
        tape, rng, per_view=per_market, size=size, distances=DISTANCES, truth=truth
    )
    when, seen = (
        contract_rows(true_fills(tape, truth, orders, hidden=hidden), len(orders), size)
        for hidden in (True, False)
    )
    return Case(tape, bare, truth, orders, when, seen)


def compare(tape: Tape, orders: Orders, truth: Int64Array, model: Int64Array) -> Comparison:
    """Contract by contract: rows of the model's fills against those of the truth."""
    both = (truth >= 0) & (model >= 0)
    due, got = np.where(truth < 0, NEVER, truth), np.where(model < 0, NEVER, model)
    starts = np.array([view.start for view in tape.views])[orders.view][:, None]
    delay = (tape.ts_ms[starts + model] - tape.ts_ms[starts + truth])[both]
    return Comparison(
        truth=int((truth >= 0).sum()),
        model=int((model >= 0).sum()),
        both=int(both.sum()),
        earlier=int((got < due).sum()),
        later=int((got > due).sum()),
        delay_s=float(delay.mean() / MS_PER_SECOND) if len(delay) else 0.0,
    )


def together(parts: list[Comparison]) -> Comparison:
    """The comparison over several sessions."""
    weights = sum(p.both for p in parts)
    delay = sum(p.delay_s * p.both for p in parts) / max(1, weights)
    return Comparison(
        truth=sum(p.truth for p in parts),
        model=sum(p.model for p in parts),
        both=weights,
        earlier=sum(p.earlier for p in parts),
        later=sum(p.later for p in parts),
        delay_s=delay,
    )


def model_rows(tape: Tape, orders: Orders, model: FillModel) -> Int64Array:
    """Row in which the model fills each contract: int64 [n, size], -1 for never."""
    return contract_rows(simulated_fills(tape, orders, model), len(orders), orders.size)


Results = dict[tuple[bool, FillModel, int | None], Comparison]
"""By (trades recorded, model, distance or None for all)."""


def study(cases: list[Case]) -> Results:
    """All comparisons."""
    parts: dict[tuple[bool, FillModel, int | None], list[Comparison]] = {}
    for case in cases:
        for recorded, tape in ((True, case.tape), (False, case.bare)):
            for model in MODELS:
                rows = model_rows(tape, case.orders, model)
                for distance in (None, *DISTANCES):
                    at = np.flatnonzero(
                        np.ones(len(case.orders), np.bool_)
                        if distance is None
                        else case.orders.distance == distance
                    )
                    part = compare(tape, case.orders[at], case.when[at], rows[at])
                    parts.setdefault((recorded, model, distance), []).append(part)
    return {key: together(found) for key, found in parts.items()}


def broken_claims(case: Case) -> list[str]:
    """What the contract claims and this case refutes, as sentences.

    With recorded trades nothing under `through` or `queue` fills before its time. Under `touch`
    nothing fills after it, with or without recorded trades, except what takers wanted and nobody
    showed: no recording has that. Where fractions of a contract are traded, the simulation knows
    neither what stood in front to the contract nor what was traded, so that only `through` is held.
    """
    whole = all(
        (log.lines[:, LOG_SIZE] % SIZE_SCALE == 0).all() for log in case.truth.logs.values()
    )
    found = []
    for model in MODELS:
        got = model_rows(case.tape, case.orders, model)
        result = compare(case.tape, case.orders, case.when, got)
        seen = compare(case.tape, case.orders, case.when_seen, got)
        early = model == "through" or (model == "queue" and whole)
        if early and result.earlier:
            found.append(f"{model} fills {result.earlier} contracts too early")
        if model == "touch" and whole and seen.later:
            found.append(f"{model} fills {seen.later} contracts too late")
    bare = compare(
        case.tape, case.orders, case.when_seen, model_rows(case.bare, case.orders, "touch")
    )
    if whole and bare.later:
        found.append(f"touch fills {bare.later} contracts too late without recorded trades")
    return found


_HEAD = (
    "| trades | model | recall | precision | bias, contracts | later by | too early | too late |\n"
    "|---|---|---|---|---|---|---|---|"
)


def table(results: Results, distance: int | None) -> str:
    """The comparison of all models as Markdown."""
    lines = [_HEAD]
    for recorded in (True, False):
        for model in MODELS:
            r = results[recorded, model, distance]
            everything = max(1, r.truth)
            lines.append(
                f"| {'recorded' if recorded else 'not recorded'} | `{model}` | {r.recall:.1%} | "
                f"{r.precision:.1%} | {r.bias:+.1%} | {r.delay_s:+.1f} s | "
                f"{r.earlier / everything:.1%} | {r.later / everything:.1%} |"
            )
    return "\n".join(lines)


def join_table(cases: list[Case]) -> str:
    """What joining both sides earns under each model and in truth, as Markdown."""
    lines = [
        "| fills | cents per market | standard error | minus truth | standard error |",
        "|---|---|---|---|---|",
    ]
    truth = np.concatenate([true_profit(c.tape, c.truth) for c in cases])

    def line(name: str, profit: npt.NDArray[np.float64]) -> str:
        n = np.sqrt(len(profit))
        beyond = profit - truth
        return (
            f"| {name} | {profit.mean():+.0f} | {profit.std() / n:.0f} | {beyond.mean():+.0f} | "
            f"{beyond.std() / n:.0f} |"
        )

    for model in MODELS:
        lines.append(
            line(f"`{model}`", np.concatenate([model_profit(c.tape, model) for c in cases]))
        )
        if model == "queue":
            lines.append(line("**true queue**", truth))
    return "\n".join(lines)


def report(arguments: Arguments, cases: list[Case], results: Results) -> str:
    """All tables as Markdown."""
    n = sum(len(c.orders) for c in cases)
    missing = 1.0 - sum((c.when_seen >= 0).sum() for c in cases) / max(
        1, sum((c.when >= 0).sum() for c in cases)
    )
    kind = "" if arguments.profile is None else f" of the profile `{arguments.profile}`"
    summary = (
        f"{n} orders of {arguments.size} contracts in {arguments.sessions} generated "
        f"sessions{kind} of {arguments.markets} markets and {arguments.minutes:g} minutes, "
        f"seed {arguments.seed}. "
        f"{results[True, 'queue', None].truth / (n * arguments.size):.1%} of their contracts fill "
        f"in truth; {missing:.1%} of these by hidden demand."
    )
    parts = [
        summary,
        "### All orders",
        table(results, None),
    ]
    names = {-1: "One tick better than the best price", 0: "At the best price"}
    for distance in DISTANCES if arguments.profile is None else ():
        name = names.get(distance, f"{distance} cent{'s' * (distance > 1)} behind the best price")
        parts += [f"### {name}", table(results, distance)]
    parts += ["### Joining both sides", join_table(cases)]
    return "\n\n".join(parts)


def main() -> int:
    """Run the study; returns the exit code."""
    arguments = tyro.cli(Arguments)
    profile = None
    if arguments.profile is not None:
        profile = read_profile(arguments.profile)
        a_minute = profile.figures["rows_per_minute"] or 1.0
        minutes = min(profile.minutes, round(PROFILE_ROWS / a_minute, 1))
        arguments = replace(arguments, markets=profile.markets, minutes=minutes)
    cases = [
        make_case(
            session_id,
            markets=arguments.markets,
            minutes=arguments.minutes,
            seed=arguments.seed,
            per_market=arguments.orders_per_market,
            size=arguments.size,
            profile=profile,
        )
        for session_id in range(1, arguments.sessions + 1)
    ]
    results = study(cases)
    text = report(arguments, cases, results)
    print(text)
    if arguments.write and profile is not None:
        write_between_markers(DOCS / "fill-models.md", f"fill-models-{profile.name}", text)
    elif arguments.write:
        write_between_markers(DOCS / "fill-models.md", "fill-models", text)
        write_between_markers(DOCS / "limits.md", "fill-models", table(results, None))
    broken = [claim for case in cases for claim in broken_claims(case)]
    for claim in broken:
        print(f"refuted: {claim}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

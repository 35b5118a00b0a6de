"""Compiled episodes on drawn sessions, for tests of what must hold in every one of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import Phase, find, settings
from hypothesis import strategies as st

from kalshi_sim import MarketSessionView, SimConfig, Tape, build_tape
from kalshi_sim.market_state import MarketState
from kalshi_sim.reference.agreement import tape_flow
from kalshi_sim.reference.engines import Trajectory, run_compiled_batch
from kalshi_sim.session import Session
from tests.support.strategies import random_actions, random_config, sessions

ENVS = 4


@dataclass(frozen=True, repr=False)
class Episode:
    """One compiled episode, the first of its environment."""

    tape: Tape
    view: MarketSessionView
    config: SimConfig
    actions: list[int]
    run: Trajectory

    def __repr__(self) -> str:
        """Short: the whole of an episode is too long to read in a report."""
        rows = [
            (self.ts(r), self.levels(r, 0), self.levels(r, 1), self.flow(r))
            for r in range(min(12, len(self.view)))
        ]
        return f"Episode({self.config}, {self.actions[:12]}, {self.run.fills[:12]}, {rows})"[:4000]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What hypothesis prints; it would spell out every field of a dataclass."""
        printer.text(repr(self))

    def ts(self, row: int) -> int:
        """Time of a row of the view."""
        return int(self.tape.ts_ms[self.view.start + row])

    def levels(self, row: int, side: int) -> dict[int, int]:
        """{price: contracts} of the levels a tape row shows."""
        at = self.view.start + row
        pairs = zip(self.tape.px[at, side].tolist(), self.tape.qty[at, side].tolist(), strict=True)
        return {price: size for price, size in pairs if size}

    def terms(self, row: int) -> MarketState:
        """What holds in the market at a row."""
        return self.view.states[int(self.tape.states[self.view.start + row])]

    def grid(self, row: int, side: int) -> list[int]:
        """The prices of a side's grid at a row, ascending."""
        payout = self.tape.payout
        yes = {p for a, b, step in self.terms(row).tick_bands for p in range(a, b + 1, step)}
        prices = yes if side == 0 else {payout - p for p in yes}
        return sorted(p for p in prices if 0 < p < payout)

    def grid_price_from(self, row: int, side: int, price: int) -> int:
        """The lowest price of a side's grid that is not below `price`; payout without one."""
        return min((p for p in self.grid(row, side) if p >= price), default=self.tape.payout)

    def best(self, row: int, side: int) -> int:
        """The best bid of a side, 0 if there is none."""
        return max(self.levels(row, side), default=0)

    def mark2(self, row: int, side: int = 0) -> int:
        """The doubled mark of a side."""
        yes = int(self.tape.mark2[self.view.start + row])
        return yes if side == 0 else 2 * self.tape.payout - yes

    def flow(self, row: int) -> list[tuple[int, ...]]:
        """(side, price, removed, added, traded) of the flow into a row."""
        return tape_flow(self.tape, self.view.start + row)

    @property
    def settles(self) -> bool:
        """Whether the episode's last state is after a settlement."""
        at_last = self.run.states[-1]["row"] == len(self.view) - 1
        return self.run.terminated and at_last and self.view.settlement_value is not None


def tape_of(session: Session, *, depth: int = 10, row_interval_ms: int = 1) -> Tape | None:
    """The tape of a session, None if no market has rows enough."""
    from kalshi_sim.errors import NoViewsError

    try:
        return build_tape(
            [session], min_episode_length=3, depth=depth, row_interval_ms=row_interval_ms
        )
    except NoViewsError:
        return None


def run_episodes(
    tape: Tape, config: SimConfig, actions: Sequence[Sequence[int]], **how: Any
) -> list[Episode]:
    """The first episode of each environment; environment i is on view i modulo their number."""
    runs = run_compiled_batch(tape, config, actions, **how)
    return [
        Episode(tape, tape.views[i % len(tape.views)], config, list(actions[i]), run)
        for i, run in enumerate(runs)
    ]


@st.composite
def tapes(draw: st.DrawFn, /, depth: int | None = None, **wanted: Any) -> Tape:
    """Tapes of drawn sessions, of any depth (unless given) and interval."""
    depth = draw(st.sampled_from((1, 2, 3, 10))) if depth is None else depth
    interval = draw(st.sampled_from((1, 1, 10, 1000)))
    wanted = {"max_moments": 60, "max_markets": 2, **wanted}
    drawn = sessions(**wanted).map(lambda s: tape_of(s, depth=depth, row_interval_ms=interval))
    tape = draw(drawn.filter(lambda made: made is not None))
    assert tape is not None
    return tape


@st.composite
def episodes(
    draw: st.DrawFn,
    /,
    *,
    actions: tuple[int, ...] | None = None,
    market: dict[str, Any] | None = None,
    **fixed: Any,
) -> list[Episode]:
    """Some episodes under one drawn setting; `actions` are those that may occur."""
    tape = draw(tapes(**(market or {})))
    rng = random.Random(draw(st.integers(0, 2**32)))
    config = random_config(rng, **fixed)
    if actions is None:
        chosen = [random_actions(rng, 70) for _ in range(ENVS)]
    else:
        chosen = [rng.choices(actions, k=70) for _ in range(ENVS)]
    return run_episodes(tape, config, chosen)


def find_episode(reached: Callable[[Episode], bool], **fixed: Any) -> Episode:
    """An episode as `episodes(**fixed)` draws them that reaches something.

    Raises:
        NoSuchExample: none does, so that no test of such episodes sees it.
    """
    drawn = find(
        episodes(**fixed),
        lambda some: any(map(reached, some)),
        settings=settings(max_examples=300, phases=[Phase.generate]),
    )
    return next(filter(reached, drawn))

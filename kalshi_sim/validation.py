"""`kalshi-sim validate`: do environments on a session hold to their contracts?"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.actions import FIVE
from kalshi_sim.config import SimConfig
from kalshi_sim.errors import KalshiSimError, NoViewsError
from kalshi_sim.features import FEATURES
from kalshi_sim.fees import DEFAULT_SCHEDULE, FeeSchedule
from kalshi_sim.gym_env import MarketAgnosticKalshiEnv
from kalshi_sim.kernels.observation import TIME_TO_CLOSE
from kalshi_sim.session import Session
from kalshi_sim.tape import Tape
from kalshi_sim.tape_build import build_tape
from kalshi_sim.units import money_per_cent
from kalshi_sim.vec_env import KalshiVecEnv

if TYPE_CHECKING:
    from collections.abc import Iterator

N_FEATURES: Final = 52
N_ACTIONS: Final = len(FIVE)
"""As the contract has them, apart from the code's own."""
_ENVS: Final = 64
_STEPS: Final = 1000
"""Random steps of each of the environments."""
_SLICE_EVENTS: Final = 300
_SLICE_MARKETS: Final = 3
# By nature the same up to scale on some sessions: price levels; the clock; momentum windows that
# all reach back to the first row.
_ALIKE: Final = (
    {"yes_bid", "yes_ask", "mid", "fee_rate"},
    {"session_progress", "time_to_close", "time_of_day_sin", "time_of_day_cos"},
    {"momentum_10s", "momentum_60s", "momentum_300s"},
)

_TWO: Final = 2


@dataclass(frozen=True)
class Check:
    """One line of the report; `held` is None where the check could not be made."""

    name: str
    held: bool | None
    detail: str


def validate_session(session: Session, fees: FeeSchedule = DEFAULT_SCHEDULE) -> list[Check]:
    """All checks on one session, under a schedule of fees.

    Args:
        session: what environments are built on.
        fees: schedule for what its markets do not state.

    Raises:
        NoViewsError: no market of it has enough rows.
    """
    tape = build_tape([session], fee_schedule=fees)
    if not tape.views:
        raise NoViewsError(f"session {session.session_id}: no market has enough rows to validate")
    seen = _Rollout(tape)
    return [
        _check("52 features", lambda: _features(tape)),
        _check("5 actions", lambda: _actions(tape)),
        _check("gymnasium's checker", lambda: _gymnasium(tape)),
        _check("Stable-Baselines3's checker", lambda: _stable_baselines(tape)),
        _check("an episode", lambda: _episode(tape)),
        _check("finite and in bounds", seen.bounds),
        _check("no constant feature", seen.constant),
        _check("no duplicated feature", seen.duplicated),
        _check("invariants", seen.invariants),
        _oracle(session, fees),
    ]


class _BrokenError(Exception):
    """A check does not hold; the message says how."""


def _check(name: str, run: Callable[[], str]) -> Check:
    try:
        return Check(name, True, run())
    except (_BrokenError, AssertionError, KalshiSimError, ValueError, TypeError) as error:
        return Check(name, False, " ".join(str(error).split()) or type(error).__name__)


@contextmanager
def _strict() -> Iterator[None]:
    """Warnings of a checker are complaints."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _features(tape: Tape) -> str:
    env = MarketAgnosticKalshiEnv(tape)
    shape = env.observation_space.shape
    if shape != (N_FEATURES,) or len(FEATURES) != N_FEATURES:
        raise _BrokenError(
            f"observations have shape {shape}, the table has {len(FEATURES)} features"
        )
    return "observations float32 [52], named in kalshi_sim.FEATURES"


def _actions(tape: Tape) -> str:
    env = MarketAgnosticKalshiEnv(tape)
    count = getattr(env.action_space, "n", None)
    if count != N_ACTIONS:
        raise _BrokenError(f"{count} actions")
    return ", ".join(name.upper() for name in FIVE.names)


def _gymnasium(tape: Tape) -> str:
    from gymnasium.utils.env_checker import check_env as check_gymnasium

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # A checker's advice on environments that were not made by gymnasium.make.
        warnings.filterwarnings("ignore", message=".*env.spec.*")
        warnings.filterwarnings("ignore", message=".*render.*")
        check_gymnasium(MarketAgnosticKalshiEnv(tape), skip_render_check=True)
    return "passed without a warning"


def _stable_baselines(tape: Tape) -> str:
    # Here and not above: the rest of these checks needs the library through vec_env.py alone.
    from stable_baselines3.common.env_checker import check_env as check_sb3

    with _strict():
        check_sb3(MarketAgnosticKalshiEnv(tape))
    return "passed without a warning"


def _episode(tape: Tape) -> str:
    env = MarketAgnosticKalshiEnv(tape, SimConfig(cash_start=10**9))
    view = tape.views[0]
    env.reset(seed=0)
    rng = np.random.Generator(np.random.PCG64(0))
    steps, over = 0, False
    while not over:
        _, _, terminated, truncated, _ = env.step(rng.integers(N_ACTIONS))
        steps += 1
        over = terminated or truncated
        if steps > len(view):
            raise _BrokenError(
                f"{view.market_ticker}: no end after {steps} steps, {len(view)} rows"
            )
    if steps != len(view) - 1:
        raise _BrokenError(f"{view.market_ticker}: {steps} steps on {len(view)} rows")
    return f"{view.market_ticker}: {steps} steps on {len(view)} rows"


class _Rollout:
    """Random episodes on all views: what was observed, and what broke."""

    def __init__(self, tape: Tape):
        self.tape = tape
        self.broken: list[str] = []
        self.steps = 0
        self.episodes = 0
        observed: list[npt.NDArray[np.float32]] = []
        # `cross` trades at once, `join` lets orders rest: together they move every feature.
        for pricing in ("cross", "join"):
            config = SimConfig(random_start=True, market_order="shuffle", pricing=pricing)
            observed += self._play(config)
        self.observed: npt.NDArray[np.float64] = np.concatenate(observed).astype(np.float64)

    def _play(self, config: SimConfig) -> list[npt.NDArray[np.float32]]:
        n = min(_ENVS, len(self.tape.views))
        env = KalshiVecEnv(self.tape, n_envs=n, config=config, seed=0, n_threads=1)
        self.space = env.observation_space
        rng = np.random.Generator(np.random.PCG64(1))
        observed = [np.array(env.reset())]
        for _ in range(_STEPS):
            obs, _, dones, infos = env.step(rng.integers(0, N_ACTIONS, n))
            observed.append(np.array(obs))
            observed.extend(infos[i]["terminal_observation"][None] for i in np.flatnonzero(dones))
            self.steps += n
            self.episodes += int(dones.sum())
            self._money(env.state(), config)
        env.close()
        return observed

    def _money(self, state: dict[str, npt.NDArray[np.int64]], config: SimConfig) -> None:
        start = config.cash_start * money_per_cent(self.tape.payout)
        rules = {
            "cash below zero": state["cash"] < 0,
            "free cash below zero": state["free_cash"] < 0,
            "cash + cost != start + realized - fees": state["cash"] + state["cost"]
            != start + state["realized"] - state["fees_paid"],
            "position beyond max_position": np.abs(state["position"]) > config.max_position,
            "a cost without a position": (state["position"] == 0) & (state["cost"] != 0),
        }
        for rule, rows in rules.items():
            if rows.any() and len(self.broken) < _SLICE_MARKETS:
                i = int(np.argmax(rows))
                ticker = self.tape.views[int(state["view"][i])].market_ticker
                self.broken.append(f"{rule} in {ticker} row {int(state['row'][i])}")

    def invariants(self) -> str:
        if self.broken:
            raise _BrokenError("; ".join(self.broken))
        return f"cash, reserves, positions and equity over {self.steps:,} random steps"

    def bounds(self) -> str:
        low, high = self.space.low, self.space.high  # type: ignore[attr-defined]  # a Box
        wrong = ~np.isfinite(self.observed) | (self.observed < low) | (self.observed > high)
        if wrong.any():
            names = [FEATURES[i].name for i in np.flatnonzero(wrong.any(axis=0))]
            raise _BrokenError(f"outside their bounds: {', '.join(names)}")
        return f"{len(self.observed):,} observations of {self.episodes:,} episodes"

    def constant(self) -> str:
        spread = np.ptp(self.observed, axis=0)
        names = [FEATURES[i].name for i in np.flatnonzero(spread == 0)]
        excused = [n for n in names if n in _excuses(self.tape, self.observed)]
        rest = [n for n in names if n not in excused]
        if rest:
            raise _BrokenError(f"constant: {', '.join(rest)}")
        because = f" ({', '.join(excused)}: as its input is)" if excused else ""
        return f"all features vary{because}"

    def duplicated(self) -> str:
        centred = self.observed - self.observed.mean(axis=0)
        size = np.linalg.norm(centred, axis=0)
        moving = size > 0
        unit = centred[:, moving] / size[moving]
        alike = np.abs(np.triu(unit.T @ unit, 1)) > 1 - 1e-9
        places = np.flatnonzero(moving)
        pairs = [
            (FEATURES[places[i]].name, FEATURES[places[j]].name)
            for i, j in np.argwhere(alike).tolist()
        ]
        pairs = [(a, b) for a, b in pairs if not any({a, b} <= kin for kin in _ALIKE)]
        # Any two features of two values each that change together are the same up to scale; of
        # those, a copy has the same two.
        excused = [f"{a}, {b}" for a, b in pairs if self._of_two_values(a, b)]
        wrong = [f"{a} = {b}" for a, b in pairs if f"{a}, {b}" not in excused]
        if wrong:
            raise _BrokenError(f"the same up to scale: {', '.join(wrong)}")
        because = f" ({'; '.join(excused)}: of two values here)" if excused else ""
        return f"no two are the same up to scale{because}"

    def _of_two_values(self, a: str, b: str) -> bool:
        """Whether two features have two values each, and not the same two."""
        names = [feature.name for feature in FEATURES]
        one, other = (np.unique(self.observed[:, names.index(name)]) for name in (a, b))
        return len(one) == len(other) == _TWO and not np.array_equal(one, other)


def _excuses(tape: Tape, observed: npt.NDArray[np.float64]) -> set[str]:
    """Features that may stand still on this session because what they measure does."""
    excused = set()
    if bool((tape.best_bids(slice(None)) > 0).all()):
        excused.add("two_sided")
    if bool((observed[:, TIME_TO_CLOSE] == 1).all()):
        excused.add("time_to_close")  # unknown, or beyond the scale, for every market
    return excused


def _oracle(session: Session, fees: FeeSchedule) -> Check:
    """Kernels against the reference simulator."""
    name = "agreement with the reference"
    return _check(name, lambda: _agreement(session, fees))


def _agreement(session: Session, fees: FeeSchedule) -> str:
    from kalshi_sim.reference.agreement import assert_tapes_equal, twins
    from kalshi_sim.reference.comparing import assert_same_episode
    from kalshi_sim.reference.engines import run_compiled_batch, run_oracle_on

    part = _slice(session)
    if fees != DEFAULT_SCHEDULE:  # the reference knows the published ones, and a market's own
        terms = [asdict(fees.terms(m, session.first_book_ms)) for m in part.markets]
        own = [replace(m, **t) for m, t in zip(part.markets, terms, strict=True)]
        part = replace(part, markets=tuple(own))
    tape, views = twins([part])
    if not tape.views:
        raise _BrokenError("no market has enough rows in its first events")
    assert_tapes_equal(tape, views)
    rng = np.random.Generator(np.random.PCG64(2))
    config = SimConfig(record_fills=True)
    actions = [rng.integers(0, N_ACTIONS, len(view.rows)).tolist() for view in views]
    compiled = run_compiled_batch(tape, config, actions)
    for view, ours, chosen in zip(views, compiled, actions, strict=True):
        assert_same_episode(ours, run_oracle_on(view, config, chosen))
    return f"{len(tape)} rows of {len(views)} markets, books, features, money, orders and fills"


def _slice(session: Session) -> Session:
    """The first events of a few markets."""
    sizes = np.diff(session.market_offsets)
    chosen = np.argsort(-sizes, kind="stable")[:_SLICE_MARKETS]
    parts = session.select([session.markets[i].ticker for i in chosen])
    offsets = parts.market_offsets
    cuts = np.minimum(np.diff(offsets), _SLICE_EVENTS).tolist()
    keep = np.concatenate(
        [np.arange(o, o + n) for o, n in zip(offsets[:-1].tolist(), cuts, strict=True)]
    )
    return replace(
        parts,
        events=parts.events[keep],
        market_offsets=np.concatenate([[0], np.cumsum(cuts)]).astype(np.int64),
    )

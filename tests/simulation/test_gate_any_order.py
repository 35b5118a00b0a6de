"""Public methods called in any order, with any arguments: errors or results, never a crash."""

from __future__ import annotations

import contextlib
import copy
import json
from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from kalshi_sim import BatchSimulator, KalshiVecEnv, LiveMarket, SimConfig
from kalshi_sim.errors import ConfigError, KalshiSimError
from kalshi_sim.gym_env import KalshiVectorEnv, MarketAgnosticKalshiEnv
from kalshi_sim.kernels import layout
from kalshi_sim.live.portfolio import Portfolio
from kalshi_sim.own import OwnFeatures
from kalshi_sim.session import EventKind, Events
from tests.support.modes import examples
from tests.support.odd_tapes import MANY, MARKET

pytestmark = pytest.mark.kernel

TICKER = MARKET.markets[0].ticker
LIVES: dict[str, dict[str, Any]] = {
    "price_level_structure_updated": {"price_ranges": [{"start": "0", "end": "1", "step": "0.01"}]},
    "event_fee_update": {"fee_type_override": "quadratic", "fee_multiplier_override": 2},
    "deactivated": {},
    "activated": {},
    "close_date_updated": {"close_ts": 1_700_000_050},
    "determined": {"result": "yes"},
}
NUMBERS = st.one_of(
    st.integers(-3, 6), st.integers(), st.floats(), st.none(), st.booleans(), st.text(max_size=2)
)
EXPECTED = (KalshiSimError, ValueError, TypeError, RuntimeError, OverflowError, LookupError)


TABLES_OF_ROWS = (
    "five",
    "sized",
    "maker",
    [{"kind": "hold"}],
    [{"kind": "hold"}, {"kind": "buy", "side": "no", "pricing": "behind 1000", "size": 1_000_000}],
)


@numba.njit
def features(row: Any, agent: Any, observation: Any, out: Any) -> None:
    out[0] = (row.payout - row.no_bid) / row.payout + agent.position


@numba.njit
def reward(before: Any, after: Any, row: Any, paid: float) -> float:
    return np.nan if after.position > 15 else paid  # which is refused


OWN = OwnFeatures(features, ("own",))


class Last:
    """A policy that takes the last of the valid actions."""

    def predict(
        self, observation: Any, *, deterministic: bool = False, action_masks: Any = None
    ) -> tuple[Any, Any]:
        return np.flatnonzero(action_masks)[-1], None


class AnyOrder(RuleBasedStateMachine):
    """Public methods in any order with any arguments: an error or a result, never a crash."""

    @initialize(
        n_envs=st.integers(1, 4),
        model=st.sampled_from(("through", "queue", "prob", "touch")),
        order=st.sampled_from(("sequential", "shuffle", "weighted")),
        latency=st.sampled_from((0, 1, 5000)),
        start=st.booleans(),
        tables=st.tuples(st.sampled_from(TABLES_OF_ROWS), st.sampled_from(TABLES_OF_ROWS)),
        own=st.sampled_from(({}, {"features": OWN, "reward": reward})),
    )
    def make(
        self,
        n_envs: int,
        model: Any,
        order: Any,
        latency: int,
        start: bool,
        tables: tuple[Any, Any],
        own: dict[str, Any],
    ) -> None:
        config = SimConfig(
            actions=tables[0],
            fill_model=model,
            market_order=order,
            latency_ms=latency,
            random_start=start,
            record_fills=True,
        )
        self.config = config
        self.sim = BatchSimulator(MANY, n_envs, config, **own)
        other = replace(config, actions=tables[1], latency_ms=1)
        self.other = BatchSimulator(MANY, n_envs, other, **own)
        self.vec = KalshiVecEnv(MANY, n_envs, config, **own)
        mode = ("NEXT_STEP", "SAME_STEP", "DISABLED")[latency % 3]
        self.vector = KalshiVectorEnv(MANY, n_envs, config, autoreset_mode=mode, **own)
        self.single = MarketAgnosticKalshiEnv(MANY, config, **own)
        self.live = LiveMarket(MARKET.markets[0], depth=3)
        self.saved = self.sim.get_simulation_state()

    @rule(actions=st.lists(NUMBERS, max_size=5), restart=st.booleans())
    def step_anyhow(self, actions: list[Any], restart: bool) -> None:
        with contextlib.suppress(*EXPECTED):
            self.sim.step(actions, restart)
        with contextlib.suppress(*EXPECTED):
            self.vec.step(np.array(actions))

    @rule(action=st.integers(0, 20), restart=st.booleans(), times=st.integers(1, 20))
    def step(self, action: int, restart: bool, times: int) -> None:
        for _ in range(times):
            for batch in (self.sim, self.other):
                with contextlib.suppress(*EXPECTED):
                    batch.step(np.full(batch.n_envs, action), restart)
            for env in (self.vec, self.vector):
                with contextlib.suppress(*EXPECTED):
                    env.step(np.full(self.sim.n_envs, action))
            with contextlib.suppress(*EXPECTED):
                self.single.step(action)

    @rule()
    def reset(self) -> None:
        for env in (self.sim, self.other, self.vec, self.vector, self.single):
            env.reset()

    @rule(env=NUMBERS, view=NUMBERS, restart=st.booleans())
    def reset_one(self, env: Any, view: Any, restart: bool) -> None:
        with contextlib.suppress(*EXPECTED):
            self.sim.reset_one(env, view, restart)
        with contextlib.suppress(*EXPECTED):
            self.single.reset(seed=env, options={"view": view})

    @rule()
    def look(self) -> None:
        for env in (self.sim, self.vec, self.vector, self.single):
            env.state()
            assert env.action_masks()[..., 0].all()  # HOLD
            assert env.fills().to_arrow().num_columns > 5

    @rule(
        order=st.lists(NUMBERS, max_size=4),
        weights=st.lists(NUMBERS, max_size=3),
        divided=st.booleans(),
    )
    def arrange(self, order: list[Any], weights: list[Any], divided: bool) -> None:
        with contextlib.suppress(*EXPECTED):
            self.vec.set_view_order(order, divided=divided)
        with contextlib.suppress(*EXPECTED):
            self.sim.schedule.set_order([0, 1], divided=divided)
        with contextlib.suppress(*EXPECTED):
            self.sim.schedule.set_weights(weights)
        with contextlib.suppress(*EXPECTED):
            self.sim.seed(order[0] if order else None)  # type: ignore[arg-type]  # any argument

    @rule(mask=st.lists(st.booleans(), max_size=4), view=NUMBERS)
    def reset_some(self, mask: list[bool], view: Any) -> None:
        with contextlib.suppress(*EXPECTED):
            options = {"reset_mask": np.array(mask, bool), "view": view}
            self.vector.reset(options=options)

    @rule(again=st.booleans())
    def copied(self, again: bool) -> None:
        self.sim = copy.deepcopy(self.sim) if again else self.sim
        assert not self.sim.tape.px.flags.writeable

    @rule(
        kind=st.sampled_from(sorted(LIVES)),
        key=st.sampled_from(("ts_ms", "close_ts", "price_ranges", "fee_multiplier_override", "x")),
        value=NUMBERS | st.lists(st.lists(NUMBERS, max_size=3), max_size=2),
        known=NUMBERS,
    )
    def live_change(self, kind: str, key: str, value: Any, known: Any) -> None:
        told = {"market_ticker": TICKER, "event_type": kind, **LIVES[kind], key: value}
        frame = {"type": "market_lifecycle_v2", "sid": 7, "seq": 1, "msg": told}
        with contextlib.suppress(*EXPECTED):
            self.live.feed_frame(json.dumps(frame), recv_ms=known)
        with contextlib.suppress(*EXPECTED):
            self.live.update_close(known, value)

    @rule(back=st.booleans())
    def of_another_table(self, back: bool) -> None:
        """The state of a batch whose actions mean something else, with orders in flight."""
        one, two = (self.other, self.sim) if back else (self.sim, self.other)
        with contextlib.suppress(ConfigError):
            one.set_simulation_state(two.get_simulation_state())

    @rule(position=st.integers(-5, 20), price=st.integers(0, 100), size=st.integers(0, 30))
    def act_live(self, position: int, price: int, size: int) -> None:
        yes, no = (price, size, 0), (100 - price, size, 2)
        held = Portfolio(cash=10_000, position=position, yes_order=yes, no_order=no)
        with contextlib.suppress(*EXPECTED):
            mask = self.live.action_mask(held, self.config)
            assert mask.shape == (len(self.config.table),)
            seen = self.live.observation(held, self.config, OWN)
            assert seen.shape == (53,)
            assert mask[self.live.act(Last(), held, self.config, features=OWN)]

    @rule(levels=NUMBERS)
    def tables(self, levels: Any) -> None:
        with contextlib.suppress(*EXPECTED):
            self.sim.tape.to_arrow(levels=levels)

    @rule()
    def save(self) -> None:
        self.saved = self.sim.get_simulation_state()

    @rule(
        column=st.integers(0, layout.N_CORE - 1),
        value=st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 20),
        damage=st.booleans(),
    )
    def restore(self, column: int, value: int, damage: bool) -> None:
        state = {k: v.copy() if hasattr(v, "copy") else v for k, v in self.saved.items()}
        if damage:
            state["core"][:, column] = value
        with contextlib.suppress(ConfigError):
            self.sim.set_simulation_state(state)

    @rule(
        kind=st.sampled_from([*EventKind, 77]),
        side=st.integers(-1, 2),
        price=st.integers(-10, 10_100),
        size=st.integers(-(2**40), 2**40),
        ts_ms=st.integers(-(2**40), 2**62) | st.integers(1_700_000_000_000, 1_700_000_100_000),
    )
    def feed(self, kind: int, side: int, price: int, size: int, ts_ms: int) -> None:
        event = {"kind": [kind], "side": [side], "price": [price], "size": [size], "ts_ms": [ts_ms]}
        with contextlib.suppress(*EXPECTED):
            self.live.feed(Events.from_columns(**event))
        with contextlib.suppress(*EXPECTED):
            self.live.advance(ts_ms)
        with contextlib.suppress(*EXPECTED):
            self.live.observation(Portfolio(cash=size, position=price, yes_order=(price, size, 0)))

    @rule()
    def follow(self) -> None:
        with contextlib.suppress(*EXPECTED):
            self.live.feed(MARKET.events)
            self.live.gap()
            self.live.finish()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=examples(60), stateful_step_count=30, deadline=None)

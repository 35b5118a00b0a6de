"""Own features and rewards, compiled into the step, equal their twins written in Python."""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest

from kalshi_sim import BatchSimulator, KalshiVecEnv, LiveMarket, SimConfig, Tape, build_tape
from kalshi_sim.errors import ConfigError
from kalshi_sim.gym_env import KalshiVectorEnv, MarketAgnosticKalshiEnv
from kalshi_sim.live.portfolio import Portfolio
from kalshi_sim.own import OwnFeatures
from kalshi_sim.session import Events
from kalshi_sim.synthetic.session import generate_session

pytestmark = pytest.mark.kernel

NAMES = ("own_spread", "own_agreement", "own_load")


@numba.njit
def features(row: Any, agent: Any, observation: Any, out: Any) -> None:
    out[0] = (row.payout - row.no_bid - row.yes_bid) / row.payout
    out[1] = observation[10] * observation[28]
    out[2] = agent.position / 10 + agent.yes_size - agent.no_size + row.yes_size % 7


@numba.njit
def reward(before: Any, after: Any, row: Any, paid: float) -> float:
    cost = 0.25 * abs(after.position - before.position) + row.mark2 / 1000
    return float(paid - cost - (after.fees_paid - before.fees_paid))


OWN = OwnFeatures(features, NAMES, low=-1.0, high=5.0)


@pytest.fixture(scope="module")
def tape() -> Tape:
    return build_tape(generate_session(3, markets=4, minutes=4, seed=5))


def twin_features(tape: Tape, obs: Any, state: dict[str, Any], rows: Any) -> Any:
    best = tape.px[rows, :, 0]
    load = state["position"] / 10 + state["order_size"][:, 0] - state["order_size"][:, 1]
    own = [
        (tape.payout - best[:, 1] - best[:, 0]) / tape.payout,
        obs[:, 10] * obs[:, 28],
        load + tape.qty[rows, 0, 0] % 7,
    ]
    return np.clip(np.stack(own, axis=1).astype(np.float32), -1.0, 5.0)


def played(tape: Tape, n: int, **own: Any) -> tuple[BatchSimulator, list[Any]]:
    """A batch with random actions, and what each step gave."""
    simulator = BatchSimulator(tape, n, SimConfig(pricing="join"), seed=1, **own)
    out: list[Any] = [simulator.reset().copy()]
    rng = np.random.default_rng(0)
    for _ in range(120):
        obs, rewards, done, finished = simulator.step(rng.integers(0, 5, n))
        out.append((obs.copy(), rewards.copy(), done.copy(), simulator.state(), finished))
    return simulator, out


def test_they_equal_their_twins_and_change_nothing_else(tape: Tape) -> None:
    usual = played(tape, 5, n_threads=1)[1]
    _, own = played(tape, 5, n_threads=1, features=OWN, reward=reward)
    starts = np.array([v.start for v in tape.views])
    assert own[0].shape == (5, 55)
    assert np.array_equal(own[0][:, :52], usual[0])
    was = {k: np.zeros(5, np.int64) for k in ("position", "fees_paid")}
    total = np.zeros(5)
    ended = 0
    for (obs, paid, done, state, finished), (plain, base, *_) in zip(
        own[1:], usual[1:], strict=True
    ):
        assert np.array_equal(obs[:, :52], plain)
        rows = starts[state["view"]] + state["row"]
        assert np.array_equal(obs[:, 52:], twin_features(tape, obs, state, rows))
        live = done == 0
        moved = np.abs(state["position"] - was["position"])
        cost = 0.25 * moved + tape.mark2[rows] / 1000
        twin = base - cost - (state["fees_paid"] - was["fees_paid"])
        assert np.array_equal(paid[live], twin.astype(np.float32)[live])
        total += paid
        if finished is not None:
            ended += len(finished.envs)
            assert finished.observations.shape == (len(finished.envs), 55)
            assert finished.returns == pytest.approx(total[finished.envs])
            total[finished.envs] = 0
        was = state
    assert ended > 0


def test_threads_and_states_keep_the_bits(tape: Tape) -> None:
    _, one = played(tape, 70, n_threads=1, features=OWN, reward=reward)
    batch, two = played(tape, 70, n_threads=2, features=OWN, reward=reward)
    for a, b in zip(one[1:], two[1:], strict=True):
        assert np.array_equal(a[0], b[0])
        assert np.array_equal(a[1], b[1])
    saved = batch.get_simulation_state()
    other = BatchSimulator(tape, 70, batch.config, seed=9, features=OWN, reward=reward)
    other.reset()
    other.set_simulation_state(saved)
    assert other.get_simulation_state()["own_returns"].tolist() == saved["own_returns"].tolist()
    hold = np.zeros(70, int)
    assert np.array_equal(batch.step(hold)[0], other.step(hold)[0])
    with pytest.raises(ConfigError, match="observations"):
        BatchSimulator(tape, 70, batch.config).set_simulation_state(saved)


def test_every_environment_takes_them(tape: Tape) -> None:
    vec = KalshiVecEnv(tape, 2, features=OWN, reward=reward)
    assert vec.observation_space.shape == (55,)
    assert vec.observation_space.high[-1] == 5.0  # type: ignore[attr-defined]  # a Box
    assert vec.observation_space.contains(np.asarray(vec.reset())[0])
    one = MarketAgnosticKalshiEnv(tape, features=OWN)
    assert one.observation_space.contains(one.reset()[0])
    many = KalshiVectorEnv(tape, 2, features=OWN)
    assert many.observation_space.contains(many.reset()[0])


def test_a_live_market_sees_the_same(tape: Tape) -> None:
    session = generate_session(3, markets=4, minutes=4, seed=5)
    view = tape.views[0]
    events = session.market_events(view.market_ticker)
    simulator = BatchSimulator(tape, 1, n_threads=1, features=OWN)
    seen = simulator.reset()[0].copy()
    market = LiveMarket(session.markets[session.market_index(view.market_ticker)])
    for row in range(3):
        begin, end = (market_row_end(events, tape, r) for r in (row - 1, row))
        market.feed(events[begin:end])
        market.finish()
        live = market.observation(Portfolio(cash=10_000), features=OWN)
        assert np.array_equal(live[52:], seen[52:])
        holds = Holds()
        assert market.act(holds, Portfolio(cash=10_000), features=OWN) == 0
        assert np.array_equal(holds.shown, live)
        seen = simulator.step(np.zeros(1, int))[0][0].copy()


class Holds:
    """A policy that holds and keeps what it was shown."""

    shown: Any = None

    def predict(self, observation: Any, *, deterministic: bool = False) -> tuple[Any, Any]:
        self.shown = np.array(observation)
        return 0, None


def market_row_end(events: Events, tape: Tape, row: int) -> int:
    """How many events have come by a row of the first view; none before the first."""
    return int(np.searchsorted(events.ts_ms, tape.ts_ms[row], side="right")) if row >= 0 else 0


def test_an_own_function_may_allocate(tape: Tape) -> None:
    def sums(row: Any, agent: Any, observation: Any, out: npt.NDArray[np.float32]) -> None:
        kept = np.array([observation[0], observation[1]])
        out[0] = (kept * 2.0).sum() / 4.0

    batch = BatchSimulator(tape, 3, n_threads=1, features=OwnFeatures(sums, ("mean",), low=0.0))
    batch.reset()
    for _ in range(20):
        obs = batch.step(np.zeros(3, int))[0]
        assert np.allclose(obs[:, 52], (obs[:, 0] + obs[:, 1]) / 2)


def test_what_cannot_be_is_refused(tape: Tape) -> None:
    def lost(row: Any, agent: Any, observation: Any, out: npt.NDArray[np.float32]) -> None:
        out[0] = np.nan if agent.steps == 3 else 0.0

    batch = BatchSimulator(tape, 3, n_threads=1, features=OwnFeatures(lost, ("lost",)))
    batch.reset()
    batch.step(np.zeros(3, int))
    batch.step(np.zeros(3, int))
    with pytest.raises(ConfigError, match=r"'lost' is no finite number in environment 2, row 3"):
        batch.step(np.zeros(3, int))

    def far(row: Any, agent: Any, observation: Any, out: npt.NDArray[np.float32]) -> None:
        out[1] = 1.0

    with pytest.raises(ConfigError, match="raised IndexError: ind"):
        BatchSimulator(tape, 3, features=OwnFeatures(far, ("far",))).reset()
    odd_names: list[Any] = [(), ("a", "a"), ("mid",), 5, (1, 2), ("a\x1b[2J",)]
    for names in odd_names:
        with pytest.raises(ConfigError, match="names"):
            OwnFeatures(features, names)
    with pytest.raises(ConfigError, match="low must be below high"):
        OwnFeatures(features, NAMES, low=1.0, high=1.0)
    odd_bounds: list[Any] = ["x", True, float("inf"), float("nan"), None]
    for bound in odd_bounds:
        with pytest.raises(ConfigError, match="low="):
            OwnFeatures(features, NAMES, low=bound)
    with pytest.raises(ConfigError, match=r"OwnFeatures\(function, names"):
        BatchSimulator(tape, 1, features=features)
    odd_rewards: list[Any] = [3, [], max, functools.partial(lost)]
    for reward_ in odd_rewards:
        with pytest.raises(ConfigError, match=r"reward=.* must be a function"):
            BatchSimulator(tape, 1, reward=reward_)


def test_an_error_in_a_step_leaves_nothing_beyond_the_last_row(tape: Tape) -> None:
    """The step is over when the error is told, so some environments may stand at their end."""
    one = tape.select([0])
    last = len(one.views[0]) - 1

    def wrong(before: Any, after: Any, row: Any, paid: float) -> float:
        return np.nan if after.steps >= last else paid

    def far(row: Any, agent: Any, observation: Any, out: npt.NDArray[np.float32]) -> None:
        out[max(0, agent.steps + 1 - last) * 1000] = 0.0

    own: list[dict[str, Any]] = [
        {"reward": wrong, "n_threads": 1},
        {"features": OwnFeatures(far, ("far",)), "n_threads": 2},
    ]
    for given in own:
        batch = BatchSimulator(one, 2, **given)
        batch.reset()
        run_into_the_error(batch, last)
        batch.reset_one(0)
        with pytest.raises(RuntimeError, match="environment 1 is over"):
            batch.step([0, 0])
        batch.reset_one(1)
        run_into_the_error(batch, last)
        batch.reset()
        run_into_the_error(batch, last)


def run_into_the_error(batch: BatchSimulator, last: int) -> None:
    """Step to the last row, where an own function errs, and then once more."""
    for _ in range(last - 1):
        batch.step([0, 0])
    with pytest.raises(ConfigError, match=r"no finite number|IndexError"):
        batch.step([0, 0])
    for _ in range(3):
        with pytest.raises(RuntimeError, match="cut the last step short"):
            batch.step([0, 0])
    assert (batch.state()["row"] <= last).all()


def test_a_signal_in_a_step_leaves_nothing_beyond_the_last_row(
    tape: Tape, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = tape.select([0])
    last = len(one.views[0]) - 1
    batch = BatchSimulator(one, 1)
    batch.reset()
    saved = batch.get_simulation_state()
    for _ in range(last - 1):
        batch.step([0])

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # where Python looks for signals after the kernel
        patch.setattr(batch, "_gather_finished", interrupted)
        with pytest.raises(KeyboardInterrupt):
            batch.step([0])
    with pytest.raises(RuntimeError, match="cut the last step short"):
        batch.step([0])
    batch.set_simulation_state(saved)
    batch.step([0])
    assert batch.state()["row"].tolist() == [1]


def test_what_cannot_be_compiled_says_how_it_is_called(tape: Tape) -> None:
    def wrong(before: Any, after: Any) -> float:
        return 0.0

    batch = BatchSimulator(tape, 1, n_threads=1, reward=wrong)  # type: ignore[arg-type]  # the test
    batch.reset()
    with pytest.raises(ConfigError, match=r"positional|reward\(before, after, row, paid\)"):
        batch.step(np.zeros(1, int))

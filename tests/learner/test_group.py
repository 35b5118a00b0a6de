"""Several learners of one model do what one learner does with all of their rows."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.logger import Logger
from torch.distributed import HashStore  # type: ignore[attr-defined]  # not in its __all__

from kalshi_sim.vec_env import KalshiVecEnv
from kalshi_train import FastA2C, FastPPO
from kalshi_train.learner.group import Group, mean_and_deviation
from kalshi_train.learner.network import ActorCritic
from kalshi_train.learner.on_policy import FastOnPolicy
from kalshi_train.learner.shares import own_views, stream_of
from kalshi_train.warm_up import small_tape

N_ENVS, N_STEPS, LEARNERS = 8, 16, 2
HALF = N_ENVS // LEARNERS
LEARNING_RATE = 1e-2
EPS = 1e-3
"""Of Adam: large enough that its step is a smooth function of the gradient."""
FLOAT32 = float(np.finfo(np.float32).eps)


def together(work: Callable[[Group], Any]) -> list[Any]:
    """What each of two learners comes to, each in a thread of its own."""
    store = HashStore()
    with ThreadPoolExecutor(LEARNERS) as pool:
        jobs = [
            pool.submit(lambda r: work(Group.meet(store, r, LEARNERS)), rank)
            for rank in range(LEARNERS)
        ]
        return [job.result() for job in jobs]


def model_of(kind: type[FastOnPolicy], n_envs: int, **settings: Any) -> FastOnPolicy:
    """A model that has not learned yet, the same for any number of environments."""
    if kind is FastPPO:
        settings |= {"batch_size": N_STEPS * n_envs // 4, "n_epochs": 2}
    else:
        settings |= {"use_rms_prop": False, "normalize_advantage": True}
    model = kind(
        "MlpPolicy",
        KalshiVecEnv(small_tape(), n_envs),
        n_steps=N_STEPS,
        learning_rate=LEARNING_RATE,
        seed=3,
        device="cpu",
        policy_kwargs={"optimizer_kwargs": {"eps": EPS}},
        **settings,
    )
    model.set_logger(Logger(None, []))
    return model


def fill(model: FastOnPolicy, envs: slice, apart: float = 0.0) -> None:
    """Let its rollout be some environments' part of a random one; its order too.

    In the order each minibatch of all has the same minibatches of the parts.
    """
    rng = np.random.default_rng(5)
    buffer: Any = model.rollout_buffer
    buffer.reset()
    shape = (N_STEPS, N_ENVS)
    buffer.observations[:] = rng.normal(size=(*shape, *buffer.obs_shape))[:, envs]
    buffer.actions[:] = rng.integers(0, 5, (*shape, 1))[:, envs]
    for name, scale, base in (
        ("log_probs", 0.1, -1.6 + apart),
        ("values", 1.0, 0.0),
        ("advantages", 1.0, 0.5),
        ("returns", 1.0, 0.0),
    ):
        getattr(buffer, name)[:] = (base + scale * rng.normal(size=shape))[:, envs]
    buffer.full = True
    orders = np.array([rng.permutation(N_STEPS * HALF) for _ in range(LEARNERS)])
    whole = envs == slice(None)
    step, env = np.divmod(orders, HALF)
    rows = step * N_ENVS + env + HALF * np.arange(LEARNERS)[:, None]
    parts = rows.reshape(LEARNERS, 4, -1).swapaxes(0, 1).reshape(-1)
    own = parts if whole else orders[(envs.start or 0) // HALF]
    buffer.order = lambda: own


def part(rank: int) -> slice:
    return slice(rank * HALF, (rank + 1) * HALF)


@pytest.mark.parametrize("kind", [FastPPO, FastA2C])
def test_an_update_of_two_halves_is_that_of_the_whole(kind: type[FastOnPolicy]) -> None:
    one = model_of(kind, N_ENVS)
    fill(one, slice(None))
    begun = flat(one).clone()
    one.train()

    def learn(group: Group) -> FastOnPolicy:
        model = model_of(kind, HALF)
        if group.rank:  # what it begins with is learner 0's
            with th.no_grad():
                flat(model).mul_(2.0)
        model.join(group)
        fill(model, part(group.rank))
        model.train()
        return model

    first, second = together(learn)
    assert th.equal(flat(first), flat(second))
    gradient, expected = (network_of(m).gradient for m in (first, one))
    # Sums of as many float32 as a rollout has rows: their rounding adds up to at most that.
    allowed = N_ENVS * N_STEPS * FLOAT32 * float(expected.abs().max())
    updates = 8 if kind is FastPPO else 1
    assert float((gradient - expected).abs().max()) < allowed * updates
    # A step of Adam changes by at most lr / eps of what the gradient does.
    moved = flat(one) - begun
    assert float(moved.abs().max()) > 0.3 * LEARNING_RATE
    apart = float((flat(first) - flat(one)).abs().max())
    assert apart < updates * LEARNING_RATE / EPS * allowed
    logs = [m.logger.name_to_value for m in (one, first)]
    assert set(logs[0]) == set(logs[1])
    for key in set(logs[0]) - {"train/explained_variance"}:
        assert logs[1][key] == pytest.approx(logs[0][key], rel=1e-3, abs=1e-5), key


def flat(model: FastOnPolicy) -> th.Tensor:
    return network_of(model).flat


def network_of(model: FastOnPolicy) -> ActorCritic:
    assert model._network is not None
    return model._network


def test_all_learners_stop_early_together() -> None:
    """One of them has gone far from the policy that played, the other not at all."""

    def learn(group: Group) -> tuple[int, th.Tensor]:
        model = model_of(FastPPO, HALF, target_kl=0.05)
        model.join(group)
        fill(model, part(group.rank), apart=1.5 * group.rank)
        model.train()
        return model._n_updates, flat(model)

    (updates, one), (others, other) = together(learn)
    assert updates == others == 1
    assert th.equal(one, other)


def test_mean_and_deviation_over_all_parts() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(3.0, 2.0, (LEARNERS, 3, 10))

    def learn(group: Group) -> Any:
        own = values[group.rank]
        mean = own.mean(axis=1)
        parts = np.stack([mean, ((own - mean[:, None]) ** 2).sum(axis=1)], axis=-1)
        return mean_and_deviation(group, parts, np.full(3, 10))

    whole = values.swapaxes(0, 1).reshape(3, -1)
    expected = np.stack([whole.mean(axis=1), whole.std(axis=1, ddof=1)], axis=-1)
    for found in together(learn):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("views", [1, 2, 5, 6, 12])
@pytest.mark.parametrize("learners", [1, 2, 3, 4])
def test_all_learners_together_go_round_the_views_as_one_does(views: int, learners: int) -> None:
    order = np.random.default_rng(0).permutation(views)
    orders = [own_views(order, rank, learners) for rank in range(learners)]
    rounds = 3 * views
    taken = np.stack([np.resize(own, rounds) for own in orders], axis=1).reshape(-1)
    np.testing.assert_array_equal(taken, np.resize(order, rounds * learners))


def test_learners_have_streams_of_their_own() -> None:
    seeds = [stream_of(seed, rank) for seed in range(20) for rank in range(20)]
    assert len(set(seeds)) == len(seeds)
    assert stream_of(7, 0) == 7
    assert stream_of(7, 1, 1000) != stream_of(7, 1)

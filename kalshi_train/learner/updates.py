"""Advantages of a rollout, and one step of Adam and of RMSprop over flat arrays."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.jit import jit

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)


@jit
def mean_and_squares(x: F32, rows: I64) -> tuple[float, float]:
    """The mean of some entries, and the sum of the squares of their distances from it.

    Args:
        x: float32 [n].
        rows: int64 [k] which entries.

    Returns:
        (mean, sum of squares).
    """
    n = rows.size
    total = 0.0
    for i in range(n):
        total += x[rows[i]]
    mean = total / n
    squares = 0.0
    for i in range(n):
        squares += (x[rows[i]] - mean) ** 2
    return mean, squares


@jit
def advantages_and_returns(
    rewards: F32,
    values: F32,
    episode_starts: F32,
    last_values: F32,
    dones: npt.NDArray[np.bool_],
    gamma: float,
    gae_lambda: float,
    advantages: F32,
    returns: F32,
) -> None:
    """Generalised advantage estimation, in the order of stock arithmetic.

    Args:
        rewards, values, episode_starts: float32 [n_steps, n_envs].
        last_values: float32 [n_envs] values after the last step.
        dones: bool [n_envs] whether an episode ended with it.
        gamma: discount.
        gae_lambda: decay of the estimation.
        advantages, returns: float32 [n_steps, n_envs], overwritten.
    """
    n_steps, n_envs = rewards.shape
    discount, decay = np.float32(gamma), np.float32(gamma * gae_lambda)
    for step in range(n_steps - 1, -1, -1):
        last = step == n_steps - 1
        for e in range(n_envs):
            if last:
                goes_on = _ZERO if dones[e] else _ONE
                delta = rewards[step, e] + discount * last_values[e] * goes_on - values[step, e]
                advantage = delta
            else:
                goes_on = _ONE - episode_starts[step + 1, e]
                after = values[step + 1, e]
                delta = rewards[step, e] + discount * after * goes_on - values[step, e]
                advantage = delta + decay * goes_on * advantages[step + 1, e]
            advantages[step, e] = advantage
            returns[step, e] = advantage + values[step, e]


@jit
def adam(
    p: F32,
    g: F32,
    mean: F32,
    square: F32,
    shrink: float,
    step: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """One step of Adam on flat arrays.

    Args:
        p: float32 [n] parameters, changed.
        g: float32 [n] gradient, multiplied by `shrink` in place.
        mean, square: float32 [n] running moments, changed.
        shrink: factor that clips the gradient's norm.
        step: number of this step, from 1.
        lr: learning rate.
        beta1, beta2: decays of the moments.
        eps: added to the root of the second moment.
    """
    size = np.float32(lr / (1.0 - beta1**step))
    root = np.float32(math.sqrt(1.0 - beta2**step))
    shrink32, eps32 = np.float32(shrink), np.float32(eps)
    b1, b2, r1, r2 = (
        np.float32(beta1),
        np.float32(beta2),
        np.float32(1 - beta1),
        np.float32(1 - beta2),
    )
    for i in range(p.size):
        x = g[i] * shrink32
        g[i] = x
        m = mean[i] * b1 + r1 * x
        s = square[i] * b2 + r2 * x * x
        mean[i] = m
        square[i] = s
        p[i] -= size * m / (np.sqrt(s) / root + eps32)


@jit
def rmsprop(
    p: F32, g: F32, square: F32, shrink: float, lr: float, alpha: float, eps: float
) -> None:
    """One step of torch's RMSprop on flat arrays.

    Args:
        p: float32 [n] parameters, changed.
        g: float32 [n] gradient, multiplied by `shrink` in place.
        square: float32 [n] running second moment, changed.
        shrink: factor that clips the gradient's norm.
        lr: learning rate.
        alpha: decay of the moment.
        eps: added to its root.
    """
    shrink32, lr32, eps32 = np.float32(shrink), np.float32(lr), np.float32(eps)
    a, rest = np.float32(alpha), np.float32(1 - alpha)
    for i in range(p.size):
        x = g[i] * shrink32
        g[i] = x
        s = square[i] * a + rest * x * x
        square[i] = s
        p[i] -= lr32 * x / (np.sqrt(s) + eps32)

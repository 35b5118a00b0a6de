"""Sampling, and the losses of PPO and A2C with their gradients by the networks' outputs.

All take float32 arrays, two-dimensional and C-contiguous where rows are samples. They release the
GIL, so that two threads can each work on their own rows. No kernel here calls one of another file:
numba's cache on disk would not see it change.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels.jit import jit

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_ZERO = np.float32(0.0)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)

# Below _E_MIN exp(x) is no longer a normal float32.
_E_MIN, _E_MAX = np.float32(-87.33), np.float32(88.37)
_LOG2_E = np.float32(1.44269504088896341)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_E5, _E4, _E3, _E2, _E1, _E0 = (
    np.float32(e)
    for e in (
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    )
)

INVALID = np.float32(-1e8)
"""The logit of an invalid action, as sb3-contrib has it: its probability is zero."""

# Places in the statistics of a loss.
POLICY, VALUE, ENTROPY, KL, CLIPPED = range(5)
N_STATS = 5


@jit
def _exp(x: F32, y: F32, power: I32) -> None:
    """y becomes exp(x), within 2e-7 relative; x of any sign, `power` as long as x is overwritten.

    exp(x) = 2**n * exp(r) with |r| <= log(2)/2 and a polynomial for the latter (Cephes' expf).
    In two loops without branches or calls, so that they become vector instructions.
    """
    for i in range(x.size):
        v = min(max(x[i], _E_MIN), _E_MAX)
        n = np.floor(v * _LOG2_E + _HALF)
        r = v - n * _LN2_HIGH - n * _LN2_LOW
        q = r * _E5 + _E4
        q = q * r + _E3
        q = q * r + _E2
        q = q * r + _E1
        q = q * r + _E0
        y[i] = q * r * r + r + _ONE
        power[i] = (np.int32(n) + np.int32(127)) << np.int32(23)
    scale = power.view(np.float32)
    for i in range(x.size):
        y[i] *= scale[i]


@jit
def _softmax(logits: F32, bias: F32, log_p: F32, p: F32) -> None:
    """The log-probabilities and probabilities [actions, n] of logits [n, actions] + bias."""
    n, n_actions = logits.shape
    top, total, power = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.int32)
    top[:] = -np.inf
    total[:] = _ZERO
    for i in range(n):
        for a in range(n_actions):
            x = logits[i, a] + bias[a]
            log_p[a, i] = x
            top[i] = max(top[i], x)
    for a in range(n_actions):
        for i in range(n):
            log_p[a, i] -= top[i]
        _exp(log_p[a], p[a], power)
        for i in range(n):
            total[i] += p[a, i]
    for i in range(n):
        top[i] = np.float32(math.log(total[i]))
    for a in range(n_actions):
        for i in range(n):
            log_p[a, i] -= top[i]
            p[a, i] /= total[i]


@jit
def _entropy(log_p: F32, p: F32, entropy: F32) -> float:
    """The entropy [n] of distributions [actions, n]; their sum."""
    entropy[:] = _ZERO
    for a in range(p.shape[0]):
        for i in range(entropy.size):
            entropy[i] -= p[a, i] * log_p[a, i]
    total = 0.0
    for i in range(entropy.size):
        total += entropy[i]
    return total


@jit
def _policy_gradient(
    log_p: F32,
    p: F32,
    entropy: F32,
    entropy_weight: np.float32,
    slope: F32,
    taken: I64,
    gradient: F32,
    bias_gradient: F32,
) -> None:
    """The gradient [n, actions] by the logits of sum(slope * log p(taken) - weight * entropy)."""
    for a in range(p.shape[0]):
        total = 0.0
        for i in range(entropy.size):
            g = p[a, i] * (entropy_weight * (log_p[a, i] + entropy[i]) - slope[i])
            if taken[i] == a:
                g += slope[i]
            gradient[i, a] = g
            total += g
        bias_gradient[a] += np.float32(total)


@jit
def mask_logits(logits: F32, masks: Mask) -> None:
    """Give actions that were invalid the logit of probability zero.

    Args:
        logits: float32 [n, actions], changed.
        masks: bool [n, actions] whether the action was valid.
    """
    for i in range(logits.shape[0]):
        for a in range(logits.shape[1]):
            # A choice and no jump, so that it is many at once.
            logits[i, a] = logits[i, a] if masks[i, a] else INVALID


@jit
def mask_rows(logits: F32, masks: Mask, rows: I64) -> None:
    """`mask_logits` of some rows of a rollout.

    Args:
        logits: float32 [n, actions], changed.
        masks: bool [rollout, actions] whether the action was valid.
        rows: int64 [n] which rows.
    """
    for i in range(rows.size):
        valid = masks[rows[i]]
        for a in range(logits.shape[1]):
            logits[i, a] = logits[i, a] if valid[a] else INVALID


@jit
def sample(
    logits: F32,
    bias: F32,
    value: F32,
    value_bias: F32,
    uniform: F64,
    actions: I64,
    log_probs: F32,
    values: F32,
) -> None:
    """Draw one action per row by inverting the distribution function.

    Args:
        logits: float32 [n, actions] without their biases.
        bias: float32 [actions].
        value: float32 [n, 1] without its bias.
        value_bias: float32 [1].
        uniform: float64 [n] in [0, 1), the draws.
        actions: int64 [n], overwritten.
        log_probs: float32 [n] of the actions drawn, overwritten.
        values: float32 [n], overwritten.
    """
    n, n_actions = logits.shape
    log_p, p = np.empty((n_actions, n), np.float32), np.empty((n_actions, n), np.float32)
    _softmax(logits, bias, log_p, p)
    for i in range(n):
        left = uniform[i]
        chosen = -1
        last = 0
        for a in range(n_actions):
            if log_p[a, i] > _E_MIN:
                last = a
                left -= p[a, i]
                if chosen < 0 and left < 0.0:
                    chosen = a
        if chosen < 0:
            # The probabilities, rounded, may sum to a little under one.
            chosen = last
        actions[i] = chosen
        log_probs[i] = log_p[chosen, i]
        values[i] = value[i, 0] + value_bias[0]


@jit
def ppo_head(
    logits: F32,
    bias: F32,
    value: F32,
    value_bias: F32,
    rows: I64,
    actions: I64,
    old_log_probs: F32,
    advantages: F32,
    returns: F32,
    old_values: F32,
    scaling: F64,
    bias_gradient: F32,
    value_bias_gradient: F32,
    stats: F64,
) -> None:
    """PPO's loss and its gradient by logits and value, both in place.

    Args:
        logits: float32 [n, actions] without their biases; becomes the gradient.
        bias: float32 [actions].
        value: float32 [n, 1] without its bias; becomes the gradient.
        value_bias: float32 [1].
        rows: int64 [n] which entries of the rollout's arrays belong to this piece of a minibatch.
        actions: int64 [rollout].
        old_log_probs, advantages, returns, old_values: float32 [rollout].
        scaling: float64 [7] size of the minibatch, the advantages' mean and divisor, clip range,
            value clip range (below 0: none), entropy and value coefficients.
        bias_gradient: float32 [actions], added to.
        value_bias_gradient: float32 [1], added to.
        stats: float64 [figures] sums for the log, added to.
    """
    n, n_actions = logits.shape
    size, mean, divisor, clip, clip_value, c_entropy, c_value = scaling
    low, high = np.float32(1.0 - clip), np.float32(1.0 + clip)
    mean32, divisor32, clip32 = np.float32(mean), np.float32(divisor), np.float32(clip)
    bound = np.float32(clip_value)
    policy_weight = np.float32(1.0 / size)
    value_weight = np.float32(2.0 * c_value / size)
    log_p, p = np.empty((n_actions, n), np.float32), np.empty((n_actions, n), np.float32)
    entropy, ratios, slope = np.empty((3, n), np.float32)
    taken, power = np.empty(n, np.int64), np.empty(n, np.int32)
    _softmax(logits, bias, log_p, p)
    stats[ENTROPY] += _entropy(log_p, p, entropy)
    kl = 0.0
    for i in range(n):
        taken[i] = actions[rows[i]]
        slope[i] = log_p[taken[i], i] - old_log_probs[rows[i]]
        kl -= slope[i]
    _exp(slope, ratios, power)
    value_total = 0.0
    policy_loss, value_loss, clipped = 0.0, 0.0, 0.0
    for i in range(n):
        row = rows[i]
        ratio = ratios[i]
        advantage = (advantages[row] - mean32) / divisor32
        bounded = min(max(ratio, low), high)
        free, held = advantage * ratio, advantage * bounded
        # The clipped branch passes a gradient only where clipping changes nothing.
        slope[i] = -policy_weight * free if free < held or ratio == bounded else _ZERO
        policy_loss -= min(free, held)
        kl += float(ratio - _ONE)
        if abs(ratio - _ONE) > clip32:
            clipped += 1.0
        v = value[i, 0] + value_bias[0]
        passes = True
        if bound >= _ZERO:
            change = v - old_values[row]
            passes = -bound <= change <= bound
            v = old_values[row] + min(max(change, -bound), bound)
        error = v - returns[row]
        by_value = value_weight * error if passes else _ZERO
        value[i, 0] = by_value
        value_total += float(by_value)
        value_loss += float(error * error)
    weight = np.float32(c_entropy / size)
    _policy_gradient(log_p, p, entropy, weight, slope, taken, logits, bias_gradient)
    value_bias_gradient[0] += np.float32(value_total)
    stats[POLICY] += policy_loss
    stats[VALUE] += value_loss
    stats[KL] += kl
    stats[CLIPPED] += clipped


@jit
def a2c_head(
    logits: F32,
    bias: F32,
    value: F32,
    value_bias: F32,
    actions: I64,
    advantages: F32,
    returns: F32,
    scaling: F64,
    bias_gradient: F32,
    value_bias_gradient: F32,
    stats: F64,
) -> None:
    """A2C's loss and its gradient by logits and value, both in place.

    Args:
        logits: float32 [n, actions] without their biases; becomes the gradient.
        bias: float32 [actions].
        value: float32 [n, 1] without its bias; becomes the gradient.
        value_bias: float32 [1].
        actions: int64 [n] of the same rows.
        advantages, returns: float32 [n] of the same rows.
        scaling: float64 [5] rows of the whole rollout, the advantages' mean and divisor, entropy
            and value coefficients.
        bias_gradient: float32 [actions], added to.
        value_bias_gradient: float32 [1], added to.
        stats: float64 [figures] sums for the log, added to.
    """
    n, n_actions = logits.shape
    size, mean, divisor, c_entropy, c_value = scaling
    mean32, divisor32 = np.float32(mean), np.float32(divisor)
    policy_weight = np.float32(1.0 / size)
    value_weight = np.float32(2.0 * c_value / size)
    log_p, p = np.empty((n_actions, n), np.float32), np.empty((n_actions, n), np.float32)
    entropy, slope = np.empty((2, n), np.float32)
    _softmax(logits, bias, log_p, p)
    stats[ENTROPY] += _entropy(log_p, p, entropy)
    value_total = 0.0
    policy_loss, value_loss = 0.0, 0.0
    for i in range(n):
        advantage = (advantages[i] - mean32) / divisor32
        policy_loss -= advantage * log_p[actions[i], i]
        slope[i] = -policy_weight * advantage
        error = value[i, 0] + value_bias[0] - returns[i]
        by_value = value_weight * error
        value[i, 0] = by_value
        value_total += float(by_value)
        value_loss += float(error * error)
    weight = np.float32(c_entropy / size)
    _policy_gradient(log_p, p, entropy, weight, slope, actions, logits, bias_gradient)
    value_bias_gradient[0] += np.float32(value_total)
    stats[POLICY] += policy_loss
    stats[VALUE] += value_loss

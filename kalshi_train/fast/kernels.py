"""Elementwise kernels of the learner: what torch does slowly, or only in many small passes.

All take float32 arrays, two-dimensional and C-contiguous where rows are samples. They release
the GIL, so that two threads can each work on their own rows. Products of matrices stay in torch.
Long sums over rows are kept in float64: their order then hardly shows in the result's float32.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels._jit import jit

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

# Rational approximation of tanh on [-7.905, 7.905] (the one of the Eigen library): within
# 2.5e-7 relative, and some twenty times quicker than torch's where AVX-512 is at hand.
_T_MAX = np.float32(7.90531110763549805)
_A1, _A3, _A5, _A7, _A9, _A11, _A13 = (
    np.float32(a)
    for a in (
        4.89352455891786e-03,
        6.37261928875436e-04,
        1.48572235717979e-05,
        5.12229709037114e-08,
        -8.60467152213735e-11,
        2.00018790482477e-13,
        -2.76076847742355e-16,
    )
)
_B0, _B2, _B4, _B6 = (
    np.float32(b)
    for b in (
        4.89352518554385e-03,
        2.26843463243900e-03,
        1.18534705686654e-04,
        1.19825839466702e-06,
    )
)
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

# Rows summed in float32 before the sum goes to float64.
_SUMMED = 16

# Places in the statistics of a loss.
POLICY, VALUE, ENTROPY, KL, CLIPPED = range(5)
N_STATS = 5


@jit
def bias_tanh(z: F32, bias: F32) -> None:
    """z [n, width] becomes tanh(z + bias), in place."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            x = min(max(z[i, j] + bias[j], -_T_MAX), _T_MAX)
            s = x * x
            p = s * _A13 + _A11
            p = s * p + _A9
            p = s * p + _A7
            p = s * p + _A5
            p = s * p + _A3
            p = s * p + _A1
            q = s * _B6 + _B4
            q = s * q + _B2
            q = s * q + _B0
            z[i, j] = x * p / q


@jit
def bias_relu(z: F32, bias: F32) -> None:
    """z [n, width] becomes max(z + bias, 0), in place."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] = max(z[i, j] + bias[j], _ZERO)


@jit
def tanh_backward(d: F32, h: F32, bias_gradient: F32) -> None:
    """d [n, width], the gradient by h = tanh(z), becomes that by z; its sum goes to the bias."""
    n, width = d.shape
    total, part = np.zeros(width), np.empty(width, np.float32)
    for start in range(0, n, _SUMMED):
        part[:] = _ZERO
        for i in range(start, min(start + _SUMMED, n)):
            for j in range(width):
                g = d[i, j] * (_ONE - h[i, j] * h[i, j])
                d[i, j] = g
                part[j] += g
        for j in range(width):
            total[j] += part[j]
    for j in range(width):
        bias_gradient[j] += np.float32(total[j])


@jit
def relu_backward(d: F32, h: F32, bias_gradient: F32) -> None:
    """d [n, width], the gradient by h = relu(z), becomes that by z; its sum goes to the bias."""
    n, width = d.shape
    total, part = np.zeros(width), np.empty(width, np.float32)
    for start in range(0, n, _SUMMED):
        part[:] = _ZERO
        for i in range(start, min(start + _SUMMED, n)):
            for j in range(width):
                g = d[i, j] if h[i, j] > _ZERO else _ZERO
                d[i, j] = g
                part[j] += g
        for j in range(width):
            total[j] += part[j]
    for j in range(width):
        bias_gradient[j] += np.float32(total[j])


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
    """Draw one action per row by inverting the distribution function at `uniform` in [0, 1).

    logits [n, actions] and value [n, 1] come without their biases. Written are actions [n],
    log_probs [n] (of the action drawn) and values [n].
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
    """PPO's loss and its gradient by logits [n, actions] and value [n, 1], both in place.

    `rows` [n] says which entries of actions, old_log_probs, advantages, returns and old_values
    (all flat over the rollout) belong to this piece of a minibatch. `scaling` holds the size of
    the minibatch, the advantages' mean and divisor, clip range, value clip range (below 0: none),
    entropy and value coefficients. Sums for the log are added to `stats`, and the gradients by the
    two biases to theirs.
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
    """A2C's loss and its gradient by logits [n, actions] and value [n, 1], both in place.

    actions, advantages and returns [n] belong to the same rows. `scaling` holds the number of
    rows of the whole rollout, the advantages' mean and divisor, and the entropy and value
    coefficients.
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


@jit
def mean_and_std(x: F32, rows: I64) -> tuple[float, float]:
    """The mean and the unbiased standard deviation of x[rows]; the latter 0 for a single row."""
    n = rows.size
    total = 0.0
    for i in range(n):
        total += x[rows[i]]
    mean = total / n
    squares = 0.0
    for i in range(n):
        squares += (x[rows[i]] - mean) ** 2
    return mean, math.sqrt(squares / max(n - 1, 1))


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
    """Generalised advantage estimation over [n_steps, n_envs], in the order of stock arithmetic."""
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
    """One step of Adam on flat arrays, after multiplying the gradient by `shrink`."""
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
    """One step of torch's RMSprop on flat arrays, after multiplying the gradient by `shrink`."""
    shrink32, lr32, eps32 = np.float32(shrink), np.float32(lr), np.float32(eps)
    a, rest = np.float32(alpha), np.float32(1 - alpha)
    for i in range(p.size):
        x = g[i] * shrink32
        g[i] = x
        s = square[i] * a + rest * x * x
        square[i] = s
        p[i] -= lr32 * x / (np.sqrt(s) + eps32)

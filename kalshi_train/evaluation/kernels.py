"""Whole episodes in one compiled call: baselines and small networks on the simulator's own step.

The quoters are in `quoters.py`, all other compiled code of the evaluation in this file: numba's
cache on disk notices changes of the file it compiles, and the simulator's kernels are part of the
cache folder's name.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from kalshi_sim.kernels import layout
from kalshi_sim.kernels.batch import step_agents
from kalshi_sim.kernels.jit import hot_jit, inlined_jit
from kalshi_sim.kernels.layout import (
    A_AHEAD,
    A_CASH,
    A_EQUITY2,
    A_N_RECORDS,
    A_POSITION,
    A_PRICE,
    A_ROW,
    A_SIZE,
    A_START,
    BUY_NO,
    BUY_YES,
    HOLD,
    Agents,
    Buffers,
    Settings,
    TapeArrays,
)
from kalshi_sim.kernels.observation import (
    ASK_DISTANCE,
    ASK_WORKING,
    BID_DISTANCE,
    BID_WORKING,
    DEPTH_IMBALANCE_5,
    MOMENTUM_60S,
    POSITION,
)
from kalshi_sim.kernels.step import mask_agent
from kalshi_sim.kernels.targets import rounded_sum
from kalshi_sim.units import POSITION_SCALE_ORDERS
from kalshi_train.evaluation.quoters import cancelling_quoter, skewed_quoter

BoolArray = npt.NDArray[np.bool_]
Int8Array = npt.NDArray[np.int8]
Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]

# what decides
ALWAYS_HOLD, RANDOM, ALWAYS_BUY, JOIN_BOTH, MOMENTUM, IMBALANCE, NETWORK = range(7)
JOIN_AND_CANCEL, SKEW_INVENTORY, SKEW_FORECAST, MASKED_NETWORK = range(7, 11)
# places in Decider.shape; layer widths from SHAPE_WIDTHS on
SHAPE_KIND, SHAPE_LAYERS, SHAPE_RELU, SHAPE_WIDTHS = 0, 1, 2, 3

MOMENTUM_THRESHOLD: Final = math.tanh(2 / 10)
"""The mid has moved two cents in a minute."""
IMBALANCE_THRESHOLD: Final = 0.5
"""Three times as much on one side as on the other, within five cents of the best."""
ONE_ORDER: Final = 0.9 * math.log1p(1) / math.log1p(POSITION_SCALE_ORDERS)
"""Just below the position feature of one order's worth."""
FIVE_ORDERS: Final = 0.99 * math.log1p(5) / math.log1p(POSITION_SCALE_ORDERS)

_NUMERATOR: Final = tuple(
    np.float32(c)
    for c in (
        4.89352455891786e-03,
        6.37261928875436e-04,
        1.48572235717979e-05,
        5.12229709037114e-08,
        -8.60467152213735e-11,
        2.00018790482477e-13,
        -2.76076847742355e-16,
    )
)
_DENOMINATOR: Final = tuple(
    np.float32(c)
    for c in (
        4.89352518554385e-03,
        2.26843463243900e-03,
        1.18534705686654e-04,
        1.19825839466702e-06,
    )
)
_TANH_LIMIT: Final = np.float32(7.90531110763549805)
"""From here on tanh rounds to one in float32."""

add: Any = rounded_sum
"""Of float32 too."""

N_DETAIL = 7
D_CASH, D_PRICE, D_SIZE, D_AHEAD = 0, 1, 3, 5


class Decider(NamedTuple):
    """What chooses actions, as arrays."""

    shape: Int64Array
    """[..] columns SHAPE_*: what decides, and a network's layers."""
    weights: Float32Array
    """[n] of each layer, first to last: weight [in, out] by rows, then bias [out]."""
    scratch: Float32Array
    """[2, widest layer]"""
    script: Int8Array
    """[rows] actions drawn beforehand, for the random baseline."""
    valid: BoolArray
    """[actions] which actions are valid, of a network that is masked."""


class Track(NamedTuple):
    """What an episode leaves, by row of the view; N rows."""

    actions: Int8Array
    """[N] the action chosen at the row; -1 at the last"""
    equity2: Int64Array
    """[N] twice the equity at the row, money in tape units"""
    position: Int64Array
    """[N]"""
    detail: Int64Array
    """[N, N_DETAIL] cash, order prices, sizes, contracts ahead [YES, NO]; or [0, N_DETAIL]"""
    observations: Float32Array
    """[N, history * 52], or [0, history * 52]"""
    fills: Int64Array
    """[room, layout.N_RECORD]"""
    counts: Int64Array
    """[2] rows recorded, fills since the last call"""


@hot_jit
def tanh_in_place(x: Float32Array) -> None:
    """Eigen's rational tanh, odd of degree 13 over even of degree 6; a few ulp, and vectorises."""
    n0, n1, n2, n3, n4, n5, n6 = _NUMERATOR
    d0, d1, d2, d3 = _DENOMINATOR
    for i in range(len(x)):
        v = min(max(x[i], -_TANH_LIMIT), _TANH_LIMIT)
        s = v * v
        top = add(n6 * s, n5)
        top = add(top * s, n4)
        top = add(top * s, n3)
        top = add(top * s, n2)
        top = add(top * s, n1)
        top = add(top * s, n0)
        below = add(d3 * s, d2)
        below = add(below * s, d1)
        x[i] = top * v / add(below * s, d0)


@hot_jit
def add_product(
    x: Float32Array, weight: Float32Array, bias: Float32Array, out: Float32Array
) -> None:
    """out = x @ weight + bias.

    Sums run over inputs in their order, one output beside the other, so that they vectorise
    without being reordered.

    Args:
        x: float32 [inputs].
        weight: float32 [inputs * outputs], by rows.
        bias: float32 [outputs].
        out: float32 [outputs], overwritten.
    """
    width = len(out)
    for i in range(width):
        out[i] = bias[i]
    for j in range(len(x)):
        v = x[j]
        row = weight[j * width : (j + 1) * width]
        for i in range(width):
            out[i] = add(out[i], v * row[i])


@hot_jit
def forward(decider: Decider, obs: Float32Array) -> int:
    """The action of the largest logit; the first of equals, as torch.argmax.

    Args:
        decider: a network; its scratch space is overwritten. Of a masked one, the valid actions
            alone count; the first action, HOLD, always is.
        obs: float32 [history * 52].
    """
    shape, weights, scratch = decider.shape, decider.weights, decider.scratch
    layers = shape[SHAPE_LAYERS]
    at = 0
    source = obs
    for layer in range(layers):
        target = scratch[layer % 2, : shape[SHAPE_WIDTHS + layer + 1]]
        bias = at + len(source) * len(target)
        end = bias + len(target)
        add_product(source, weights[at:bias], weights[bias:end], target)
        if layer < layers - 1:
            if shape[SHAPE_RELU] == 1:
                for i in range(len(target)):
                    target[i] = max(target[i], np.float32(0.0))
            else:
                tanh_in_place(target)
        source = target
        at = end
    best = 0
    masked = shape[SHAPE_KIND] == MASKED_NETWORK
    for i in range(1, len(source)):
        if source[i] > source[best] and (not masked or decider.valid[i]):
            best = i
    return best


@hot_jit
def follow(signal: float, threshold: float, position: float) -> int:
    """Buy the side a signal points to, until an order's worth is held.

    Args:
        signal: a feature; above 0 it points to YES.
        threshold: how far from 0 it must be to count.
        position: the feature `position`.

    Returns:
        BUY_YES, BUY_NO or HOLD.
    """
    if signal > threshold and position < ONE_ORDER:
        return BUY_YES
    if signal < -threshold and position > -ONE_ORDER:
        return BUY_NO
    return HOLD


@hot_jit
def join_both(obs: Float32Array) -> int:
    """Quote at the best of both sides, five orders' worth of inventory at most.

    A side without an order, or whose order the best has left, is quoted again; the side that
    brings the position back goes first.
    """
    position = float(obs[POSITION])
    bid = position < FIVE_ORDERS and (obs[BID_WORKING] == 0 or obs[BID_DISTANCE] != 0)
    ask = position > -FIVE_ORDERS and (obs[ASK_WORKING] == 0 or obs[ASK_DISTANCE] != 0)
    if bid and (not ask or position <= 0):
        return BUY_YES
    return BUY_NO if ask else HOLD


@hot_jit
def decide(decider: Decider, obs: Float32Array, step: int) -> int:
    """The action at an observation.

    Args:
        decider: the policy.
        obs: float32 [52], of a network [history * 52].
        step: number of the step in the episode.
    """
    kind = decider.shape[SHAPE_KIND]
    if kind in (NETWORK, MASKED_NETWORK):
        return forward(decider, obs)
    if kind == RANDOM:
        return int(decider.script[step])
    if kind == ALWAYS_BUY:
        return BUY_YES
    if kind == JOIN_BOTH:
        return join_both(obs)
    if kind == MOMENTUM:
        return follow(float(obs[MOMENTUM_60S]), MOMENTUM_THRESHOLD, float(obs[POSITION]))
    if kind == IMBALANCE:
        return follow(float(obs[DEPTH_IMBALANCE_5]), IMBALANCE_THRESHOLD, float(obs[POSITION]))
    if kind == JOIN_AND_CANCEL:
        return cancelling_quoter(obs, step)
    if kind in (SKEW_INVENTORY, SKEW_FORECAST):
        return skewed_quoter(obs, step, kind == SKEW_FORECAST)
    return HOLD


@hot_jit
def note_row(track: Track, agent: Int64Array, obs: Float32Array) -> None:
    """Record the agent as it stands on its row.

    Args:
        track: where to; one row is written.
        agent: int64 [N_CORE].
        obs: float32 [history * 52] what it sees there.
    """
    row = agent[A_ROW] - agent[A_START]
    track.actions[row] = -1
    track.equity2[row] = agent[A_EQUITY2]
    track.position[row] = agent[A_POSITION]
    if len(track.detail) > 0:
        detail = track.detail[row]
        detail[D_CASH] = agent[A_CASH]
        for side in range(2):
            detail[D_PRICE + side] = agent[A_PRICE + side] if agent[A_SIZE + side] > 0 else 0
            detail[D_SIZE + side] = agent[A_SIZE + side]
            detail[D_AHEAD + side] = agent[A_AHEAD + side] if agent[A_SIZE + side] > 0 else 0
        for k in range(len(obs)):
            track.observations[row, k] = obs[k]
    track.counts[0] = row + 1


@inlined_jit
def next_action(
    tape: TapeArrays,
    settings: Settings,
    agents: Agents,
    env: int,
    decider: Decider,
    obs: Float32Array,
    step: int,
) -> int:
    """The action that environment `env` takes from where it stands.

    Args:
        tape: what is played.
        settings: of the simulation.
        agents: all environments.
        env: the environment.
        decider: the policy; `valid` is overwritten if it is masked.
        obs: float32 [history * 52] what the environment sees.
        step: number of the step in the episode.
    """
    if decider.shape[SHAPE_KIND] == MASKED_NETWORK:
        mask_agent(tape, settings, agents, env, decider.valid)
    return decide(decider, obs, step)


@inlined_jit
def note_step(
    track: Track,
    agent: Int64Array,
    records: Int64Array,
    obs: Float32Array,
    step: int,
    action: int,
) -> None:
    """Record a step that was made: its fills, its action, and the row it led to.

    Args:
        track: where to.
        agent: int64 [N_CORE] after the step.
        records: int64 [room, layout.N_RECORD] the step's fills.
        obs: float32 [history * 52] after the step.
        step: number of the step in the episode.
        action: that was taken.
    """
    for k in range(agent[A_N_RECORDS]):
        for column in range(layout.N_RECORD):
            track.fills[track.counts[1], column] = records[k, column]
        track.counts[1] += 1
    note_row(track, agent, obs)
    track.actions[step] = action


@hot_jit
def play(
    tape: TapeArrays,
    settings: Settings,
    agents: Agents,
    actions: Int64Array,
    buffers: Buffers,
    env: int,
    decider: Decider,
    track: Track,
) -> int:
    """Play environment `env` from where it stands until its episode ends.

    Args:
        tape: what is played.
        settings: of the simulation.
        agents: all environments; changed.
        actions: int64 [n_envs] scratch space.
        buffers: of a step; overwritten.
        env: the environment to play.
        decider: the policy.
        track: where the episode is recorded.

    Returns:
        The done bits; 0 if `track.fills` has no room for another step's fills, and the same
        call again goes on.
    """
    agent = agents.core[env]
    records = agents.records[env]
    obs = buffers.obs[env]
    track.counts[1] = 0
    note_row(track, agent, obs)
    while track.counts[1] + records.shape[0] <= len(track.fills):
        row = agent[A_ROW] - agent[A_START]
        action = next_action(tape, settings, agents, env, decider, obs, row)
        actions[env] = action
        step_agents(tape, settings, agents, actions, buffers, env, env + 1)
        note_step(track, agent, records, obs, row, action)
        if buffers.done[env] != 0:
            return int(buffers.done[env])
    return 0

"""Episodes as compact binary columns, from which the page redraws book and agent row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.actions import action_label
from kalshi_sim.features import FEATURES
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.tape import MarketSessionView, Tape
from kalshi_sim.units import money_per_cent
from kalshi_train.evaluation import kernels
from kalshi_train.evaluation.episodes import play_all
from kalshi_train.evaluation.played import Played
from kalshi_train.report.blocks import (
    DEFAULT_ROWS,
    MOST_AHEAD,
    SHARE_SCALE,
    STANDING_OUT,
    Z_SCALE,
    Block,
    book_of_rows,
)

if TYPE_CHECKING:
    from kalshi_train.evaluation.policies import Policy
    from kalshi_train.evaluation.result import Evaluation

_CHUNK: Final = 16_384


def book_block(tape: Tape, view: MarketSessionView) -> dict[str, Any]:
    """Times and the shown levels of both sides of a view.

    Args:
        tape: its rows are read.
        view: the market.

    Returns:
        What the page's script reads.
    """
    rows = view.rows
    return book_of_rows(tape.ts_ms[rows], tape.mark2[rows], *tape.book(rows))


def agent_block(played: Played, policy: Policy) -> dict[str, Any]:
    """What an agent held, wanted and did at each row, and what its network said.

    Args:
        played: an episode with detail.
        policy: what played it.
    """
    block = Block()
    detail = played.detail
    block.add("action", played.actions)
    block.add("position", played.position)
    block.add("equity2", played.equity2)
    block.add("cash", detail[:, kernels.D_CASH])
    for side in range(2):
        block.add(f"price{side}", detail[:, kernels.D_PRICE + side])
        block.add(f"size{side}", detail[:, kernels.D_SIZE + side])
        block.add(f"ahead{side}", np.minimum(detail[:, kernels.D_AHEAD + side], MOST_AHEAD))
    own = 0 if policy.features is None else len(policy.features)
    newest = played.observations.shape[1] - N_FEATURES - own
    top, distance = standing_out(played.observations[:, newest : newest + N_FEATURES])
    for k in range(top.shape[1]):
        block.add(f"feature{k}", top[:, k])
        block.add(f"z{k}", distance[:, k])
    extra: dict[str, Any] = {}
    said = network_says(policy, played.observations)
    if said is not None:
        shares, values = said
        for action in range(shares.shape[1]):
            block.add(f"p{action}", np.rint(shares[:, action] * SHARE_SCALE))
        scale = float(np.abs(values).max()) / 30_000 or 1.0
        block.add("value", np.rint(values / scale))
        extra["value_scale"] = scale
    fills = played.fills
    names = ("row", "side", "price", "qty", "fee", "maker")
    return {
        "rows": len(played.equity2),
        "actions": [action_label(name) for name in played.table.names],
        "standing_out": int(top.shape[1]),
        "has_network": said is not None,
        "fills": {n: fills[:, c].tolist() for c, n in enumerate(names)},
        **extra,
        **block.pack(),
    }


def standing_out(
    observations: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The features farthest from their mean at each row.

    Args:
        observations: float32 [rows, 52] of an episode.

    Returns:
        int64 [rows, k] features, farthest first, and int64 [rows, k] how far, in 1/Z_SCALE standard
        deviations.
    """
    mean = observations.mean(axis=0, dtype=np.float64)
    deviation = observations.std(axis=0, dtype=np.float64)
    moving = np.flatnonzero(deviation > 1e-6)
    k = min(STANDING_OUT, len(moving))
    top = np.zeros((len(observations), k), np.int64)
    distance = np.zeros((len(observations), k), np.int64)
    for begin in range(0, len(observations), _CHUNK):
        part = observations[begin : begin + _CHUNK, moving]
        z = (part - mean[moving]) / deviation[moving]
        if k < len(moving):
            far = np.argpartition(-np.abs(z), k, axis=1)[:, :k]
        else:
            far = np.broadcast_to(np.arange(k), (len(z), k))
        near = np.take_along_axis(z, far, axis=1)
        order = np.argsort(-np.abs(near), axis=1, kind="stable")
        top[begin : begin + _CHUNK] = moving[np.take_along_axis(far, order, axis=1)]
        sorted_z = np.take_along_axis(near, order, axis=1)
        distance[begin : begin + _CHUNK] = np.rint(np.clip(sorted_z * Z_SCALE, -127, 127))
    return top, distance


def network_says(
    policy: Policy, observations: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
    """What an actor-critic gives for each row of an episode.

    Args:
        policy: what was played.
        observations: float32 [rows, history * 52] of the episode.

    Returns:
        Action probabilities float32 [rows, actions] and values float32 [rows]; None if there are
        none for a single row: no actor-critic, or one that needs masks or a memory.
    """
    from stable_baselines3.common.policies import ActorCriticPolicy

    if policy.model is None or policy.begin is not None:
        return None
    if getattr(policy.model, "mask", False) is True:
        return None
    if not isinstance(policy.model.policy, ActorCriticPolicy):
        return None
    import torch

    network = policy.model.policy
    shares, values = [], []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several share a product by the machine's load, to other last bits
    try:
        with torch.no_grad():
            for begin in range(0, len(observations), _CHUNK):
                obs = torch.as_tensor(observations[begin : begin + _CHUNK], device=network.device)
                distribution: Any = network.get_distribution(obs).distribution
                shares.append(distribution.probs.cpu().numpy())
                values.append(network.predict_values(obs).cpu().numpy()[:, 0])
    finally:
        torch.set_num_threads(threads)
    return np.concatenate(shares), np.concatenate(values)


def make_replays(evaluation: Evaluation, rows: int | None) -> dict[str, Any]:
    """Books by view and agents by policy and view.

    The models' episodes under the chosen fill model (without a model the baselines'), markets of
    the largest profit or loss first where not all fit.

    Args:
        evaluation: what the page shows.
        rows: most rows of book in all; None for the default.

    Returns:
        What the page's script reads.
    """
    budget = DEFAULT_ROWS if rows is None else rows
    shown = [p for p in evaluation.policies if not evaluation.models or p.name in evaluation.models]
    first = evaluation.run(shown[0].name)
    order = sorted(
        range(len(first.episodes)),
        key=lambda i: (-abs(first.episodes[i].figures.profit_cents), i),
    )
    views: list[int] = []
    for i in order:
        length = len(evaluation.tape.views[i])
        if length <= budget:
            budget -= length
            views.append(i)
    views.sort()
    agents = []
    for policy in shown:

        def pack(played: Played, policy: Policy = policy) -> dict[str, Any]:
            return agent_block(played, policy)

        blocks = (
            play_all(
                evaluation.tape,
                evaluation.config,
                policy,
                pack,
                seed=evaluation.seed,
                views=views,
                detail=True,
            )
            if views
            else []
        )
        agents.append({"policy": policy.name, "views": dict(zip(views, blocks, strict=True))})
    return {
        "payout": evaluation.tape.payout,
        "cent": money_per_cent(evaluation.tape.payout),
        "depth": evaluation.tape.depth,
        "fill_model": evaluation.config.fill_model,
        "views": views,
        "left_out": len(order) - len(views),
        "books": {i: book_block(evaluation.tape, evaluation.tape.views[i]) for i in views},
        "agents": agents,
        "features": [{"name": f.name, "definition": f.definition} for f in FEATURES],
        "share_scale": SHARE_SCALE,
        "z_scale": Z_SCALE,
    }

"""Public methods of a card's batch in any order with any arguments, in a process of its own.

NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 python -m tests.support.card_any_order

Numba's simulator checks every index, so what a kernel reads or writes beyond its arrays is an error
that no gate raises.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from kalshi_sim import SimConfig, Tape, build_tape
from kalshi_sim.config import FillModel
from kalshi_sim.cuda.simulator import CudaSimulator
from kalshi_sim.cuda.torch_env import TorchVecEnv
from kalshi_sim.errors import KalshiSimError
from kalshi_sim.synthetic.session import generate_session

REFUSED = (KalshiSimError, ValueError, TypeError, RuntimeError, OverflowError)
"""What a gate raises; an IndexError is a kernel's."""
N = 3
STEPS = 250
NUMBERS: tuple[Any, ...] = (0, 1, 2, -1, 10**8, 2**63, 1.5, float("nan"), True, None, "1")


def actions(draw: random.Random) -> Any:
    """Actions of any kind, good ones more often."""
    if draw.random() < 0.6:
        return [draw.randrange(5) for _ in range(N)]
    return [draw.choice(NUMBERS) for _ in range(draw.randrange(5))]


def card_array(sim: CudaSimulator, draw: random.Random) -> Any:
    """Actions on the card, of any length and dtype."""
    size = draw.choice((N, N, N - 1, N + 1, 0))
    dtype = draw.choice((np.int64, np.int64, np.int32, np.float64))
    values = np.array([draw.choice((0, 1, 4, 99, -7)) for _ in range(2 * size)]).astype(dtype)
    strided = draw.random() < 0.2
    return sim._cuda.to_device(values[::2] if strided else values[:size])


def tensor(draw: random.Random) -> torch.Tensor:
    """The same as a tensor."""
    size = draw.choice((N, N, N - 1, N + 1))
    dtype = draw.choice((torch.int64, torch.int64, torch.int32, torch.float32))
    return torch.tensor([draw.choice((0, 1, 4, 99, -7)) for _ in range(size)], dtype=dtype)


def changed(state: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """A state with one entry missing, of another shape, or with any number in it."""
    state = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in state.items()}
    name = draw.choice(sorted(state))
    value = state[name]
    if not isinstance(value, np.ndarray) or not value.size or draw.random() < 0.3:
        state[name] = draw.choice(NUMBERS)
    elif draw.random() < 0.5:
        flat = value.reshape(-1)
        flat[draw.randrange(len(flat))] = draw.choice((0, 1, 5)) if value.dtype == bool else 10**6
    else:
        state[name] = value[:-1]
    return state


def play(tapes: list[Tape], model: FillModel, seed: int, outcomes: Counter[str]) -> None:
    """Call the methods of one configuration, and count what came of it."""
    draw = random.Random(seed)
    config = SimConfig(
        fill_model=model, random_start=bool(seed), max_episode_steps=6, record_fills=True
    )
    sim, other = (CudaSimulator(tape, N, config) for tape in tapes)
    env = TorchVecEnv(tapes[0], N, config)
    saved = [sim.get_simulation_state()]

    def restored() -> None:
        state = draw.choice(saved)
        sim.set_simulation_state(changed(state, draw) if draw.random() < 0.7 else state)

    def advanced() -> None:
        sim.advance(card_array(sim, draw))

    def stepped() -> None:
        sim.step(actions(draw), draw.choice((True, False)))

    calls: list[Callable[[], Any]] = [
        sim.reset,
        *[stepped, advanced, restored, lambda: env.step(tensor(draw))] * 2,
        lambda: sim.reset_one(draw.choice(NUMBERS), draw.choice((None, *NUMBERS))),
        lambda: sim.seed(draw.choice(NUMBERS)),
        sim.fetch_finished,
        sim.action_masks,
        sim.fills,
        sim.state,
        lambda: saved.append(sim.get_simulation_state()),
        lambda: saved.append(other.get_simulation_state()),
        other.reset,
        env.reset,
        env.action_masks,
        env.fetch_finished,
    ]
    for _ in range(STEPS):
        try:
            draw.choice(calls)()
            outcomes["done"] += 1
        except REFUSED:
            outcomes["refused"] += 1
    sim.close()
    for late in (stepped, advanced):
        try:
            late()
        except REFUSED:
            outcomes["refused late"] += 1


def main() -> None:
    """Call them, and fail on what no gate refused."""
    tapes = [
        build_tape([generate_session(1, markets=3, minutes=3, deltas=300, seed=seed)])
        for seed in (1, 2)
    ]
    outcomes: Counter[str] = Counter()
    play(tapes, "through", 0, outcomes)
    play(tapes, "queue", 1, outcomes)
    assert outcomes["done"] > STEPS // 2, outcomes
    assert outcomes["refused"] > STEPS // 3, outcomes
    assert outcomes["refused late"] == 4, outcomes


if __name__ == "__main__":
    main()

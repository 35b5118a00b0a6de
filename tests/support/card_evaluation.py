"""An evaluation as JSON, on a processor or a card (or Numba's simulator of one).

    NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 python -m tests.support.card_evaluation STORE

STORE holds session 1. Also a sweep whose episodes need more launches than one.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from stable_baselines3 import PPO

from kalshi_sim import KalshiVecEnv, SimConfig
from kalshi_sim.tape import Tape
from kalshi_sim.tape_cache import as_tape
from kalshi_train.evaluation import card_play, evaluate
from kalshi_train.evaluation.episodes import play_all
from kalshi_train.evaluation.played import Played
from kalshi_train.evaluation.policies import BASELINES, Policy, policy_from_model

RULES = SimConfig(actions="maker", fill_model="queue", latency_ms=50, history=2)
NAMES = ("random", "join-and-cancel", "skew-forecast", "momentum")


def network(tape: Tape) -> Policy:
    """A masked network of random weights, large enough that it does not hold all the time."""
    env = KalshiVecEnv(tape, 1, RULES)
    torch.manual_seed(1)
    kwargs: dict[str, Any] = {"policy_kwargs": {"net_arch": [6]}, "device": "cpu", "seed": 4}
    model = PPO("MlpPolicy", env, n_steps=2, batch_size=2, **kwargs)
    model.mask = True  # type: ignore[attr-defined]  # as our own PPO has it
    with torch.no_grad():
        for p in model.policy.parameters():
            p.mul_(30.0)
    return policy_from_model(model, "network")


def as_json(store: str, device: str) -> str:
    """What `evaluate` finds."""
    tape = as_tape(1, store)
    found = evaluate(network(tape), tape, RULES, baselines=NAMES, resamples=100, device=device)
    return json.dumps(found.to_json())


def whole(store: str, device: str) -> list[list[Any]]:
    """Everything of two markets' episodes, the later market first."""
    tape = as_tape(1, store)

    def use(played: Played) -> list[Any]:
        arrays = (played.actions, played.equity2, played.position, played.fills, played.core)
        return [played.index, played.truncated, *(a.tolist() for a in arrays)]

    policy = BASELINES["join-both-sides"]
    return play_all(tape, RULES, policy, use, views=[3, 1], n_threads=1, device=device)


def main() -> None:
    """Print the JSON, and that of episodes that are played a few rows and fills at a time."""
    store = sys.argv[1]
    print(as_json(store, "cuda"))
    played = [json.dumps(whole(store, "cuda"))]
    for rows, room in ((7, 1 << 27), (10_000, 1)):
        card_play.ROWS_A_LAUNCH, card_play.FILL_BYTES = rows, room  # type: ignore[misc]  # to try
        played.append(json.dumps(whole(store, "cuda")))
    assert len(set(played)) == 1
    print(played[0])
    assert all(episode[5] for episode in json.loads(played[0])), "nothing was filled"


if __name__ == "__main__":
    main()

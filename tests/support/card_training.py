"""`kalshi-train --device cuda` on a card or Numba's simulator of one, in a process of its own.

    NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 python -m tests.support.card_training STORE FOLDER

STORE holds session 1. What it trains goes into FOLDER.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO

from kalshi_sim import KalshiVecEnv, SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_sim.tape_cache import as_tape
from kalshi_train.cli.train import train_main
from kalshi_train.learner.card import CardA2C, CardPPO

COMMON = (
    *("--session", "1", "--device", "cuda", "--n-envs", "4", "--n-steps", "8", "--seed", "3"),
    *("--net-arch", "6", "--num-threads", "1", "--log-level", "WARNING", "--eval-freq", "64"),
    *("--save-freq", "32", "--eval-fraction", "0.3", "--no-progress"),
)
RUNS: dict[str, tuple[str, ...]] = {
    "ppo": (
        *("--algorithm", "ppo", "--batch-size", "16", "--n-epochs", "2", "--history", "2"),
        *("--actions", "maker", "--curriculum", "need", "--max-episode-steps", "20"),
    ),
    "a2c": ("--algorithm", "a2c", "--normalize", "--lr-schedule", "constant"),
}


def weights(path: Path) -> dict[str, torch.Tensor]:
    """Of a model, as plain Stable-Baselines3 opens it on a processor."""
    from stable_baselines3 import A2C

    kind: Any = A2C if "a2c" in str(path) else PPO
    found: dict[str, torch.Tensor] = kind.load(path, device="cpu").policy.state_dict()
    return found


def trained(store: str, folder: Path, *more: str) -> None:
    """A run of the command; its exit code must be 0."""
    arguments = ["--store", store, "--model-save-path", str(folder), *COMMON, *more]
    assert train_main(arguments) == 0, arguments


def one_go_or_two(store: str, folder: Path, name: str) -> None:
    """A run that was resumed has the bits of one that was not, and all that a run leaves."""
    whole, parts = folder / f"{name}-whole", folder / f"{name}-parts"
    trained(store, whole, "--total-timesteps", "96", *RUNS[name])
    trained(store, parts, "--total-timesteps", "64", *RUNS[name])
    trained(store, parts, "--total-timesteps", "96", *RUNS[name], "--resume-from", str(parts))
    first, second = (weights(f / "trained_model.zip") for f in (whole, parts))
    for key, value in first.items():
        assert torch.equal(value, second[key]), key
    results = [json.loads((f / "training_results.json").read_text()) for f in (whole, parts)]
    assert results[0]["markets"] == results[1]["markets"]
    assert results[0]["heldout"] == results[1]["heldout"]
    assert results[0]["config"]["device"] == "cuda"
    assert sum(m["episodes"] for m in results[0]["markets"]) > 0
    for part in ("best_model/best_model.zip", "eval_logs/evaluations.npz", "metrics.jsonl"):
        assert (whole / part).exists(), part
    assert any((whole / "tensorboard").rglob("events*"))


def same_as_on_a_processor(store: str) -> None:
    """The learner gives the same bits on a card's batch and on a processor's."""
    tape = as_tape(1, store)
    config = SimConfig(random_start=True, market_order="weighted", max_episode_steps=9)
    cases: list[tuple[Any, dict[str, Any]]] = [
        (CardPPO, {"batch_size": 16, "n_epochs": 1}),
        (CardA2C, {}),
    ]
    for kind, settings in cases:
        made = []
        for device in ("cpu", "cuda"):
            env = KalshiVecEnv(tape, 4, config, seed=1, device=device)
            model = kind(
                "MlpPolicy",
                env,
                n_steps=12,
                seed=2,
                device="cpu",
                mask=True,
                policy_kwargs={"net_arch": [6]},
                **settings,
            )
            model.learn(96)
            made.append(torch.cat([p.detach().flatten() for p in model.policy.parameters()]))
            made.append(torch.tensor([e["r"] for e in model.ep_info_buffer or ()]))
        assert torch.equal(made[0], made[2])
        assert torch.equal(made[1], made[3])
        assert len(made[1]) > 4


def too_large(store: str) -> str:
    """What a rollout that does not fit is refused with."""
    env = KalshiVecEnv(as_tape(1, store), 4, device="cuda")
    try:
        CardPPO("MlpPolicy", env, n_steps=1_000_000, batch_size=64, device="cpu")
    except ConfigError as error:
        return str(error)
    return ""


def main() -> None:
    """All of it; what a rollout that is too large is refused with goes to standard output."""
    store, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    for name in RUNS:
        one_go_or_two(store, folder, name)
    same_as_on_a_processor(store)
    obs = np.zeros((3, 104), np.float32)
    model = PPO.load(folder / "ppo-whole" / "trained_model.zip", device="cpu")
    assert model.predict(obs, deterministic=True)[0].shape == (3,)
    os.environ["KALSHI_SIM_CARD_MIB"] = "64"
    print("refused:", too_large(store))


if __name__ == "__main__":
    main()

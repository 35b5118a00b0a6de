"""Training and evaluation on a graphics card, for `bench_cuda`."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.figures import Figure, figure
from benchmarks.learns_edge import NEEDED, Arguments, run_one
from kalshi_sim import KalshiVecEnv, SimConfig, Tape
from kalshi_sim.cuda.target import SIMULATED
from kalshi_sim.cuda.torch_env import torch_device
from kalshi_train.defaults import ALGORITHM_DEFAULTS
from kalshi_train.evaluation import evaluate
from kalshi_train.learner.card import CardA2C, CardPPO

N_ENVS = 16 if SIMULATED else 65_536
ROUNDS = 1 if SIMULATED else 4
EDGE_STEPS = 256 if SIMULATED else 1 << 27
EDGE_SECONDS = 20.0
TRAINED = SimConfig(reward_scale=0.001, random_start=True)
KINDS: dict[str, Any] = {"ppo": CardPPO, "a2c": CardA2C}
AT_LEAST = 1e7


class Clock:
    """When rollouts begin and end, as a callback hears of it; the card has finished at each."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def mark(self) -> None:
        """Note the time."""
        if not SIMULATED:
            torch.cuda.synchronize()
        self.marks.append(time.perf_counter())


def rates(tape: Tape, algorithm: str, *, compiled: bool) -> tuple[list[float], list[float]]:
    """Steps a second of each rollout with its update, and of the rollout alone."""
    env = KalshiVecEnv(tape, N_ENVS, TRAINED, device="cuda")
    given = ALGORITHM_DEFAULTS[algorithm](N_ENVS, 8 if SIMULATED else None)
    settings = {k: v for k, v in given.items() if k != "ent_half_life"}
    if algorithm == "a2c":
        settings["use_rms_prop"] = False
    model = KINDS[algorithm](
        "MlpPolicy", env, seed=0, device=torch_device("cuda"), compiled=compiled, **settings
    )
    rollout = N_ENVS * model.n_steps
    model.learn(rollout)  # compiles, and is not timed
    clock = Clock()
    whole, collected = [], []
    collect = model.collect_rollouts

    def timed(*args: Any, **kwargs: Any) -> bool:
        clock.mark()
        done: bool = collect(*args, **kwargs)
        clock.mark()
        return done

    model.collect_rollouts = timed
    for _ in range(ROUNDS):
        clock.marks.clear()
        model.learn(rollout, reset_num_timesteps=False)
        clock.mark()
        begin, middle, end = clock.marks
        whole.append(rollout / (end - begin))
        collected.append(rollout / (middle - begin))
    env.close()
    return whole, collected


def learning(tape: Tape, group: str, card: str, algorithm: str) -> Iterator[Figure]:
    """How many steps a second a training makes, with the losses as they are and compiled."""
    for compiled in (False,) if SIMULATED else (False, True):
        whole, collected = rates(tape, algorithm, compiled=compiled)
        name = f"{card}, {algorithm.upper()}, {N_ENVS} environments" + ", compiled" * compiled
        target = None if SIMULATED else AT_LEAST
        yield figure(group, name, "env-steps/s", whole, at_least=target, headline=True)
        yield figure(group, f"{name}, rollout alone", "env-steps/s", collected)


def edge(group: str, card: str) -> Iterator[Figure]:
    """Whether the default PPO learns the planted edge, and how long its training takes."""
    small: dict[str, Any] = {"markets": 12, "minutes": 6} if SIMULATED else {}
    settings: dict[str, Any] = {"device": "cuda", "eval_freq": EDGE_STEPS, "save_freq": EDGE_STEPS}
    if SIMULATED:
        settings["n_steps"] = 8
    arguments = Arguments(settings=json.dumps(settings), total_timesteps=EDGE_STEPS, **small)
    case = {"edge": 0.5, "algorithm": "ppo", "seed": 0, "n_envs": N_ENVS}
    with tempfile.TemporaryDirectory() as folder:
        found = run_one(arguments, case, Path(folder))
        results = json.loads((Path(folder) / "training_results.json").read_text())
    trained = results["training_duration_seconds"] - results["evaluation_seconds"]
    share = found["share_of_best"] or 0.0
    name = f"{card}, planted edge, {N_ENVS} environments"
    most, least = (None, None) if SIMULATED else (EDGE_SECONDS, NEEDED)
    yield figure(group, f"{name}, training", "s", [trained], at_most=most)
    yield figure(group, f"{name}, share of the best policy", "", [share], at_least=least)


def evaluation(tape: Tape, group: str, card: str) -> Iterator[Figure]:
    """Seconds of the baselines' evaluation on both, whose JSON must be the same.

    Raises:
        AssertionError: it is not.
    """
    names = ("random", "join-and-cancel", "momentum")
    seconds, found = {}, {}
    for device in ("cuda", "cpu"):
        begin = time.perf_counter()
        made = evaluate(None, tape, SimConfig(), baselines=names, resamples=100, device=device)
        seconds[device] = time.perf_counter() - begin
        found[device] = json.dumps(made.to_json())
    assert found["cpu"] == found["cuda"], "the JSON of card and processor differ"
    for device, name in (("cuda", card), ("cpu", "the same machine's processor")):
        what = f"{name}, 3 baselines under 3 fill models"
        yield figure(group, what, "s", [seconds[device]])

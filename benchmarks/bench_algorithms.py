"""FastPPO and FastA2C against stock PPO and A2C, on an environment that costs nothing.

    python -m benchmarks.bench_algorithms [--repeats 5] [--only a2c] [--json]
    python -m benchmarks.bench_algorithms --threads 1 --cpu-time

Both are measured in turn within one run, so that whatever else the machine does meets both alike;
what to read is the ratio, of which the median and the range over the pairs are given. On a machine
that is busy otherwise, the second form compares the processor time one thread needs.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch as th
from stable_baselines3 import A2C, PPO

from benchmarks.null_env import NullVecEnv
from kalshi_train.learner.algorithms import FastA2C, FastPPO

PAIRS: dict[str, tuple[type[Any], type[Any]]] = {"PPO": (PPO, FastPPO), "A2C": (A2C, FastA2C)}


@dataclass(frozen=True)
class Case:
    """One set of settings and how many rollouts are timed at once."""

    algorithm: str
    n_envs: int
    n_steps: int
    rollouts: int
    batch_size: int | None = None
    n_epochs: int | None = None

    @property
    def name(self) -> str:
        text = f"{self.algorithm} {self.n_envs} envs x {self.n_steps} steps"
        if self.n_epochs is not None:
            text += f", batch {self.batch_size}, {self.n_epochs} epochs"
        return text

    @property
    def steps(self) -> int:
        return self.n_envs * self.n_steps * self.rollouts

    def model(self, algorithm: type[Any]) -> Any:
        settings = {"batch_size": self.batch_size, "n_epochs": self.n_epochs}
        given = {name: value for name, value in settings.items() if value is not None}
        env = NullVecEnv(self.n_envs)
        return algorithm("MlpPolicy", env, n_steps=self.n_steps, seed=0, device="cpu", **given)


CASES = [
    Case("PPO", 1024, 64, 1, 8192, 10),
    Case("PPO", 1024, 64, 2, 8192, 4),
    Case("PPO", 64, 64, 5, 512, 10),
    Case("PPO", 64, 1024, 1, 8192, 10),
    Case("PPO", 4096, 32, 1, 32_768, 4),
    Case("A2C", 4096, 5, 12),
    Case("A2C", 1024, 5, 50),
    Case("A2C", 64, 5, 200),
]


@dataclass(frozen=True)
class Row:
    """Steps per second of both, medians, and their ratio over the pairs of one run."""

    case: str
    stock: float
    fast: float
    ratio: float
    ratio_low: float
    ratio_high: float


def measure(case: Case, repeats: int, clock: Callable[[], float] = time.perf_counter) -> Row:
    """Time stock and fast in turn, `repeats` times each, after one untimed run."""

    def rate(model: Any) -> float:
        start = clock()
        model.learn(case.steps)
        return case.steps / (clock() - start)

    stock, fast = (case.model(algorithm) for algorithm in PAIRS[case.algorithm])
    rate(stock)
    rate(fast)
    pairs = [(rate(stock), rate(fast)) for _ in range(repeats)]
    ratios = [quick / slow for slow, quick in pairs]
    median = statistics.median
    return Row(
        case.name,
        median(slow for slow, _ in pairs),
        median(quick for _, quick in pairs),
        median(ratios),
        min(ratios),
        max(ratios),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--threads", type=int, help="torch's threads; as torch chooses if absent")
    parser.add_argument("--cpu-time", action="store_true", help="processor time, not wall clock")
    args = parser.parse_args()
    if args.threads is not None:
        th.set_num_threads(args.threads)
    clock = time.process_time if args.cpu_time else time.perf_counter
    cases = [case for case in CASES if args.only.lower() in case.name.lower()]
    if args.json:
        rows = [asdict(measure(case, args.repeats, clock)) for case in cases]
        print(json.dumps(rows, indent=2))
        return
    print(f"{platform.processor() or platform.machine()}, torch {th.__version__}")
    print(f"{th.get_num_threads()} torch threads, {args.repeats} runs of each in turn\n")
    print("| settings | stock steps/s | fast steps/s | ratio | lowest to highest |")
    print("|---|---:|---:|---:|---:|")
    for case in cases:
        row = measure(case, args.repeats, clock)
        spread = f"{row.ratio_low:.2f} to {row.ratio_high:.2f}"
        rates = f"{row.stock:,.0f} | {row.fast:,.0f}"
        print(f"| {row.case} | {rates} | {row.ratio:.2f} | {spread} |", flush=True)


if __name__ == "__main__":
    main()

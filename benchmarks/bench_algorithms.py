"""FastPPO and FastA2C against stock PPO and A2C, on an environment that costs nothing.

    python -m benchmarks.bench_algorithms [--repeats 5] [--only a2c] [--json]

Both are measured in turn within one run, so that whatever else the machine does meets both alike;
what to read is the ratio, of which the median and the range over the pairs are given.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch as th
from stable_baselines3 import A2C, PPO

from benchmarks.null_env import NullVecEnv
from kalshi_train.algorithms import FastA2C, FastPPO

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


def _rate(model: Any, steps: int) -> float:
    start = time.perf_counter()
    model.learn(steps)
    return steps / (time.perf_counter() - start)


def measure(case: Case, repeats: int) -> Row:
    """Time stock and fast in turn, `repeats` times each, after one untimed run."""
    stock, fast = (case.model(algorithm) for algorithm in PAIRS[case.algorithm])
    _rate(stock, case.steps)
    _rate(fast, case.steps)
    pairs = [(_rate(stock, case.steps), _rate(fast, case.steps)) for _ in range(repeats)]
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
    args = parser.parse_args()
    rows = [measure(c, args.repeats) for c in CASES if args.only.lower() in c.name.lower()]
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    print(f"{platform.processor() or platform.machine()}, torch {th.__version__}")
    print(f"{th.get_num_threads()} torch threads, {args.repeats} runs of each in turn\n")
    print("| settings | stock steps/s | fast steps/s | ratio | lowest to highest |")
    print("|---|---:|---:|---:|---:|")
    for row in rows:
        spread = f"{row.ratio_low:.2f} to {row.ratio_high:.2f}"
        print(f"| {row.case} | {row.stock:,.0f} | {row.fast:,.0f} | {row.ratio:.2f} | {spread} |")


if __name__ == "__main__":
    main()

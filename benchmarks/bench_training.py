"""Training: PPO and A2C on KalshiVecEnv against the environment that does nothing.

    python -m benchmarks.bench_training [--full]

Equal settings, in turn in one run, with stable-baselines3's algorithms and with ours; then ours
against theirs on the environment that does nothing (`bench_algorithms`).
"""

from __future__ import annotations

from typing import Any

from benchmarks import bench_algorithms, sessions
from benchmarks.bench_algorithms import CASES, PAIRS, Case
from benchmarks.figures import Figure, figure, in_turn, main, ratios
from benchmarks.null_env import NullVecEnv
from kalshi_sim import KalshiVecEnv, SimConfig, Tape
from kalshi_train.learner.algorithms import FastPPO

GROUP = "Training"
FAST = "Training, fast against stock"
N_ENVS = 1024
ROUNDS = 5
SHARE_ROUNDS = 11
"""A share near 1 needs more turns than a ratio of 2."""
SHARE = {"PPO": 0.97, "A2C": 0.90}
FASTER = 1.3
CONFIG = SimConfig(random_start=True, reward_scale=0.01)


def _model(case: Case, algorithm: type[Any], env: Any) -> Any:
    settings = {"batch_size": case.batch_size, "n_epochs": case.n_epochs}
    given = {name: value for name, value in settings.items() if value is not None}
    return algorithm("MlpPolicy", env, n_steps=case.n_steps, seed=0, device="cpu", **given)


def _share(case: Case, tape: Tape, algorithm: type[Any]) -> list[Figure]:
    """Steps per second on the tape, and as a share of those on nothing."""
    env = KalshiVecEnv(tape, case.n_envs, CONFIG, seed=0)
    models = [_model(case, algorithm, e) for e in (NullVecEnv(case.n_envs), env)]
    nothing, trading = in_turn([lambda m=m: m.learn(case.steps) for m in models], SHARE_ROUNDS)  # type: ignore[misc]  # a bound m
    env.close()
    whose = "ours" if algorithm.__name__.startswith("Fast") else "stock"
    what = f"{case.name}, {whose}"
    rates = [case.steps / t for t in trading]
    share = figure(
        GROUP,
        f"{what}: share of the speed on nothing",
        "×",
        ratios(nothing, trading),
        at_least=SHARE[case.algorithm],
        headline=True,
    )
    return [figure(GROUP, what, "steps/s", rates, headline=True), share]


def _faster(case: Case) -> Figure:
    """Our algorithm against stock on nothing."""
    row = bench_algorithms.measure(case, ROUNDS)
    return Figure(
        FAST,
        f"{row.case}: ours {row.fast:,.0f} steps/s, stock {row.stock:,.0f}",
        "×",
        row.ratio,
        row.ratio_low,
        row.ratio_high,
        ROUNDS,
        at_least=FASTER,
        headline=True,
    )


def _as_today(tape: Tape) -> list[Figure]:
    """Stock PPO with its defaults on one gymnasium environment, as most people start."""
    from stable_baselines3 import PPO

    from kalshi_sim import MarketAgnosticKalshiEnv

    steps = 2048
    env = MarketAgnosticKalshiEnv(tape, CONFIG)
    ours = KalshiVecEnv(tape, N_ENVS, CONFIG, seed=0)
    case = next(c for c in CASES if c.algorithm == "PPO" and c.n_envs == N_ENVS)
    models = [PPO("MlpPolicy", env, seed=0, device="cpu"), _model(case, FastPPO, ours)]
    times = in_turn([lambda: models[0].learn(steps), lambda: models[1].learn(case.steps)], 3)
    ours.close()
    rates = [[n / t for t in ts] for n, ts in zip((steps, case.steps), times, strict=True)]
    return [
        figure(
            GROUP,
            "PPO, stock, with its defaults on one gymnasium environment",
            "steps/s",
            rates[0],
            headline=True,
        ),
        figure(GROUP, f"{case.name}, ours ÷ that", "×", ratios(rates[1], rates[0]), headline=True),
    ]


def measure(full: bool) -> list[Figure]:
    tape = sessions.tape(sessions.main_name())
    wide = [c for c in CASES if c.n_envs == N_ENVS]
    out = [
        f
        for case in wide
        for algorithm in PAIRS[case.algorithm]
        for f in _share(case, tape, algorithm)
    ]
    out += _as_today(tape)
    return out + [_faster(case) for case in CASES]


if __name__ == "__main__":
    main(measure, __doc__)

"""Steps on a graphics card: equal to the processor's first, then how many a second.

    python -m benchmarks.bench_cuda [--full]
    NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 python -m benchmarks.bench_cuda    # tries the script

The tape is that of the largest recording at hand, else a generated one. Actions are random numbers
of the card; nothing is copied to the host while time is taken. The whole of it takes minutes on a
card, compilation included; a name of a figure says which card.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from benchmarks import sessions
from benchmarks.figures import Figure, figure, main
from kalshi_sim import BatchSimulator, SimConfig, Tape, build_tape
from kalshi_sim.cuda.target import SIMULATED, require_card
from kalshi_sim.cuda.torch_env import TorchVecEnv
from kalshi_sim.synthetic.session import generate_session

GROUP = "On a graphics card"
GATES = (
    SimConfig(random_start=True),
    SimConfig(fill_model="prob", pricing="improve", latency_ms=100, market_order="shuffle"),
    SimConfig(actions="maker", fill_model="touch"),
)
GATE_ENVS, GATE_STEPS = (8, 6) if SIMULATED else (4096, 40)
QUICK = (16,) if SIMULATED else (4096, 65_536, 262_144)
FULL = (16,) if SIMULATED else (*QUICK, 1_048_576)
ROUNDS = 2 if SIMULATED else 7
ROUND_STEPS = 2 if SIMULATED else 200
AT_LEAST = {262_144: 4e8}


def check_equal(tape: Tape, config: SimConfig) -> None:
    """The same actions give the same rewards, ends, observations and states on both.

    Raises:
        AssertionError: they do not; the message says what differs.
    """
    env = TorchVecEnv(tape, GATE_ENVS, config, seed=3)
    twin = BatchSimulator(tape, GATE_ENVS, config, 3, n_threads=1)
    np.testing.assert_array_equal(env.reset().cpu().numpy(), twin.reset(), "first observations")
    rng = np.random.default_rng(0)
    for step in range(GATE_STEPS):
        actions = rng.integers(0, env.n_actions, GATE_ENVS)
        seen, rewards, ended, cut = env.step(torch.from_numpy(actions).to(env.device))
        wanted = twin.step(actions)
        said = f"step {step}: "
        np.testing.assert_array_equal(rewards.cpu().numpy(), wanted[1], said + "rewards")
        over = (ended | cut).cpu().numpy()
        np.testing.assert_array_equal(over, wanted[2] != 0, said + "ends")
        np.testing.assert_allclose(
            seen.cpu().numpy(), wanted[0], rtol=0, atol=2**-23, err_msg=said + "observations"
        )
    kept = env.simulator.state()
    for name, values in twin.state().items():
        np.testing.assert_array_equal(kept[name], values, name)
    env.close()
    twin.close()


def rates(tape: Tape, n_envs: int) -> list[float]:
    """Environment steps a second of each round; the card has finished where a clock is read."""
    env = TorchVecEnv(tape, n_envs, GATES[0], seed=0)
    env.reset()
    actions = torch.randint(env.n_actions, (16, n_envs), device=env.device)
    found = []
    for _ in range(1 + ROUNDS):
        _wait()
        start = time.perf_counter()
        for step in range(ROUND_STEPS):
            env.step(actions[step & 15])
        _wait()
        found.append(n_envs * ROUND_STEPS / (time.perf_counter() - start))
        env.fetch_finished()
    env.close()
    return found[1:]


def _wait() -> None:
    if not SIMULATED:
        torch.cuda.synchronize()


def _tape() -> Tape:
    if SIMULATED:
        return build_tape([generate_session(1, markets=4, minutes=5, seed=1)])
    return sessions.tape(sessions.main_name())


def measure(full: bool) -> list[Figure]:
    """Equality first; then steps a second by size of the batch."""
    require_card()
    tape = _tape()
    for config in GATES:
        check_equal(tape, config)
    card = "Numba's simulator" if SIMULATED else torch.cuda.get_device_name()
    return [
        figure(
            GROUP,
            f"{card}, {n_envs} environments, random",
            "env-steps/s",
            rates(tape, n_envs),
            at_least=None if SIMULATED else AT_LEAST.get(n_envs),
            headline=True,
        )
        for n_envs in (FULL if full else QUICK)
    ]


if __name__ == "__main__":
    main(measure, __doc__)

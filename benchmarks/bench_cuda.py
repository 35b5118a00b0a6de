"""A graphics card: equal to the processor first, then how fast it steps, learns and evaluates.

    python -m benchmarks.bench_cuda [--full]
    NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 python -m benchmarks.bench_cuda    # tries the script

The tapes are those of the recordings at hand, else a generated one. Each stage says what it found
as soon as it has it, and has a limit of its own: all of them together stay under 15 minutes, the
compilation of the kernels included. A stage that fails or runs out of time is reported, and the
next one begins; the exit code is then 1. Actions of the rates are random numbers of the card, and
nothing is copied to the host while time is taken. A name of a figure says which card.
"""

from __future__ import annotations

import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import FrameType

import numpy as np
import torch

from benchmarks import cuda_learning, sessions
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
        return build_tape([generate_session(1, markets=4, minutes=5, deltas=400, seed=1)])
    return sessions.tape(sessions.main_name())


def _equal(tape: Tape) -> Iterator[Figure]:
    others = [] if SIMULATED else [n for n in sessions.recorded_names() if n != "NBA"]
    for one in (tape, *map(sessions.tape, others)):
        for config in GATES:
            check_equal(one, config)
            print(f"  equal: {one!r}, {config.fill_model}", flush=True)
    return iter(())


def _stepping(tape: Tape, card: str, sizes: Iterable[int]) -> Iterator[Figure]:
    for n_envs in sizes:
        least = None if SIMULATED else AT_LEAST.get(n_envs)
        name, values = f"{card}, {n_envs} environments, random", rates(tape, n_envs)
        yield figure(GROUP, name, "env-steps/s", values, at_least=least, headline=True)


@dataclass
class Stages:
    """Stages one after the other, each with its limit."""

    found: list[Figure]
    failed: int = 0

    def run(self, name: str, limit: int, work: Callable[[], Iterable[Figure]]) -> None:
        """Run one; what it gives is shown at once.

        Args:
            name: of the stage.
            limit: seconds it may take.
            work: gives figures.
        """
        print(f"{name} (at most {limit} s)", flush=True)
        begin = time.perf_counter()
        try:
            with limited(limit):
                for f in work():
                    self.found.append(f)
                    missed = "" if f.reached in (None, True) else "  BELOW ITS TARGET"
                    print(f"  {f.name}: {f.median:,.4g} {f.unit}{missed}", flush=True)
        except Exception:  # the next stage can still say something
            self.failed += 1
            traceback.print_exc()
        print(f"  {time.perf_counter() - begin:.0f} s", flush=True)


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the block after so many seconds."""

    def over(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def measure(full: bool) -> list[Figure]:
    """All stages."""
    require_card()
    card = "Numba's simulator" if SIMULATED else torch.cuda.get_device_name()
    print(card, flush=True)
    tape, stages = _tape(), Stages([])
    stages.run("equality with the processor", 300, lambda: _equal(tape))
    stages.run("steps", 60, lambda: _stepping(tape, card, FULL if full else QUICK))
    for name in ("ppo", "a2c"):
        learning = partial(cuda_learning.learning, tape, GROUP, card, name)
        stages.run(f"{name} end to end", 120, learning)
    stages.run("planted edge", 150, lambda: cuda_learning.edge(GROUP, card))
    stages.run("evaluation", 120, lambda: cuda_learning.evaluation(tape, GROUP, card))
    if stages.failed:
        sys.exit(1)
    return stages.found


if __name__ == "__main__":
    main(measure, __doc__)

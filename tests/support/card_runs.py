"""What a batch makes of given actions, on a processor or a card, as arrays to be compared.

    NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 python -m tests.support.card_runs CASES OUT

runs pickled cases on the card (or Numba's simulator of one) and pickles what came out.
"""

from __future__ import annotations

import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kalshi_sim import BatchSimulator, Session, SimConfig, Tape, build_tape
from kalshi_sim.cuda.simulator import CudaSimulator

ENVS = 5
Record = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Case:
    """A batch on a session's tape, and what it does."""

    session: Session
    config: SimConfig
    seed: int
    actions: npt.NDArray[np.int64]
    """[steps, ENVS]"""
    depth: int = 10
    interval: int = 1
    weights: tuple[float, ...] = ()
    divided: bool = False


def tape_of(case: Case) -> Tape:
    """The tape a case is played on."""
    return build_tape(
        [case.session], min_episode_length=3, depth=case.depth, row_interval_ms=case.interval
    )


def run_case(case: Case, on_card: bool) -> Record:
    """Every step of a case: what it gave, the agents, the masks, what finished, the fills."""
    tape = tape_of(case)
    sim: Any = (CudaSimulator if on_card else BatchSimulator)(tape, ENVS, case.config, case.seed)
    if case.weights:
        sim.schedule.set_weights(np.resize(case.weights, len(tape.views)))
    if case.divided:
        sim.schedule.set_order(np.arange(len(tape.views)), divided=True)
    out: dict[str, list[npt.NDArray[Any]]] = {}

    def keep(**arrays: Any) -> None:
        for name, array in arrays.items():
            out.setdefault(name, []).append(_host(array).copy())

    keep(reset=sim.reset())
    for k, actions in enumerate(case.actions):
        keep(masks=sim.action_masks())
        obs, rewards, done, finished = sim.step(actions)
        keep(obs=obs, rewards=rewards, done=done, core=sim.host_core())
        keep(consumed=sim.agents.consumed)
        if finished is not None:
            keep(envs=finished.envs, ended=finished.core, last=finished.observations)
            keep(truncated=finished.truncated)
        if k == len(case.actions) // 2:  # going on from a saved state changes nothing
            sim.set_simulation_state(sim.get_simulation_state())
    fills = sim.fills()
    keep(fills=np.asarray(fills), views=fills.views)
    return {name: np.concatenate(arrays) for name, arrays in out.items()}


def _host(array: Any) -> npt.NDArray[Any]:
    return np.asarray(array.copy_to_host() if hasattr(array, "copy_to_host") else array)


def main() -> None:
    """Run the cases of a file on the card."""
    cases: list[Case] = pickle.loads(Path(sys.argv[1]).read_bytes())
    made = [run_case(case, on_card=True) for case in cases]
    Path(sys.argv[2]).write_bytes(pickle.dumps(made))


if __name__ == "__main__":
    main()

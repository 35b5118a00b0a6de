"""Tapes and steps have the bits they had: their digests on recordings and a generated session.

What a tape or a step gives may only change together with the contract. Then, and only then, the
digests are to be renewed: `python -m tests.simulation.test_equal_bits FOLDER_OF_RECORDINGS`.
"""

from __future__ import annotations

import hashlib
import sys
from itertools import product
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt
import pytest

from kalshi_sim import BatchSimulator, Session, SimConfig, Tape, build_tape
from kalshi_sim.config import FillModel, Pricing
from kalshi_sim.synthetic.session import generate_session
from tests.support.modes import INTERPRETED
from tests.support.recorded import Recorded

pytestmark = pytest.mark.kernel

N_ENVS = 8
STEPS = 250
LATENCIES = (0, 100)
ARRAYS = ("ts_ms", "px", "qty", "mark2", "features", "flow_offsets", "flow", "states")
RECORDINGS = ("mixed",) if INTERPRETED else ("mixed", "ufc", "btc")
"""Without compilation, importing the large recordings takes too long."""

GOLDEN: Final = {
    "mixed tape": "aec9277f78a172db",
    "mixed through": "d549c35b6488c611",
    "mixed queue": "d549c35b6488c611",
    "mixed prob": "313c05766c579649",
    "mixed touch": "3546308686629f37",
    "ufc tape": "7e769ace2a317708",
    "ufc through": "607c0f8f28fda4a7",
    "ufc queue": "ba6f9380365904ba",
    "ufc prob": "1ecd13e7fc2d04fb",
    "ufc touch": "d7ff9d19f1088067",
    "btc tape": "f4f6b9afcd02d0cd",
    "btc through": "a3694eec5038e9eb",
    "btc queue": "41b377fca0592749",
    "btc prob": "b303cb9a0398abb2",
    "btc touch": "8db093f18a96bcf3",
    "generated tape": "71dc18b58d48cf84",
    "generated through": "ab1f2ce012ca2577",
    "generated queue": "f842e0ba36051b84",
    "generated prob": "b318e02fe7d994b6",
    "generated touch": "87e8618690c9290d",
}


def generated() -> Session:
    """A session that every machine has."""
    return generate_session(1, markets=4, minutes=5, deltas=2_000, seed=4)


def digest(*arrays: npt.NDArray[Any]) -> str:
    """A digest of the shapes, types and bits of arrays."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(repr((array.dtype.str, array.shape)).encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def digests(name: str, session: Session) -> dict[str, str]:
    """Of the tape's arrays, and of steps under each fill model."""
    tape = build_tape([session])
    made = {f"{name} tape": digest(*(getattr(tape, array) for array in ARRAYS))}
    for fill_model in get_args(FillModel):
        parts: list[npt.NDArray[Any]] = []
        for k, (pricing, latency) in enumerate(product(get_args(Pricing), LATENCIES)):
            config = SimConfig(
                fill_model=fill_model,
                pricing=pricing,
                latency_ms=latency,
                random_start=True,
                record_fills=True,
                valuation="mid" if k % 2 else "liquidation",
            )
            parts += played(tape, config, seed=k)
        made[f"{name} {fill_model}"] = digest(*parts)
    return made


def played(tape: Tape, config: SimConfig, seed: int) -> list[npt.NDArray[Any]]:
    """Everything that random actions lead to."""
    simulator = BatchSimulator(tape, N_ENVS, config, seed=seed, n_threads=1)
    rng = np.random.default_rng(seed)
    parts: list[npt.NDArray[Any]] = [simulator.reset().copy()]
    for _ in range(STEPS):
        actions = rng.integers(0, 5, N_ENVS) * (rng.random(N_ENVS) < 0.5)
        parts.append(simulator.action_masks())
        observations, rewards, done, finished = simulator.step(actions)
        parts += [observations.copy(), rewards.copy(), done.copy()]
        if finished is not None:
            parts += [finished.core, finished.observations]
    state = simulator.state()
    fills = simulator.fills()
    names = fills.dtype.names or ()
    return parts + [state[key] for key in sorted(state)] + [fills[n] for n in names]


def expected(name: str) -> dict[str, str]:
    """The digests of one session."""
    return {key: value for key, value in GOLDEN.items() if key.split()[0] == name}


@pytest.mark.parametrize("name", RECORDINGS)
def test_recordings_have_the_bits_they_had(name: str, recorded: Recorded) -> None:
    assert digests(name, recorded.session(name)) == expected(name)


def test_a_generated_session_has_the_bits_it_had() -> None:
    assert digests("generated", generated()) == expected("generated")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store = Recorded(Path(sys.argv[1]), Path(folder) / "recorded")
        named = [(name, store.session(name)) for name in ("mixed", "ufc", "btc")]
    for known in (*named, ("generated", generated())):
        for key, value in digests(*known).items():
            print(f'    "{key}": "{value}",')

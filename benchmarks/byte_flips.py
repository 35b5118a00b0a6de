"""Damage files we wrote, at random: each time it must be found, or be without effect.

    python -m benchmarks.byte_flips 10000

Tapes, Parquet sessions, checkpoints, plain models and config.json take turns. Of ten times a bit is
flipped eight times, the file is cut short once, and once bytes are appended. Prints how often that
was found and how often it was without effect (what is read is equal), and fails on anything else.
"""

from __future__ import annotations

import logging
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from kalshi_sim import KalshiVecEnv, open_store
from kalshi_sim.errors import KalshiSimError
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.tape_cache import _ARRAYS, open_tape, save_tape
from kalshi_train.config import TrainConfig
from kalshi_train.config_file import write_settings
from kalshi_train.models import model_weights
from kalshi_train.training.checkpoints import read_checkpoint, write_checkpoint

Case = tuple[str, list[Path], Callable[[], Any]]
"""A name, the files of one thing, and what reading it gives, comparable."""


def cases(folder: Path) -> list[Case]:
    """One thing of each kind."""
    from stable_baselines3 import PPO

    from kalshi_sim import build_tape

    session = generate_session(1, markets=6, minutes=10, seed=1)
    store = open_store(folder / "store")
    store.save(session)
    tape = build_tape([session])
    save_tape(tape, folder / "tape")
    model = PPO("MlpPolicy", KalshiVecEnv(tape, 2), n_steps=8, batch_size=8, device="cpu")
    checkpoint = folder / "model_8_steps.zip"
    write_checkpoint(checkpoint, model, {"config": {}}, {"a": np.arange(9)})
    plain = folder / "plain.zip"
    model.save(plain)
    config = folder / "config.json"
    write_settings(config, TrainConfig(session=1).to_json())

    def parquet() -> Any:
        loaded = store.load(1)
        columns = [getattr(loaded.events, n).tobytes() for n in loaded.events.__dataclass_fields__]
        return columns, loaded.markets, loaded.quality, store.list_sessions(), store.fingerprint(1)

    def tapes() -> Any:
        opened = open_tape(folder / "tape")
        arrays = [np.asarray(getattr(opened, name)).tobytes() for name in _ARRAYS]
        return arrays, opened.views, opened.skipped, opened.payout, opened.depth

    def checkpoints() -> Any:
        found = read_checkpoint(checkpoint)
        return found.run, {k: v.tobytes() for k, v in found.arrays.items()}

    def models() -> Any:
        weights = model_weights(plain, "cpu")["policy"]
        return {name: values.numpy().tobytes() for name, values in weights.items()}

    return [
        ("tape", sorted((folder / "tape").iterdir()), tapes),
        ("parquet", list((folder / "store").iterdir()), parquet),
        ("checkpoint", [checkpoint], checkpoints),
        ("model", [plain], models),
        ("config", [config], lambda: TrainConfig.from_file(config)),
    ]


def damaged(content: bytes, rng: random.Random) -> bytes:
    """A file with a bit flipped, or cut short, or with bytes appended."""
    how = rng.randrange(10)
    if how == 0:
        return content[: rng.randrange(len(content))]
    if how == 1:
        return content + rng.randbytes(rng.randrange(1, 100))
    changed = bytearray(content)
    changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def damage(case: Case, good: Any, rng: random.Random) -> str:
    """Damage one file, read, put it back; what came of it."""
    _, files, read = case
    path = rng.choice(files)
    content = path.read_bytes()
    path.write_bytes(damaged(content, rng))
    try:
        return "without effect" if read() == good else "TAKEN"
    except (KalshiSimError, msgspec.MsgspecError):
        return "found"
    except ValueError as error:  # of a tape, which load_tape then builds anew
        return "found" if "damaged" in str(error) else f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        path.write_bytes(content)


def main() -> int:
    """Damage as often as the command line says; 1 if any was taken for content."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    logging.disable(logging.WARNING)
    rng = random.Random(0)
    outcomes: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as name:
        made = cases(Path(name))
        good = {case[0]: case[2]() for case in made}
        for k in range(times):
            case = made[k % len(made)]
            outcomes[case[0], damage(case, good[case[0]], rng)] += 1
    for (kind, outcome), count in sorted(outcomes.items()):
        print(f"{kind:<12}{outcome:<40}{count:>8,}")
    return int(any(o not in ("found", "without effect") for _, o in outcomes))


if __name__ == "__main__":
    sys.exit(main())

"""Damage files we wrote, at random: each time it must be found, or be without effect.

    python -m benchmarks.byte_flips 14000

Tapes, Parquet sessions, checkpoints, plain models, config.json and segments of a recorder (one
that was ended, one that a kill cut short) take turns. Of ten times a bit is flipped eight times,
the file is cut short once, and once bytes are appended. Prints how often that was found, how often
it was without effect (what is read is equal), and how often a segment was read up to the damage
and a note said so; fails on anything else.
"""

from __future__ import annotations

import json
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from kalshi_sim import KalshiVecEnv, open_store
from kalshi_sim.errors import KalshiSimError
from kalshi_sim.events import EventKind
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.export import export_captures
from kalshi_sim.ingest.segments import Header, connection_number, frame_line
from kalshi_sim.live.recorder.writer import SegmentWriter, WriterOptions
from kalshi_sim.synthetic.session import generate_session
from kalshi_sim.tape_files import ARRAYS, open_tape, save_tape
from kalshi_train.config import TrainConfig
from kalshi_train.config_file import write_settings
from kalshi_train.models import model_weights
from kalshi_train.training.checkpoints import read_checkpoint, write_checkpoint

RIGHT: Final = ("found", "without effect", "cut short, and said")
"""What may come of damage."""
_SYNCED: Final = b"\0\0\xff\xff"
"""Ends what a recorder writes at once."""
_BEGUN_NS: Final = 1_775_145_600_000_000_000
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
        arrays = [np.asarray(getattr(opened, name)).tobytes() for name in ARRAYS]
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
        *segments(folder),
    ]


@dataclass
class Part:
    """What was read of a segment, which may be cut short: its beginning, with a note."""

    rows: dict[str, list[tuple[int, ...]]]
    """Events of each market, but for gaps."""
    notes: tuple[str, ...]

    def is_said_of(self, whole: Part) -> bool:
        """Whether it is the beginning of `whole`, and a note says that there was more."""
        begins = all(rows == whole.rows[name][: len(rows)] for name, rows in self.rows.items())
        return begins and any("not ended" in note for note in {*self.notes} - {*whole.notes})


def segments(folder: Path) -> list[Case]:
    """A segment of generated markets that was ended, and one that a kill cut short."""
    made = export_captures(generate_session(1, markets=6, minutes=10, seed=1), folder / "c.jsonl")
    header = Header(run=0, number=0, began_ns=0, url="ws://127.0.0.1/", use_yes_price=False)
    options = WriterOptions(flush_seconds=0.02, floor_bytes=0)
    writer = SegmentWriter(folder / "recording", header, options)
    for nth, line in enumerate(made.files[0].read_bytes().splitlines()):
        record = json.loads(line)
        frame = record["raw"].encode() if "raw" in record else line
        writer.put(frame_line(_BEGUN_NS + nth, nth, connection_number(1, 1), frame))
        if nth % 80 == 0:  # so that there are several checksums
            time.sleep(0.1)
    writer.close()
    (ended,) = writer.written.segments
    killed = folder / f"killed-{ended.name}"
    content = ended.read_bytes()
    killed.write_bytes(content[: content.rindex(_SYNCED) + len(_SYNCED)])

    def reading(path: Path) -> Callable[[], Part]:
        def read() -> Part:
            loaded = import_captures([path], session_id=1)
            rows = {}
            for i, market in enumerate(loaded.markets):
                events = loaded.events[loaded.market_offsets[i] : loaded.market_offsets[i + 1]]
                events = events[events.kind != EventKind.GAP]
                names = [n for n in events.__dataclass_fields__ if n != "frame"]  # gaps count, too
                columns = [getattr(events, name).tolist() for name in names]
                rows[market.ticker] = list(zip(*columns, strict=True))
            return Part(rows, loaded.quality.notes)

        return read

    return [("segment", [ended], reading(ended)), ("killed segment", [killed], reading(killed))]


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
        found = read()
        if found == good:
            return "without effect"
        if isinstance(found, Part) and found.is_said_of(good):
            return "cut short, and said"
        return "TAKEN"
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
        print(f"{kind:<16}{outcome:<40}{count:>8,}")
    return int(any(outcome not in RIGHT for _, outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())

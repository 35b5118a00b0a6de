"""Trials of a study on two local Ray nodes, one of which is killed; then the same in turn.

    python -m benchmarks.ray_trials [32]

All trials must end, with the same figures and the same best as one after the other.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import ray

from kalshi_sim import open_store
from kalshi_sim.cluster import connect
from kalshi_sim.synthetic.session import generate_session
from kalshi_train.config import TrainConfig
from kalshi_train.tune import TuneOptions, TuneResult, tune
from support.ray_cluster import ray_cluster

_RAY: Final[Any] = ray  # some of its functions have no types


def figures(result: TuneResult) -> list[Any]:
    """What trials came to, without when and where."""
    return [(t.number, t.state, t.value, t.by_seed, t.settings, t.profits) for t in result.trials]


def main() -> None:
    """Run both, and compare them."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        open_store(folder / "sessions").save(
            generate_session(9, markets=12, minutes=35, seed=9, edge=0.8)
        )
        config = TrainConfig().changed(
            store=str(folder / "sessions"),
            session=9,
            eval_fraction=0.4,
            log_level="ERROR",
            total_timesteps=512,
            n_envs=8,
            n_steps=32,
            eval_freq=256,
        )
        how: dict[str, Any] = {
            "trials": trials,
            "sampler": "random",
            "pruner": "none",
            "final": False,
        }
        begin = time.perf_counter()
        alone = tune(config, TuneOptions(study=folder / "alone", workers="threads", **how))
        print(f"in turn: {time.perf_counter() - begin:.1f} s, {alone.counts}", flush=True)
        with ray_cluster() as cluster:
            connect(cluster.address)
            print(f"nodes: {len(_RAY.nodes())}", flush=True)
            killed: list[int] = []

            def kill(done: int, total: int) -> None:
                if done >= trials // 4 and not killed:
                    killed.append(done)
                    threading.Thread(target=cluster.kill).start()

            begin = time.perf_counter()
            options = TuneOptions(study=folder / "ray", ray=cluster.address, jobs=2, **how)
            found = tune(config, options, progress=kill)
            assert cluster.second is None, "no node was killed"
            print(
                f"on two nodes, one killed after {killed[0]} trials: "
                f"{time.perf_counter() - begin:.1f} s, {found.counts}",
                flush=True,
            )
        assert figures(found) == figures(alone), "trials differ"
        assert found.best is not None
        assert alone.best is not None
        print(f"equal in all {trials} trials; best of both: trial {found.best.number}")
        assert found.best.number == alone.best.number


if __name__ == "__main__":
    main()

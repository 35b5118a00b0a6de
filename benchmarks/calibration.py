"""How often calibration's intervals hold the truth: own orders whose latency, trade share and queue
power are known, many times.

    .venv/bin/python -m benchmarks.calibration --repetitions 50
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from kalshi_sim.calibration.own_log import read_own_log
from kalshi_sim.calibration.result import calibrate
from kalshi_sim.ingest.capture import import_captures
from support.own_orders import make_own_orders

SHARES = (0.05, 0.15, 0.3)
POWERS = (1.0, 2.0, 3.0)
MEDIAN_MS = 40 + 15.0 * float(np.log(2.0))
"""Of 40 ms and an exponential of 15 ms, which is cut to whole milliseconds."""


def main() -> None:
    """Repeat, and print how often each interval holds the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=50)
    parser.add_argument("--orders", type=int, default=60)
    asked = parser.parse_args()
    held: Counter[str] = Counter()
    made: Counter[str] = Counter()
    errors: dict[str, list[float]] = {}
    for power in POWERS:
        for places in (True, False):
            for seed in range(asked.repetitions):
                share = SHARES[seed % len(SHARES)]
                with tempfile.TemporaryDirectory() as folder:
                    own = make_own_orders(
                        Path(folder),
                        seed,
                        orders=asked.orders,
                        trade_share=share,
                        queue_power=power,
                        places=places,
                    )
                    session = import_captures([own.capture], session_id=1)
                    found = calibrate(read_own_log(own.log), session, "own", seed)
                known = "places" if places else "fills"
                truth = {
                    f"queue_power {power:g}, {known}": (found.queue_power, power),
                    f"trade_share {share:g}": (found.trade_share, share),
                    "latency median": (found.latency[0], float(np.floor(MEDIAN_MS))),
                }
                for name, (estimate, true) in truth.items():
                    assert estimate is not None
                    if estimate.value is None or estimate.low is None or estimate.high is None:
                        held[f"{name}: not enough"] += 1
                        continue
                    made[name] += 1
                    held[name] += estimate.low <= true <= estimate.high
                    errors.setdefault(name, []).append(estimate.value - true)
    for name in sorted(made):
        print(
            f"{name:<28} {held[name]:>4} of {made[name]:>4} = {held[name] / made[name]:.0%}, "
            f"mean error {np.mean(errors[name]):+.3f}, spread {np.std(errors[name]):.3f}"
        )
    for name in sorted(n for n in held if n.endswith("not enough")):
        print(f"{name:<28} {held[name]:>4}")


if __name__ == "__main__":
    main()

"""Kill -9 in the middle of trading, again and again: the exchange and the run agree afterwards.

    python -m benchmarks.trading_kills 20

One run of `kalshi-trade --orders local` at the true queue is killed so often at moments of chance,
and gone on with each time. Each time what rested is cancelled and read again before anything is
sent; at the end positions, orders and fills are the exchange's, and no order was sent twice.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
from pathlib import Path

from kalshi_sim.live.exchange import LocalExchange
from kalshi_sim.synthetic.session import generate_with_truth
from kalshi_train.trading.legs import legs_of
from kalshi_train.trading.log import read_log
from support.ordering import begun, check_account, keys_in, lines_of, to_exchange, until_log


async def series(kills: int, folder: Path, speed: float) -> list[int]:
    """Orders that rested at each kill."""
    rng = random.Random(kills)
    session, truth = generate_with_truth(4, markets=8, minutes=60.0, seed=11)
    keys, account = keys_in(folder)
    resting = []
    async with LocalExchange(session, truth=truth, speed=speed, keys=keys) as exchange:
        words = (*to_exchange(exchange, folder, "random"), "--pricing", "join")
        for leg in range(kills + 1):
            process = await begun(folder, *words)
            asked = asyncio.create_task(process.communicate())
            begin = b'"leg":%d' % leg
            least = rng.randrange(1, 12)
            await until_log(
                folder,
                process,
                lambda log, begin=begin, least=least: (  # type: ignore[misc]  # bound now
                    log.partition(begin)[2].count(b'"t":"sent"') >= least
                ),
            )
            if leg == kills:
                process.send_signal(signal.SIGTERM)
                _, err = await asked
                assert process.returncode == 0, err.decode()
                break
            await asyncio.sleep(rng.random() * 0.2)
            process.kill()
            await asked
            resting.append(sum(order.remaining > 0 for order in account.orders.values()))
            print(f"kill {leg + 1}: {resting[-1]} orders rested", flush=True)
            words = ("--resume", str(folder / "run"))
    check_account(account, folder)
    return resting


def main() -> int:
    """The series; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int, nargs="?", default=20)
    parser.add_argument("--speed", type=float, default=10.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        resting = asyncio.run(series(given.kills, folder, given.speed))
        legs = legs_of(read_log(folder / "run"))
        for rested, leg in zip(resting, legs[1:], strict=True):
            kinds = [line["t"] for line in leg]
            taken = kinds[: kinds.index("reconcile")].count("withdraw")
            assert taken <= rested  # some were filled meanwhile
            assert kinds.index("reconcile") < kinds.index("sent")
        sent, fills = len(lines_of(folder, "sent")), len(lines_of(folder, "fill"))
    print(
        f"{given.kills} kills, {sum(resting)} orders rested at them, {sent} orders sent, "
        f"{fills} fills: positions, orders and fills agree, nothing was sent twice"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

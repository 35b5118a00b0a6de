"""A run on a disk that is full: one line, and an exit code that says so."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from kalshi_sim.live.exchange import LocalExchange
from kalshi_train.trading.log import NAME
from tests.support.small_disk import SmallDisk
from tests.trading.test_trade_command import SESSION, keys, started

MIB = 2**20


async def filled(
    disk: SmallDisk, folder: Path, floor_mib: int, left: int
) -> tuple[int | None, str]:
    """A run whose disk is filled but for `left` bytes; stopped if it does not end by itself."""
    run = disk.folder / "run"
    async with LocalExchange(SESSION, speed=60.0) as exchange:
        process = await started(
            *("hold", "--environment", exchange.url, "--limit", "50", *keys(exchange, folder)),
            *("--out", str(run), "--disk-floor-mib", str(floor_mib)),
        )
        while not (run / NAME).exists() or (run / NAME).read_bytes().count(b'"t":"row"') < 30:
            await asyncio.sleep(0.1)
            assert process.returncode is None
        disk.leave(left)
        end = asyncio.create_task(process.communicate())
        await asyncio.wait({end}, timeout=3)
        if not end.done():
            process.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(end, 30)
        return process.returncode, err.decode()


@pytest.mark.parametrize(
    ("floor_mib", "left", "told"),
    [(8, 4 * MIB, "could not be written"), (0, 0, "No space left on device")],
)
def test_a_full_disk_is_said_at_the_end(
    small_disk: SmallDisk, tmp_path: Path, floor_mib: int, left: int, told: str
) -> None:
    """First the recording alone stops, to keep its floor; then nothing can be written."""
    if not small_disk.mounted:
        pytest.skip("a small disk needs a mount, so root")
    code, err = asyncio.run(filled(small_disk, tmp_path, floor_mib, left))
    assert code == 1, err
    assert err.splitlines()[-1].startswith("kalshi-trade: ")
    assert told in err.splitlines()[-1]
    assert "Traceback" not in err

"""One's own orders out of a run of `kalshi-trade` whose orders went to an exchange."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from kalshi_sim.calibration.own_log import OwnLog, OwnOrder
from kalshi_sim.errors import ConfigError
from kalshi_sim.ingest.segments import segments_in
from kalshi_sim.units import PRICE_SCALE, mirror, parse_contracts, parse_dollars

LOG: Final = "decisions.jsonl"
SEGMENTS: Final = "segments"
_GZIP: Final = 16 + zlib.MAX_WBITS
_NS: Final = 1e6
_TIMES: Final = re.compile(rb'"ts_ms":(\d+)')
_MONO: Final = re.compile(rb'"mono_ns":(\d+)')


def read_own_run(folder: Path) -> OwnLog:
    """Read the orders of a run.

    Args:
        folder: of the run.

    Returns:
        The orders.

    Raises:
        ConfigError: it is no run, or one on paper, which sent no orders.
    """
    lines = list(_lines(folder / LOG))
    if not lines or lines[0].get("t") != "start":
        raise ConfigError(f"{folder}: its log has no beginning; it is not that of a run")
    start = lines[0]
    if start.get("orders", "paper") == "paper":
        raise ConfigError(
            f"{folder} is a run on paper: it sent no orders, so nothing is known of an exchange; "
            "run kalshi-trade with --orders local or demo"
        )
    return _Reader(folder, replay=bool(start.get("replay"))).read(lines)


class _Reader:
    def __init__(self, folder: Path, *, replay: bool) -> None:
        self._replay = replay
        self._clock = _Clock(folder / SEGMENTS)
        self._rows: dict[tuple[str, int], int] = {}
        self._decided: dict[str, dict[str, Any]] = {}
        self._orders: dict[str, OwnOrder] = {}
        self._log = OwnLog()

    def read(self, lines: list[dict[str, Any]]) -> OwnLog:
        for line in lines:
            kind = line["t"]
            if kind == "row":
                self._rows[line["m"], line["r"]] = line["ts"]
            elif kind == "order":
                self._decided[line["id"]] = line
            elif kind == "answer":
                self._answer(line)
            elif kind == "fill" and line["oid"] in self._orders and not line["taker"]:
                order = self._orders[line["oid"]]
                order.fills.append((int(line["ms"]), parse_contracts(line["count"])))
            elif kind == "queue":
                at = self._clock.at(line["mono"])
                for oid, ahead in line["places"].items():
                    if oid in self._orders and at >= self._orders[oid].rested_ms:
                        self._orders[oid].places.append((at, parse_contracts(ahead)))
            elif kind == "withdraw" and line["oid"] in self._orders:
                self._orders[line["oid"]].ended_ms = self._clock.at(line["mono"])
        self._log.orders = list(self._orders.values())
        return self._log

    def _answer(self, line: dict[str, Any]) -> None:
        intent = self._decided.get(line["id"])
        if intent is None:
            return
        self._log.round_trip_ms.append((line["mono"] - intent["decided"]) / _NS)
        said = line.get("ms")
        row = self._rows.get((intent["m"], intent["r"]))
        # A replay's clock runs at a speed of its own: its milliseconds are not the machine's.
        if said is not None and row is not None and not self._replay:
            self._log.at_exchange_ms.append(max(0.0, float(said) - row))
        remaining = parse_contracts(line["remaining"])
        if not remaining:
            return
        price = parse_dollars(intent["price"])
        is_bid = intent["side"] == "bid"
        self._orders[line["oid"]] = OwnOrder(
            name=line["oid"],
            market=intent["m"],
            side=0 if is_bid else 1,
            price=price if is_bid else mirror(price, PRICE_SCALE),
            size=remaining,
            rested_ms=self._clock.at(line["mono"]) if said is None else int(said),
        )


class _Clock:
    """The exchange's time at a moment of the machine's, by the frames that had come."""

    def __init__(self, segments: Path) -> None:
        mono, ms = [0], [0]
        for path in segments_in(segments) if segments.is_dir() else ():
            # A segment that a kill cut short lacks its end.
            data = zlib.decompressobj(_GZIP).decompress(path.read_bytes())
            for line in data.splitlines():
                came, times = _MONO.search(line), _TIMES.findall(line)
                if came and times:
                    mono.append(int(came[1]))
                    ms.append(max(ms[-1], *map(int, times)))
        if len(mono) == 1:
            raise ConfigError(f"{segments} has no segments; the recording of the run is needed")
        self._mono, self._ms = np.array(mono), ms

    def at(self, mono_ns: int) -> int:
        """Milliseconds since 1970 by the exchange."""
        return self._ms[int(np.searchsorted(self._mono, mono_ns, side="right")) - 1]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; name the folder of a run of kalshi-trade, or a file of "
            "your own orders (.csv, .jsonl)"
        ) from error
    for number, line in enumerate(lines, start=1):
        try:
            found = msgspec.json.decode(line)
        except msgspec.DecodeError:
            if number == len(lines):
                return  # a kill cut it short
            raise ConfigError(f"{path} line {number}: it is no JSON") from None
        yield found

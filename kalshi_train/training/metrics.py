"""What a run records: trading, episodes, and where the time goes.

Everything about trading comes from the simulator's own integers: `env.state()` once a rollout,
and the infos of the rows that finished, both taken before a restart wipes them.
"""

from __future__ import annotations

import json
import math
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.logger import KVWriter

from kalshi_sim.actions import FIVE
from kalshi_sim.files import room_for, whole_file
from kalshi_sim.units import money_per_cent

_CHECKSUM: Final = "crc32"
"""Of the rest of a record's line."""
PER_STEPS: Final = 1000
"""Rates of trading are given per this many steps."""
MIN_STEPS_PER_RECORD: Final = 2500
"""Fewer steps make no record of their own: 10 million steps stay under 10 MB."""

Info = Mapping[str, Any]
# What flows: its sum over an interval is finished episodes + live ones now - live ones before.
_FLOWS: Final = ("profit_cents", "fees_cents", "fills", "contracts", "invalid_actions")


@dataclass
class PhaseClock:
    """Seconds since the last record, by phase; `step` is the simulator's part of `collect`."""

    collect: float = 0.0
    step: float = 0.0
    learn: float = 0.0
    evaluate: float = 0.0
    """Held-out evaluation."""
    other: float = 0.0
    """Checkpoints and records."""

    def clear(self) -> None:
        """Begin a new interval."""
        self.collect = self.step = self.learn = self.evaluate = self.other = 0.0


def timed_steps(env: Any, clock: PhaseClock) -> None:
    """Measure the time that `env.step` takes.

    Args:
        env: its method is replaced by one that measures.
        clock: `step` grows by the seconds.
    """
    step = env.step

    def timed(actions: npt.NDArray[Any]) -> Any:
        begin = time.perf_counter()
        try:
            return step(actions)
        finally:
            clock.step += time.perf_counter() - begin

    env.step = timed


@dataclass
class TradingMetrics:
    """Sums over the rollouts since the last record."""

    payout: int
    cash_start: int
    """In cents."""
    action_names: tuple[str, ...] = FIVE.names
    clock: PhaseClock = field(default_factory=PhaseClock)
    episodes: int = 0
    """Of the whole run."""
    _infos: list[Info] = field(default_factory=list)
    _flow: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_FLOWS, 0.0))
    _live: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_FLOWS, 0.0))
    _levels: dict[str, float] = field(default_factory=dict)
    _actions: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self._actions = np.zeros(len(self.action_names), dtype=np.int64)

    def begin(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Start from running environments (after a resume): what they had counts as old."""
        self._live = self._flows_of(state)

    def finished(self, infos: Sequence[Info]) -> None:
        """Add finished episodes: the infos of the rows that finished, and only those."""
        self._infos.extend(infos)
        self.episodes += len(infos)
        for info in infos:
            market = info["market"]
            self._flow["profit_cents"] += market["equity_cents"] - self.cash_start
            self._flow["fees_cents"] += market["fees_cents"]
            self._flow["fills"] += market["fills"]
            self._flow["contracts"] += market["contracts_traded"]
            self._flow["invalid_actions"] += market["invalid_actions"]

    def rollout(self, state: Mapping[str, npt.NDArray[Any]], counts: npt.NDArray[np.int64]) -> None:
        """Add a rollout.

        Args:
            state: arrays [n_envs] of any dtype at its end, as `BatchSimulator.state` gives them.
            counts: int64 [n_actions] how often each action was taken in it.
        """
        live = self._flows_of(state)
        for name in _FLOWS:
            self._flow[name] += live[name] - self._live[name]
        self._live = live
        self._actions += counts
        self._levels = {
            "equity_cents": float(self._cents(state["equity2"]).mean() / 2),
            "free_cash_cents": float(self._cents(state["free_cash"]).mean()),
            "position": float(np.abs(state["position"]).mean()),
            "working_orders": float((state["order_size"] > 0).sum(axis=1).mean()),
        }

    def record(self) -> dict[str, float]:
        """The figures since the last record, by name; begins a new interval."""
        steps = max(1, int(self._actions.sum()))
        values = {f"trading/{k}": v for k, v in self._levels.items()}
        for name, total in self._flow.items():
            values[f"trading/{name}_per_{PER_STEPS}_steps"] = total * PER_STEPS / steps
        for name, count in zip(self.action_names, self._actions, strict=True):
            values[f"actions/{name}"] = float(count / steps)
        values |= episode_metrics(self._infos, self.cash_start)
        values["rollout/episodes"] = float(self.episodes)
        values |= self._times(steps)
        self._infos = []
        self._flow = dict.fromkeys(_FLOWS, 0.0)
        self._actions[:] = 0
        self.clock.clear()
        return values

    def _times(self, steps: int) -> dict[str, float]:
        clock = self.clock
        seconds = clock.collect + clock.learn
        return {
            "time/steps_per_second": steps / seconds if seconds > 0 else 0.0,
            "time/collect_seconds": clock.collect,
            "time/step_seconds": clock.step,
            "time/learn_seconds": clock.learn,
            "time/evaluate_seconds": clock.evaluate,
            "time/other_seconds": clock.other,
        }

    def _cents(self, money: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        return np.asarray(money, dtype=np.float64) / money_per_cent(self.payout)

    def _flows_of(self, state: Mapping[str, npt.NDArray[Any]]) -> dict[str, float]:
        profit = self._cents(state["equity2"]) / 2 - self.cash_start
        return {
            "profit_cents": float(profit.sum()),
            "fees_cents": float(self._cents(state["fees_paid"]).sum()),
            "fills": float(state["fills"].sum()),
            "contracts": float(state["contracts_traded"].sum()),
            "invalid_actions": float(state["invalid_actions"].sum()),
        }


def episode_metrics(infos: Sequence[Info], cash_start: int) -> dict[str, float]:
    """Figures of finished episodes; empty if none finished, no Sharpe ratio below two.

    Args:
        infos: `info` of each finished episode.
        cash_start: in cents.

    Returns:
        Values by name of the curve.
    """
    if not infos:
        return {}
    profit = np.array([i["market"]["equity_cents"] for i in infos], dtype=np.float64) - cash_start
    drawdown = np.array([i["market"]["max_drawdown_cents"] for i in infos], dtype=np.float64)
    values = {
        "rollout/ep_rew_mean": float(np.mean([i["episode"]["r"] for i in infos])),
        "rollout/ep_len_mean": float(np.mean([i["episode"]["l"] for i in infos])),
        "episode/profit_cents": float(profit.mean()),
        "episode/drawdown_cents": float(drawdown.mean()),
        "episode/win_rate": float((profit > 0).mean()),
        "episode/fills": float(np.mean([i["market"]["fills"] for i in infos])),
        "episode/fees_cents": float(np.mean([i["market"]["fees_cents"] for i in infos])),
    }
    if len(profit) > 1 and profit.std() > 0:
        values["episode/sharpe"] = float(profit.mean() / profit.std(ddof=1))
    return values


class JsonLinesWriter(KVWriter):
    """One JSON object a record, numbers rounded to 6 digits."""

    def __init__(self, path: Path, keep_until: int | None = None):
        """Append records to a file.

        Args:
            path: the file; made if absent.
            keep_until: cut off what was recorded after this step; None: cut off everything.
        """
        kept = [] if keep_until is None else read_metrics(path)
        lines = [_as_line(record) for record in kept if record["timesteps"] <= (keep_until or 0)]
        with whole_file(path) as temporary:
            temporary.write_text("".join(lines), "utf-8")
        self._path = path
        self._file: IO[str] = path.open("a", encoding="utf-8")

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        """Add a record; values that are no finite number are left out.

        Args:
            key_values: values by name.
            key_excluded: not used; part of stable-baselines3's interface.
            step: environment steps so far.

        Raises:
            StoreError: there is no room for it.
        """
        line: dict[str, Any] = {"timesteps": step}
        for key, value in sorted(key_values.items()):
            if isinstance(value, (int, float, np.number)) and math.isfinite(value):
                line[key] = int(value) if float(value).is_integer() else float(f"{value:.6g}")
        with room_for(self._path):
            self._file.write(_as_line(line))
            self._file.flush()

    def close(self) -> None:
        """Close the file.

        Raises:
            StoreError: there is no room for what is left to write.
        """
        with room_for(self._path):
            self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a run, none if it has none.

    Lines that are none (cut by a kill), or do not fit their checksum, are left out.

    Args:
        path: a run's metrics.jsonl.

    Returns:
        Figures by name, of each step at which there are some; `timesteps` says which.
    """
    text = path.read_bytes() if path.is_file() else b""
    summed = f'"{_CHECKSUM}":'.encode() in text  # earlier versions wrote none
    records = []
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(record, dict) or not isinstance(record.get("timesteps"), int):
            continue
        checksum = record.pop(_CHECKSUM, None)
        if not summed or checksum == _checksum(record):
            records.append(record)
    return records


def _as_line(record: dict[str, Any]) -> str:
    summed = {**record, _CHECKSUM: _checksum(record)}
    return json.dumps(summed, separators=(",", ":")) + "\n"


def _checksum(record: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(record, separators=(",", ":")).encode())

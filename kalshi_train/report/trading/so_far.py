"""A run of trading as far as its log shows it: what its page shows."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from kalshi_sim.actions import action_label
from kalshi_sim.config import SimConfig
from kalshi_sim.errors import ConfigError
from kalshi_sim.features import FEATURES
from kalshi_sim.live.band import STATE
from kalshi_sim.units import CENTS_PER_DOLLAR, PAYOUT_CENT, mirror, money_per_cent
from kalshi_train.report.blocks import SHARE_SCALE, Z_SCALE
from kalshi_train.report.trading.curve import Curve
from kalshi_train.report.trading.market import MarketSoFar
from kalshi_train.trading.log import NAME, read_log
from kalshi_train.trading.rows import RowReader

_NAMES: Final = [name for name, _ in STATE]
_EQUITY: Final = _NAMES.index("equity2")
EXCHANGE: Final = "exchange"
"""What the exchange itself says of own orders stands beside the fill models under this name."""
_RECENT: Final = 60
"""Actions shown."""
_LATEST: Final = 1_000
"""Decisions that "latest" latencies are of."""
_SIDES: Final = ("YES", "NO")


class RunSoFar:
    """Reads the log of a run while it grows, or all of it."""

    def __init__(self, folder: Path) -> None:
        """Nothing is known yet.

        Args:
            folder: of the run.
        """
        self.folder = folder
        self.start: dict[str, Any] | None = None
        self.markets: dict[str, MarketSoFar] = {}
        self.curve = Curve()
        self.payout: int | None = None
        self.ended: str | None = None
        """Why it ended; None: it has not, or was killed."""
        self.feed: dict[str, Any] | None = None
        self.decisions = 0
        self._reader: RowReader | None = None
        self._at = 0
        self._left = b""
        self._latencies = np.zeros(4096, np.int64)
        self._recent: deque[dict[str, Any]] = deque(maxlen=_RECENT)
        self._totals: list[int] = []
        self._before: dict[str, list[int]] = {}

    @classmethod
    def of_finished(cls, folder: Path) -> RunSoFar:
        """All of a run.

        Args:
            folder: of the run.

        Raises:
            ConfigError: there is no log, or it was changed.
        """
        run = cls(folder)
        for line in read_log(folder):
            run._take(line)
        if run.start is None:
            raise ConfigError(f"{folder}: its log has no beginning; it is not that of a run")
        run._read_rows()
        return run

    def read(self) -> None:
        """Read what has come since the last time."""
        try:
            with (self.folder / NAME).open("rb") as file:
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return
        self._at += len(data)
        *lines, self._left = (self._left + data).split(b"\n")
        for line in lines:
            self._take(msgspec.json.decode(line))
        self._read_rows()

    def _read_rows(self) -> None:
        if self._reader is None:
            return
        records = self._reader.read()
        for number, market in enumerate(self.markets.values()):
            own = records[records["market"] == number]
            if len(own):
                market.keep(own)

    def _take(self, line: dict[str, Any]) -> None:
        if line["t"] == "start":
            if self.start is None:
                self._begin(line)
            else:
                self._go_on(line)
        elif line["t"] == "row":
            self._row(line)
        elif line["t"] == "book":
            self.payout = line["payout"]
        elif line["t"] == "cancel":
            self.markets[line["m"]].cancelled = line["why"]
        elif line["t"] == "feed":
            self.feed = {name: value for name, value in line.items() if name not in ("t", "chain")}
        elif line["t"] == "fill":
            self._real_fill(line)
        elif line["t"] == "end":
            self.ended = line["why"]

    def _begin(self, line: dict[str, Any]) -> None:
        self.start = line
        depth = line["tape"]["depth"]
        self.config = SimConfig(**line["config"])
        self.mode: str = line.get("orders", "paper")
        self.models: list[str] = list(line["models"])
        self.chosen = self.models.index(self.config.fill_model)
        if self.mode != "paper":
            self.models.append(EXCHANGE)
            self.chosen = len(self.models) - 1
        self.markets = {ticker: MarketSoFar(ticker, depth) for ticker in line["markets"]}
        self._reader = RowReader(self.folder, depth)
        self._totals = [0] * len(self.models)
        self._table = self.config.table.rows
        self._labels = [action_label(name) for name in self.config.table.names]

    def _go_on(self, line: dict[str, Any]) -> None:
        """A run that was stopped begins again, with the same settings; its rows have a new file."""
        self._read_rows()
        for market in self.markets.values():
            market.forget_what_was_not_kept()
        self._reader = RowReader(self.folder, line["tape"]["depth"], line.get("leg", 0))
        self.ended = None

    def _row(self, line: dict[str, Any]) -> None:
        market = self.markets[line["m"]]
        states = line["s"] + ([line["real"]] if self.mode != "paper" else [])
        market.decide(line, states, self.chosen)
        if self.decisions == len(self._latencies):
            self._latencies = np.concatenate([self._latencies, np.zeros_like(self._latencies)])
        self._latencies[self.decisions] = line["ns"]
        self.decisions += 1
        equity = [state[_EQUITY] for state in states]
        before = self._before.get(market.ticker, [self._cash2] * len(equity))
        self._before[market.ticker] = equity
        self._totals = [t + e - b for t, e, b in zip(self._totals, equity, before, strict=True)]
        self.curve.add(line["ts"], [total / 2 / self._cent for total in self._totals])
        if self._table[line["a"]].is_order:
            market.orders += 1
        if line["a"] or "why" in line:
            wanted = self._labels[line.get("wanted", line["a"])]
            self._note(line["ts"], market, wanted, line.get("why", ""))
        if self.mode == "paper" and "f" in line:
            for fill in line["f"][self.chosen]:
                self._filled(line["ts"], market, fill)

    def _real_fill(self, line: dict[str, Any]) -> None:
        """A fill that the exchange reported, in its own words: of the YES leg, in dollars."""
        market = self.markets[line["m"]]
        if not market.decided:
            return
        side = 0 if line["side"] == "bid" else 1
        price = self._money(line["price"])
        if side:
            price = mirror(price, self.payout or PAYOUT_CENT)
        values = [market.decided - 1, side, price, int(Decimal(line["count"]))]
        values += [self._money(line["fee"]), 0 if line["taker"] else 1]
        self._filled(line["ms"], market, values)

    def _money(self, dollars: str) -> int:
        return round(Decimal(dollars) * CENTS_PER_DOLLAR * self._cent)

    def _filled(self, ts_ms: int, market: MarketSoFar, fill: list[int]) -> None:
        market.fill(fill)
        _, side, price, contracts, _, maker = fill
        said = f"bought {contracts:,} {_SIDES[side]} at {price / self._cent:g} ¢"
        self._note(ts_ms, market, said, "rested" if maker else "at once")

    def _note(self, ts_ms: int, market: MarketSoFar, what: str, more: str) -> None:
        row = market.decided - 1
        self._recent.appendleft(
            {"ts": ts_ms, "market": market.ticker, "row": row, "what": what, "more": more}
        )

    @property
    def _cent(self) -> int:
        return money_per_cent(self.payout or PAYOUT_CENT)

    @property
    def _cash2(self) -> int:
        return 2 * self.config.cash_start * self._cent

    def figures(self) -> dict[str, Any]:
        """What the page shows beside the replay, as JSON has it; money in cents."""
        if self.start is None:
            return {"state": "starting", "markets": []}
        return {
            "state": "running" if self.ended is None else "ended",
            "why": self.ended,
            "policy": self.start.get("policy"),
            "mode": self.mode,
            "place": self.start.get("place"),
            "version": self.start.get("version"),
            "config": self.start["config"],
            "limits": self.start.get("limits"),
            "models": self.models,
            "chosen": self.models[self.chosen],
            "decisions": self.decisions,
            "latency_ms": {
                "all": self._quantiles(self._latencies[: self.decisions]),
                "latest": self._quantiles(
                    self._latencies[max(0, self.decisions - _LATEST) : self.decisions]
                ),
            },
            "feed": self.feed,
            "equity": {
                "ts": self.curve.ts_ms,
                "profit_cents": {
                    model: [values[i] for values in self.curve.values]
                    for i, model in enumerate(self.models)
                },
            },
            "profit_cents": {
                model: total / 2 / self._cent
                for model, total in zip(self.models, self._totals, strict=True)
            },
            "markets": [self._market(m) for m in self.markets.values()],
            "recent": list(self._recent),
            "replay": self._replay_now(),
        }

    @staticmethod
    def _quantiles(ns: npt.NDArray[np.int64]) -> dict[str, float] | None:
        if not len(ns):
            return None
        found = np.quantile(ns, [0.5, 0.99, 1.0]) / 1e6
        return dict(zip(("p50", "p99", "max"), found.tolist(), strict=True))

    def _market(self, market: MarketSoFar) -> dict[str, Any]:
        models = {}
        for model, values in zip(self.models, market.states, strict=False):
            state = dict(zip(_NAMES, values, strict=True))
            models[model] = {
                "position": state["position"],
                "fills": state["fills"],
                "profit_cents": (state["equity2"] - self._cash2) / 2 / self._cent,
                "open": [
                    {
                        "contracts": state[f"{side}_size"],
                        "cents": state[f"{side}_price"] / self._cent,
                        "ahead": state[f"{side}_ahead"],
                    }
                    if state[f"{side}_size"]
                    else None
                    for side in ("yes", "no")
                ],
            }
        return {
            "market": market.ticker,
            "rows": market.decided + market.lost,
            "replayed": market.rows,
            "orders": market.orders,
            "blocked": dict(market.blocked),
            "cancelled": market.cancelled,
            "actions": {self._labels[a]: n for a, n in sorted(market.actions.items())},
            "models": models,
        }

    def _replay_now(self) -> dict[str, Any]:
        """What the replay has to know and a run does not at its beginning."""
        payout = self.payout or PAYOUT_CENT
        return {
            "payout": payout,
            "cent": money_per_cent(payout),
            "depth": 0 if self.start is None else self.start["tape"]["depth"],
            "views": [i for i, m in enumerate(self.markets.values()) if m.rows],
            "agents": [] if self.start is None else [self.start.get("policy") or "policy"],
        }

    def replay(self) -> dict[str, Any]:
        """What the episode replay needs before any block."""
        return self._replay_now() | {
            "features": [{"name": f.name, "definition": f.definition} for f in FEATURES],
            "share_scale": SHARE_SCALE,
            "z_scale": Z_SCALE,
        }

    def blocks(self, number: int, begin: int) -> dict[str, Any] | None:
        """Rows of a market for the replay.

        Args:
            number: of the market.
            begin: the first row.

        Returns:
            As `MarketSoFar.blocks`; None if there is no such market or row.
        """
        if not 0 <= number < len(self.markets):
            return None
        market = list(self.markets.values())[number]
        return market.blocks(begin, self.config.table.names)

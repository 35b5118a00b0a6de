"""A policy on live markets: each row that closes is decided, and each decision written down."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kalshi_sim.config import FillModel, SimConfig
from kalshi_sim.kernels.layout import HOLD, Settings
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.live.band import STATE, Band, settings_of_band
from kalshi_sim.live.following import Following
from kalshi_sim.units import money_per_cent
from kalshi_train.evaluation.policies import Policy
from kalshi_train.trading.asking import Asking
from kalshi_train.trading.limits import Limits, OrderRate, exceeds
from kalshi_train.trading.log import DecisionLog
from kalshi_train.trading.rows import RowWriter

_NAMES: Final = tuple(name for name, _ in STATE)
_NS: Final = 1_000_000_000
_LATENCIES: Final = 100_000
"""Decisions whose latencies are kept for the figures."""


Observation = npt.NDArray[np.float32]


def observation_digest(observation: Observation) -> str:
    """A digest of the bits of an observation.

    Args:
        observation: float32 [52].
    """
    return hashlib.blake2b(observation.tobytes(), digest_size=8).hexdigest()


@dataclass
class Traded:
    """One market of a run."""

    ticker: str
    number: int
    band: Band | None = None
    action: int = HOLD
    """Decided at the row the band stands on."""
    cancels: str | None = None
    """Why its orders are taken back at the next row."""
    halted: str | None = None
    """Why it is traded no further."""
    frame_ns: int = 0
    """When its latest frame came (monotonic clock)."""
    row_ns: int = 0
    """When the frame came that the next decision answers."""
    orders: int = 0
    loss2: int = 0
    """Twice what is lost, in money of the tape, by the chosen fill model."""
    blocked: Counter[str] = field(default_factory=Counter)


class Trader:
    """Trades what is recorded, in step with it; knows no socket and no clock but `now`."""

    def __init__(
        self,
        following: Following,
        policy: Policy,
        config: SimConfig,
        models: Sequence[FillModel],
        limits: Limits,
        log: DecisionLog,
        *,
        seed: int = 0,
        rows: RowWriter | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Trade nothing yet.

        Args:
            following: the markets.
            policy: what decides.
            config: settings of the simulation; its fill model is what the policy sees.
            models: fill models that are simulated beside each other; the chosen one is among them.
            limits: what holds whatever the policy wants.
            log: where all of it is written.
            seed: of random actions.
            rows: what keeps the rows for a page.
            now_ns: the monotonic clock.
        """
        self.following = following
        self.config = config
        self.models = tuple(models)
        self.chosen = self.models.index(config.fill_model)
        self.limits = limits
        self.markets = {t: Traded(t, i) for i, t in enumerate(following.markets)}
        self.stopping: str | None = None
        self.latencies_ns: list[int] = []
        self.decisions = 0
        self._table = config.table
        self._asking = Asking(policy, list(self.markets), len(self._table), seed)
        self._rate = OrderRate(limits.orders_per_minute)
        self._log = log
        self._rows = rows
        self._now_ns = now_ns
        self._waiting: dict[str, None] = {}
        self._has_book = False
        self._settings: list[Settings] | None = None

    def take(self, line: bytes) -> bool:
        """Follow a line of the recording.

        Args:
            line: as it is written.

        Returns:
            Whether there is something to decide.
        """
        now = self._now_ns()
        closed = self.following.take(line)
        touched = self.following.touched
        if touched is not None:
            self.markets[touched].frame_ns = now
        self._note(closed, lambda market: now)
        return bool(self._waiting)

    def close_rows(self, quiet_ns: int) -> bool:
        """Close the rows of markets that have been quiet for a while.

        Args:
            quiet_ns: no frame of the market came for so long.

        Returns:
            Whether there is something to decide.
        """
        last = self._now_ns() - quiet_ns
        due = [t for t in self.following.open_markets if self.markets[t].frame_ns <= last]
        self._note(self.following.close_rows(due), lambda market: market.frame_ns)
        return bool(self._waiting)

    def _note(self, closed: Iterable[str], since: Callable[[Traded], int]) -> None:
        for ticker in closed:
            self._waiting.setdefault(ticker)
            self.markets[ticker].row_ns = since(self.markets[ticker])
        for cut in self.following.cuts:
            self._log.write({"t": "cut", **asdict(cut)})
            if cut.kind == "gap":
                self.markets[cut.market].cancels = "the book is unknown"
                self._take_back(self.markets[cut.market], "the book is unknown")
        self.following.cuts.clear()

    def stale(self) -> None:
        """No frame has come for too long: all orders are taken back."""
        for market in self.markets.values():
            market.cancels = market.cancels or "no frame came"
            self._take_back(market, "no frame came")

    def _take_back(self, market: Traded, why: str) -> None:
        """Orders of a market are to be taken back at once, wherever they are."""

    def stop(self, why: str) -> None:
        """Decide nothing more, and take all orders back.

        Args:
            why: for the log.
        """
        self.stopping = self.stopping or why

    def decide(self) -> None:
        """Decide all rows that have closed, row by row, the markets of a turn in one call."""
        while self._waiting:
            turn = [self.markets[ticker] for ticker in self._waiting]
            self._waiting = {
                market.ticker: None for market in turn if self._advance(market) is not None
            }
            self._decide_turn([m for m in turn if m.band is not None])
        self._log.flush()

    def _advance(self, market: Traded) -> str | None:
        """Go to the market's next row; its ticker if there are more after it."""
        live = self.following.markets[market.ticker]
        arrays = live.arrays()
        if not self._has_book:
            self._has_book = True
            self._log.write(
                {
                    "t": "book",
                    "first_book_ms": self.following.first_book_ms,
                    "payout": self.following.payout,
                }
            )
        if market.band is None:
            if self._settings is None:
                self._settings = settings_of_band(self.config, self.models, live)
            market.band = Band(self._settings, live.depth, self.config.history)
            market.band.start(arrays)
        else:
            market.band.step(arrays, market.action)
        return market.ticker if market.band.row + 1 < len(live) else None

    def _decide_turn(self, turn: list[Traded]) -> None:
        self._check_losses(turn)
        asked, seen, masks = [], [], []
        for market in turn:
            self._cancel_if_due(market)
            if self.stopping is None and market.halted is None and self._may_act(market):
                asked.append(market)
                observation, mask = self._sees(market)
                seen.append(observation)
                masks.append(mask)
        wanted: dict[str, int] = {}
        if asked:
            actions = self._asking.actions(
                np.array([m.number for m in asked]),
                np.array([self._band(m).row for m in asked]),
                np.array(seen),
                np.array(masks),
            )
            wanted = {m.ticker: a for m, a in zip(asked, actions, strict=True)}
        now = self._now_ns()
        for market in turn:
            action = wanted.get(market.ticker, HOLD)
            reason = self._refused(market, action, now)
            market.action = HOLD if reason else action
            self._write(market, action, reason, now - market.row_ns)
            if market.action != HOLD:
                self._do(market, market.action, now)

    def _may_act(self, market: Traded) -> bool:
        """Whether the policy is asked."""
        return True

    def _sees(self, market: Traded) -> tuple[Observation, npt.NDArray[np.bool_]]:
        """What the policy sees, and which actions are valid."""
        arrays = self.following.markets[market.ticker].arrays()
        return self._observation(market).copy(), self._band(market).mask(arrays, self.chosen)

    def _observation(self, market: Traded) -> Observation:
        seen: Observation = self._band(market).observations[self.chosen]
        return seen

    def _do(self, market: Traded, action: int, now_ns: int) -> None:
        """An action was decided at the row the market stands on, and written down."""

    def _also_written(self, market: Traded) -> dict[str, Any]:
        """What else the line of a row has."""
        return {}

    @staticmethod
    def _band(market: Traded) -> Band:
        assert market.band is not None
        return market.band

    def _cancel_if_due(self, market: Traded) -> None:
        band = self._band(market)
        why = market.cancels or market.halted or self.stopping
        market.cancels = None
        if why is None:
            return
        band.cancel()
        band.observe(self.following.markets[market.ticker].arrays())
        self._log.write({"t": "cancel", "m": market.ticker, "r": band.row, "why": why})

    def _refused(self, market: Traded, action: int, now_ns: int) -> str | None:
        """Why an action that the policy wants is not taken; None: it is."""
        row = self._table.rows[action]
        if not row.is_order:
            return None
        state = self.state(market)
        limit = self.limits.position_limit
        reason = None
        if limit is not None and exceeds(row, row.contracts(self.config.order_size), state, limit):
            reason = "position limit"
        elif not self._rate.take(now_ns / _NS):
            reason = "order rate"
        if reason is not None:
            market.blocked[reason] += 1
        else:
            market.orders += 1
        return reason

    def state(self, market: Traded, model: int | None = None) -> dict[str, int]:
        """What an agent has in a market, by the names of `STATE`.

        Args:
            market: where.
            model: number of the fill model; if omitted, what the policy sees and limits hold for:
                the chosen one.
        """
        values = self._band(market).states()[self.chosen if model is None else model]
        return dict(zip(_NAMES, values, strict=True))

    def equity_cents(self, market: Traded, model: int) -> float:
        """What the agent of a fill model is worth in a market; the cash of the start before it.

        Args:
            market: where.
            model: number of the fill model.
        """
        if market.band is None or self.following.payout is None:
            return float(self.config.cash_start)
        doubled = self.state(market, model)["equity2"]
        return doubled / 2 / money_per_cent(self.following.payout)

    def _check_losses(self, turn: list[Traded]) -> None:
        if self.following.payout is None:
            return
        cent2 = 2 * money_per_cent(self.following.payout)
        most, in_all = self.limits.market_loss, self.limits.total_loss
        for market in turn:
            equity2 = self.state(market)["equity2"]
            market.loss2 = self.config.cash_start * cent2 - equity2
            if most is not None and market.loss2 >= most * cent2 and market.halted is None:
                market.halted = f"lost {market.loss2 / cent2:,.0f} cents"
                self._take_back(market, market.halted)
        total2 = sum(market.loss2 for market in self.markets.values())
        if in_all is not None and total2 >= in_all * cent2:
            self.stop(f"lost {total2 / cent2:,.0f} cents in all")

    def _write(self, market: Traded, action: int, reason: str | None, latency_ns: int) -> None:
        band, live = self._band(market), self.following.markets[market.ticker]
        line: dict[str, Any] = {
            "t": "row",
            "m": market.ticker,
            "r": band.row,
            "ts": int(live.ts_ms[band.row]),
            "a": market.action,
            "o": [observation_digest(seen) for seen in band.observations],
            "s": band.states(),
            "ns": latency_ns,
        }
        if any(fills := band.fills()):
            line["f"] = fills
        if reason is not None:
            line |= {"wanted": action, "why": reason}
        self._log.write(line | self._also_written(market))
        if self._rows is not None:
            seen = self._observation(market)[-N_FEATURES:]
            self._rows.put(market.number, band.row, seen, live.arrays().i64[band.row])
        self.decisions += 1
        if len(self.latencies_ns) < _LATENCIES:
            self.latencies_ns.append(latency_ns)
        else:
            self.latencies_ns[self.decisions % _LATENCIES] = latency_ns

    def finish(self) -> None:
        """Nothing more comes: close what is open, take all orders back, and end the log."""
        self.stop("the run ends")
        self._note(self.following.finish(), lambda market: self._now_ns())
        self.decide()
        for market in self.markets.values():
            if market.band is not None:
                market.band.cancel()
                left = {"t": "left", "m": market.ticker, "r": market.band.row}
                self._log.write(left | {"s": market.band.states()} | self._also_written(market))
        end = {"t": "end", "why": self.stopping, "decisions": self.decisions}
        self._log.write(end | self._at_end())

    def _at_end(self) -> dict[str, Any]:
        """What else the last line has."""
        return {}

    def latency_ms(self, share: float) -> float | None:
        """A quantile of the time from a frame to the decision that answers it.

        Args:
            share: 0.99 for the 99th percentile.
        """
        if not self.latencies_ns:
            return None
        return float(np.quantile(self.latencies_ns, share)) / 1e6

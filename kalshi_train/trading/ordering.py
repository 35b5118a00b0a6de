"""A trader whose orders go to an exchange: it sees what the exchange says that it has."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from kalshi_sim.config import FillModel
from kalshi_sim.ingest.segments import COMMAND, FRAME, MARKER, frame_of
from kalshi_sim.kernels.layout import BOTH_SIDES, HOLD, IOC
from kalshi_sim.kernels.layout import C_TIF as TIME_IN_FORCE
from kalshi_sim.live.band import STATE, settings_of_band
from kalshi_sim.live.interface import SIDES, TIMES_IN_FORCE
from kalshi_sim.live.orders.account import Account, Fill, Held, OwnOrder
from kalshi_sim.live.orders.client import NewOrder, client_order_id
from kalshi_sim.live.orders.own_frames import Levels, private_message, without_own
from kalshi_sim.units import (
    PRICE_SCALE,
    SIZE_SCALE,
    format_decimal,
    mirror,
    money_per_cent,
    stored_per_money,
)
from kalshi_train.trading.desk import Desk
from kalshi_train.trading.real_agent import RealAgent, Wanted
from kalshi_train.trading.trader import Observation, Traded, Trader, observation_digest

PRIVATE_CHANNELS: Final = ("fill", "user_orders", "market_positions")
_CLOSED: Final = b'"marker":"close"'
_OPENED: Final = b'"marker":"open"'
_ANY: Final = -1
_ASK_AGAIN_S: Final = 2.0
_GET_SNAPSHOT: Final = b'"get_snapshot"'
_SUBSCRIBED: Final = b'"subscribed"'
_NAMES: Final = tuple(name for name, _ in STATE)
_GTC, _IOC = "good_till_canceled", "immediate_or_cancel"
assert {_GTC, _IOC} <= set(TIMES_IN_FORCE)


class OrderingTrader(Trader):
    """Orders go to the exchange; the fill models run beside it with the same actions."""

    desk: Desk
    """To be set before the first line."""
    run = ""
    """Names the run in client order ids."""
    leg = 0
    """How often the run was begun before."""

    def __init__(self, *args: Any, account: Account, **options: Any) -> None:
        """Trade nothing yet.

        Args:
            args: as for `Trader`.
            account: what is known of the account.
            options: as for `Trader`.
        """
        super().__init__(*args, **options)
        self.account = account
        self.frames = 0
        """Of the recording so far."""
        self.fills_of: Counter[str] = Counter()
        """Fills at the exchange, by market."""
        self.left: int | None = None
        """Orders that rested at the exchange at the end; None: it was not asked."""
        self.doubtful: set[str] = set()
        """Markets whose book may have own orders in it that are not known."""
        self._streamed = Account()
        """What the frames alone have said: answers to calls may be ahead of a snapshot."""
        self._asked_id: int | None = None
        """Of the command whose snapshots have known own orders in them alone; 0: it is to come;
        _ANY: any has, for the connection was opened since."""
        self._asked_s = 0.0
        self._agents: dict[str, RealAgent] = {}
        self._subscribed: set[str] = set()

    # What comes.

    def take(self, line: bytes) -> bool:
        """Follow a line of the recording, without what is the account's own.

        Args:
            line: as it is written.

        Returns:
            Whether there is something to decide.
        """
        if line.startswith(FRAME):
            self.frames += 1
            self._take_private(line)
        elif line.startswith(MARKER) and _CLOSED in line:
            self._lost()
        elif line.startswith(MARKER) and _OPENED in line and not self.desk.uncertain:
            self._asked_id = _ANY
        elif self._asked_id == 0 and line.startswith(COMMAND) and _GET_SNAPSHOT in line:
            self._asked_id = int(msgspec.json.decode(line)["command"]["id"])
        known, ticker, own = without_own(line, self._rests)
        if ticker:
            self._snapshot(ticker, own, line)
        return super().take(known)

    def _rests(self, ticker: str) -> Levels:
        return [[o.side, o.price, o.remaining] for o in self._streamed.resting(ticker)]

    def _snapshot(self, ticker: str, own: Levels, line: bytes) -> None:
        if own:
            self._log.write({"t": "cleaned", "n": self.frames, "m": ticker, "levels": own})
        if self._asked_id and ticker in self.doubtful:
            frame = msgspec.json.decode(frame_of(line) or b"{}")
            if frame.get("id", 0) >= self._asked_id:
                self.doubtful.discard(ticker)

    def ask_again(self, ask: Callable[[str], None]) -> None:
        """What the account has is known: have books sent anew that may have more of it in them.

        Args:
            ask: asks for the snapshots of all books.
        """
        now = time.monotonic()
        waits = self._asked_id == _ANY or now - self._asked_s <= _ASK_AGAIN_S
        if self.doubtful and not self.desk.uncertain and not waits:
            self._asked_id, self._asked_s = 0, now
            ask("own orders were not known")

    def _take_private(self, line: bytes) -> None:
        if _SUBSCRIBED in line:
            self._subscribed |= {c for c in PRIVATE_CHANNELS if f'"{c}"'.encode() in line}
        found = private_message(line)
        if found is None:
            return
        try:
            self._fold(*found)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            self._log.write({"t": "odd", "n": self.frames, "why": type(error).__name__})
            self.desk.doubt(self.desk.tickers, "a frame on the account was not understood")
        self.desk.heard()

    def _fold(self, kind: str, message: Any) -> None:
        if kind == "fill":
            self._streamed.take_fill(message)
            fill = self.account.take_fill(message)
            if fill is not None:
                self.note_fill(fill)
        elif kind == "user_order":
            self._streamed.take_order(message)
            self.account.take_order(message)
        else:
            self.account.take_position(message)

    def note_fill(self, fill: Fill) -> None:
        """Write a fill down.

        Args:
            fill: of an order of the account.
        """
        order = self.account.orders.get(fill.order_id)
        yes = fill.price if fill.side == 0 else mirror(fill.price, PRICE_SCALE)
        self.fills_of[fill.ticker] += 1
        position = fill.position
        self._log.write(
            {
                "t": "fill",
                "m": fill.ticker,
                "id": "" if order is None else order.client_order_id,
                "oid": fill.order_id,
                "trade": fill.trade_id,
                "side": SIDES[fill.side],
                "price": format_decimal(yes, PRICE_SCALE),
                "count": format_decimal(fill.count, SIZE_SCALE),
                "fee": format_decimal(fill.fee, PRICE_SCALE),
                "taker": fill.taker,
                "ms": fill.ms,
                "n": self.frames,
                "mono": time.monotonic_ns(),
                "position": None if position is None else format_decimal(position, SIZE_SCALE),
            }
        )

    def _lost(self) -> None:
        """A connection was lost: what it would have said of orders is not known."""
        self._subscribed.clear()
        self._streamed = Account()
        self._asked_id = None
        self.doubtful.update(self.markets)
        if self.stopping is None:
            self.desk.doubt(list(self.markets), "the connection was lost")

    def note_places(self, places: dict[str, str]) -> None:
        """Write the places of orders in their queues down.

        Args:
            places: contracts in front as text, by the exchange's id of the order.
        """
        if places:
            now = {"n": self.frames, "mono": time.monotonic_ns()}
            self._log.write({"t": "queue", "places": places, **now})

    # What is decided.

    def _may_act(self, market: Traded) -> bool:
        ticker = market.ticker
        return (
            ticker not in self.desk.uncertain
            and ticker not in self.doubtful
            and len(self._subscribed) == len(PRIVATE_CHANNELS)
        )

    def _advance(self, market: Traded) -> str | None:
        more = super()._advance(market)
        arrays = self.following.markets[market.ticker].arrays()
        ticker = market.ticker
        now = self._held(ticker), self._own(ticker)
        busy = self.desk.busy[ticker] > 0
        agent = self._agents.get(ticker)
        if agent is None:
            live = self.following.markets[ticker]
            chosen: FillModel = self.models[self.chosen]
            settings = settings_of_band(self.config, [chosen], live)[0]
            agent = RealAgent(settings, live.payout, live.depth, self.config.history)
            self._agents[ticker] = agent
            agent.start(arrays, *now, busy=busy)
        else:
            agent.step(arrays, *now, busy=busy)
        return more

    def _held(self, ticker: str) -> Held:
        return self.account.held.get(ticker, Held())

    def _own(self, ticker: str) -> list[OwnOrder]:
        sent = self.desk.sent
        return [o for o in self.account.resting(ticker) if o.client_order_id in sent]

    def _sees(self, market: Traded) -> tuple[Observation, npt.NDArray[np.bool_]]:
        agent = self._agents[market.ticker]
        arrays = self.following.markets[market.ticker].arrays()
        return self._observation(market).copy(), agent.mask(arrays)

    def _observation(self, market: Traded) -> Observation:
        seen: Observation = self._agents[market.ticker].band.observations[0]
        return seen

    def state(self, market: Traded, model: int | None = None) -> dict[str, int]:
        """What an agent has in a market, by the names of `STATE`.

        Args:
            market: where.
            model: number of the fill model; if omitted, what the exchange says.
        """
        if model is not None or market.ticker not in self._agents:
            return super().state(market, model)
        return dict(zip(_NAMES, self._agents[market.ticker].state(), strict=True))

    def real_profit_cents(self, market: Traded) -> float:
        """What was earned in a market at the exchange, by mid.

        Args:
            market: where.
        """
        if self.following.payout is None or market.ticker not in self._agents:
            return 0.0
        doubled = self.state(market)["equity2"]
        return doubled / 2 / money_per_cent(self.following.payout) - self.config.cash_start

    def _refused(self, market: Traded, action: int, now_ns: int) -> str | None:
        if action != HOLD and self.desk.busy[market.ticker]:
            return "an order is on its way"
        return super()._refused(market, action, now_ns)

    def _do(self, market: Traded, action: int, now_ns: int) -> None:
        agent = self._agents[market.ticker]
        wanted = agent.wanted(self.following.markets[market.ticker].arrays(), action)
        if wanted is None:
            return
        own = self._own(market.ticker)
        if wanted.price == 0:
            mine = [o for o in own if wanted.side in (BOTH_SIDES, o.side)]
            self.desk.take_back(market.ticker, "action", mine)
            return
        assert self.following.payout is not None
        price = wanted.price * stored_per_money(self.following.payout)
        if any(o.side == wanted.side and o.price == price for o in own):
            return  # it stays, with its size and place
        instead = [
            o
            for o in own
            if o.side == wanted.side or o.price + price >= PRICE_SCALE  # replaced, or met
        ]
        order = self._order(market, agent, wanted, price)
        self._log.write(
            {
                "t": "order",
                "m": market.ticker,
                "r": agent.band.row,
                "id": order.client_order_id,
                "side": order.side,
                "price": order.price,
                "count": order.count,
                "tif": order.time_in_force,
                "recv": market.row_ns,
                "decided": now_ns,
            }
        )
        self.desk.place(order, instead, "replaced")

    def _order(self, market: Traded, agent: RealAgent, wanted: Wanted, price: int) -> NewOrder:
        yes = price if wanted.side == 0 else mirror(price, PRICE_SCALE)
        once = agent.settings.ints[TIME_IN_FORCE] == IOC
        name = f"{self.run}/{self.leg}"
        return NewOrder(
            ticker=market.ticker,
            side=SIDES[wanted.side],
            count=format_decimal(wanted.size * SIZE_SCALE, SIZE_SCALE),
            price=format_decimal(yes, PRICE_SCALE),
            client_order_id=client_order_id(name, market.ticker, agent.band.row, 0),
            time_in_force=_IOC if once else _GTC,
        )

    def _take_back(self, market: Traded, why: str) -> None:
        if self._own(market.ticker) or self.desk.busy[market.ticker]:
            self.desk.take_back(market.ticker, why)

    # What is written.

    def _also_written(self, market: Traded) -> dict[str, Any]:
        agent = self._agents[market.ticker]
        seen = observation_digest(self._observation(market))
        return {"real": agent.state(), "ro": seen}

    def _at_end(self) -> dict[str, Any]:
        return {"resting": self.left}

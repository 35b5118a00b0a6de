"""The simulation's settings as the kernels read them."""

from __future__ import annotations

from typing import Final, Protocol, get_args

import numpy as np
import numpy.typing as npt

from kalshi_sim.config import FillModel, Pricing, SimConfig
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.units import CENTS_PER_DOLLAR, money_per_cent

_KINDS: Final = {
    "hold": layout.NOTHING,
    "buy": layout.OPENS,
    "sell": layout.CLOSES,
    "cancel": layout.CANCELS,
}
_SIDES: Final = {"yes": 0, "no": 1, "both": layout.BOTH_SIDES}


class Unit(Protocol):
    """A tape, or a live market: it has a money unit, and rows of a length."""

    @property
    def payout(self) -> int:
        """What a winning contract pays, in money units."""
        ...

    @property
    def row_interval_ms(self) -> int:
        """Length of a row in milliseconds."""
        ...


def settings_of(config: SimConfig, tape: Unit) -> layout.Settings:
    """A SimConfig as the kernels read it, money in the tape's unit.

    Args:
        config: what the user set, in cents and contracts.
        tape: its money unit and row interval are read.
    """
    cent = money_per_cent(tape.payout)
    ints = np.zeros(layout.N_INTS, np.int64)
    ints[layout.C_CASH_START] = config.cash_start * cent
    ints[layout.C_ORDER_SIZE] = config.order_size
    ints[layout.C_LARGEST_ORDER] = config.table.largest(config.order_size)
    ints[layout.C_MAX_POSITION] = config.max_position
    ints[layout.C_TIF] = layout.IOC if config.time_in_force == "ioc" else layout.GTC
    ints[layout.C_FILL_MODEL] = get_args(FillModel).index(config.fill_model)
    ints[layout.C_QUEUE_POWER] = config.queue_power
    ints[layout.C_LATENCY] = config.latency_ms
    ints[layout.C_FEES] = int(config.fees)
    ints[layout.C_VALUATION] = layout.MID if config.valuation == "mid" else layout.LIQUIDATION
    ints[layout.C_TRUNCATE_END] = int(config.end_of_data == "truncate")
    ints[layout.C_MAX_STEPS] = config.max_episode_steps or -1
    ints[layout.C_PAYOUT] = tape.payout
    ints[layout.C_CENT] = cent
    ints[layout.C_INTERVAL] = tape.row_interval_ms
    ints[layout.C_RECORD] = int(config.record_fills)
    ints[layout.C_FRAME] = N_FEATURES
    floats = np.zeros(layout.N_FLOATS, np.float64)
    floats[layout.F_TRADE_SHARE] = config.trade_share
    floats[layout.F_REWARD] = config.reward_scale / (2 * tape.payout / CENTS_PER_DOLLAR)
    return layout.Settings(ints, floats, _intents_of(config))


def _intents_of(config: SimConfig) -> npt.NDArray[np.int64]:
    """The rows of the action table as the kernels read them, int64 [rows, layout.N_INTENT]."""
    intents = np.zeros((len(config.table), layout.N_INTENT), np.int64)
    for intent, row in zip(intents, config.table.rows, strict=True):
        intent[layout.I_KIND] = _KINDS[row.kind]
        if row.side is not None:
            intent[layout.I_SIDE] = _SIDES[row.side]
        if not row.is_order:
            continue
        if row.kind == "sell":  # a bid on the other side
            intent[layout.I_SIDE] = 1 - intent[layout.I_SIDE]
        intent[layout.I_SIZE] = row.contracts(config.order_size)
        intent[layout.I_BEHIND] = row.behind
        pricing = config.row_pricing(row)
        words = get_args(Pricing)
        intent[layout.I_PRICING] = words.index(pricing) if pricing in words else layout.BEHIND
    return intents

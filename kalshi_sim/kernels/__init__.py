"""Numba kernels over plain arrays.

Prices and money are in the tape's money units, sizes in contracts, times in ms since 1970 UTC.

Args of the functions here, unless they say more:
    tape: arrays of the whole tape.
    view: int64 [N_VIEW] a row of `tape.views`, in the state that holds.
    settings: the simulation's settings.
    ints: int64 [N_INTS], `settings.ints`.
    agents: all environments; changed.
    agent: int64 [N_CORE] one environment's row of `agents.core`; changed.
    consumed: int64 [2, MAX_CONSUMED, 2] its (price, contracts) taken from levels; changed.
    records: int64 [fills a step, N_RECORD] its fills of this step; changed.
    actions: int64 [n_envs] one of each environment.
    action: one of HOLD to SELL_NO.
    buffers: what a step gives back; overwritten.
    obs: float32 [52], overwritten.
    row: number of a row of the tape.
    ts: time of a row.
    interval: distance of rows, in ms.
    latency: from an order's decision to its arrival, in ms.
    side: 0 YES, 1 NO.
    price: of the side, in money units.
    qty: contracts.
    fee: in money units.
    payout: money units a winning contract pays, 100 or 10 000.
    position: contracts, above 0 of YES, below 0 of NO.
    mark2: twice the mark of YES.
    bid, no_bid: best bids of YES and of NO, 0 where there is none.
    book: the ladders of both sides; changed by what sets a level.
    replay: one market's replay; changed.
    rows: room for rows and flow entries; written.
"""

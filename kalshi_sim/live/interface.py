"""Names and limits of the exchange's interface: WebSocket API v2 and REST API V2.

As documented by the exchange in October 2026. Everything here is dated; nothing of it stands
anywhere else in the project.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

REST_ROOT: Final = "/trade-api/v2"
WS_PATH: Final = "/trade-api/ws/v2"
"""Paths as they are signed: the host is no part of a signature."""


@dataclass(frozen=True)
class Environment:
    """Where an exchange answers."""

    websocket: str
    """Host of the WebSocket API, with its scheme."""
    rest: str
    """Host of the REST API, with its scheme."""


PRODUCTION: Final = Environment(
    "wss://external-api-ws.kalshi.com", "https://external-api.kalshi.com"
)
DEMO: Final = Environment(
    "wss://external-api-ws.demo.kalshi.co", "https://external-api.demo.kalshi.co"
)
ENVIRONMENTS: Final = {"production": PRODUCTION, "demo": DEMO}
"""Credentials of one are unknown to the other."""

KEY_HEADER: Final = "KALSHI-ACCESS-KEY"
TIMESTAMP_HEADER: Final = "KALSHI-ACCESS-TIMESTAMP"
"""Milliseconds since the epoch."""
SIGNATURE_HEADER: Final = "KALSHI-ACCESS-SIGNATURE"
CLOCK_TOLERANCE_MS: Final = 5_000
"""How far a signature's time may be from the exchange's."""

STATE_PATH: Final = "/control/state"
"""Of a local exchange alone."""
PING_SECONDS: Final = 10.0
HEARTBEAT: Final = b"heartbeat"
"""Body of the server's pings."""
MAX_MESSAGE_BYTES: Final = 64 * 2**20
MAX_MARKETS_PER_SESSION: Final = 500_000
MAX_COMMANDS_PER_SECOND: Final = 10_000

SUBSCRIBE: Final = "subscribe"
UNSUBSCRIBE: Final = "unsubscribe"
UPDATE_SUBSCRIPTION: Final = "update_subscription"
LIST_SUBSCRIPTIONS: Final = "list_subscriptions"
ADD_MARKETS: Final = "add_markets"
DELETE_MARKETS: Final = "delete_markets"
GET_SNAPSHOT: Final = "get_snapshot"
ACTIONS: Final = (ADD_MARKETS, DELETE_MARKETS, GET_SNAPSHOT)
"""What `update_subscription` can do."""


@dataclass(frozen=True)
class Channel:
    """One channel of the WebSocket API."""

    name: str
    types: tuple[str, ...]
    """Types of its messages."""
    sequenced: bool
    """Whether its messages carry dense numbers, shared with control frames of its sid."""
    needs_markets: bool = False
    """Whether a subscription must name its markets."""
    takes_markets: bool = True
    """Whether a subscription may name its markets."""
    private: bool = False
    """Whether it is about the account of the key."""


ORDERBOOK: Final = Channel(
    "orderbook_delta", ("orderbook_snapshot", "orderbook_delta"), True, needs_markets=True
)
TRADE: Final = Channel("trade", ("trade",), True)
TICKER: Final = Channel("ticker", ("ticker",), False)
FILL: Final = Channel("fill", ("fill",), False, private=True)
USER_ORDERS: Final = Channel("user_orders", ("user_order",), False, private=True)
POSITIONS: Final = Channel("market_positions", ("market_position",), False, private=True)
LIFECYCLE: Final = Channel(
    "market_lifecycle_v2",
    ("market_lifecycle_v2", "event_lifecycle", "event_fee_update"),
    True,
    takes_markets=False,
)
MULTIVARIATE_LIFECYCLE: Final = Channel(
    "multivariate_market_lifecycle",
    ("multivariate_market_lifecycle", "event_lifecycle"),
    True,
    takes_markets=False,
)
COMMUNICATIONS: Final = Channel(
    "communications",
    ("rfq_created", "rfq_deleted", "quote_created", "quote_accepted", "quote_executed"),
    True,
    takes_markets=False,
)
ORDER_GROUPS: Final = Channel(
    "order_group_updates", ("order_group_updates",), True, takes_markets=False, private=True
)
INDEX_VALUES: Final = Channel(
    "cfbenchmarks_value",
    ("cfbenchmarks_value", "cfbenchmarks_value_indexlist"),
    True,
    takes_markets=False,
)
INDEX_VALUES_5HZ: Final = Channel(
    "cfbenchmarks_value_5hz",
    ("cfbenchmarks_value_5hz", "cfbenchmarks_value_5hz_indexlist"),
    True,
    takes_markets=False,
)
PYTH_VALUES: Final = Channel(
    "pyth_value", ("pyth_value", "pyth_value_underlying_list"), True, takes_markets=False
)
CHANNELS: Final = {
    channel.name: channel
    for channel in (
        ORDERBOOK,
        TRADE,
        TICKER,
        FILL,
        USER_ORDERS,
        POSITIONS,
        LIFECYCLE,
        MULTIVARIATE_LIFECYCLE,
        COMMUNICATIONS,
        ORDER_GROUPS,
        INDEX_VALUES,
        INDEX_VALUES_5HZ,
        PYTH_VALUES,
    )
}
RETIRED_CHANNELS: Final = ("ticker_v2", "multivariate")
"""Gone since 2026-02-12 and 2026-08-06; a subscription is refused as one to an unknown channel."""

SUBSCRIBED: Final = "subscribed"
UNSUBSCRIBED: Final = "unsubscribed"
OK: Final = "ok"
ERROR: Final = "error"
CONTROL_TYPES: Final = (SUBSCRIBED, UNSUBSCRIBED, OK, ERROR)
"""Replies; those with a sid consume a number of it, but for `subscribed`."""


class ErrorCode(IntEnum):
    """Codes of the WebSocket API's errors; 6, 16 and 17 are retired."""

    PROCESS_MESSAGE = 1
    PARAMS_REQUIRED = 2
    CHANNELS_REQUIRED = 3
    SIDS_REQUIRED = 4
    UNKNOWN_COMMAND = 5
    UNKNOWN_SID = 7
    UNKNOWN_CHANNEL = 8
    AUTH_REQUIRED = 9
    CHANNEL_ERROR = 10
    INVALID_PARAMETER = 11
    EXACTLY_ONE_SID = 12
    UNSUPPORTED_ACTION = 13
    TICKER_REQUIRED = 14
    ACTION_REQUIRED = 15
    COMMAND_TIMEOUT = 18
    SHARD_FACTOR_REQUIRED = 19
    SHARD_KEY_REQUIRED = 20
    SHARD_FACTOR_INVALID = 21
    SHARD_KEY_INVALID = 22
    MATCH_IDS = 23
    INDEX_IDS = 24
    BUFFER_OVERFLOW = 25
    MARKET_LIMIT = 26
    TOO_MANY_REQUESTS = 27
    UNDERLYINGS = 28


ERROR_TEXTS: Final = {
    ErrorCode.PROCESS_MESSAGE: "Unable to process message",
    ErrorCode.PARAMS_REQUIRED: "Params required",
    ErrorCode.CHANNELS_REQUIRED: "Channels required",
    ErrorCode.SIDS_REQUIRED: "Subscription IDs required",
    ErrorCode.UNKNOWN_COMMAND: "Unknown command",
    ErrorCode.UNKNOWN_SID: "Unknown subscription ID",
    ErrorCode.UNKNOWN_CHANNEL: "Unknown channel name",
    ErrorCode.AUTH_REQUIRED: "Authentication required",
    ErrorCode.CHANNEL_ERROR: "Channel error",
    ErrorCode.INVALID_PARAMETER: "Invalid parameter",
    ErrorCode.EXACTLY_ONE_SID: "Exactly one subscription ID is required",
    ErrorCode.UNSUPPORTED_ACTION: "Unsupported action",
    ErrorCode.TICKER_REQUIRED: "Market Ticker required",
    ErrorCode.ACTION_REQUIRED: "Action required",
    ErrorCode.COMMAND_TIMEOUT: "Command timeout",
    ErrorCode.BUFFER_OVERFLOW: "Subscription buffer overflow",
    ErrorCode.MARKET_LIMIT: "Subscription market limit exceeded",
    ErrorCode.TOO_MANY_REQUESTS: "Too many requests",
}
"""What the exchange says with a code. Only those of codes 7 and 14 are documented word for word."""
ENDING_CODES: Final = (ErrorCode.CHANNEL_ERROR, ErrorCode.BUFFER_OVERFLOW)
"""Errors after which a subscription is over: subscribe again."""

MARKET_STATUSES: Final = ("unopened", "open", "paused", "closed", "settled")
"""Values of the filter `status` of GET /markets; one at a time."""
MAX_PAGE: Final = 1_000
MAX_ORDERBOOKS: Final = 100
"""Books a call of GET /markets/orderbooks."""
MAX_FILL_TICKERS: Final = 100

SIDES: Final = ("bid", "ask")
"""Sides of an order, always of the YES contract."""
TIMES_IN_FORCE: Final = ("fill_or_kill", "good_till_canceled", "immediate_or_cancel")
SELF_TRADE_PREVENTION: Final = ("taker_at_cross", "maker")
MAX_SUBACCOUNT: Final = 63
SHARDS: Final = (0, 1, 2, 3)
"""Values of `exchange_index`: default, combos, crypto and commodities, three sports."""

DEFAULT_COST: Final = 10
CREATE_COST: Final = 10
CANCEL_COST: Final = 2
"""Tokens a call takes from its bucket."""


@dataclass(frozen=True)
class Tier:
    """Token buckets of a usage tier: tokens a second, and what a full bucket holds."""

    read: int
    write: int
    read_capacity: int
    write_capacity: int


TIERS: Final = {
    "basic": Tier(200, 100, 400, 100),
    "advanced": Tier(300, 300, 600, 600),
    "expert": Tier(600, 600, 600, 1_200),
    "premier": Tier(1_200, 1_200, 1_200, 2_400),
    "paragon": Tier(2_400, 2_400, 2_400, 4_800),
    "prime": Tier(4_800, 4_800, 4_800, 9_600),
    "prestige": Tier(12_000, 9_600, 12_000, 19_200),
}
"""Read buckets of the first two and write buckets above the first hold two seconds, others one;
premier and up have a fifth more since 2026-09-24."""

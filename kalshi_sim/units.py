"""Exact units: the only place that knows how many cents a dollar has.

Stored sessions hold prices in 1/100 cent (`PRICE_SCALE` a dollar) and sizes in 1/100 contract
(`SIZE_SCALE` a contract). A tape holds money in its own unit, given by its `payout`: what a
winning contract pays, 100 (cents) or 10 000 (1/100 cents). Floats never hold money.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

CENTS_PER_DOLLAR: Final = 100
PRICE_SCALE: Final = 10_000
"""Stored price units in a dollar: prices are stored in 1/100 cent."""
STORED_PER_CENT: Final = PRICE_SCALE // CENTS_PER_DOLLAR
SIZE_SCALE: Final = 100
"""Stored size units in a contract: sizes are stored in 1/100 contract."""
PAYOUT_CENT: Final = CENTS_PER_DOLLAR
"""Payout of a tape whose money unit is a cent."""
PAYOUT_FINE: Final = PRICE_SCALE
"""Payout of a tape whose money unit is 1/100 cent."""
MULTIPLIER_SCALE: Final = 10_000
"""Fee multipliers are exact decimals stored in 1/10 000."""
MS_PER_SECOND: Final = 1_000
MS_PER_MINUTE: Final = 60 * MS_PER_SECOND
MS_PER_DAY: Final = 86_400_000


_EXPONENT: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][+-]?[0-9]{1,2}")
"""A decimal number with an exponent, as "1e-2"; beyond two digits it is no price or size."""


def mirror(price: int, payout: int) -> int:
    """The price of the other side: buying YES at p is selling NO at `payout - p`.

    Args:
        price: of one side, in money units.
        payout: money units a winning contract pays.
    """
    return payout - price


def money_per_cent(payout: int) -> int:
    """Money units of a tape in one cent."""
    return payout // CENTS_PER_DOLLAR


def stored_per_money(payout: int) -> int:
    """Stored price units (1/100 cent) in one money unit of a tape."""
    return PRICE_SCALE // payout


def parse_decimal(text: str | int | float, scale: int) -> int:
    """`text` as an exact integer number of 1/`scale`; `scale` is a power of ten.

    Numbers are read through their shortest decimal text, never by float arithmetic.

    Args:
        text: a decimal number, as text or as JSON gave it.
        scale: a power of ten.

    Returns:
        The number times `scale`, exact.

    Raises:
        ValueError: not a decimal number, or finer than 1/`scale`.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        return text * scale
    raw = str(text).strip()
    if _EXPONENT.fullmatch(raw):
        raw = format(Decimal(raw), "f")
    sign = -1 if raw.startswith("-") else 1
    body = raw[1:] if raw[:1] in "+-" else raw
    whole, _, fraction = body.partition(".")
    digits = len(str(scale)) - 1
    kept, beyond = fraction[:digits], fraction[digits:]
    if not (whole + fraction).isdecimal() or not (whole + fraction).isascii():
        raise ValueError(f"not a decimal number: {raw!r}")
    if beyond.strip("0"):
        raise ValueError(f"{raw!r} is finer than 1/{scale}")
    return sign * (int(whole or "0") * scale + int(kept.ljust(digits, "0") or "0"))


def parse_dollars(text: str | int | float) -> int:
    """A price in dollars ("0.4200") as stored units (1/100 cent)."""
    return parse_decimal(text, PRICE_SCALE)


def parse_contracts(text: str | int | float) -> int:
    """A size in contracts ("13.00", "-54.25") as stored units (1/100 contract)."""
    return parse_decimal(text, SIZE_SCALE)


def format_decimal(value: int, scale: int) -> str:
    """The exact decimal text of `value` / `scale`, with as many places as `scale` has.

    Args:
        value: an integer number of 1/`scale`.
        scale: a power of ten.
    """
    digits = len(str(scale)) - 1
    sign = "-" if value < 0 else ""
    whole, fraction = divmod(abs(value), scale)
    return f"{sign}{whole}.{fraction:0{digits}d}"


def money_to_cents(money: int, payout: int) -> float:
    """Money of a tape as cents, for showing to people; never computed with.

    Args:
        money: in the tape's money units.
        payout: money units a winning contract pays.

    Returns:
        Cents.
    """
    return money / money_per_cent(payout)


IMPACT_CONTRACTS: Final = 100
"""Contracts bought or sold for the impact features."""
POSITION_SCALE_ORDERS: Final = 100
"""Orders' worth of position at which the position feature is full."""
TAKER_RATE: Final = (7, 100)
"""Fee rate of takers, an exact ratio."""
MAKER_RATE: Final = (7, 400)
"""Fee rate of makers, an exact ratio."""

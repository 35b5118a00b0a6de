"""Prices, sizes and markets from their wire text, exact; a recording repeats few texts often."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from kalshi_sim.units import PRICE_SCALE, SIZE_SCALE, STORED_PER_CENT, parse_decimal

NOISE: Final = Decimal("1e-9")
"""A float's binary noise is at most this, in dollars or contracts."""
_LONGEST: Final = 40


class Tickers(dict[str | None, int]):
    """Market numbers by ticker, in order of appearance."""

    def __missing__(self, ticker: str | None) -> int:
        if not ticker:
            raise ValueError("market_ticker is missing")
        number = self[ticker] = len(self)
        return number


class Cache(dict[Any, int]):
    """Values by their wire text."""

    def __init__(self, parse: Callable[[Any], int]) -> None:
        super().__init__()
        self._parse = parse

    def __missing__(self, text: Any) -> int:
        if text is None:
            raise ValueError("a price or size is missing")
        value = self[text] = self._parse(text)
        return value


class _NearestCache(Cache):
    """As `Cache`; texts that miss a tick by a float's noise are rounded, and counted."""

    def __init__(self, parse: Callable[[Any], int], rounded: Callable[[Any], int], count: Values):
        super().__init__(parse)
        self._rounded = rounded
        self._count = count
        self._noisy: set[Any] = set()

    def __getitem__(self, text: Any) -> int:
        value = super().__getitem__(text)
        self._count.rounded += text in self._noisy
        return value

    def __missing__(self, text: Any) -> int:
        try:
            return super().__missing__(text)
        except ValueError:
            if text is None:
                raise
            value = self[text] = self._rounded(text)
            self._noisy.add(text)
            return value


class Values:
    """Prices in `dollars`, prices in whole `cents` and sizes in `contracts` by their text.

    In 1/100 cent and 1/100 contract; `rounded` counts those rounded to the nearest tick.
    """

    def __init__(self, *, nearest_tick: bool) -> None:
        self.rounded = 0

        def cache(scale: int, check: Callable[[int, object], int]) -> Cache:
            def exact(text: Any) -> int:
                return check(_exact(text, scale), text)

            def rounded(text: Any) -> int:
                return check(nearest(text, scale), text)

            return _NearestCache(exact, rounded, self) if nearest_tick else Cache(exact)

        self.dollars = cache(PRICE_SCALE, _in_book)
        self.cents = cache(STORED_PER_CENT, _whole_cents)
        self.contracts = cache(SIZE_SCALE, lambda size, _: size)


def nearest(text: str | int | float, scale: int) -> int:
    """A decimal rounded to the nearest whole number of 1/`scale`, at most `NOISE` away.

    Args:
        text: as text or as JSON gave it.
        scale: a power of ten.

    Returns:
        The number times `scale`.

    Raises:
        ValueError: not a decimal number, or farther away.
    """
    raw = str(text).strip()
    try:
        number = Decimal(raw) if len(raw) <= _LONGEST else Decimal("NaN")
    except ArithmeticError as error:
        raise ValueError(f"not a decimal number: {raw!r}") from error
    if not number.is_finite() or abs(number) > PRICE_SCALE**3:
        raise ValueError(f"not a decimal number: {raw!r}")
    whole = (number * scale).to_integral_value(ROUND_HALF_EVEN)
    if abs(number * scale - whole) > NOISE * scale:
        raise ValueError(f"{raw!r} is finer than 1/{scale}, and by more than a float's noise")
    return int(whole)


def _exact(text: str | int | float, scale: int) -> int:
    try:
        return parse_decimal(text, scale)
    except ValueError as error:
        try:
            nearest(text, scale)
        except ValueError:
            raise error from None
        raise ValueError(f"{error}, by a float's binary noise: --nearest-tick rounds it") from error


def _in_book(price: int, text: object) -> int:
    if not 0 < price < PRICE_SCALE:
        raise ValueError(f"price {text!r} is not between 0 and 1 dollar")
    return price


def _whole_cents(price: int, text: object) -> int:
    if price % STORED_PER_CENT:
        raise ValueError(
            f"price {text!r} under a key of whole cents (price, yes, no); dollars belong under "
            "price_dollars, yes_dollars and no_dollars"
        )
    return _in_book(price, text)

"""The exchange's fees as dated data: which multipliers and rounding a market had, and when.

A fee is `ceil(rate * M * contracts * p * (payout - p) / payout)`, rounded up to the fee unit; the
rates stand here, the formula in the kernel. Multipliers M and the unit belong to a market and a
day. A `FeeSchedule` is a tuple of rules; for each value the last rule that applies and states it
decides, and what the market's own metadata says wins over the schedule.

A discount that some series had is an override, in a JSON or CSV file or in code:

    half_fee = FeeRule("KXEXAMPLE*", since=date(2025, 1, 1), taker_multiplier=5_000)
    schedule = DEFAULT_SCHEDULE.override([half_fee])
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec

from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.grid import is_sub_penny, price_grid
from kalshi_sim.session import MarketInfo
from kalshi_sim.units import (
    MAKER_RATE,
    MS_PER_DAY,
    MULTIPLIER_SCALE,
    PRICE_SCALE,
    STORED_PER_CENT,
    TAKER_RATE,
    format_decimal,
    parse_decimal,
)
from kalshi_sim.validated import Within, check_value

__all__ = [
    "DEFAULT_SCHEDULE",
    "MAKER_RATE",
    "MAX_MULTIPLIER",
    "TAKER_RATE",
    "FeeRule",
    "FeeSchedule",
    "FeeTerms",
]

MAX_MULTIPLIER: Final = 5 * MULTIPLIER_SCALE
"""Largest multiplier: keeps the fee of the largest order inside int64."""

_LIMITS: Final = {
    "taker_multiplier": (0, MAX_MULTIPLIER, MULTIPLIER_SCALE),
    "maker_multiplier": (0, MAX_MULTIPLIER, MULTIPLIER_SCALE),
    "fee_unit": (1, PRICE_SCALE, PRICE_SCALE),
}
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True)
class FeeTerms:
    """What one market pays. Integers: multipliers in 1/10 000, the unit in 1/100 cent."""

    taker_multiplier: int
    maker_multiplier: int
    fee_unit: int
    """Fees are rounded up to a multiple of this."""


@dataclass(frozen=True)
class FeeRule:
    """A change of the fees of some series from some day on; None leaves a value as it is.

    Raises:
        ConfigError: a value is outside its range, or the rule sets no value.
    """

    series: str = "*"
    """An exact series, a prefix followed by `*`, or `*` for every series."""
    since: date | None = None
    """First UTC day (of the session's first book event) it holds; None: always."""
    taker_multiplier: int | None = None
    """In 1/10 000."""
    maker_multiplier: int | None = None
    """In 1/10 000."""
    fee_unit: int | None = None
    """In 1/100 cent."""
    sub_penny_only: bool = False
    """Whether it holds only for markets whose grid is finer than a cent."""

    def __post_init__(self) -> None:
        if not self.series or "*" in self.series[:-1]:
            raise ConfigError(
                f"fee rule for {self.series!r}: give a series (KXNBAGAME), a prefix (KXNBA*) or *"
            )
        stated = [name for name in _LIMITS if getattr(self, name) is not None]
        if not stated:
            raise ConfigError(
                f"fee rule for {self.series!r} sets no value; give {', '.join(_LIMITS)}"
            )
        for name in stated:
            _check(name, getattr(self, name), f"fee rule for {self.series!r}")

    def applies(self, market: MarketInfo, first_book_ms: int) -> bool:
        """Whether the rule holds for this market in a session that began then.

        Args:
            market: its series and its price grid decide.
            first_book_ms: the session's first book event, in ms since 1970 UTC.
        """
        if self.series.endswith("*"):
            if not market.series.startswith(self.series[:-1]):
                return False
        elif market.series != self.series:
            return False
        if self.sub_penny_only and not is_sub_penny(market.price_ranges or price_grid(market)):
            return False
        return self.since is None or first_book_ms >= (self.since - _EPOCH).days * MS_PER_DAY


@dataclass(frozen=True)
class FeeSchedule:
    """Rules in order: for each value, the last one that applies and states it decides."""

    rules: tuple[FeeRule, ...]

    def terms(self, market: MarketInfo, first_book_ms: int) -> FeeTerms:
        """The fees of a market in a session; the market's own values, where it has them, win.

        Args:
            market: whose fees are wanted.
            first_book_ms: the session's first book event, in ms since 1970 UTC; `since` of a rule
                is compared with it.

        Raises:
            ConfigError: no rule states a value, or the market's own is outside its range.
        """
        values: dict[str, int] = {}
        for rule in self.rules:
            if rule.applies(market, first_book_ms):
                values |= _stated(rule)
        own = _stated(market)
        for name in _LIMITS:
            if name in own:
                _check(name, own[name], f"market {market.ticker}")
            elif name not in values:
                raise ConfigError(
                    f"the fee schedule states no {name} for market {market.ticker}; "
                    "add a rule, or start from DEFAULT_SCHEDULE.override(...)"
                )
        return FeeTerms(**(values | own))

    def override(self, rules: Iterable[FeeRule]) -> FeeSchedule:
        """This schedule with `rules` after its own, so that they win."""
        return FeeSchedule(self.rules + tuple(rules))

    @staticmethod
    def from_file(path: str | Path) -> FeeSchedule:
        """The default schedule with the rules of a JSON or CSV file on top.

        JSON: a list of objects; CSV: a header and a line a rule, empty cells set no value. Keys:
        `series`, `since` (YYYY-MM-DD), `taker_multiplier` and `maker_multiplier` (0.5 = half),
        `fee_unit` (dollars: 0.01), `sub_penny_only` (true or false). Numbers are read exactly.

        Raises:
            DataError: the file cannot be read or a rule cannot be right, by file and rule.
        """
        path = Path(path)
        rules = [
            _read_rule(record, f"{path}, rule {number}")
            for number, record in enumerate(_read_records(path), start=1)
        ]
        newest: dict[str, date] = {}
        for number, rule in enumerate(rules, start=1):
            since = rule.since or date.min
            if since < newest.get(rule.series, date.min):
                raise DataError(
                    f"{path}, rule {number}: {rule.series!r} since {rule.since or 'always'} comes "
                    f"after one since {newest[rule.series]} and would undo it; sort them by date"
                )
            newest[rule.series] = since
        return DEFAULT_SCHEDULE.override(rules)


class _RuleRecord(msgspec.Struct, forbid_unknown_fields=True):
    """One rule as a file has it: decimal text, not yet scaled."""

    series: str = "*"
    since: date | None = None
    taker_multiplier: str | None = None
    maker_multiplier: str | None = None
    fee_unit: str | None = None
    sub_penny_only: bool = False


def _stated(source: FeeRule | MarketInfo) -> dict[str, int]:
    return {n: v for n in _LIMITS if (v := getattr(source, n)) is not None}


def _check(name: str, value: object, where: str) -> None:
    low, high, scale = _LIMITS[name]
    try:
        check_value(name, value, int, Within(low, high))
    except ConfigError as error:
        shown = f"{format_decimal(low, scale)} to {format_decimal(high, scale)}"
        raise ConfigError(f"{where}: {error} (in 1/{scale}: {shown})") from None


def _read_records(path: Path) -> list[Mapping[str, Any]]:
    """The rules of a file as mappings of text."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".csv":
            rows = csv.DictReader(
                text.splitlines(), restkey="(beyond the header)", restval="", strict=True
            )
            # An empty cell sets no value.
            return [{k: t for k, v in row.items() if (t := str(v).strip())} for row in rows]
        # Numbers stay text, so that no float stands between the file and the integer.
        records = json.loads(text, parse_float=str, parse_int=str)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path}: no valid JSON or CSV ({error}); see FeeSchedule") from error
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise DataError(f"{path}: must be a JSON list of objects, one a rule; see FeeSchedule")
    return records


def _plain_decimal(text: str, scale: int) -> int:
    """`text` as a whole number of 1/`scale`, without an exponent: people write these files."""
    if re.fullmatch(r"[-+.0-9]+[eE][-+0-9]+", text.strip()):
        raise ValueError(f"not a decimal number: {text!r} has an exponent; write 0.01, not 1e-2")
    return parse_decimal(text, scale)


def _read_rule(record: Mapping[str, Any], where: str) -> FeeRule:
    try:
        raw = msgspec.convert(record, _RuleRecord, strict=False)
        scaled = {
            name: _plain_decimal(text, scale)
            for name, (_, _, scale) in _LIMITS.items()
            if (text := getattr(raw, name)) is not None
        }
        return FeeRule(
            series=raw.series, since=raw.since, sub_penny_only=raw.sub_penny_only, **scaled
        )
    except ValueError as error:  # msgspec's and ours are ValueErrors
        raise DataError(f"{where}: {error}") from error


DEFAULT_SCHEDULE: Final = FeeSchedule(
    (
        FeeRule(
            taker_multiplier=MULTIPLIER_SCALE,
            maker_multiplier=0,
            fee_unit=STORED_PER_CENT,
        ),
        # Direct members pay to 1/100 cent from this day on. Markets with a grid of whole cents
        # keep the cent, so that their tapes stay in cents: fees are never below the real ones.
        FeeRule(since=date(2026, 5, 28), fee_unit=1, sub_penny_only=True),
    )
)
"""The published defaults and known changes. Series-specific multipliers are not known to it."""


def chosen_schedule(given: FeeSchedule | None, file: Path | None) -> FeeSchedule:
    """The schedule that was given, else that of a file, else the published one.

    Args:
        given: a schedule, or None if none was given.
        file: JSON of rules (`FeeSchedule.from_file`), or None; unused if `given` is set.

    Raises:
        DataError: the file cannot be read or a rule cannot be right, by file and rule.
    """
    if given is not None:
        return given
    return DEFAULT_SCHEDULE if file is None else FeeSchedule.from_file(file)

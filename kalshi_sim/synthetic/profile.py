"""Profiles: the kinds of markets that `generate` knows by name, as numbers.

A profile holds the parameters of `kalshi_sim.synthetic.profile_flow`, and the figures of the
recording that they were fitted to, so that both can be compared where the recording is not.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, get_origin, get_type_hints

import msgspec
import numpy as np

from kalshi_sim.errors import ConfigError
from kalshi_sim.synthetic.profile_flow import BUCKETS, INSIDE
from kalshi_sim.validated import Within, check_value

FOLDER: Final = Path(__file__).parent / "profiles"

SHARES: Final = (0.0, 0.02, 0.05, *(0.1 + 0.05 * i for i in range(16)), 0.9, 0.925, 0.95)
"""Shares up to the 95 % at which a profile knows quantiles."""
QUANTILES: Final = tuple(
    round(share, 3) for share in (*SHARES, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 1.0)
)
"""Shares at which a profile knows the quantiles of gaps and sizes."""

Chance = Annotated[float, Within(0, 1)]
Positive = Annotated[float, Within(0, None, low_excluded=True)]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How the markets of a kind trade. Sizes in contracts, gaps in ms, prices in cents."""

    name: str
    recording: str
    """What the figures were measured on, in words."""
    markets: Annotated[int, Within(1, 100_000)]
    """Of a session, if not asked for."""
    minutes: Annotated[float, Within(0.1, 7 * 24 * 60)]
    """Of a session, if not asked for."""
    sub_penny: bool
    fractional: bool
    gaps: tuple[float, ...]
    """Quantiles of the gap between rows, at `QUANTILES`."""
    lull: Positive
    """Factor on the longest gaps; above the 90 % quantile it comes in step by step."""
    slow: Chance
    """Share of slow changes (thousands of rows) in the variance of the gaps' ranks."""
    fast: Chance
    """Share of fast changes (tens of rows) in it."""
    starts: tuple[float, ...]
    """Quantiles of the fair value at the start, at equal steps."""
    news: Chance
    step: Positive
    tail: Annotated[float, Within(0, 3)]
    informed: Chance
    more: Annotated[float, Within(0, 0.95)]
    taker: Chance
    sweep: Chance
    tilt: Annotated[float, Within(0, 2)]
    drop: Chance
    refill: Chance
    join: Annotated[float, Within(0, 0.95)]
    settle: Chance
    places: tuple[float, ...]
    """Weight of each distance from the best price among the other changes."""
    levels: tuple[float, ...]
    """Contracts at which a level at each distance gains and loses alike."""
    sizes: tuple[tuple[float, ...], ...]
    """Quantiles of orders' contracts at each distance; the last: better than the best price."""
    takers: tuple[float, ...]
    """Quantiles of the contracts of market orders, at `QUANTILES`."""
    taker_tail: Positive = 1.0
    """Factor on their largest sizes; above the median it comes in step by step."""
    fine: Positive = 1.0
    """Factor on `drop` where prices are finer than a cent."""
    trades_recorded: bool = True
    """Whether what takers do was measured; else it is an assumption."""
    figures: dict[str, float | None] = field(default_factory=dict)
    """What was measured on the recording."""
    errors: dict[str, float] = field(default_factory=dict)
    """Standard errors of some of the figures."""

    def __post_init__(self) -> None:
        """Check every number, and the lengths and signs of what is given as a table.

        Raises:
            ConfigError: a number is outside its range, or a table has another length or is
                negative.
        """
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            if get_origin(hint) is Annotated:
                check_value(f"profile {self.name}: {name}", getattr(self, name), hint)
        tables = {
            "gaps": (self.gaps, len(QUANTILES)),
            "takers": (self.takers, len(QUANTILES)),
            "places": (self.places, len(BUCKETS)),
            "levels": (self.levels, len(BUCKETS)),
            **{f"sizes[{i}]": (row, len(QUANTILES)) for i, row in enumerate(self.sizes)},
        }
        for name, (table, length) in tables.items():
            if len(table) != length or min(table) < 0 or not np.isfinite(table).all():
                raise ConfigError(f"profile {self.name}: {name} must be {length} numbers above 0")
        if len(self.sizes) != INSIDE + 1:
            raise ConfigError(f"profile {self.name}: sizes must be {INSIDE + 1} rows")
        if not self.starts or min(self.starts) <= 0 or max(self.starts) >= 100:
            raise ConfigError(f"profile {self.name}: starts must lie within 0 and 100 cents")
        if self.slow + self.fast > 1.0:
            raise ConfigError(f"profile {self.name}: slow and fast must not be above 1 together")
        if self.taker + self.drop * max(1.0, self.fine) + self.refill > 1.0:
            raise ConfigError(
                f"profile {self.name}: taker, drop and refill must not be above 1 together"
            )


def profile_names() -> tuple[str, ...]:
    """The names of the profiles that are shipped.

    Returns:
        Names in alphabetical order.
    """
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def read_profile(name: str) -> Profile:
    """A profile by its name, or from a file.

    Args:
        name: of a shipped profile, or a path that ends in .json.

    Raises:
        ConfigError: there is no such profile, or the file holds none.
    """
    path = Path(name) if name.endswith(".json") else FOLDER / f"{name}.json"
    if path.parent == FOLDER and name not in profile_names():
        close = difflib.get_close_matches(name, profile_names(), n=1)
        meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(profile_names())}"
        raise ConfigError(f"no profile {name}; {meant}, or give a .json file")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Profile)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file; kalshi-sim generate --like makes one "
            "with --save-profile"
        ) from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: no profile ({error})") from None


def profile_text(profile: Profile) -> str:
    """A profile as the text of its file."""
    return msgspec.json.format(msgspec.json.encode(profile), indent=1).decode() + "\n"

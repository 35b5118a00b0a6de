"""Settings that check themselves: one rule and one wording for every range in both packages.

A frozen dataclass that derives from `Validated` checks every field when it is made. The type of a
field says what it may hold; `Within` in an `Annotated` type gives the range of a number:

    @dataclass(frozen=True)
    class Options(Validated):
        depth: Annotated[int, Within(1, 64)] = 10

Arguments of functions are checked by the same rule with `check_value`.
"""

from __future__ import annotations

import math
import types
from dataclasses import dataclass, fields
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from kalshi_sim.errors import ConfigError

WHOLE_NUMBER_LIMIT: Final = 2**62
"""Whole numbers without a range of their own lie within this, so that int64 holds them."""


@dataclass(frozen=True)
class Within:
    """The range of a number, both ends included unless said otherwise."""

    low: float
    high: float | None = None
    """None: there is no upper end."""
    low_excluded: bool = False
    high_excluded: bool = False

    def holds(self, value: float) -> bool:
        """Whether `value` lies in the range."""
        if value < self.low or (self.low_excluded and value == self.low):
            return False
        if self.high is None:
            return True
        return value < self.high or (not self.high_excluded and value == self.high)

    def __str__(self) -> str:
        low = f"above {self.low}" if self.low_excluded else f"from {self.low}"
        if self.high is None:
            return low
        return f"{low} to below {self.high}" if self.high_excluded else f"{low} to {self.high}"


class Validated:
    """Base of frozen dataclasses whose fields are checked when an object is made.

    A class with rules that join several fields overrides `check_together`.

    Raises:
        ConfigError: a field is outside its range or of another type, or fields contradict each
            other.
    """

    def __post_init__(self) -> None:
        for name, hint in _hints_of(type(self)).items():
            check_value(name, getattr(self, name), hint)
        self.check_together()

    def check_together(self) -> None:
        """Check the rules that join several fields.

        Raises:
            ConfigError: fields contradict each other.
        """


_HINTS: Final[dict[type, dict[str, Any]]] = {}


def _hints_of(kind: type[Any]) -> dict[str, Any]:
    """The types of a class's fields by name; resolving them takes longer than checking."""
    if kind not in _HINTS:
        hints = get_type_hints(kind, include_extras=True)
        _HINTS[kind] = {f.name: hints[f.name] for f in fields(kind) if f.init}
    return _HINTS[kind]


def check_value(name: str, value: Any, hint: Any, within: Within | None = None) -> None:
    """Check one value.

    Args:
        name: of the setting, for the message.
        value: what was given.
        hint: its type: bool, int, float, str, Path, a Literal, a tuple, a dataclass, one of these
            or None, or `Annotated` with a `Within`.
        within: the range, if `hint` does not hold it.

    Raises:
        ConfigError: the value is of another type or outside its range.
    """
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        within = next((e for e in extras if isinstance(e, Within)), within)
    if get_origin(hint) in (Union, types.UnionType):
        if value is None and type(None) in get_args(hint):
            return
        inner = [h for h in get_args(hint) if h is not type(None)]
        check_value(name, value, inner[0], within)
    elif get_origin(hint) is Literal:
        if value not in get_args(hint):
            allowed = ", ".join(str(word) for word in get_args(hint))
            raise ConfigError(f"{name}={value!r}: allowed are {allowed}")
    elif hint is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{name}={value!r}: allowed are True and False")
    elif hint in (int, float):
        _check_number(name, value, hint, within)
    else:
        _check_other(name, value, hint)


def _check_number(name: str, value: Any, kind: type, within: Within | None) -> None:
    right = isinstance(value, Integral) and not isinstance(value, bool)
    if kind is float:
        right = right or (isinstance(value, float) and math.isfinite(value))
    within = within or Within(-WHOLE_NUMBER_LIMIT, WHOLE_NUMBER_LIMIT)
    if not right or not within.holds(value):
        number = "a number" if kind is float else "a whole number"
        raise ConfigError(f"{name}={value!r}: must be {number} {within}")


def _check_other(name: str, value: Any, hint: Any) -> None:
    if hint in (str, Path):
        if not isinstance(value, hint):
            raise ConfigError(f"{name}={value!r}: must be text")
    elif get_origin(hint) is tuple:
        whole = isinstance(value, tuple) and all(
            isinstance(v, Integral) and not isinstance(v, bool) for v in value
        )
        if not whole:
            raise ConfigError(f"{name}={value!r}: must be whole numbers separated by commas")
    elif not isinstance(value, hint):
        raise ConfigError(f"{name}={value!r}: must be a {hint.__name__}")

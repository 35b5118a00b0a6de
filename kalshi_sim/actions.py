"""Action tables: what the numbers of an action space mean (docs/contract.md#12-action-tables)."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from kalshi_sim.errors import ConfigError
from kalshi_sim.text import printable
from kalshi_sim.validated import Validated, Within

Kind = Literal["hold", "buy", "sell", "cancel"]
Side = Literal["yes", "no", "both"]

QUARTERS: Final = 4
"""Sizes of rows are in quarters of `order_size`."""
MAX_QUARTERS: Final = 1_000_000
MAX_BEHIND: Final = 1_000
"""Farthest price behind the best that a row can name."""
MAX_ROWS: Final = 127
"""Most rows of a table: an episode's actions are kept as int8."""
_MAX_BYTES: Final = 1 << 20
_BEHIND: Final = "behind"
_PRICINGS: Final = "cross, join, improve, 'behind K', or left out"


@dataclass(frozen=True)
class ActionRow(Validated):
    """One action: what it does, on which side, at which price and size.

    Raises:
        ConfigError: a field is outside its range, or fields contradict each other.
    """

    kind: Kind
    """What it does: nothing, bid for contracts, sell contracts held, or cancel orders."""
    side: Side | None = None
    """Whose contracts; for a cancel also "both". The order that sells YES rests among the NO."""
    pricing: str | None = None
    """Limit price: cross, join, improve, or "behind K": the K-th price of the grid below the
    best. None: that of the configuration."""
    size: Annotated[int, Within(1, MAX_QUARTERS)] = QUARTERS
    """Contracts, in quarters of `order_size`; at least one."""

    def check_together(self) -> None:
        """Check the rules that join several fields.

        Raises:
            ConfigError: fields contradict each other.
        """
        if self.kind == "hold" and self.side is not None:
            raise ConfigError("hold has no side")
        if self.kind != "hold" and self.side is None:
            raise ConfigError(f"{self.kind} needs a side: yes or no")
        if self.kind in ("buy", "sell"):
            if self.side == "both":
                raise ConfigError(f"{self.kind} has one side: yes or no")
            if self.pricing not in (None, "cross", "join", "improve"):
                _ = self.behind
        elif self.pricing is not None or self.size != QUARTERS:
            raise ConfigError(f"{self.kind} has neither pricing nor size")

    @property
    def is_order(self) -> bool:
        """Whether the row places an order."""
        return self.kind in ("buy", "sell")

    @property
    def behind(self) -> int:
        """How many prices behind the best; 0 if the row prices otherwise.

        Raises:
            ConfigError: `pricing` is none of its words.
        """
        if self.pricing in (None, "cross", "join", "improve"):
            return 0
        word, _, number = str(self.pricing).partition(" ")
        if word == _BEHIND and number.isascii() and number.isdecimal() and len(number) <= 4:
            k = int(number)
            if 1 <= k <= MAX_BEHIND and number == str(k):
                return k
        raise ConfigError(
            f"pricing={printable(repr(self.pricing))}: allowed are {_PRICINGS} "
            f"(K from 1 to {MAX_BEHIND})"
        )

    def contracts(self, order_size: int) -> int:
        """Contracts of the row's order, before it is cut to what is held and free.

        Args:
            order_size: of the configuration.

        Returns:
            At least 1.
        """
        return max(1, order_size * self.size // QUARTERS)

    @property
    def name(self) -> str:
        """A name made of what the row does: `buy_yes`, `sell_no_join`, `buy_yes_x0.5`."""
        words: list[str] = [self.kind]
        if self.side is not None:
            words.append(self.side)
        if self.pricing is not None:
            words.append(self.pricing.replace(" ", "_"))
        if self.size != QUARTERS:
            words.append(f"x{self.size / QUARTERS:g}")
        return "_".join(words)


@dataclass(frozen=True)
class ActionTable:
    """The rows of an action space, in the order of their numbers; the first is HOLD.

    Raises:
        ConfigError: there is no row, too many, or the first is not hold.
    """

    rows: tuple[ActionRow, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(self.rows))
        for number, row in enumerate(self.rows):
            if not isinstance(row, ActionRow):
                raise ConfigError(f"row {number} of the actions is {row!r}, not an ActionRow")
        if not 1 <= len(self.rows) <= MAX_ROWS:
            raise ConfigError(
                f"an action table has 1 to {MAX_ROWS} rows; this one has {len(self.rows)}"
            )
        if self.rows[0].kind != "hold":
            raise ConfigError(f"row 0 of the actions must be hold; it is {self.rows[0].name}")

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"ActionTable({', '.join(self.names)})"

    def __str__(self) -> str:
        """The table's name, of one without a name the number of its rows."""
        return self.known_as or f"a table of {len(self)} rows"

    @property
    def known_as(self) -> str | None:
        """The name of the built-in table that has these rows, None if there is none."""
        return next((name for name, table in TABLES.items() if table.rows == self.rows), None)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """A name of its own for each row; of equal rows the later ones carry a number."""
        seen: Counter[str] = Counter()
        names = []
        for row in self.rows:
            seen[row.name] += 1
            names.append(row.name if seen[row.name] == 1 else f"{row.name}#{seen[row.name]}")
        return tuple(names)

    def largest(self, order_size: int) -> int:
        """Contracts of the largest order of the table; `order_size` if it places none.

        Args:
            order_size: of the configuration.

        Returns:
            At least 1.
        """
        return max((r.contracts(order_size) for r in self.rows if r.is_order), default=order_size)

    def to_text(self) -> str:
        """The table as settings keep it: its name, or JSON of its rows in one line.

        Returns:
            What `action_table` makes the same table of.
        """
        return self.known_as or json.dumps([_as_mapping(row) for row in self.rows])


def _as_mapping(row: ActionRow) -> dict[str, Any]:
    shown = {f.name: getattr(row, f.name) for f in fields(row)}
    default = {"side": None, "pricing": None, "size": QUARTERS}
    return {k: v for k, v in shown.items() if k not in default or v != default[k]}


def _both_sides(kind: Kind, pricings: Iterable[str]) -> list[ActionRow]:
    return [ActionRow(kind, side, p) for side in ("yes", "no") for p in pricings]


_INTENTS: Final[tuple[tuple[Kind, Side], ...]] = (
    ("buy", "yes"),
    ("sell", "yes"),
    ("buy", "no"),
    ("sell", "no"),
)
_CANCELLED: Final[tuple[Side, ...]] = ("yes", "no", "both")
TABLES: Final[dict[str, ActionTable]] = {
    "five": ActionTable((ActionRow("hold"), *(ActionRow(k, s) for k, s in _INTENTS))),
    "sized": ActionTable(
        (
            ActionRow("hold"),
            *(ActionRow(k, s, None, size) for k, s in _INTENTS for size in (2, 4, 8, 20, 40)),
        )
    ),
    "maker": ActionTable(
        (
            ActionRow("hold"),
            *(ActionRow("cancel", side) for side in _CANCELLED),
            *_both_sides("buy", ("join", "improve", "behind 1", "behind 2")),
            *_both_sides("sell", ("cross", "join")),
        )
    ),
}
"""The built-in tables by name."""
FIVE: Final = TABLES["five"]


def action_table(given: object) -> ActionTable:
    """The table that a setting means.

    Args:
        given: an `ActionTable`; the name of a built-in one; a JSON file of rows (its path), JSON
            of rows as text; or rows, each an `ActionRow` or a mapping of its fields.

    Returns:
        The table.

    Raises:
        ConfigError: it is none of these, or a row is wrong; the message says which and why.
    """
    if isinstance(given, ActionTable):
        return given
    if isinstance(given, str) and given in TABLES:
        return TABLES[given]
    if isinstance(given, str) and given.lstrip().startswith("["):
        return _of_text(given, "actions")
    if isinstance(given, (str, Path)):
        return _of_file(Path(given))
    if isinstance(given, Sequence):
        return _of_rows(given, "actions")
    raise ConfigError(f"actions={printable(repr(given))}: {_ALLOWED}")


_ALLOWED: Final = f"allowed are {', '.join(TABLES)}, or a JSON file of rows"


def is_text_of_table(text: object) -> bool:
    """Whether `text` is what `ActionTable.to_text` gives, and names no file."""
    return isinstance(text, str) and (text in TABLES or text.startswith("["))


@functools.lru_cache(maxsize=64)
def table_of_text(text: str) -> ActionTable:
    """The table that a checked setting names (`ActionTable.to_text`)."""
    return action_table(text)


def _of_file(path: Path) -> ActionTable:
    try:
        if not path.is_file():
            raise ConfigError(f"actions={printable(str(path))}: no such table or file; {_ALLOWED}")
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{printable(str(path))} is too large for a table of actions")
        text = path.read_text("utf-8")
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{printable(str(path))} is no text in UTF-8") from error
    except OSError as error:
        raise ConfigError(f"cannot read {printable(str(path))}: {error.strerror}") from error
    return _of_text(text, printable(str(path)))


def _of_text(text: str, where: str) -> ActionTable:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is no JSON: {printable(str(error))}") from error
    if not isinstance(rows, list):
        raise ConfigError(
            f'{where}: a table of actions is a JSON list of rows such as {{"kind": "buy", '
            '"side": "yes", "pricing": "join", "size": 4}'
        )
    return _of_rows(rows, where)


def _of_rows(rows: Sequence[Any], where: str) -> ActionTable:
    made = [_row(row, f"{where}, row {number}") for number, row in enumerate(rows)]
    try:
        return ActionTable(tuple(made))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _row(row: Any, where: str) -> ActionRow:
    if isinstance(row, ActionRow):
        return row
    known = [f.name for f in fields(ActionRow)]
    if not isinstance(row, Mapping):
        raise ConfigError(
            f"{where}: {printable(repr(row), 60)} is no object with {', '.join(known)}"
        )
    unknown = [printable(str(name), 60) for name in row if name not in known]
    if unknown:
        raise ConfigError(f"{where}: unknown {', '.join(unknown)}; allowed are {', '.join(known)}")
    if "kind" not in row:
        raise ConfigError(f"{where}: kind is missing; allowed are hold, buy, sell, cancel")
    try:
        return ActionRow(**row)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def by_intent(actions: Mapping[str, float]) -> dict[str, float]:
    """Figures by the name of a row, summed by what the rows do: those of `five`, and `cancel`.

    Args:
        actions: a figure for each row, by its name.

    Returns:
        Their sums by hold, buy_yes, sell_yes, buy_no, sell_no and, if a row cancels, cancel.
    """
    sums = dict.fromkeys(FIVE.names, 0.0)
    for name, figure in actions.items():
        kind, side, *_ = [*name.split("#")[0].split("_"), ""]
        intent = kind if kind in ("hold", "cancel") else f"{kind}_{side}"
        sums[intent] = sums.get(intent, 0.0) + figure
    return sums


def action_label(name: str) -> str:
    """A row's name as people read it: `buy_yes_join` is "buy YES join"."""
    words = [word.upper() if word in ("yes", "no") else word for word in name.split("_")]
    return " ".join(words)

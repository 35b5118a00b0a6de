"""Parameters of REST calls: whole numbers, pages and their cursors."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import TypeVar

from kalshi_sim.live.exchange.auth import RestError

Row = TypeVar("Row")


def bad(name: str, why: str) -> RestError:
    """The refusal of a parameter that cannot be right.

    Args:
        name: of the parameter.
        why: what is wrong with it.
    """
    return RestError(400, "invalid_parameters", "invalid parameters", f"{name}: {why}"[:300])


def number(query: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """A whole number of a query.

    Args:
        query: of the call.
        name: of the parameter.
        default: if it is not given.
        low: the lowest that is allowed.
        high: the highest.

    Raises:
        RestError: it is none of them.
    """
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= high):
        raise bad(name, f"{text[:30]!r}: a whole number from {low} to {high}")
    return int(text)


def paged(
    rows: list[Row], cursor: str, limit: int, key: Callable[[Row], str]
) -> tuple[list[Row], str]:
    """A page of rows, and the cursor of the next one (empty: it is the last).

    Args:
        rows: all of them, in a fixed order.
        cursor: of the page before; empty: the first page.
        limit: rows of a page.
        key: names a row; a row that leaves between two pages moves no other.

    Returns:
        The page and the cursor.

    Raises:
        RestError: no page before gave this cursor.
    """
    first = 0
    if cursor:
        try:
            text = base64.urlsafe_b64decode(cursor.encode()).decode()
            place, _, after = text.partition(" ")
            first = int(place)
        except ValueError:
            raise bad("cursor", "none that was given") from None
        names = [key(row) for row in rows]
        first = names.index(after) + 1 if after in names else max(0, first - 1)
    page = rows[first : first + limit]
    if not page or first + limit >= len(rows):
        return page, ""
    text = f"{first + limit} {key(page[-1])}"
    return page, base64.urlsafe_b64encode(text.encode()).decode()

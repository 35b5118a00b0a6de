"""How the address of a store may be shown: never with a password."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

UNSHOWN: Final = "the database URL"
"""Shown for a URL of odd shape: a password that was not quoted may stand anywhere in it."""
_PLACE: Final = re.compile(r"(\[[0-9a-fA-F:.]*\]|[^:@,\[\]]*)(:\d*)?(,[^:@,]*(:\d*)?)*")


def without_password(store: str) -> str:
    """A folder as it is, a database URL without its password, `UNSHOWN` for one of odd shape."""
    if "://" not in store:
        return store
    try:
        parts = urlsplit(store)
        query = [(k, v) for k, v in parse_qsl(parts.query) if "pass" not in k.lower()]
    except ValueError:
        return UNSHOWN
    login, at, place = parts.netloc.rpartition("@")
    if not _PLACE.fullmatch(place) or "@" in parts.path + parts.query + parts.fragment:
        return UNSHOWN
    user = login.partition(":")[0]
    rest = f"?{urlencode(query)}" if query else ""
    return f"{parts.scheme}://{user}{at}{place}{parts.path}{rest}"

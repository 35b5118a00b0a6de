"""Addresses of stores: read by one strict parser, and shown without a password, ever."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from kalshi_sim.errors import ConfigError
from kalshi_sim.text import printable

UNSHOWN_OBJECTS: Final = "the address of the object store"
"""Shown for one of odd shape, as for a database."""
UNSHOWN: Final = "the database URL"
"""Shown for a URL of odd shape: a password that was not quoted may stand anywhere in it."""
_PLACE: Final = re.compile(r"(\[[0-9a-fA-F:.]*\]|[^:@,\[\]]*)(:\d*)?(,[^:@,]*(:\d*)?)*")
_POSTGRES: Final = re.compile(r"(?i)postgres(?:ql)?(?:\+[a-z0-9_]+)?://")
"""libpq's two spellings, and SQLAlchemy's with a driver, which is not ours to choose."""
_OBJECTS: Final = re.compile(r"(?i)(?:s3|gs|gcs|abfss?|fsspec\+[a-z0-9.+-]+)://")
"""Object stores, as Arrow names their file systems."""
_SCHEME: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]+):/|.*://|(?i:postgres(?:ql)?)[:+]", re.DOTALL
)
_LOGIN: Final = re.compile(r"(?![./~])[^/]*:.*@|(?!\.).*//[^/]*:.*@", re.DOTALL)
"""`user:password@…` with no scheme or a broken one; a folder of such a name is given as ./name."""
_KEYWORDS: Final = re.compile(r"(?i)(?![./~]).*\b(host(addr)?|user|dbname|service|\w*pass\w*)\s*=")
"""A connection string of libpq's other form: `host=h user=me password=...`."""
_PASSWORD: Final = re.compile(r"(?i)(pass\w*\s*=\s*)('[^']*'|\S+)")
_SHOWN_SETTINGS: Final = frozenset(
    {"host", "hostaddr", "port", "dbname", "user", "sslmode", "application_name", "connect_timeout"}
)
"""Settings in a URL that are shown."""
_SHOWN_OF_OBJECTS: Final = frozenset({"region", "scheme", "endpoint_override"})
"""Settings in the address of an object store that are shown."""
_SCHEME_IN_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_EXAMPLE: Final = "postgresql://user:password@host:5432/database"


@dataclass(frozen=True)
class Address:
    """Where a store is: a folder's path, a database URL in libpq's spelling, or an object store."""

    kind: Literal["folder", "postgresql", "objects"]
    text: str


def parse_address(text: str) -> Address:
    """The store that `text` names; blanks around it do not count.

    Raises:
        ConfigError: it is empty, or a URL of another kind; the message holds no password.
    """
    stripped = text.strip()
    if not stripped:
        raise ConfigError("the store's name is empty; give a folder or a postgresql:// URL")
    known = _POSTGRES.match(stripped)
    if known:
        return Address("postgresql", "postgresql://" + stripped[known.end() :])
    objects = _OBJECTS.match(stripped)
    if objects:
        return Address("objects", objects[0].lower() + stripped[objects.end() :])
    scheme = _SCHEME.match(stripped)
    if is_address(stripped):
        named = f"{scheme[1].lower()}:" if scheme and scheme[1] else "an address without a scheme"
        raise ConfigError(
            f"a store at {named} (address not shown) cannot be opened; "
            f"give a folder, or a URL like {_EXAMPLE}"
        )
    if "\0" in stripped:
        raise ConfigError("the store's name holds a NUL; give a folder or a postgresql:// URL")
    return Address("folder", stripped)


def is_address(text: str) -> bool:
    """Whether `text` is meant as a URL, known or not, and not as a path."""
    stripped = text.strip()
    return any(form.match(stripped) for form in (_SCHEME, _LOGIN, _KEYWORDS))


def without_password(store: str) -> str:
    """A folder as it is, an address without its credentials, `UNSHOWN` for one of odd shape."""
    if not is_address(store):
        return printable(store)
    if _OBJECTS.match(store.strip()):
        return _objects_shown(store.strip())
    known = _POSTGRES.match(store.strip())
    if not known:
        return UNSHOWN
    try:
        parts = urlsplit("postgresql://" + store.strip()[known.end() :])
        query = [(k, v) for k, v in parse_qsl(parts.query) if k in _SHOWN_SETTINGS]
    except ValueError:
        return UNSHOWN
    login, at, place = parts.netloc.rpartition("@")
    if not _PLACE.fullmatch(place) or "@" in parts.path + parts.query + parts.fragment:
        return UNSHOWN
    user = login.partition(":")[0]
    rest = f"?{urlencode(query)}" if query else ""
    return printable(f"{parts.scheme}://{user}{at}{place}{parts.path}{rest}")


def _objects_shown(address: str) -> str:
    """The address of an object store without keys: the bucket or container, and the path in it."""
    try:
        parts = urlsplit(address)
        query = [(k, v) for k, v in parse_qsl(parts.query) if k in _SHOWN_OF_OBJECTS]
    except ValueError:
        return UNSHOWN_OBJECTS
    login, _, place = parts.netloc.rpartition("@")
    odd = parts.path + parts.fragment + "".join(value for _, value in query)
    if not _PLACE.fullmatch(place) or "@" in odd:
        return UNSHOWN_OBJECTS
    # abfs://container@account...: what stands before the @ is no key unless it has a colon.
    container = f"{login}@" if login and ":" not in login and "abfs" in parts.scheme else ""
    rest = f"?{urlencode(query, safe=':/')}" if query else ""
    return printable(f"{parts.scheme}://{container}{place}{parts.path}{rest}")


def mask_addresses(text: str) -> str:
    """`text` with every password of an address in it left out."""
    return re.sub(r"\S+", lambda word: _masked(word[0]), _PASSWORD.sub(r"\1***", text))


def _masked(word: str) -> str:
    if _EXAMPLE in word:
        return word
    scheme = _SCHEME_IN_WORD.search(word)
    if scheme is None:
        quoted = re.search(r"[^='\"(]*$", word)
        at = quoted.start() if quoted and "@" in quoted[0] else 0
        return word[:at] + UNSHOWN if _LOGIN.match(word, at) else word
    head, address = word[: scheme.start()], word[scheme.start() :]
    if _POSTGRES.match(address) or _OBJECTS.match(address):
        return head + without_password(address)
    return head + UNSHOWN if re.search(r"@|(?i:pass)", address) else word

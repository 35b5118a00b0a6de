"""Where the exchange is, and the key: from files or the environment, never from an argument."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from kalshi_sim.errors import ConfigError
from kalshi_sim.live import interface as names
from kalshi_sim.live.keys import load_private_key
from kalshi_sim.live.recorder.options import Credentials

KEY_ID: Final = "KALSHI_API_KEY_ID"
KEY_FILE: Final = "KALSHI_PRIVATE_KEY_FILE"
KEY: Final = "KALSHI_PRIVATE_KEY"
_WEBSOCKET: Final = {"http": "ws", "https": "wss"}
_REST: Final = {websocket: rest for rest, websocket in _WEBSOCKET.items()}


def environment_of(name: str) -> names.Environment:
    """The addresses of an environment.

    Args:
        name: production, demo, or the address of an exchange (http://127.0.0.1:8765, also with
            the path of its REST or WebSocket interface).

    Returns:
        Its WebSocket and REST hosts.

    Raises:
        ConfigError: it is none of these.
    """
    known = names.ENVIRONMENTS.get({"prod": "production"}.get(name, name))
    if known is not None:
        return known
    if (place := _place(name)) is not None:
        scheme, host = place
        return names.Environment(f"{_WEBSOCKET[scheme]}://{host}", f"{scheme}://{host}")
    raise ConfigError(
        "--environment: write production, demo, or an address as http://127.0.0.1:8765"
    )


def _place(address: str) -> tuple[str, str] | None:
    """Scheme of REST and host of an address, of either interface; None: it is none."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    scheme = _REST.get(parts.scheme, parts.scheme)
    if "@" in parts.netloc:  # a name and a password, which would be shown and recorded
        return None
    known = parts.path.rstrip("/") in ("", names.REST_ROOT, names.WS_PATH)
    if scheme not in _WEBSOCKET or not parts.hostname or not known or port == 0:
        return None
    return scheme, parts.netloc


def credentials_of(key_id_file: Path | None, key_file: Path | None) -> Credentials | None:
    """The key from files, else from the environment; None if there is none.

    Args:
        key_id_file: holds the key's id; None: the variable of the environment.
        key_file: holds the private key; None: the variables of the environment.

    Returns:
        The key and its id.

    Raises:
        ConfigError: only one of them is given, or one cannot be read.
    """
    key_id = _text(key_id_file) if key_id_file is not None else os.environ.get(KEY_ID, "")
    path = key_file or (Path(os.environ[KEY_FILE]) if os.environ.get(KEY_FILE) else None)
    pem = _text(path) if path is not None else os.environ.get(KEY, "")
    if not key_id.strip() and not pem.strip():
        return None
    if not key_id.strip():
        raise ConfigError(f"the key has no id; set {KEY_ID}, or give --key-id-file")
    if not pem.strip():
        raise ConfigError(f"there is no private key; set {KEY_FILE}, or give --key-file")
    source = str(path) if path is not None else KEY
    return Credentials(key_id.strip(), load_private_key(pem.encode(), source))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name a file that can be read") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text; give the file as the exchange made it") from None

"""The connection of this process to a Ray cluster, and what the cluster's nodes have."""

from __future__ import annotations

import importlib
import logging
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from kalshi_sim.errors import ConfigError
from kalshi_sim.extras import missing_extra
from kalshi_sim.store.urls import mask_addresses
from kalshi_sim.text import numbered, printable

_REACHED_S: Final = 5.0
"""How long the head may take to answer at all."""
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resources:
    """What a task needs of a node."""

    cpus: int = 1
    gpus: int = 0

    def __str__(self) -> str:
        cpus = numbered(self.cpus, "processor")
        return f"{cpus} and {numbered(self.gpus, 'graphics card')}" if self.gpus else cpus


def connect(address: str) -> Any:
    """Connect this process to a cluster, unless it is; the machine must be a node of it.

    Args:
        address: host:port of its head, or "auto" for the one that this machine is a node of.

    Returns:
        The module `ray`; some of its functions have no types.

    Raises:
        ConfigError: there is none, or the command line holds a password, which Ray would show.
        MissingExtraError: the extra `ray` is not installed.
    """
    ray: Any = _ray()
    reached = _reached(address, ray)
    if ray.is_initialized():
        present = ray.get_runtime_context().gcs_address
        if reached not in (None, present):
            raise ConfigError(
                f"this process is connected to the Ray cluster at {present}; one at a time"
            )
        return ray
    _check_command_line()
    before = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of Ray's own plans
            ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = printable(" ".join(str(error).split()), 300)
        if "No node info found" in said:
            said = (
                "this machine is no node of it; here first: "
                f"ray start --address={printable(address)} --num-cpus=0"
            )
        raise ConfigError(f"no Ray cluster at {printable(address)}: {said}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray takes it, and its exit code is another
    _quieten()
    return ray


def _ray() -> ModuleType:
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from error


def _quieten() -> None:
    """Ray prints what happened to nodes on standard output, amid JSON; what is lost we say."""
    importlib.import_module("ray._private.worker").__dict__["print_to_stdstream"] = _not_printed


def _not_printed(data: dict[str, Any], ignore_prefix: bool = False) -> None:
    _log.debug("Ray: %s", "\n".join(map(str, data.get("lines", ()))))


def _reached(address: str, ray: Any) -> str | None:
    """The address of a head that answers: Ray would look for one that is not there for minutes.

    Returns:
        IP:port, or None of "auto".

    Raises:
        ConfigError: it does not answer, or the address has another form.
    """
    if address == "auto":
        return None
    shown = printable(address)
    host, colon, port = address.rpartition(":")
    if "/" in address or not colon or not host or not port.isdecimal():
        raise ConfigError(f"--ray {shown}: give host:port of the cluster's head, or auto")
    # Ray takes a name of this machine for the address that others reach it by.
    named = ray.util.get_node_ip_address() if host in _LOOPBACK else host.strip("[]")
    try:
        with socket.create_connection((named, int(port)), timeout=_REACHED_S) as connection:
            return f"{connection.getpeername()[0]}:{port}"
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer"
        where = "" if named == host.strip("[]") else f" (at {named})"
        raise ConfigError(
            f"no Ray cluster at {shown}{where}: {printable(str(reason))}; `ray status` on its head "
            "shows the address"
        ) from error


def _check_command_line() -> None:
    """Ray's dashboard shows the command line of whoever is connected.

    Raises:
        ConfigError: a password stands on it.
    """
    if any(mask_addresses(word) != word for word in sys.argv[1:]):
        raise ConfigError(
            "with --ray name the store by DATABASE_URL: Ray shows command lines to all users of "
            "the cluster, and this one holds a password"
        )


def nodes_of(ray: Any) -> list[Resources]:
    """What each node of the cluster has that is alive."""
    return [
        Resources(int(n["Resources"].get("CPU", 0)), int(n["Resources"].get("GPU", 0)))
        for n in ray.nodes()
        if n["Alive"]
    ]


def check_room(ray: Any, needs: Iterable[Resources]) -> None:
    """Be sure that some node has what each of several tasks needs: else it would wait for ever.

    Args:
        ray: as `connect` gave it.
        needs: of the tasks.

    Raises:
        ConfigError: none has.
    """
    nodes = nodes_of(ray)
    for each in needs:
        if any(n.cpus >= each.cpus and n.gpus >= each.gpus for n in nodes):
            continue
        most = " / ".join(sorted({str(n) for n in nodes})) or "nothing"
        raise ConfigError(
            f"no node of the Ray cluster can ever run this: a task needs {each}, the nodes "
            f"have {most}; ask for less, or add a node"
        )

"""A real Ray cluster of two nodes on this machine, on loopback alone, of the installed package."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

HOST: Final = "127.0.0.2"
"""Of both nodes. Ray takes 127.0.0.1 for the address that other machines reach this one by."""
_SETTINGS: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_ENABLE_AUTO_CONNECT": "0",
}


@dataclass
class RayCluster:
    """A head and a second node, each with one processor unless said otherwise."""

    address: str
    nodes: Any
    """`ray.cluster_utils.Cluster`"""
    second: Any = None

    def add(self, cpus: int = 1) -> None:
        """Add the second node."""
        self.second = self.nodes.add_node(num_cpus=cpus, **_node())

    def kill(self) -> None:
        """Kill the second node at once, with all that runs there."""
        self.nodes.remove_node(self.second, allow_graceful=False)
        self.second = None


def _node() -> dict[str, Any]:
    return {"node_ip_address": HOST, "include_dashboard": False}


@contextmanager
def ray_cluster(cpus: int = 1) -> Iterator[RayCluster]:
    """A cluster of two nodes while the block runs; this process is not connected to it.

    Args:
        cpus: processors of each node.
    """
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # sockets want a short path
    (folder / "ray").mkdir()  # where Ray notes the address of its latest cluster
    with mock.patch.dict(os.environ, {**_SETTINGS, "RAY_TMPDIR": str(folder)}):
        logging.getLogger("ray").setLevel(logging.ERROR)
        utils: Any = importlib.import_module("ray.cluster_utils")
        ray: Any = importlib.import_module("ray")
        head = {"num_cpus": cpus, "temp_dir": str(folder), **_node()}
        nodes = utils.Cluster(initialize_head=True, head_node_args=head)
        try:
            cluster = RayCluster(nodes.address, nodes)
            cluster.add(cpus)
            yield cluster
        finally:
            ray.shutdown()
            nodes.shutdown()
            shutil.rmtree(folder, ignore_errors=True)

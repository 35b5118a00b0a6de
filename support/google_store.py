"""A real server of Google Cloud Storage's interface for the tests, in a process of its own.

The server comes from a wheel (gcp-storage-emulator), listens on 127.0.0.1 only and keeps its
objects in memory.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import pytest

from support.postgres import free_port

BUCKET: Final = "bucket"
_STARTS_S: Final = 60.0


@dataclass
class GoogleServer:
    """A server and its port; it has one bucket."""

    port: int

    def address(self, path: str) -> str:
        """Of a place in it.

        Args:
            path: bucket and what follows.
        """
        where = f"scheme=http&endpoint_override=127.0.0.1:{self.port}&retry_limit_seconds=5"
        return f"gs://anonymous@{path}?{where}"


@pytest.fixture(scope="module")
def google_server() -> Iterator[GoogleServer]:
    """The server of a file of tests."""
    port = free_port()
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--in-memory"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--default-bucket", BUCKET],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + _STARTS_S
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, "the server did not start"
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.05)
        yield GoogleServer(port)
    finally:
        process.terminate()
        process.wait()

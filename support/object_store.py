"""A real S3-compatible server for the tests, in a process of its own, and a wire to it that counts.

The server comes from a wheel (moto), listens on 127.0.0.1 only and keeps its objects in memory.
"""

from __future__ import annotations

import http.client
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import quote

import pytest

from support.postgres import free_port

KEY = "AKIDEXAMPLE"
SECRET = "s3cr3t/Key+of=tests"
"""Hard on purpose: it must be quoted in an address and must not appear in any message."""
_STARTS_S = 60.0
_REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass
class ObjectServer:
    """A server and its port."""

    port: int

    def address(self, path: str, port: int | None = None, *, secret: str = SECRET) -> str:
        """Of a place in it, with the credentials.

        Args:
            path: bucket and what follows.
            port: of a wire to the server.
            secret: the key.
        """
        login = f"{KEY}:{quote(secret, safe='')}"
        return (
            f"s3://{login}@{path}?scheme=http&region=us-east-1"
            f"&endpoint_override=127.0.0.1:{port or self.port}"
        )

    def make_bucket(self) -> str:
        """A new bucket; its name."""
        name = f"bucket-{secrets.token_hex(4)}"
        self._request("PUT", f"/{name}")
        return name

    def keys(self, bucket: str) -> list[str]:
        """All objects of a bucket, by name."""
        import re

        text = self._request("GET", f"/{bucket}?list-type=2")
        return sorted(re.findall(r"<Key>(.*?)</Key>", text))

    def put(self, path: str, data: bytes) -> None:
        """Write an object."""
        self._request("PUT", f"/{path}", data)

    def _request(self, method: str, path: str, data: bytes | None = None) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            # moto takes any signature; one of this form says which service is meant.
            scope = f"Credential={KEY}/20260101/us-east-1/s3/aws4_request"
            signed = f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"
            connection.request(method, path, data, {"Authorization": signed})
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        finally:
            connection.close()
        assert answer.status == 200, text
        return text


@pytest.fixture(scope="session")
def object_server() -> Iterator[ObjectServer]:
    """The server of this test process."""
    with object_server_running() as server:
        yield server


@contextmanager
def object_server_running() -> Iterator[ObjectServer]:
    """A server while the block runs."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET},
    )
    try:
        until = time.monotonic() + _STARTS_S
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, "the object server did not start"
            assert time.monotonic() < until, "the object server does not answer"
            time.sleep(0.05)
        yield ObjectServer(port)
    finally:
        process.terminate()
        process.wait()


@dataclass
class Wire:
    """Carries connections to a server, counts what comes back, and can refuse the rest."""

    to: int
    """Port of the server."""
    received: int = 0
    """Bytes that came from the server."""
    requests: int = 0
    refuse_from: int | None = None
    """The first request that is refused, as are all after it."""
    port: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, listening: socket.socket) -> None:
        """Carry connections until the listening socket is closed."""
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.to))
            for work in (self._forth, self._back):
                threading.Thread(target=work, args=(client, server), daemon=True).start()

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65_536):
                with self._lock:
                    self.requests += data.startswith((b"GET ", b"PUT ", b"HEAD", b"POST", b"DELE"))
                    refuse = self.refuse_from is not None and self.requests >= self.refuse_from
                if refuse:
                    client.sendall(_REFUSED)
                    break
                server.sendall(data)
        self._end(client, server)

    def _back(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                with self._lock:
                    self.received += len(data)
                client.sendall(data)
        self._end(client, server)

    def _end(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """A wire to a server on this machine, while the block runs."""
    wire = Wire(port)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        wire.port = listening.getsockname()[1]
        threading.Thread(target=wire.serve, args=(listening,), daemon=True).start()
        yield wire

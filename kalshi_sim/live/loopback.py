"""Answers for a browser on this machine, and for nobody else."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from kalshi_sim.errors import ConfigError

Answer = Callable[[Mapping[str, str]], tuple[str, str]]
"""Given the query, the content's type and its text; a `ConfigError` refuses the query."""


class Loopback:
    """Serves on a socket that listens on the loopback address, for as long as the block lasts."""

    def __init__(
        self, listening: socket.socket, answers: Mapping[str, Answer], headers: Mapping[str, str]
    ) -> None:
        """Answer nothing yet.

        Args:
            listening: the socket.
            answers: what answers, by path.
            headers: of every answer, beside those that keep other pages from reading it.
        """
        port = listening.getsockname()[1]
        # A name of another site may lead to this address too: whoever asks by it is refused.
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._listening = listening
        self._headers = {
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
            **headers,
        }
        application = web.Application(middlewares=[self._guard()])
        for path, answer in answers.items():
            application.router.add_get(path, self._handler(answer))
        self._runner = web.AppRunner(application, access_log=None)

    async def __aenter__(self) -> Loopback:
        await self._runner.setup()
        await web.SockSite(self._runner, self._listening).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    def _guard(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.host not in self._hosts:
                raise web.HTTPForbidden(text="this is served to this machine alone")
            response = await handler(request)
            response.headers.update(self._headers)
            return response

        return guard

    @staticmethod
    def _handler(answer: Answer) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            try:
                kind, text = answer(request.query)
            except ConfigError as error:
                raise web.HTTPBadRequest(text=str(error)) from None
            return web.Response(text=text, content_type=kind)

        return handle

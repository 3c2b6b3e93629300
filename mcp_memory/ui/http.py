"""The page and its calls over HTTP, for one browser on this machine.

The page holds no data. Calls need the session that its one-time token was exchanged for. The session is sent as a
header and kept by the page, not as a cookie: browsers send cookies to every port of 127.0.0.1, so any other local
server would be shown it, and they send them unasked, which is what forged requests live on.
"""

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_memory.errors import McpMemoryError
from mcp_memory.ui.desk import Desk
from mcp_memory.ui.page import page

MOST_BYTES: Final = 1 << 18
"""A longer request is refused; the longest memory is far shorter."""

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Every response carries them."""

_FRAMES: Final = {"iframe", "frame", "embed", "object", "fencedframe"}


class Door:
    """Who may come in: whoever brings the token first, and from then on that session alone."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self._session = secrets.token_urlsafe(32)
        self._open = True

    def enter(self, token: object) -> str | None:
        """The session, for the first who brings the token; None for everybody else."""
        if not (self._open and isinstance(token, str) and _same(token, self.token)):
            return None
        self._open = False
        return self._session

    def known(self, authorization: str) -> bool:
        """Whether a request carries the session; nobody's is known before somebody entered."""
        return not self._open and _same(authorization, f"Bearer {self._session}")


class Screened:
    """Refuses what does not come from the page itself: a foreign Host (DNS rebinding), Origin, site or frame."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, or answer it."""
        if scope["type"] != "http":
            return
        request = Request(scope)
        refusal = self._refused(request)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse(refusal, 403, HEADERS)(scope, receive, send)

    def _refused(self, request: Request) -> str | None:
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if host not in self._hosts:
            return "This address is not served here."
        if origin is not None and origin != f"http://{host}":
            return "Another site's page may not ask here."
        if request.method != "GET" and origin is None:
            return "Only the page itself may ask here."
        if request.headers.get("sec-fetch-dest") in _FRAMES:
            return "The memory browser is not shown inside another page."
        if request.method != "GET" and request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "Another site's page may not ask here."
        return None


def browser_app(desk: Desk, door: Door, port: int) -> ASGIApp:
    """The ASGI application that serves `desk` at `port` to whom `door` lets in."""

    async def show(_: Request) -> Response:
        shown = page()
        headers = HEADERS | {"Content-Security-Policy": shown.policy}
        return Response(shown.html, media_type="text/html", headers=headers)

    async def enter(request: Request) -> Response:
        session = door.enter((await _body(request)).get("token"))
        return _json({"session": session}) if session else _refusal(401, "This link was used before.")

    async def call(request: Request) -> Response:
        if not door.known(request.headers.get("authorization", "")):
            return _refusal(401, "This page has no session.")
        asked = await _body(request)
        tool, arguments = asked.get("tool"), asked.get("arguments", {})
        if not isinstance(tool, str) or not isinstance(arguments, dict):
            return _refusal(400, "A call names a tool, and its arguments as an object.")
        try:
            return _json({"structuredContent": await desk.call(tool, cast("dict[str, Any]", arguments))})
        except McpMemoryError as error:
            told = " ".join(str(error).encode(errors="replace").decode().split())
            return _json({"isError": True, "content": [{"type": "text", "text": told}]})

    routes = [
        Route("/", show, methods=["GET"]),
        Route("/session", _posted(enter), methods=["POST"]),
        Route("/call", _posted(call), methods=["POST"]),
    ]
    return Screened(Starlette(routes=routes), port)


class _Unread(Exception):
    """The body of a request is no JSON object of ours; `status` says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _posted(run: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """`run`, for requests whose body is JSON: what a form or a plain request of another page can send is not."""

    async def answered(request: Request) -> Response:
        try:
            return await run(request)
        except _Unread as error:
            return _refusal(error.status, str(error))
        except ClientDisconnect:
            return _refusal(400, "The request broke off.")

    return answered


async def _body(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _Unread(415, "Only application/json is read here.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise _Unread(413, "The request is too long.")
    try:
        given = json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise _Unread(400, "The request is not JSON.") from error
    if not isinstance(given, dict):
        raise _Unread(400, "The request is no JSON object.")
    return cast("dict[str, Any]", given)


def _json(content: object) -> Response:
    return JSONResponse(content, headers=HEADERS)


def _refusal(status: int, message: str) -> Response:
    return PlainTextResponse(message, status, HEADERS)


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), secret.encode())

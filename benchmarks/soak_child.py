"""A lean server process of the soak test: the service on a file, asked over a socket. Started by `benchmarks.soak`.

A line of JSON in, a line out, in the form of tool calls, so that the soak test asks it as it asks the real server.
"""

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, cast

import anyio

from mcp_memory.app import open_app
from mcp_memory.clock import SystemClock
from mcp_memory.config import Config
from mcp_memory.errors import McpMemoryError
from mcp_memory.guard import Fields
from mcp_memory.models import AddOperation, DeleteOperation, NoOperation, Origin, UpdateOperation
from mcp_memory.sections import StoreConfig
from mcp_memory.service import MemoryService
from mcp_memory.views import data

FIELDS: Final = ("content", "topics", "key", "pinned", "expires", "metadata")
_OPERATIONS: Final = {"add": AddOperation, "update": UpdateOperation, "delete": DeleteOperation, "none": NoOperation}

Structured = Mapping[str, Any]


class JumpingClock(SystemClock):
    """The machine's clock, off by `offset` microseconds."""

    def __init__(self) -> None:
        self.offset = 0

    def now(self) -> int:
        """Microseconds since the epoch, as a clock tells that somebody has set."""
        return super().now() + self.offset


class Tools:
    """The core tools on a service, without a protocol around them."""

    def __init__(self, service: MemoryService) -> None:
        self._service = service

    async def call(self, tool: str, given: dict[str, Any]) -> Structured:
        """What the tool of that name answers."""
        run: Callable[..., Coroutine[Any, Any, Structured]] = getattr(self, f"_{tool}")
        user = given.pop("user_id")
        fields = {name: given.pop(name) for name in FIELDS if name in given}
        return await run(user, Fields(**fields), Origin(tool=tool, client="soak"), **given)

    async def _add_memory(self, user: str, fields: Fields, origin: Origin) -> Structured:
        return data.added(await self._service.add(user, fields, origin))

    async def _update_memory(
        self,
        user: str,
        fields: Fields,
        origin: Origin,
        id: str,  # noqa: A002 - the public API fixes the name
        if_version: int | None = None,
    ) -> Structured:
        return data.updated(await self._service.update(user, id, fields, origin, if_version))

    async def _delete_memory(self, user: str, _: Fields, origin: Origin, id: str | list[str]) -> Structured:  # noqa: A002
        return data.deleted(await self._service.delete(user, [id] if isinstance(id, str) else id, origin))

    async def _undo(self, user: str, _: Fields, origin: Origin, change_id: str | None = None) -> Structured:
        return data.undone(await self._service.undo(user, change_id, origin))

    async def _extract_memories(self, user: str, _: Fields, origin: Origin, operations: list[Any]) -> Structured:
        done = await self._service.apply(user, [_OPERATIONS[one["op"]].checked(one) for one in operations], origin)
        told = {"operations": [data.done(one) for one in done.done], "skipped": [data.skipped(s) for s in done.skipped]}
        return told | ({"change_id": done.change_id} if done.change_id else {})

    async def _get_memory(self, user: str, _: Fields, origin: Origin, id: str) -> Structured:  # noqa: A002
        return data.got(await self._service.get(user, id))

    async def _list_memories(self, user: str, _: Fields, origin: Origin, limit: int) -> Structured:
        return data.listed(await self._service.page(user, limit=limit))

    async def _search_memories(self, user: str, _: Fields, origin: Origin, query: str, limit: int) -> Structured:
        return data.found(await self._service.search(user, query, self._service.scope(), limit=limit))


def serve(database: str, channel: socket.socket, lock_timeout: float) -> None:
    """Answer on `channel` until its other end is closed, or the process is killed."""
    anyio.run(_serve, database, channel, lock_timeout)


def limit_file_size(size: int | None) -> None:
    """No file of this process may grow beyond `size` bytes; None lifts the limit."""
    import resource  # Windows has none

    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most if size is None else size, most))


async def _serve(database: str, channel: socket.socket, lock_timeout: float) -> None:
    clock = JumpingClock()
    config = Config(database=database, timezone="UTC", store=StoreConfig(lock_timeout=lock_timeout))
    reader, writer = await asyncio.open_connection(sock=channel, limit=1 << 24)

    async def answer(request: dict[str, Any]) -> None:
        reply = await _answer(Tools(await app.service()), request)
        writer.write(json.dumps({"id": request["id"], "result": reply}).encode() + b"\n")

    async with open_app(config, clock) as app, anyio.create_task_group() as tasks:
        while line := await _next(reader):
            request = cast("dict[str, Any]", json.loads(line))
            match request["method"]:
                case "clock":
                    clock.offset = request["params"]["offset"]
                case "limit":
                    limit_file_size(request["params"]["size"])
                case _:
                    tasks.start_soon(answer, request)
    writer.close()


async def _next(reader: asyncio.StreamReader) -> bytes:
    """The next request; empty at the end, also when replies were left unread."""
    try:
        return await reader.readline()
    except ConnectionError:
        return b""


async def _answer(tools: Tools, request: dict[str, Any]) -> Structured:
    try:
        structured = await tools.call(request["params"]["name"], request["params"]["arguments"])
    except McpMemoryError as error:
        return {"isError": True, "content": [{"type": "text", "text": str(error)}]}
    return {"isError": False, "structuredContent": structured}

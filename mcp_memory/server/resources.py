"""Memories as resources, for clients that can attach or watch one."""

from typing import Final

from mcp.server.mcpserver import MCPServer, ResourceSecurity

from mcp_memory.errors import McpMemoryError
from mcp_memory.server.calls import AppContext, Serving, begin
from mcp_memory.server.errors import resource_error
from mcp_memory.server.identity import PARAMETER, Identity
from mcp_memory.views import lines

_NAMES: Final = ResourceSecurity(exempt_params={"user_id", "memory_id"})
"""Users and ids are looked up, never made into paths: a user may be called `../alice`."""


def add_resources(server: MCPServer[Serving], identity: Identity) -> None:
    """Publish a memory's resource template: with the user in it where callers name one, else without."""
    publish = server.resource(
        identity.memory_uri,
        name="memory",
        title="A memory",
        description="One memory of the user, as text.",
        mime_type="text/plain",
        security=_NAMES,
    )

    async def of_user(user_id: str, memory_id: str, ctx: AppContext) -> str:
        return await _read(ctx, user_id, memory_id)

    async def own(memory_id: str, ctx: AppContext) -> str:
        return await _read(ctx, identity.bind({})[PARAMETER], memory_id)

    publish(of_user if identity.shown else own)


async def _read(ctx: AppContext, user_id: str, memory_id: str) -> str:
    try:
        call = await begin(ctx, user_id, "resource")
        return lines.got(await call.service.get(call.user, memory_id), call.zone)
    except McpMemoryError as error:
        raise resource_error(error) from error

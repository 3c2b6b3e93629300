"""Memories and the profile as resources, for clients that can attach or watch one."""

from typing import Any, Final

from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import MCPServer, ResourceSecurity
from mcp.types import Resource

from mcp_memory.errors import McpMemoryError
from mcp_memory.server.calls import AppContext, Serving, begin, serving
from mcp_memory.server.errors import resource_error
from mcp_memory.server.identity import PARAMETER, Identity
from mcp_memory.views import lines
from mcp_memory.views import profile as profiles

TEXT: Final = "text/plain"
_NAMES: Final = ResourceSecurity(exempt_params={"user_id", "memory_id"})
"""Users and ids are looked up, never made into paths: a user may be called `../alice`."""
_PROFILE: Final[dict[str, Any]] = {
    "name": "profile",
    "title": "What is known about the user",
    "description": "A digest of the user's memories, as text: pinned ones and facts first, then the most important.",
    "mime_type": TEXT,
}


def add_resources(server: MCPServer[Serving], identity: Identity) -> None:
    """Publish the templates: with the user in them where callers name one, else without."""
    publish = server.resource(
        identity.memory_uri,
        name="memory",
        title="A memory",
        description="One memory of the user, as text.",
        mime_type=TEXT,
        security=_NAMES,
    )

    async def of_user(user_id: str, memory_id: str, ctx: AppContext) -> str:
        return await _read(ctx, user_id, memory_id)

    async def own(memory_id: str, ctx: AppContext) -> str:
        return await _read(ctx, identity.bind({})[PARAMETER], memory_id)

    async def profile_of_user(user_id: str, ctx: AppContext) -> str:
        return await _read_profile(ctx, user_id)

    publish(of_user if identity.shown else own)
    if identity.shown:
        server.resource(identity.profile_uri, **_PROFILE, security=_NAMES)(profile_of_user)


def listed(identity: Identity) -> list[Resource]:
    """What is no template: the profile, where there is one user. The SDK would read it without a context."""
    return [] if identity.shown else [Resource(uri=identity.profile_uri, **_PROFILE)]


async def own_profile(identity: Identity, ctx: AppContext) -> list[ReadResourceContents]:
    """The content of the one that is listed.

    Raises:
        ResourceError: it cannot be read, in one line.
    """
    text = await _read_profile(ctx, identity.bind({})[PARAMETER])
    return [ReadResourceContents(content=text, mime_type=TEXT)]


async def _read(ctx: AppContext, user_id: str, memory_id: str) -> str:
    try:
        call = await begin(ctx, user_id, "resource")
        return lines.got(await call.service.get(call.user, memory_id), call.zone)
    except McpMemoryError as error:
        raise resource_error(error) from error


async def _read_profile(ctx: AppContext, user_id: str) -> str:
    try:
        call = await begin(ctx, user_id, "resource")
        made = await call.service.profile(call.user, serving(ctx).app.config.profile.max_tokens)
    except McpMemoryError as error:
        raise resource_error(error) from error
    return profiles.text(made)

"""What every tool needs of a call: the service, the user, who is acting, and how to answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from mcp.server.mcpserver import Context
from mcp.types import CallToolResult, TextContent

from mcp_memory import guard
from mcp_memory.app import App
from mcp_memory.models import Origin
from mcp_memory.server.identity import Identity
from mcp_memory.server.unanswered import Unanswered
from mcp_memory.service import MemoryService


@dataclass(frozen=True)
class Serving:
    """What lives as long as the server does; the SDK hands it to every call."""

    app: App
    identity: Identity
    unanswered: Unanswered


AppContext = Context[Serving]


class Call:
    """One call of one tool by one user."""

    def __init__(self, ctx: AppContext, user_id: str, tool: str, service: MemoryService) -> None:
        self._ctx = ctx
        self._serving = serving(ctx)
        self.user = guard.user(user_id)
        self.service = service
        self.zone = self._serving.app.zone
        self.origin = _origin(ctx, tool, self._serving.app)

    async def announce(self, memory_ids: Iterable[str]) -> None:
        """Tell subscribers that these memories changed, and with them the profile: URIs only.

        A URI carries the user where there are many.

        It fails no call that has written: the SDK's bus only queues events, and logs what goes wrong with a subscriber.
        """
        written, identity = list(memory_ids), self._serving.identity
        for memory_id in written:
            await self._ctx.notify_resource_updated(identity.uri(self.user, memory_id))
        if written:
            await self._ctx.notify_resource_updated(identity.uri_of_profile(self.user))
            await self._ctx.notify_resources_changed()


async def begin(ctx: AppContext, user_id: str, tool: str) -> Call:
    """The call, once the store is open.

    Raises:
        McpMemoryError: the user's name cannot be one, or the store cannot be opened.
    """
    return Call(ctx, user_id, tool, await serving(ctx).app.service())


def serving(ctx: AppContext) -> Serving:
    """What the server's lifespan holds open."""
    return ctx.request_context.lifespan_context


def reply(text: str, structured: Mapping[str, Any]) -> CallToolResult:
    """A result in both forms: some clients show the model the one, some the other."""
    return CallToolResult(
        content=[TextContent(type="text", text=text)], structured_content=cast("dict[str, Any]", structured)
    )


def _origin(ctx: AppContext, tool: str, app: App) -> Origin:
    parameters = ctx.session.client_params
    client = parameters.client_info if parameters else None
    name, version = (client.name, client.version) if client else ("", "")
    return _named(tool, name, version, app.config.agent, app.config.team)


@lru_cache(256)
def _named(tool: str, client: str, client_version: str, agent: str, team: str) -> Origin:
    return Origin(
        tool=tool,
        client=guard.label(client) or None,
        client_version=guard.label(client_version) or None,
        agent=guard.label(agent) or None,
        team=guard.label(team) or None,
    )

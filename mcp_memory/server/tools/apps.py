"""`show_memories`: the memory browser inside the client, as an MCP App, and text where that is not shown.

Part of tool profile manage, off until the operator asks for it.
"""

from typing import TYPE_CHECKING, Annotated, Final

from mcp.types import CallToolResult
from pydantic import Field

from mcp_memory.server.calls import AppContext, begin, reply, serving
from mcp_memory.server.schema import ToolSpec
from mcp_memory.server.tools.core import TopicFilter, UserId
from mcp_memory.ui.page import page
from mcp_memory.views import browsing

if TYPE_CHECKING:
    from mcp.server.apps import Apps

URI: Final = "ui://mcp-memory/browser"
"""The page, as a resource."""
SHOWN: Final = 20
"""So many memories come with the reply; the page fetches the others itself."""

TOPICS: Final = 50
"""So many topics: some clients put all of a reply into the prompt."""


async def show_memories(
    ctx: AppContext,
    user_id: UserId,
    query: Annotated[str | None, Field(description="What to look for; without it the newest are shown.")] = None,
    topics: TopicFilter = None,
) -> Annotated[CallToolResult, browsing.ShowReply]:
    """Shows the person all memories in a browser, to search, correct, delete and bring back, in clients with MCP Apps.

    Returns how many there are, of which topics and learned when, with the newest 20 or the best hits of query.
    """
    from mcp.server.apps import client_supports_apps

    call = await begin(ctx, user_id, "show_memories")
    glance = await call.service.browsing.glance(call.user)
    if query is None:
        outcome = await call.service.page(call.user, topics=topics or (), limit=SHOWN)
    else:
        scope = call.service.scope(topics=topics or ())
        outcome = await call.service.search(call.user, query, scope, limit=SHOWN)
    tools = serving(ctx).app.config.tool_names()
    told = browsing.shown(glance, outcome, call.zone, seen=client_supports_apps(ctx))
    return reply(told, browsing.structured_shown(glance, outcome, tools, TOPICS))


def extension() -> "Apps":
    """What the server offers of the extension: the page. It asks for no network, no permission and no border."""
    from mcp.server.apps import Apps

    apps = Apps()
    apps.add_html_resource(
        URI,
        page().html,
        name="memory_browser",
        title="Memory browser",
        description="All memories of the user: to search, correct, delete and bring back.",
        prefers_border=True,
    )
    return apps


TOOLS = (ToolSpec(run=show_memories, title="Show memories", reads=True, page=URI),)

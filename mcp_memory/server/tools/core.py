"""Tool profile core: an agent's own memory. Names, parameters and meaning are the public API."""

from typing import Annotated, Any

from mcp.server.mcpserver import ElicitationResult, Resolve
from mcp.types import CallToolResult
from pydantic import AfterValidator, Field

from mcp_memory.guard import Fields
from mcp_memory.server.asking import Agreed, decided, whether_to_remember
from mcp_memory.server.calls import AppContext, begin, reply
from mcp_memory.server.schema import ToolSpec
from mcp_memory.views import approval, data, lines, timeline


def _bounded(number: int) -> int:
    if not -(2**31) <= number < 2**31:
        raise ValueError("the number is out of range")
    return number


Count = Annotated[int, AfterValidator(_bounded)]
UserId = Annotated[str, Field(description="Whose memories.")]
MemoryId = Annotated[str, Field(description="Id of a memory, as shown in brackets.")]
Topics = Annotated[list[str] | None, Field(description="Up to 8 short tags; with an update, the whole new list.")]
TopicFilter = Annotated[list[str] | None, Field(description="Only memories with any of these topics.")]
AgentFilter = Annotated[str | None, Field(description="Only memories written by this agent.")]
Key = Annotated[str | None, Field(description='Exact name of the one value this is, e.g. home_city; "" clears it.')]
Pinned = Annotated[bool | None, Field(description="Always part of the user's profile.")]
Expires = Annotated[
    str | None, Field(description='When it stops being true: 30d, 12h, 2w or an ISO date-time; "" clears it.')
]
Metadata = Annotated[dict[str, Any] | None, Field(description="JSON object of at most 4 KB.")]
Since = Annotated[str | None, Field(description="Only changed at or after: ISO date-time, or 7d for the last week.")]
Until = Annotated[str | None, Field(description="Only changed before: ISO date-time or 7d.")]
Cursor = Annotated[str | None, Field(description="next_cursor of the page before.")]
ChangeId = Annotated[str | None, Field(description="The change to take back; default: this user's latest.")]


async def add_memory(
    ctx: AppContext,
    user_id: UserId,
    content: Annotated[str, Field(description="One self-contained statement, 1 to 4,000 characters.")],
    answer: Annotated[ElicitationResult[Agreed], Resolve(whether_to_remember)],
    topics: Topics = None,
    key: Key = None,
    pinned: Pinned = None,
    expires: Expires = None,
    metadata: Metadata = None,
) -> Annotated[CallToolResult, data.AddReply]:
    """Remembers one statement about the user, across all conversations.

    Returns `added`, `exists` (the same text is there already; topics are united) or `replaced` (the key had another
    value), with the memory and up to 3 close ones; or `pending`, where the user's approval is needed and nothing finds
    it before. It does not merge or correct close ones: update_memory does.
    """
    call = await begin(ctx, user_id, "add_memory")
    fields = Fields(content=content, topics=topics, key=key, pinned=pinned, expires=expires, metadata=metadata)
    origin = decided(ctx, call, content, answer)
    if origin is None:
        return reply(approval.DECLINED, approval.declined())
    outcome = await call.service.add(call.user, fields, origin)
    await call.announce([outcome.memory.id] if outcome.change_id and outcome.outcome != "pending" else [])
    return reply(lines.added(outcome, call.zone), data.added(outcome))


async def search_memories(
    ctx: AppContext,
    user_id: UserId,
    query: Annotated[str, Field(description="What to look for, in the user's words.")],
    limit: Annotated[Count, Field(description="1 to 100.")] = 10,
    topics: TopicFilter = None,
    agent: AgentFilter = None,
    since: Since = None,
    until: Until = None,
    include_past: Annotated[bool, Field(description="Also what memories said before they were updated.")] = False,
) -> Annotated[CallToolResult, data.SearchReply]:
    """Finds the memories that answer a query, best first.

    Returns id, content, topics, time of the last change and a score from 0 to 1, which search modes served, and how
    many matches were left out and why. For everything, newest first, list_memories.
    """
    call = await begin(ctx, user_id, "search_memories")
    scope = call.service.scope(topics=topics or (), agent=agent, since=since, until=until)
    outcome = await call.service.search(call.user, query, scope, limit=limit, include_past=include_past)
    return reply(lines.found(outcome, call.zone), data.found(outcome))


async def list_memories(
    ctx: AppContext,
    user_id: UserId,
    topics: TopicFilter = None,
    agent: AgentFilter = None,
    limit: Annotated[Count, Field(description="1 to 100.")] = 50,
    cursor: Cursor = None,
) -> Annotated[CallToolResult, data.ListReply]:
    """Lists memories, newest created first, page by page, with the total."""
    call = await begin(ctx, user_id, "list_memories")
    outcome = await call.service.page(call.user, topics=topics or (), agent=agent, limit=limit, cursor=cursor)
    return reply(lines.listed(outcome, call.zone), data.listed(outcome))


async def get_memory(
    ctx: AppContext,
    user_id: UserId,
    id: Annotated[str | None, Field(description="Id of a memory; or give key.")] = None,
    key: Annotated[str | None, Field(description="Exact key of a memory; or give id.")] = None,
    history: Annotated[bool, Field(description="Also every version, with who wrote it and why.")] = False,
) -> Annotated[CallToolResult, data.GetReply]:
    """Reads one memory by its id or by its exact key, without searching."""
    call = await begin(ctx, user_id, "get_memory")
    outcome = await call.service.get(call.user, id, key, history=history)
    return reply(timeline.got(outcome, call.zone), data.got(outcome))


async def update_memory(
    ctx: AppContext,
    user_id: UserId,
    id: MemoryId,
    content: Annotated[str | None, Field(description="The whole new statement.")] = None,
    topics: Topics = None,
    key: Key = None,
    pinned: Pinned = None,
    expires: Expires = None,
    metadata: Metadata = None,
    if_version: Annotated[Count | None, Field(description="Only if the memory is still at this version.")] = None,
) -> Annotated[CallToolResult, data.UpdateReply]:
    """Corrects or refines a memory; what is not given stays as it is.

    Returns the memory and what changed. The former wording stays in its history, and search_memories finds it with
    include_past.
    """
    call = await begin(ctx, user_id, "update_memory")
    fields = Fields(content=content, topics=topics, key=key, pinned=pinned, expires=expires, metadata=metadata)
    outcome = await call.service.update(call.user, id, fields, call.origin, if_version)
    await call.announce([outcome.memory.id] if outcome.change_id else [])
    return reply(lines.updated(outcome, call.zone), data.updated(outcome))


async def delete_memory(
    ctx: AppContext,
    user_id: UserId,
    id: Annotated[str | list[str], Field(description="Id of a memory, or a list of up to 100: all or none.")],
) -> Annotated[CallToolResult, data.DeleteReply]:
    """Removes memories as one change. No search or list shows them any more; undo brings them back."""
    call = await begin(ctx, user_id, "delete_memory")
    outcome = await call.service.delete(call.user, [id] if isinstance(id, str) else id, call.origin)
    await call.announce([memory.id for memory in outcome.memories])
    return reply(lines.deleted(outcome, call.zone), data.deleted(outcome))


async def undo(
    ctx: AppContext,
    user_id: UserId,
    change_id: ChangeId = None,
) -> Annotated[CallToolResult, data.UndoReply]:
    """Takes back one change exactly, or nothing of it; repeated calls walk back.

    Returns what was restored and removed. Undoing the change_id of an undo is a redo. Refused, with the ids in the
    way, when later changes stand on it.
    """
    call = await begin(ctx, user_id, "undo")
    outcome = await call.service.undo(call.user, change_id, call.origin)
    await call.announce(outcome.ids)
    return reply(lines.undone(outcome, call.zone), data.undone(outcome))


ASKING = frozenset({add_memory.__name__})
"""The tools that ask the person, and go on without an answer."""

TOOLS = (
    # MCP: not destructive means "performs only additive updates"; an add with a key replaces what the key said.
    ToolSpec(run=add_memory, title="Add a memory", destroys=True),
    ToolSpec(run=search_memories, title="Search memories", reads=True),
    ToolSpec(run=list_memories, title="List memories", reads=True),
    ToolSpec(run=get_memory, title="Get a memory", reads=True),
    ToolSpec(run=update_memory, title="Update a memory", destroys=True),
    ToolSpec(run=delete_memory, title="Delete memories", destroys=True),
    ToolSpec(run=undo, title="Undo a change", destroys=True, idempotent=False),
)

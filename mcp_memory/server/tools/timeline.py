"""Tools of profile manage about the past: what changed, and everything taken away at once. Off until asked for."""

from typing import Annotated

from mcp.server.mcpserver import (
    AcceptedElicitation,
    CancelledElicitation,
    DeclinedElicitation,
    Elicit,
    ElicitationResult,
    Resolve,
)
from mcp.types import CallToolResult
from pydantic import BaseModel, ConfigDict, Field

from mcp_memory import guard
from mcp_memory.server.asking import can_ask
from mcp_memory.server.calls import AppContext, begin, reply
from mcp_memory.server.schema import ToolSpec
from mcp_memory.server.tools.core import Count, Cursor, UserId
from mcp_memory.views import timeline

Confirm = Annotated[
    Count | None, Field(description="The exact number of memories, where the client cannot ask the person.")
]


class Agreement(BaseModel):
    """What the person is asked for."""

    model_config = ConfigDict(defer_build=True)

    delete_all: bool = Field(description="Delete all memories.")


async def list_changes(
    ctx: AppContext,
    user_id: UserId,
    since: Annotated[
        str | None, Field(description="Only since then: ISO date-time, 2d for two days, or after a change_id.")
    ] = None,
    limit: Annotated[Count, Field(description="1 to 100.")] = 20,
    cursor: Cursor = None,
) -> Annotated[CallToolResult, timeline.ChangesReply]:
    """Lists what changed, newest first: when, by which tool and client, and what it did to which memory.

    Wordings are shortened; get_memory with history shows them whole. undo takes a change back by its change_id.
    """
    call = await begin(ctx, user_id, "list_changes")
    outcome = await call.service.timeline.changes(call.user, since, limit, cursor)
    return reply(timeline.changes(outcome, call.zone), timeline.structured_changes(outcome))


async def _counted(ctx: AppContext, user_id: str) -> int:
    """How many memories there are: the person is asked about that many, and no other number is deleted."""
    call = await begin(ctx, user_id, "clear_memories")
    return await call.service.timeline.count(call.user)


async def _asked(
    ctx: AppContext, user_id: str, count: Annotated[int, Resolve(_counted)], confirm: int | None = None
) -> Elicit[Agreement] | None:
    """The question to the person; None where there is nothing to ask, or nobody can be asked."""
    if count == 0 or confirm not in {None, count} or not can_ask(ctx):
        return None
    which = "the one memory" if count == 1 else f"all {count:,} memories"
    return Elicit(f"Delete {which} of user {guard.shown(user_id)}? Undo can bring them back.", Agreement)


async def clear_memories(
    ctx: AppContext,
    user_id: UserId,
    count: Annotated[int, Resolve(_counted)],
    answer: Annotated[ElicitationResult[Agreement], Resolve(_asked)],
    confirm: Confirm = None,
) -> Annotated[CallToolResult, timeline.ClearReply]:
    """Removes all memories of the user as one change, which undo takes back.

    The client asks the person first. Where it cannot, confirm has to be the exact number of memories, which a call
    without it names.
    """
    call = await begin(ctx, user_id, "clear_memories")
    match answer:
        case AcceptedElicitation(data=Agreement(delete_all=True)):
            confirm = count
        case DeclinedElicitation() | CancelledElicitation() | AcceptedElicitation(data=Agreement()):
            cancelled = isinstance(answer, CancelledElicitation)
            told = timeline.not_cleared(count, cancelled=cancelled)
            return reply(told, timeline.structured_not_cleared(count, cancelled=cancelled))
        case _:
            pass  # nobody was asked
    outcome = await call.service.timeline.clear(call.user, confirm, call.origin)
    await call.announce(outcome.ids)
    return reply(timeline.cleared(outcome), timeline.structured_cleared(outcome))


TOOLS = (
    ToolSpec(run=list_changes, title="List changes", reads=True),
    ToolSpec(run=clear_memories, title="Clear memories", destroys=True),
)

ASKING = frozenset({clear_memories.__name__})
"""The tools that ask the person, and do nothing without an answer."""

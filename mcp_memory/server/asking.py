"""Asking the client's user, where the client can.

Where new memories wait for approval, the person is asked at once: who agrees has it remembered, who declines has
nothing stored, and who closes the question, or is not shown one, leaves the memory waiting.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mcp.server.mcpserver import (
    AcceptedElicitation,
    CancelledElicitation,
    DeclinedElicitation,
    Elicit,
    ElicitationResult,
)
from pydantic import BaseModel, ConfigDict, Field

from mcp_memory import guard
from mcp_memory.guard import Fields
from mcp_memory.models import Origin
from mcp_memory.server.calls import AppContext, Call, begin, serving
from mcp_memory.service.pending import Person
from mcp_memory.text.cleanup import escaped


class Agreed(BaseModel):
    """What the person is asked for."""

    model_config = ConfigDict(defer_build=True)

    remember: bool = Field(description="Remember this.")


def can_ask(ctx: AppContext) -> bool:
    """Whether the client shows its user a form; one that names no kind of question at all does."""
    offered = ctx.client_capabilities.elicitation if ctx.client_capabilities else None
    return offered is not None and (offered.form is not None or offered.url is None)


async def whether_to_remember(
    ctx: AppContext,
    user_id: str,
    content: str,
    topics: Sequence[str] | None = None,
    key: str | None = None,
    pinned: bool | None = None,  # noqa: FBT001 - the arguments of the tool, by name
    expires: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Elicit[Agreed] | None:
    """The question whether to remember what `add_memory` is given; None where it is not to be asked.

    A client that did not ask its user is not asked about the same text again.
    """
    if serving(ctx).app.config.approval.mode != "all" or not can_ask(ctx):
        return None
    call = await begin(ctx, user_id, "add_memory")
    fields = Fields(content=content, topics=topics, key=key, pinned=pinned, expires=expires, metadata=metadata)
    said = await call.service.approvals.question(call.user, fields, call.origin)
    if said is None:
        return None
    first_round = ctx.input_responses is None
    if first_round and not serving(ctx).unanswered.ask(call.user, content):
        return None
    named = f", as {guard.shown(key)}" if key and key.strip() else ""
    return Elicit(f"Remember this of user {guard.shown(user_id)}{named}? {escaped(said)}", Agreed)


def decided(ctx: AppContext, call: Call, content: str, answer: ElicitationResult[Agreed]) -> Origin | None:
    """Who adds a memory after the person's answer: they themselves, or the agent, as before; None if they declined."""
    match answer:
        case AcceptedElicitation(data=Agreed(remember=agreed)):
            origin = Person(**call.origin.fields()) if agreed else None
        case DeclinedElicitation():
            origin = None
        case CancelledElicitation():
            origin = call.origin
        case _:
            return call.origin  # nobody was asked
    serving(ctx).unanswered.answered(call.user, content)
    return origin

"""`extract_memories`: from a conversation to changed memories. Part of tool profile core."""

from typing import Annotated, Any

from mcp.server.mcpserver import Resolve, Sample
from mcp.types import CallToolResult, CreateMessageResult
from pydantic import Field, WithJsonSchema

from mcp_memory.errors import InvalidInput, ModelError
from mcp_memory.extraction.conversation import Message
from mcp_memory.extraction.decision import GIVEN_SCHEMA
from mcp_memory.extraction.extractor import Extracted, Extractor, Request
from mcp_memory.models import State
from mcp_memory.server.calls import AppContext, Call, begin, reply, serving
from mcp_memory.server.conversations import conversation_of
from mcp_memory.server.sampling import reply_of, request_of, sample_of
from mcp_memory.server.schema import ToolSpec
from mcp_memory.server.tools.core import UserId
from mcp_memory.views import data, lines

_MESSAGES = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "role": {"type": "string", "enum": ["user", "assistant", "system", "tool"]},
            "content": {"type": "string"},
            "at": {"type": "string"},
            "name": {"type": "string"},
        },
        "required": ["role", "content"],
    },
}
Messages = Annotated[
    list[Any] | None,
    WithJsonSchema(_MESSAGES),
    Field(description="What was said, oldest first; at: ISO date-time of the message."),
]
Text = Annotated[str | None, Field(description="The same as plain text, in place of messages.")]
Operations = Annotated[
    list[Any] | None,
    WithJsonSchema(dict(GIVEN_SCHEMA)),
    Field(description="What a worksheet asked to decide, in place of messages; at most 25."),
]


async def _asked(ctx: AppContext, request: Annotated[Request | None, Resolve(request_of)]) -> Sample | None:
    return sample_of(request, serving(ctx).app.config.llm.max_tokens)


async def extract_memories(
    ctx: AppContext,
    user_id: UserId,
    request: Annotated[Request | None, Resolve(request_of)],
    answer: Annotated[CreateMessageResult | None, Resolve(_asked)],
    messages: Messages = None,
    text: Text = None,
    operations: Operations = None,
    dry_run: Annotated[bool, Field(description="Show what would be done, and write nothing.")] = False,
) -> Annotated[CallToolResult, data.ExtractReply]:
    """Turns a conversation into added, updated and deleted memories: one change, which undo takes back.

    With a model configured, or offered by the client, it decides at once. Otherwise returns a worksheet: rules and
    known memories, to be answered by a second call with operations. What is skipped is listed with the reason.
    """
    call = await begin(ctx, user_id, "extract_memories")
    extractor = await serving(ctx).app.extractor()
    if operations is not None:
        if messages is not None or text is not None:
            raise InvalidInput("give only one of messages, text and operations")
        return await _told(call, await extractor.by_caller(call.user, operations, call.origin, dry_run=dry_run))
    conversation = conversation_of(messages, text, serving(ctx).app.now(), call.zone)
    if extractor.model is not None:

        async def tell(done: int, chunks: int) -> None:
            await ctx.report_progress(done, chunks, f"{done} of {chunks} parts read")

        outcome = await extractor.by_model(call.user, conversation, call.origin, tell, dry_run=dry_run)
        return await _told(call, outcome)
    if request is not None and answer is not None:
        serving(ctx).unanswered.answered(call.user, request.user)
        try:
            outcome = await extractor.by_reply(call.user, request, reply_of(answer), call.origin, dry_run=dry_run)
        except ModelError as error:
            return await _worksheet(call, extractor, conversation, str(error))
        return await _told(call, outcome)
    return await _worksheet(call, extractor, conversation, None)


async def _told(call: Call, outcome: Extracted) -> CallToolResult:
    done = outcome.applied.done if outcome.applied.change_id else ()
    changed = [one.memory.id for one in done if one.memory.state is State.ACTIVE]
    await call.announce(changed)
    return reply(lines.extracted(outcome, call.zone), data.extracted(outcome))


async def _worksheet(
    call: Call, extractor: Extractor, conversation: tuple[Message, ...], why: str | None
) -> CallToolResult:
    sheet = await extractor.worksheet(call.user, conversation)
    return reply(lines.worksheet(sheet, why), data.worksheet(sheet, why))


TOOLS = (ToolSpec(run=extract_memories, title="Extract memories", destroys=True, idempotent=False),)

ASKING = frozenset({extract_memories.__name__})
"""The tools that ask the client's model, before they do anything else."""

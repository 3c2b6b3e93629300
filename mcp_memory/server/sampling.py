"""Asking the client's own model, where the client offers that and no model is configured.

One question, one reply: a client that refuses is not asked about the same conversation again, and gets the worksheet.
"""

from collections.abc import Sequence
from typing import Any

from mcp.server.mcpserver import Sample
from mcp.types import CreateMessageResult, SamplingMessage, TextContent

from mcp_memory.extraction.extractor import Request
from mcp_memory.server.calls import AppContext, begin, serving
from mcp_memory.server.conversations import conversation_of


async def request_of(
    ctx: AppContext,
    user_id: str,
    messages: Sequence[dict[str, Any]] | None = None,
    text: str | None = None,
    operations: Sequence[dict[str, Any]] | None = None,
) -> Request | None:
    """What to ask the client's model; None where it is not to be asked. The same in every round of one call."""
    app = serving(ctx).app
    capabilities = ctx.client_capabilities
    if operations is not None or app.config.llm.model or capabilities is None or capabilities.sampling is None:
        return None
    call = await begin(ctx, user_id, "extract_memories")
    conversation = conversation_of(messages, text, app.now(), call.zone)
    request = await (await app.extractor()).request(call.user, conversation)
    if request is None:
        return None
    first_round = ctx.input_responses is None
    return request if not first_round or serving(ctx).unanswered.ask(call.user, request.user) else None


def sample_of(request: Request | None, max_tokens: int) -> Sample | None:
    """The question in the protocol's form."""
    if request is None:
        return None
    asked = SamplingMessage(role="user", content=TextContent(type="text", text=request.user))
    return Sample([asked], max_tokens=max_tokens, system_prompt=request.system, temperature=0)


def reply_of(result: CreateMessageResult) -> str:
    """The text of a reply; empty where it is none."""
    return result.content.text if isinstance(result.content, TextContent) else ""

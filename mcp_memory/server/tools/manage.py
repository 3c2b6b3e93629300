"""Tool profile manage: what keeps a grown memory tidy. Off until the operator asks for it."""

from typing import Annotated, Literal

from mcp.types import CallToolResult
from pydantic import Field

from mcp_memory.server.calls import AppContext, begin, reply, serving
from mcp_memory.server.schema import ToolSpec
from mcp_memory.server.tools.core import UserId
from mcp_memory.service.outcomes import Optimized
from mcp_memory.views import optimized

Strategy = Annotated[
    Literal["deduplicate", "summarize", "expire"],
    Field(description="Merge what says the same; merge what is related; or remove what has expired."),
]


async def optimize_memories(
    ctx: AppContext,
    user_id: UserId,
    strategy: Strategy = "deduplicate",
    apply: Annotated[
        bool, Field(description="Carry the plan out; otherwise it is shown, and nothing written.")
    ] = False,
) -> Annotated[CallToolResult, optimized.OptimizeReply]:
    """Tidies up all memories by a plan, which is shown first and then carried out as one change that undo takes back.

    Returns what becomes one and what is deleted, tokens before and after, and what looks alike but differs in a number,
    date, name or negation: that is never merged. summarize words anew with the configured model, or else returns a
    worksheet, to be answered with extract_memories; expire also suggests plans whose date has passed.
    """
    call = await begin(ctx, user_id, "optimize_memories")
    if strategy == "summarize":
        summarizer = await serving(ctx).app.summarizer()
        if summarizer.model is None:
            sheet = await summarizer.worksheet(call.user)
            return reply(optimized.sheet_text(sheet), optimized.structured_sheet(sheet))

        async def tell(done: int, groups: int) -> None:
            await ctx.report_progress(done, groups, f"{done} of {groups} groups read")

        outcome = await summarizer.by_model(call.user, call.origin, tell, dry_run=not apply)
    else:
        optimizer = call.service.optimizer
        run = optimizer.deduplicate if strategy == "deduplicate" else optimizer.expire
        outcome = await run(call.user, call.origin, dry_run=not apply)
    await call.announce(_written(outcome))
    return reply(optimized.text(outcome, call.zone), optimized.structured(outcome))


def _written(outcome: Optimized) -> list[str]:
    return [done.memory.id for done in outcome.applied.done] if outcome.applied.change_id else []


TOOLS = (ToolSpec(run=optimize_memories, title="Optimize memories", destroys=True, idempotent=False),)

"""Prompts for clients that show them to a person, and the completions of their arguments.

They stand in no tool list. Every argument has a default, since a client may show no field for one; what is recalled
stands under its label.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final

from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import Prompt
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    PromptReference,
    ResourceTemplateReference,
)
from pydantic import Field

from mcp_memory import prompts
from mcp_memory.errors import InvalidInput, McpMemoryError, NotFound
from mcp_memory.server import errors
from mcp_memory.server.calls import AppContext, Call, Serving, begin, serving
from mcp_memory.server.identity import PARAMETER, Identity
from mcp_memory.service import MemoryService
from mcp_memory.service.outcomes import Found
from mcp_memory.views import lines
from mcp_memory.views import profile as profiles

MOST_OFFERED: Final = 100
"""The most values that one completion may have, by the protocol."""

UserId = Annotated[str, Field(description="Whose memories.")]
Topic = Annotated[str, Field(description="Only what is about this; empty: the most important of all.")]


async def recall(ctx: AppContext, user_id: UserId = "", topic: Topic = "") -> str:
    """Puts what is remembered about you into the conversation: the most important, or what is known about a topic."""
    call = await begin(ctx, user_id, "recall")
    made = await call.service.profile(call.user, serving(ctx).app.config.profile.max_tokens, topic.strip() or None)
    return _worded("prompt-recall", profiles.text(made), topic)


async def remember_this_conversation() -> str:
    """Has the assistant keep what of this conversation is worth knowing in later ones."""
    return prompts.load("prompt-remember")


async def review_my_memories(ctx: AppContext, user_id: UserId = "", topic: Topic = "") -> str:
    """Goes through your newest memories with you, to correct or remove what is not right any more."""
    call = await begin(ctx, user_id, "review_my_memories")
    if not topic.strip():
        return _worded("prompt-review", lines.listed(await call.service.page(call.user), call.zone), topic)
    return _worded("prompt-review", lines.found(await _about(call, topic, 50), call.zone), topic)


async def forget(
    ctx: AppContext,
    user_id: UserId = "",
    what: Annotated[str, Field(description="What to forget, in words or by the id of a memory.")] = "",
) -> str:
    """Finds what you want forgotten, and deletes it once you agree."""
    if not what.strip():
        return prompts.load("prompt-forget-what")
    call = await begin(ctx, user_id, "forget")
    try:
        found = lines.got(await call.service.get(call.user, what), call.zone)
    except NotFound:
        found = lines.found(await _about(call, what, 20), call.zone)
    return _worded("prompt-forget", found, "")


_TITLES: Final[Mapping[Callable[..., Awaitable[str]], str]] = {
    recall: "Recall",
    remember_this_conversation: "Remember this conversation",
    review_my_memories: "Review my memories",
    forget: "Forget something",
}


def prompts_of(identity: Identity) -> dict[str, Prompt]:
    """The prompts by name; `user_id` is an argument only where callers name the user."""
    made = [Prompt.from_function(run, title=title) for run, title in _TITLES.items()]
    if not identity.shown:
        for one in made:
            one.arguments = [argument for argument in one.arguments or [] if argument.name != PARAMETER]
    return {one.name: one for one in made}


def bound(prompt: Prompt, identity: Identity, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the function of `prompt` takes, with the user where it asks for one; null is not given.

    Raises:
        MCPError: an argument is unknown, or the caller may not name a user here.
    """
    known = [argument.name for argument in prompt.arguments or []]
    arguments = {name: value for name, value in given.items() if value is not None}
    try:
        everything = identity.bind(arguments)
    except ToolError as error:
        raise _refused(error) from error
    if unknown := errors.unknown_arguments(prompt.name, arguments, known):
        raise _refused(unknown)
    if broken := errors.broken_text(prompt.name, arguments):
        raise _refused(broken)
    takes_user = prompt.context_kwarg is not None
    return everything if takes_user else {name: value for name, value in everything.items() if name != PARAMETER}


def unknown(name: str, known: Mapping[str, Prompt]) -> MCPError:
    """There is no prompt of that name."""
    return _refused(errors.unknown_prompt(name, known))


def failed(error: ValueError) -> Exception:
    """What whoever asks for the prompt is told of `error`, which the SDK made of ours; a crash stays one."""
    ours = error.__cause__.__cause__ if error.__cause__ else None
    match ours:
        case McpMemoryError():
            return _told(ours)
        case _:
            return error


def _told(error: McpMemoryError) -> MCPError:
    code = INVALID_PARAMS if isinstance(error, NotFound | InvalidInput) else INTERNAL_ERROR
    return MCPError(code=code, message=errors.one_line(str(error)))


async def complete(ctx: ServerRequestContext[Serving, Any], params: CompleteRequestParams) -> CompleteResult:
    """The values that an argument may have which somebody begins to type; none where nothing is known of it."""
    held = ctx.lifespan_context
    given = (params.context.arguments if params.context else None) or {}
    user = given.get(PARAMETER, "") if held.identity.shown else held.identity.bind({})[PARAMETER]
    try:
        values = await _offered(await held.app.service(), held.identity, user, params) if user else []
    except McpMemoryError as error:
        raise _told(error) from error
    shown = values[:MOST_OFFERED]
    return CompleteResult(completion=Completion(values=shown, total=len(values), has_more=len(values) > len(shown)))


async def _offered(service: MemoryService, identity: Identity, user: str, params: CompleteRequestParams) -> list[str]:
    begun = params.argument.value
    match params.ref, params.argument.name:
        case PromptReference(name="recall" | "review_my_memories"), "topic":
            return await service.completions.topics(user, begun)
        case PromptReference(name="forget"), "what":
            return [*await service.completions.topics(user, begun), *await service.completions.ids(user, begun)]
        case ResourceTemplateReference(uri=uri), "memory_id" if uri == identity.memory_uri:
            return await service.completions.ids(user, begun)
        case _:
            return []


async def _about(call: Call, what: str, limit: int) -> Found:
    return await call.service.search(call.user, what, call.service.scope(), limit=limit)


def _worded(name: str, notes: str, topic: str) -> str:
    about = f" about {topic.strip()!r}" if topic.strip() else ""
    before, after = prompts.load(name).split("{notes}")
    return f"{before.replace('{topic}', about)}{notes}{after}"


def _refused(error: ToolError) -> MCPError:
    return MCPError(code=INVALID_PARAMS, message=errors.one_line(str(error)))

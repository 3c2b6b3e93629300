"""What is offered in the place of a damaged memory: its newest version whose checksum holds."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from mcp_memory.errors import Conflict
from mcp_memory.models import Hit, Memory, Revision
from mcp_memory.text.notes import inline

MOST_OFFERED: Final = 10
"""So many damaged memories of one reply are looked into; get_memory looks into any one of them."""

History = Callable[[Memory], Awaitable[Sequence[Revision]]]
"""Reads every version of a memory, oldest first."""


async def offered(memory: Memory, history: History) -> Memory:
    """`memory`, with its last good version where it is damaged and there is one."""
    return with_last_good(memory, await history(memory)) if memory.damaged else memory


async def all_offered(memories: Iterable[Memory], history: History) -> tuple[Memory, ...]:
    """The same of many, but of the first few damaged ones only."""
    left = MOST_OFFERED
    shown: list[Memory] = []
    for memory in memories:
        looked_into = memory.damaged and left > 0
        left -= looked_into
        shown.append(await offered(memory, history) if looked_into else memory)
    return tuple(shown)


async def hits_offered(hits: Sequence[Hit], history: History) -> tuple[Hit, ...]:
    """The same of what a search found."""
    if not any(hit.memory.damaged for hit in hits):
        return tuple(hits)
    memories = await all_offered((hit.memory for hit in hits), history)
    return tuple(hit.replace(memory=memory) for hit, memory in zip(hits, memories, strict=True))


def with_last_good(memory: Memory, history: Sequence[Revision]) -> Memory:
    """`memory`, where it is damaged with the newest sound version in its `history`, oldest first, if there is one."""
    return memory.replace(last_good=last_good(memory, history)) if memory.damaged else memory


def last_good(memory: Memory, history: Sequence[Revision]) -> Memory | None:
    """The newest sound version of `memory` in its `history`, oldest first; a revision of another memory is none."""
    sound = (
        one.memory
        for one in reversed(history)
        if not one.memory.damaged and one.memory.id == memory.id and one.operation not in {"delete", "expire"}
    )
    return next(sound, None)


def sound(memory: Memory) -> Memory:
    """What a write may take over of `memory`: all, or where it is damaged its last good version, else only its place.

    A new checksum would call what is damaged right.
    """
    if not memory.damaged:
        return memory
    blank: dict[str, Any] = {
        "content": "",
        "key": None,
        "topics": (),
        "metadata": {},
        "damaged": False,
        "last_good": None,
    }
    return memory.last_good or memory.replace(**blank)


def damaged(memory: Memory) -> Conflict:
    """The error for a write that would take over what is damaged; it offers what was looked for."""
    good = memory.last_good
    offer = f" Its last good version, {good.version} {inline(good.content)}" if good else ""
    return Conflict(
        f"Memory {memory.id} is damaged on disk; update it with its full content, or delete it. "
        f"get_memory with history shows its earlier wording; mcp-memory doctor checks the file.{offer}",
        (memory.id,),
    )

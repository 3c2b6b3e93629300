"""One statement to remember: new, there already, what its key says from now on, or something that has to wait."""

from typing import Final, cast

from mcp_memory import guard
from mcp_memory.errors import Conflict, InvalidInput
from mcp_memory.guard import Given
from mcp_memory.models import Memory, Origin, Step, Vector
from mcp_memory.service.damage import damaged
from mcp_memory.service.outcomes import Added, Updated
from mcp_memory.service.pending import Beginning
from mcp_memory.service.writing import Writing, altered
from mcp_memory.store.transaction import Transaction

MAX_SWEPT: Final = 20
"""How many expired memories one new memory takes away with it: more than come in, and a few milliseconds at most."""


async def put(
    turn: Transaction,
    writing: Writing,
    given: Given,
    vector: Vector | None,
    now: int,
    origin: Origin,
    begins: Beginning,
) -> Added:
    """Add what `given` says, where it is new as what `begins` says.

    What is pending replaces nothing: it keeps the key that it asks for, for the day when it is accepted.

    Raises:
        Conflict: the text is one memory's and the key another's.
    """
    said = given.get("content", "")
    if begins.waits and (waiting := await writing.waiting(turn, said, now, begins.gone)):
        return Added(outcome="pending", memory=waiting, change_id=None)
    same_text, same_key = await writing.in_the_way(turn, given, now)
    if same_text and same_key and same_text.row != same_key.row:
        raise Conflict(
            f"This text is memory {same_text.id}, but key {given.get('key')!r} is memory {same_key.id}; "
            "delete one of them, or leave the key out.",
            (same_text.id, same_key.id),
        )
    if same_text:
        return await _confirm(turn, writing, same_text, given, now, origin)
    if same_key and not begins.waits:
        done = await apply(turn, writing, same_key, given, vector, now, origin)
        return Added(outcome="replaced", memory=done.memory, change_id=done.change_id)
    return await _create(turn, writing, given, vector, now, origin, begins)


async def apply(
    turn: Transaction, writing: Writing, memory: Memory, given: Given, vector: Vector | None, now: int, origin: Origin
) -> Updated:
    """Set the given fields of `memory`, where that changes anything."""
    done = altered(memory, given, vector, now)
    if done is None:
        return Updated(outcome="unchanged", memory=memory, changed=(), change_id=None)
    change = writing.change(origin, now, f"updated {memory.id} ({', '.join(done.names)})")
    stored = await turn.record(change, [done.step])
    return Updated(outcome="updated", memory=stored[0], changed=done.names, change_id=change.id)


async def _create(
    turn: Transaction,
    writing: Writing,
    given: Given,
    vector: Vector | None,
    now: int,
    origin: Origin,
    begins: Beginning,
) -> Added:
    if turn.first_expiry is not None and turn.first_expiry <= now:
        await writing.sweep(turn, await turn.expired(now, MAX_SWEPT), now)
    memory = writing.new(given, origin, now, begins.state)
    change = writing.change(origin, now, f"{'proposed' if begins.waits else 'added'} {memory.id}")
    stored = await turn.record(change, [Step(operation="add", memory=memory, vector=vector)])
    return Added(outcome="pending" if begins.waits else "added", memory=stored[0], change_id=change.id)


async def _confirm(
    turn: Transaction, writing: Writing, memory: Memory, given: Given, now: int, origin: Origin
) -> Added:
    """Add onto a memory of the same text: its wording stays, topics are united, what else is given is set.

    An add never clears or unpins: empty values count as not given.
    """
    if memory.damaged:
        raise damaged(memory)
    rest = cast("Given", {name: value for name, value in given.items() if value})
    rest["content"] = memory.content
    if "topics" in rest:
        rest["topics"] = tuple(dict.fromkeys(memory.topics + rest["topics"]))
        if len(rest["topics"]) > guard.MAX_TOPICS:
            raise InvalidInput(
                f"This text is memory {memory.id}, whose {len(memory.topics)} topics and the new ones make "
                f"{len(rest['topics'])}; at most {guard.MAX_TOPICS} fit. Give fewer, or the whole new list to "
                "update_memory."
            )
    done = await apply(turn, writing, memory, rest, None, now, origin)
    return Added(outcome="exists", memory=done.memory, change_id=done.change_id)

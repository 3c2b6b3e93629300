"""What every use case that writes has in common: who is meant, what is in the way, and what a change says of itself."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from mcp_memory import guard
from mcp_memory.clock import Clock
from mcp_memory.errors import NotFound
from mcp_memory.guard import Given
from mcp_memory.models import Change, Deed, Memory, Origin, Revision, State, Step, Vector, fingerprint
from mcp_memory.service.damage import History, all_offered, damaged, sound
from mcp_memory.store.transaction import Transaction

SWEEP: Final = "sweep"
"""The tool name of the store's own changes."""
FORGET: Final = "forget"
"""The tool name of the trace that an erased memory leaves."""

_Thing = TypeVar("_Thing")
PORTION: Final = 500
"""So many things the store is asked about together."""


class Writing:
    """The parts of a write, inside a transaction of one user."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def own(self, turn: Transaction, memory_ids: Sequence[str], now: int) -> list[Memory]:
        """The living memories of these ids, in that order; all of them, or NotFound."""
        wanted = [memory_id.strip() for memory_id in memory_ids]
        held = {memory.id: memory for memory in await turn.memories(wanted)}
        found = {name: memory for name, memory in held.items() if not _waits(memory) and not memory.expired(now)}
        missing = [memory_id for memory_id in wanted if memory_id not in found]
        if missing:
            raise NotFound(_untouchable(missing, held))
        return list(await all_offered((found[memory_id] for memory_id in wanted), history_of(turn)))

    async def in_the_way(self, turn: Transaction, given: Given, now: int) -> tuple[Memory | None, Memory | None]:
        """The living memories that hold the text and the key that are to be written; others are swept.

        Those have expired, or wait for approval of what is now said with effect.
        """
        mark = fingerprint(given["content"]) if "content" in given else None
        key = given.get("key")
        twins = await turn.twins(mark, key) if mark or key else []
        living = await all_offered(await self.sweep(turn, twins, now), history_of(turn))
        return split_twins(living, mark, key)

    async def waiting(self, turn: Transaction, content: str, now: int, gone: int) -> Memory | None:
        """The pending memory that says `content`, if there is one, proposed after `gone`, and it has not expired."""
        twins = await turn.twins(fingerprint(content), None)
        return next((twin for twin in twins if waits(twin, now, gone)), None)

    async def sweep(self, turn: Transaction, memories: Sequence[Memory], now: int) -> list[Memory]:
        """Those of `memories` that live; the others, expired or pending, go as a change of the store's own."""
        gone = [memory for memory in memories if not lives(memory, now)]
        if gone:
            what = "expired" if all(memory.expired(now) for memory in gone) else "that expired or waited"
            change = self.change(Origin(tool=SWEEP), now, f"swept {len(gone)} {what}")
            steps = [removal("expire", memory, now) for memory in gone]
            await turn.record(change.replace(system=True), steps)
        return [memory for memory in memories if lives(memory, now)]

    def new(self, given: Given, origin: Origin, now: int, begins: State) -> Memory:
        """A new memory of these fields, content among them."""
        return Memory(
            id=self._clock.new_id(),
            created_at=now,
            updated_at=now,
            worded_at=now,
            state=begins,
            agent=origin.agent,
            team=origin.team,
            session_id=origin.session_id,
            source=origin.source,
            **given,
        )

    def change(self, origin: Origin, now: int, summary: str) -> Change:
        """A change that is yet to be recorded."""
        return Change(
            id=self._clock.new_id(),
            at=now,
            tool=origin.tool,
            client=origin.client,
            client_version=origin.client_version,
            summary=summary,
        )


class Alteration(NamedTuple):
    """The step that changes a memory, and the names of the fields that it changes."""

    step: Step
    names: tuple[str, ...]


def altered(memory: Memory, given: Given, vector: Vector | None, now: int) -> Alteration | None:
    """What setting `given` comes to; None where `memory` is like that already. `vector` is that of a new content.

    Raises:
        Conflict: the memory is damaged, and `given` has no content to mend it with.
    """
    base = sound(memory)
    differing = {name: value for name, value in given.items() if not _same(getattr(base, name), value)}
    if memory.damaged and "content" in given:
        differing["content"] = given["content"]  # restating its text is what mends a damaged memory
    if not differing:
        return None
    if memory.damaged and "content" not in differing:
        raise damaged(memory)
    fresh = {"row": memory.row, "updated_at": now, "version": max(memory.version, base.version) + 1}
    if "content" in differing:
        fresh["worded_at"] = now
    superseded = base if "content" in differing and base.version == memory.version and base.content else None
    step = Step(
        operation="update",
        memory=base.replace(**differing | fresh),
        supersedes=superseded,
        vector=vector if "content" in differing else None,
    )
    return Alteration(step, tuple("expires" if name == "expires_at" else name for name in differing))


def split_twins(twins: Sequence[Memory], mark: bytes | None, key: str | None) -> tuple[Memory | None, Memory | None]:
    """Of memories that hold a text (by its fingerprint) or a key: the one with the text, and the one with the key."""
    same_key = next((memory for memory in twins if memory.key and memory.key == key), None)
    same_text = next((memory for memory in twins if fingerprint(memory.content) == mark), None)
    # A damaged text no longer tells, but the store found it by the fingerprint of what it was.
    lost = next((memory for memory in twins if memory.damaged and memory is not same_key), None)
    return same_text or lost, same_key


def lives(memory: Memory, now: int) -> bool:
    """Whether it counts: accepted where that was needed, and not expired."""
    return not _waits(memory) and not memory.expired(now)


def waits(memory: Memory, now: int, gone: int) -> bool:
    """Whether a person can still decide about it: proposed after `gone`, and not expired."""
    return _waits(memory) and memory.created_at > gone and not memory.expired(now)


def undecided(last: Revision) -> str:
    """What to say of a memory that a person has not accepted, after its `last` revision."""
    if last.operation in {"delete", "expire"}:
        return not_found([last.memory.id])
    return _untouchable([last.memory.id], {last.memory.id: last.memory})


def not_found(memory_ids: Sequence[str]) -> str:
    """What to say of ids that belong to nobody here."""
    named = ", ".join(guard.shown(memory_id) for memory_id in memory_ids[:10])
    return f"No memory {named} for this user. search_memories finds ids."


def _waits(memory: Memory) -> bool:
    return memory.state is State.PENDING


def _untouchable(missing: Sequence[str], held: Mapping[str, Memory]) -> str:
    """What to say of ids that name nothing that counts."""
    waiting = [memory_id for memory_id in missing if memory_id in held and _waits(held[memory_id])]
    if not waiting:
        return not_found(missing)
    return (
        f"Memory {', '.join(waiting[:10])} waits for the user's approval and cannot be read or changed before; "
        "undo takes back what proposed it."
    )


def portions(things: Sequence[_Thing]) -> Iterator[Sequence[_Thing]]:
    """`things` in their order, `PORTION` at a time."""
    return (things[start : start + PORTION] for start in range(0, len(things), PORTION))


def removal(operation: Deed, memory: Memory, now: int) -> Step:
    """The step that takes a memory away."""
    kept = sound(memory)
    gone = kept.replace(row=memory.row, version=memory.version + 1, updated_at=now)
    return Step(operation=operation, memory=gone)


def history_of(turn: Transaction) -> History:
    """Reads the versions of memories inside a transaction."""

    async def history(memory: Memory) -> list[Revision]:
        return await turn.history(memory.row)

    return history


def _same(stored: object, given: object) -> bool:
    """Equality as JSON sees it: in Python, 1 and True would be the same."""
    if isinstance(stored, dict) or isinstance(given, dict):
        return json.dumps(stored, sort_keys=True) == json.dumps(given, sort_keys=True)
    return stored == given

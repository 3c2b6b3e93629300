"""Everything cleared and taken back at once: exact, and never more of it in hand than a portion."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from mcp_memory.errors import UndoRefused
from mcp_memory.guard import Fields
from mcp_memory.models import Change, Filter, Memory, Origin, Step
from mcp_memory.service.memories import MemoryService
from mcp_memory.service.outcomes import TOLD
from mcp_memory.service.writing import PORTION
from mcp_memory.store.base import Store
from mcp_memory.testing import FakeClock
from tests.store.conformance import Stores, over_every_store

pytestmark = over_every_store

MANY = 3_000
ORIGIN = Origin(tool="test")


class Watched:
    """A store whose transactions tell what was asked of them, and of how many things at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @asynccontextmanager
    async def transaction(self, user: str) -> AsyncGenerator[Any]:
        async with self._store.transaction(user) as turn:
            yield _WatchedTurn(turn, self.asked)


class _WatchedTurn:
    def __init__(self, turn: Any, asked: list[tuple[str, int]]) -> None:
        self._turn = turn
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        verb: Any = getattr(self._turn, name)
        return verb if name == "first_expiry" else self._told(name, verb)

    def _told(self, name: str, verb: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def told(*given: object) -> object:
            found = await verb(*given)
            lists = (cast("list[object]", one) for one in (*given, found) if isinstance(one, list))
            self._asked.append((name, max(map(len, lists), default=1)))
            return found

        return told


def numbered(count: int, now: int) -> list[Memory]:
    return [
        Memory(
            id=f"m{number:011d}",
            content=f"Fact {number} about tea",
            key=f"fact_{number}" if number % 3 == 0 else None,
            topics=("tea", f"t{number % 7}"),
            metadata={"b": number, "a": "ü"} if number % 2 else {},
            pinned=number % 5 == 0,
            created_at=now,
            updated_at=now,
            worded_at=now,
        )
        for number in range(count)
    ]


async def remember(store: Store, memories: Sequence[Memory], clock: FakeClock) -> None:
    change = Change(id=clock.new_id(), at=clock.now(), tool="test", summary="filled")
    async with store.transaction("alice") as turn:
        await turn.record(change, [Step(operation="add", memory=memory) for memory in memories])


async def held(store: Store, clock: FakeClock) -> list[Memory]:
    page = await store.page("alice", Filter(now=clock.now()), None, MANY + 1)
    return list(page.memories)


def restored(memory: Memory, seq: int, now: int) -> Memory:
    return memory.replace(version=memory.version + 2, updated_at=now, seq=seq)


async def test_undo_of_a_large_clear_restores_all_exactly_and_asks_in_portions(
    stores: Stores, clock: FakeClock
) -> None:
    async with stores() as store:
        await remember(store, numbered(MANY, clock.now()), clock)
        before = await held(store, clock)
        watched = Watched(store)
        service = MemoryService(cast("Store", watched), clock)  # it has every verb of a store
        clock.advance(seconds=1)
        cleared = await service.timeline.clear("alice", MANY, ORIGIN)
        assert await held(store, clock) == []
        clock.advance(seconds=1)
        watched.asked.clear()
        undone = await service.undo("alice", cleared.change_id, ORIGIN)

        # The memory created last was the last that was deleted, and is the first that is written again.
        first = 2 * MANY + 1
        expected = [restored(memory, first + place, clock.now()) for place, memory in enumerate(before)]
        assert await held(store, clock) == expected
        assert len(watched.asked) <= 3 * MANY // PORTION
        assert max(size for _, size in watched.asked) <= PORTION
        assert [step.memory.id for step in undone.steps] == [memory.id for memory in before[::-1]][:TOLD]
        assert sorted(undone.ids) == sorted(cleared.ids)
        found = await service.search("alice", "Fact 2999", service.scope(), limit=1)
        assert found.hits[0].memory == expected[0]


async def test_undo_of_a_clear_is_redone_and_undone_again(stores: Stores, clock: FakeClock) -> None:
    async with stores() as store:
        await remember(store, numbered(PORTION + 1, clock.now()), clock)
        before = [memory.content for memory in await held(store, clock)]
        service = MemoryService(store, clock)
        await service.timeline.clear("alice", PORTION + 1, ORIGIN)
        undone = await service.undo("alice", None, ORIGIN)
        redone = await service.undo("alice", undone.change_id, ORIGIN)
        assert await held(store, clock) == []
        await service.undo("alice", redone.change_id, ORIGIN)
        assert [memory.content for memory in await held(store, clock)] == before


async def test_a_text_that_was_said_again_refuses_the_undo_of_a_large_clear_as_a_whole(
    stores: Stores, clock: FakeClock
) -> None:
    async with stores() as store:
        await remember(store, numbered(2 * PORTION, clock.now()), clock)
        service = MemoryService(store, clock)
        cleared = await service.timeline.clear("alice", 2 * PORTION, ORIGIN)
        again = await service.add("alice", Fields(content="fact 990 about TEA"), ORIGIN)
        with pytest.raises(UndoRefused) as refused:
            await service.undo("alice", cleared.change_id, ORIGIN)
        assert list(refused.value.ids) == [again.memory.id]
        assert [memory.id for memory in await held(store, clock)] == [again.memory.id]

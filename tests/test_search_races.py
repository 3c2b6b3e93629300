"""Searches beside writes of the same process: whatever happens in between, a hit is the memory that was found."""

import tracemalloc
from pathlib import Path
from typing import Final

import anyio

from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import Filter, Origin, Step
from mcp_memory.service import MemoryService
from mcp_memory.store.ephemeral import EphemeralStore
from mcp_memory.store.sqlite import open_store
from mcp_memory.testing import FakeClock
from tests.store.conformance import NOW, a_memory, add, write
from tests.support import connected, ok, refused

ORIGIN: Final = Origin(tool="test")
WORDS: Final = ("apple", "pear", "plum", "zebra", "quartz")


async def test_filtered_searches_go_on_while_memories_are_added(config: Config) -> None:
    async with connected(config) as client:
        await ok(client, "add_memory", content="tea", topics=["drinks"])

        async def add(writer: int) -> None:
            for number in range(25):
                await ok(client, "add_memory", content=f"tea {writer} {number}", topics=["drinks"])

        async def search() -> None:
            for _ in range(40):
                found = await ok(client, "search_memories", query="tea", topics=["drinks"])
                assert found["hits"]

        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(add, number)
                tasks.start_soon(search)


async def test_what_a_search_has_found_stays_where_it_is_when_an_undo_brings_back_an_older_memory(
    tmp_path: Path,
) -> None:
    clock, path = FakeClock(), tmp_path / "memory.db"
    async with open_store(path, clock.now(), 10.0) as store:
        service = MemoryService(store, clock)
        added = [await service.add("alice", Fields(content=f"{word} fact"), ORIGIN) for word in WORDS]
        await service.delete("alice", [added[0].memory.id], ORIGIN)
    async with open_store(path, clock.now(), 10.0) as store:
        service, scope = MemoryService(store, clock), Filter(now=clock.now())
        await service.search("alice", "pear", scope)
        await service.add("alice", Fields(content="ant fact"), ORIGIN)
        found = await store.candidates("alice", ["zebra"], scope)
        place = int(found.postings.places[0])
        row = int(found.rows[place])
        for _ in range(2):
            await service.undo("alice", None, ORIGIN)
        brought_back = await service.search("alice", "apple", scope)
        assert [hit.memory.content for hit in brought_back.hits] == ["apple fact"]
        assert int(found.rows[place]) == row
        assert (await store.living("alice", [row], clock.now()))[row].content == "zebra fact"


async def test_an_index_of_which_most_is_gone_is_made_anew(tmp_path: Path) -> None:
    scope = Filter(now=NOW)
    async with open_store(tmp_path / "memory.db", NOW, 10.0) as store:
        new = [Step(operation="add", memory=a_memory(f"fact {number}")) for number in range(1_000)]
        _, stored = await write(store, "alice", *new)
        assert len((await store.candidates("alice", ["fact"], scope)).rows) == 1_000
        await write(store, "alice", *(Step(operation="delete", memory=memory) for memory in stored))
        await add(store, "alice", "the last fact")
        found = await store.candidates("alice", ["fact"], scope)
        assert len(found.rows) == len(found.postings.places) == 1


async def test_words_that_no_memory_holds_do_not_fill_the_memory(tmp_path: Path) -> None:
    scope = Filter(now=NOW)
    async with open_store(tmp_path / "memory.db", NOW, 10.0) as store:
        await add(store, "alice", "tea")
        tracemalloc.start()
        try:
            for start in range(0, 40_000, 1_000):
                await store.candidates("alice", [f"word{number}" for number in range(start, start + 1_000)], scope)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < 10 << 20
        assert (await store.candidates("alice", ["tea"], scope)).postings.places.tolist() == [0]


async def test_neighbours_of_an_empty_kind_of_text_are_none() -> None:
    clock = FakeClock()
    service = MemoryService(EphemeralStore(), clock)
    added = await service.add("alice", Fields(content="!?"), ORIGIN)
    assert (added.outcome, added.neighbours) == ("added", ())


async def test_an_add_that_is_refused_raises_its_own_error_and_writes_nothing(config: Config) -> None:
    async with connected(config) as client:
        await ok(client, "add_memory", content="tea", key="drink")
        await ok(client, "add_memory", content="coffee")
        message = await refused(client, "add_memory", content="coffee", key="drink")
        assert "This text is memory" in message
        assert (await ok(client, "list_memories"))["total"] == 2

"""What every store does with memories that come from elsewhere with their versions, and that go again."""

import pytest

from mcp_memory.models import Change, Memory, Revision, Step
from mcp_memory.store.base import Store
from mcp_memory.store.lineage import Lineage
from tests.store.conformance import (
    NOW,
    STORES,
    Known,
    Stores,
    a_change,
    a_memory,
    add,
    contents,
    everything,
    over_every_other_store,
    over_every_store,
    query_terms,
    reword,
    write,
)


def a_lineage(first: str, second: str, at: int = NOW) -> Lineage:
    """A memory of two versions, made elsewhere at `at`."""
    before = a_memory(first, created_at=at, updated_at=at, worded_at=at, key=f"key of {first}")
    after = before.replace(content=second, version=2, updated_at=at + 1, worded_at=at + 1)
    revisions = (
        Revision(memory=before, operation="add", reason=None, change=a_change(at=at, client="elsewhere")),
        Revision(memory=after, operation="update", reason="moved", change=a_change(at=at + 1)),
    )
    return Lineage(memory=after, revisions=revisions)


async def bring(store: Store, user: str, *lineages: Lineage, change: Change | None = None) -> Change:
    own = change or a_change(tool="import")
    told: list[int] = []
    async with store.transaction(user) as turn:
        await turn.bring(own, lineages, told.append)
        known = await turn.change(own.id)
    assert sum(told) == len(lineages)
    assert known is not None
    return known


async def withdraw(store: Store, user: str, undone: Change) -> Change:
    by = a_change(undoes=undone.seq, at=NOW + 5)
    async with store.transaction(user) as turn:
        await turn.withdraw(by, "undo of it")
        known = await turn.change(by.id)
    assert known is not None
    return known


def told(lineage: Lineage) -> tuple[Memory, list[tuple[str, Memory]]]:
    places = {"row": 0, "seq": 0}
    versions = [(one.operation, one.memory.replace(**places)) for one in lineage.revisions]
    return lineage.memory.replace(**places), versions


@over_every_store
async def test_what_is_brought_is_there_with_its_versions_and_changes(stores: Stores) -> None:
    one, other = a_lineage("Porto", "Lisbon"), a_lineage("tea", "coffee", NOW - 9)
    async with stores() as store:
        known = await add(store, "alice", "Was here")
        change = await bring(store, "alice", one, other)
        found = await store.lineages("alice", known.row, 10, NOW)
        arrivals = [Lineage(memory=each.memory, revisions=each.revisions[:-1]) for each in found]
        assert [told(each) for each in arrivals] == [told(one), told(other)]
        assert [each.revisions[-1].operation for each in found] == ["add", "add"]
        assert {each.revisions[-1].change.seq for each in found} == {change.seq}
        assert [(each.memory.row, each.memory.seq) for each in found] == [(2, 4), (5, 7)]
        entries = await store.changes("alice", 10, 3)
        assert [entry.change.at for entry in entries] == [NOW, NOW + 1, NOW, NOW - 8, NOW - 9, NOW]
        assert [entry.change.system for entry in entries] == [False, True, True, True, True, False]
        assert [entry.count for entry in entries] == [2, 1, 1, 1, 1, 1]
        assert await contents(store, "alice") == ["coffee", "Lisbon", "Was here"]
        assert [one.writes for one in await store.users()] == [7]


@over_every_store
async def test_lineages_come_in_pages_without_what_is_gone_or_another_users(stores: Stores) -> None:
    async with stores() as store:
        await add(store, "bob", "Bob's own")
        memories = [await add(store, "alice", f"memory {n}", expires_at=NOW if n == 2 else None) for n in range(5)]
        await reword(store, "alice", memories[0], "memory zero")
        await write(store, "alice", Step(operation="delete", memory=memories[3]))
        first = await store.lineages("alice", 0, 2, NOW)
        second = await store.lineages("alice", first[-1].memory.row, 2, NOW)
        assert [one.memory.content for one in (*first, *second)] == ["memory zero", "memory 1", "memory 4"]
        assert [len(one.revisions) for one in (*first, *second)] == [2, 1, 1]
        assert await store.lineages("nobody", 0, 2, NOW) == []


@over_every_store
async def test_what_was_added_is_withdrawn_last_first_and_can_be_brought_back(stores: Stores) -> None:
    async with stores() as store:
        await add(store, "alice", "Was here")
        change = await bring(store, "alice", a_lineage("Porto", "Lisbon"), a_lineage("tea", "coffee"))
        async with store.transaction("alice") as turn:
            assert await turn.mere_additions(change) == 2
            pages = [await turn.added(change, after, 1) for after in (0, 2, 5)]
        assert [[memory.content for memory in page] for page in pages] == [["Lisbon"], ["coffee"], []]
        undo = await withdraw(store, "alice", change)
        assert await contents(store, "alice") == ["Was here"]
        async with store.transaction("alice") as turn:
            gone = await turn.revisions_of(undo)
            assert [(one.operation, one.memory.content, one.memory.version) for one in gone] == [
                ("delete", "coffee", 3),
                ("delete", "Lisbon", 3),
            ]
            assert [one.memory.damaged for one in gone] == [False, False]
            undone = await turn.change(change.id)
            assert undone is not None
            assert undone.undone_by == undo.seq
            assert (await turn.mere_deletions(undo), await turn.mere_additions(undo)) == (2, 0)
            await turn.bring_back(a_change(undoes=undo.seq), "redo")
        assert await contents(store, "alice") == ["coffee", "Lisbon", "Was here"]


@over_every_store
async def test_a_change_is_no_mere_addition_once_something_was_built_on_it(stores: Stores) -> None:
    async with stores() as store:
        change = await bring(store, "alice", a_lineage("Porto", "Lisbon"), a_lineage("tea", "coffee"))
        memory = (await store.lineages("alice", 0, 1, NOW))[0].memory
        updated, _ = await reword(store, "alice", memory, "Faro")
        async with store.transaction("alice") as turn:
            assert [await turn.mere_additions(one) for one in (change, updated)] == [0, 0]


@over_every_store
async def test_changes_are_found_by_id_for_their_user_only(stores: Stores) -> None:
    async with stores() as store:
        one, _ = await write(store, "alice", Step(operation="add", memory=a_memory("tea")))
        other, _ = await write(store, "bob", Step(operation="add", memory=a_memory("tea")))
        async with store.transaction("alice") as turn:
            assert [found.id for found in await turn.changes([one.id, other.id, "none"])] == [one.id]


@over_every_store
async def test_former_wordings_that_came_along_are_found_unless_their_change_is_undone(stores: Stores) -> None:
    lineage, undone = a_lineage("Porto", "Lisbon"), a_lineage("tea", "coffee")
    marked = undone.revisions[1].replace(change=undone.revisions[1].change.replace(undone_by=0))
    async with stores() as store:
        await bring(store, "alice", lineage, Lineage(memory=undone.memory, revisions=(undone.revisions[0], marked)))
        past = await store.past("alice", range(10), NOW)
        assert {seq: one.wording.content for seq, one in past.items()} == {1: "Porto"}
        assert past[1].held_until == NOW + 1


@over_every_other_store
async def test_every_store_tells_the_same_of_what_was_brought_and_withdrawn(other: str) -> None:
    lineages = [a_lineage(f"Porto {n}", f"Lisbon {n}", NOW - n) for n in range(3)]
    own, by = a_change(tool="import"), a_change(at=NOW + 5)
    ids = [one.change.id for lineage in lineages for one in lineage.revisions]
    known = Known(
        memories=[one.memory.id for one in lineages],
        keys=["key of Porto 1"],
        changes=[own.id, by.id, *ids],
        contents=["Lisbon 2", "Porto 2"],
        queries=[query_terms("Lisbon Porto")],
        scopes=[],
    )
    said: list[list[object]] = []
    for name in ("ephemeral", other):
        async with STORES[name]() as store:
            change = await bring(store, "alice", *lineages, change=own)
            before = await everything(store, "alice", known)
            async with store.transaction("alice") as turn:
                await turn.withdraw(by.replace(undoes=change.seq), "undo of it")
            said.append([before, await everything(store, "alice", known)])
    assert said[0] == said[1]


@pytest.mark.promise("P3")
@over_every_store
async def test_more_than_a_statement_takes_is_brought_and_withdrawn_whole(stores: Stores) -> None:
    lineages = [Lineage(memory=a_memory(f"memory {n}")) for n in range(1_100)]
    async with stores() as store:
        change = await bring(store, "alice", *lineages)
        found = await store.lineages("alice", 0, 2_000, NOW)
        assert [one.memory.id for one in found] == [one.memory.id for one in lineages]
        undo = await withdraw(store, "alice", change)
        assert await contents(store, "alice") == []
        async with store.transaction("alice") as turn:
            gone = await turn.revisions_of(undo)
        assert [one.memory.id for one in gone] == [one.memory.id for one in reversed(lineages)]
        assert not any(one.memory.damaged for one in gone)

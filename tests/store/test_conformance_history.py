"""What every store keeps of the past: superseded wordings, marks of undos, revisions."""

from typing import Any

import pytest

from mcp_memory.models import Change, Filter, Step
from mcp_memory.store.base import Store
from tests.store.conformance import (
    DAY,
    NOW,
    Row,
    Stores,
    a_memory,
    add,
    back_to,
    found_past,
    over_every_store,
    remove,
    reword,
    rewording,
    write,
)

pytestmark = over_every_store


async def past_wordings(store: Store, query: str = "tea") -> list[str]:
    rows = [row.row for row in (await found_past(store, "alice", query)).rows]
    held = await store.past("alice", rows, NOW)
    assert sorted(held) == rows
    return [held[row].wording.content for row in rows]


async def test_a_superseded_wording_is_found_with_the_interval_in_which_it_held(stores: Stores) -> None:
    async with stores() as store:
        green = await add(store, "alice", "Likes green tea", topics=("drinks",))
        _, black = await reword(store, "alice", green, "Likes black tea")
        _, coffee = await reword(store, "alice", black, "Likes coffee")
        candidates = await found_past(store, "alice", "green tea")
        assert candidates.rows == (Row(1, 0b11, 4), Row(2, 0b10, 4))
        assert candidates.frequencies == (1, 2)
        held = await store.past("alice", [1, 2, 3], NOW)
        assert {seq: (past.wording.content, past.held_from, past.held_until) for seq, past in held.items()} == {
            1: ("Likes green tea", NOW, NOW + DAY),
            2: ("Likes black tea", NOW + DAY, NOW + 2 * DAY),
        }
        assert [past.memory for past in held.values()] == [coffee, coffee]


async def test_a_past_wording_is_gone_while_the_change_that_superseded_it_is_undone(stores: Stores) -> None:
    async with stores() as store:
        tea = await add(store, "alice", "Likes tea")
        change, coffee = await reword(store, "alice", tea, "Likes coffee")
        assert await past_wordings(store) == ["Likes tea"]
        undo, _ = await write(store, "alice", back_to(tea, 3), undoes=change.seq)
        assert await past_wordings(store) == []
        assert await store.past("alice", [tea.seq], NOW) == {}
        await write(store, "alice", back_to(coffee, 4), undoes=undo.seq)
        assert await past_wordings(store) == ["Likes tea"]


async def test_no_undone_wording_is_a_past_one(stores: Stores) -> None:
    async with stores() as store:
        tea = await add(store, "alice", "Likes tea")
        first, coffee = await reword(store, "alice", tea, "Likes coffee")
        second, _ = await reword(store, "alice", coffee, "Likes water")
        assert await past_wordings(store, "tea coffee water") == ["Likes tea", "Likes coffee"]
        await write(store, "alice", back_to(coffee, 4), undoes=second.seq)
        assert await past_wordings(store, "tea coffee water") == ["Likes tea"]
        await write(store, "alice", back_to(tea, 5), undoes=first.seq)
        assert await past_wordings(store, "tea coffee water") == []
        assert await store.past("alice", range(9), NOW) == {}


async def test_a_past_wording_is_gone_while_its_memory_is_deleted(stores: Stores) -> None:
    async with stores() as store:
        _, coffee = await reword(store, "alice", await add(store, "alice", "Likes tea"), "Likes coffee")
        change, _ = await write(store, "alice", Step(operation="delete", memory=coffee))
        assert await past_wordings(store) == []
        assert await store.past("alice", [1], NOW) == {}
        await write(store, "alice", back_to(coffee, 4), undoes=change.seq)
        assert await past_wordings(store) == ["Likes tea"]


async def test_an_update_that_supersedes_nothing_leaves_no_past_wording(stores: Stores) -> None:
    async with stores() as store:
        tea = await add(store, "alice", "Likes tea")
        await write(store, "alice", Step(operation="update", memory=tea.replace(pinned=True)))
        assert await past_wordings(store) == []


@pytest.mark.parametrize("fields", [{"topics": ("drinks",)}, {"agent": "one"}, {"since": NOW + 2 * DAY}])
async def test_a_filter_marks_past_wordings_by_what_their_memory_is_now(stores: Stores, fields: dict[str, Any]) -> None:
    async with stores() as store:
        for number, kept in enumerate([False, True]):
            tea = await add(store, "alice", f"Likes tea {number}", agent="one" if kept else "two")
            step = rewording(tea, f"Likes coffee {number}")
            changed = {"topics": ("drinks",), "updated_at": NOW + 2 * DAY} if kept else {}
            await write(store, "alice", step.replace(memory=step.memory.replace(**changed)))
        candidates = await found_past(store, "alice", "tea", Filter(now=NOW, **fields))
        assert [(row.row, row.kept) for row in candidates.rows] == [(1, False), (3, True)]


async def marks(store: Store, changes: list[Change]) -> list[int | None]:
    """Which of `changes` undid each of them, by position."""
    places = {change.seq: place for place, change in enumerate(changes)}
    async with store.transaction("alice") as turn:
        known = [await turn.change(change.id) for change in changes]
        revisions = [(await turn.revisions_of(change))[0] for change in changes]
    assert known == [revision.change for revision in revisions]
    return [places[one.undone_by] if one and one.undone_by else None for one in known]


@pytest.mark.promise("P3")
async def test_an_undo_marks_what_it_undoes_and_flips_the_marks_along_the_chain(stores: Stores) -> None:
    expected: list[list[int | None]] = [
        [None],
        [1, None],
        [None, 2, None],
        [1, None, 3, None],
        [None, 2, None, 4, None],
    ]
    async with stores() as store:
        bystander = await add(store, "alice", "Stays")
        change, first = await write(store, "alice", Step(operation="add", memory=a_memory("Likes tea")))
        changes = [change]
        assert await marks(store, changes) == expected[0]
        for version, wanted in enumerate(expected[1:], start=2):
            undo, _ = await write(store, "alice", back_to(first[0], version), undoes=changes[-1].seq)
            changes.append(undo)
            assert await marks(store, changes) == wanted
        assert (await store.revisions("alice", bystander.id))[0].change.undone_by is None


async def test_the_latest_undoable_change_is_not_undone_not_an_undo_and_not_the_systems(stores: Stores) -> None:
    async def latest() -> str | None:
        async with store.transaction("alice") as turn:
            change = await turn.latest_undoable()
        return change.id if change else None

    async with stores() as store:
        assert await latest() is None
        first, tea = await write(store, "alice", Step(operation="add", memory=a_memory("Likes tea")))
        second, rice = await write(store, "alice", Step(operation="add", memory=a_memory("Likes rice")))
        assert await latest() == second.id
        undo, _ = await write(store, "alice", Step(operation="delete", memory=rice[0]), undoes=second.seq)
        assert await latest() == first.id
        await write(store, "alice", Step(operation="expire", memory=tea[0]), system=True)
        assert await latest() == first.id
        await write(store, "alice", back_to(rice[0], 2), undoes=undo.seq)
        assert await latest() == second.id
        await add(store, "bob", "Likes fish")
        assert await latest() == second.id


async def test_revisions_tell_the_whole_life_of_a_memory_oldest_first(stores: Stores) -> None:
    async with stores() as store:
        first = await add(store, "alice", "Likes tea")
        await add(store, "alice", "Something between")
        _, second = await reword(store, "alice", first, "Likes coffee")
        change, gone = await write(store, "alice", Step(operation="delete", memory=second, reason="asked to"))
        await write(store, "alice", back_to(second, 4), undoes=change.seq)
        revisions = await store.revisions("alice", first.id)
        told = [(one.operation, one.memory.content, one.memory.row, one.memory.seq) for one in revisions]
        assert told == [
            ("add", "Likes tea", 1, 1),
            ("update", "Likes coffee", 1, 3),
            ("delete", "Likes coffee", 1, 4),
            ("restore", "Likes coffee", 1, 5),
        ]
        assert [one.reason for one in revisions] == [None, None, "asked to", None]
        assert revisions[2].memory == gone[0]
        async with store.transaction("alice") as turn:
            assert await turn.history(1) == revisions
            assert await turn.history(99) == []
        assert await store.revisions("alice", "unknown") == []


async def test_revisions_of_a_change_come_in_the_order_written(stores: Stores) -> None:
    async with stores() as store:
        old = await add(store, "alice", "Likes tea")
        steps = [
            Step(operation="add", memory=a_memory("Likes rice"), reason="new"),
            rewording(old, "Likes coffee"),
            Step(operation="add", memory=a_memory("Likes apples")),
        ]
        change, stored = await write(store, "alice", *steps)
        async with store.transaction("alice") as turn:
            revisions = await turn.revisions_of(change)
        assert [one.memory for one in revisions] == stored
        assert [one.operation for one in revisions] == ["add", "update", "add"]
        assert [one.memory.seq for one in revisions] == [2, 3, 4]


async def test_of_two_memories_with_one_id_the_newer_ones_revisions_count(stores: Stores) -> None:
    async with stores() as store:
        old = await add(store, "alice", "Likes tea")
        await remove(store, "alice", old)
        new = await add(store, "alice", "Likes rice", id=old.id)
        assert new.row != old.row
        assert [one.memory.content for one in await store.revisions("alice", old.id)] == ["Likes rice"]


async def test_a_deleted_memorys_text_and_key_are_free_again(stores: Stores) -> None:
    async with stores() as store:
        old = await add(store, "alice", "Likes tea", key="drink")
        await remove(store, "alice", old, "expire")
        new = await add(store, "alice", "Likes tea", key="drink")
        assert await store.memory_by_key("alice", "drink", NOW) == new
        assert await store.memory("alice", old.id, NOW) is None

"""What every store tells of a user's changes, and how it undoes and makes large ones."""

from typing import Any

import pytest

from mcp_memory.models import Entry, Filter, Memory, Step, Trace, fingerprint
from mcp_memory.store.base import Store
from tests.store.conformance import (
    DAY,
    NOW,
    Stores,
    a_change,
    a_memory,
    add,
    back_to,
    contents,
    over_every_store,
    remove,
    reword,
    write,
)

pytestmark = over_every_store


def summary(entry: Entry) -> list[tuple[str, str | None, str]]:
    """What a change did: the deed, what the memory said before, and what it says since."""
    return [(one.revision.operation, former(one), one.revision.memory.content) for one in entry.traces]


def former(trace: Trace) -> str | None:
    return trace.former.memory.content if trace.former else None


async def listed(store: Store, **bounds: Any) -> list[str]:
    entries = await store.changes("alice", 100, 1, **bounds)
    return [entry.traces[0].revision.memory.content for entry in entries]


async def test_changes_come_newest_first_with_what_each_did_to_which_memory(stores: Stores) -> None:
    async with stores() as store:
        tea = await add(store, "alice", "Likes tea")
        change, coffee = await reword(store, "alice", tea, "Likes coffee")
        undo, _ = await write(store, "alice", back_to(tea, 3), undoes=change.seq)
        await remove(store, "alice", coffee)
        told = await store.changes("alice", 10, 5)
        assert [summary(entry) for entry in told] == [
            [("delete", "Likes tea", "Likes coffee")],
            [("restore", "Likes coffee", "Likes tea")],
            [("update", "Likes tea", "Likes coffee")],
            [("add", None, "Likes tea")],
        ]
        assert [(entry.undoes, entry.undone_by) for entry in told] == [
            (None, None),
            (change.id, None),
            (None, undo.id),
            (None, None),
        ]
        assert told[2].change.undone_by == undo.seq
        assert not [entry for entry in told if entry.pruned or entry.count != 1]
        assert all(one.revision.change == entry.change for entry in told for one in entry.traces)


async def test_a_change_of_many_steps_shows_the_first_and_counts_all(stores: Stores) -> None:
    async with stores() as store:
        steps = [Step(operation="add", memory=a_memory(f"Fact {number}")) for number in range(7)]
        await write(store, "alice", *steps)
        first = (await store.revisions("alice", steps[0].memory.id))[0].memory
        hidden = (await store.revisions("alice", steps[5].memory.id))[0].memory
        await reword(store, "alice", hidden, "Fact five")
        await reword(store, "alice", first, "Fact nought")
        *later, entry = await store.changes("alice", 10, 3)
        assert (entry.count, [said for _, _, said in summary(entry)]) == (7, ["Fact 0", "Fact 1", "Fact 2"])
        assert [summary(one) for one in later] == [
            [("update", "Fact 0", "Fact nought")],
            [("update", "Fact 5", "Fact five")],
        ]


async def test_changes_are_bounded_by_number_and_by_the_time_their_clock_showed(stores: Stores) -> None:
    async with stores() as store:
        seqs: list[int] = []
        for number, at in enumerate((NOW, NOW + DAY, NOW - DAY, NOW + DAY)):  # the clock was set back once
            step = Step(operation="add", memory=a_memory(f"Fact {number}"))
            seqs.append((await write(store, "alice", step, at=at))[0].seq)
            await add(store, "bob", f"Fact {number}")
        assert await listed(store) == ["Fact 3", "Fact 2", "Fact 1", "Fact 0"]
        assert await listed(store, after=seqs[1]) == ["Fact 3", "Fact 2"]
        assert await listed(store, before=seqs[1]) == ["Fact 0"]
        assert await listed(store, before=seqs[3], after=seqs[0]) == ["Fact 2", "Fact 1"]
        assert await listed(store, since=NOW) == ["Fact 3", "Fact 1", "Fact 0"]
        assert await listed(store, since=NOW + DAY + 1) == []
        assert len(await store.changes("alice", 3, 1)) == 3
        assert [entry.traces for entry in await store.changes("alice", 1, 0)] == [()]


async def test_a_change_that_wrote_nothing_is_pruned_unless_it_undid_something_or_is_the_stores_own(
    stores: Stores,
) -> None:
    async with stores() as store:
        empty, _ = await write(store, "alice")
        await write(store, "alice", undoes=empty.seq)
        await write(store, "alice", system=True)
        told = await store.changes("alice", 10, 5)
        assert [(entry.count, entry.traces, entry.pruned) for entry in told] == [
            (0, (), False),
            (0, (), False),
            (0, (), True),
        ]


@pytest.mark.promise("P1")
async def test_a_change_is_known_to_its_own_user_only(stores: Stores) -> None:
    async with stores() as store:
        change, _ = await write(store, "alice", Step(operation="add", memory=a_memory("Likes tea")))
        assert await store.change("alice", change.id) == change
        assert await store.change("bob", change.id) is None
        assert await store.change("alice", "unknown") is None
        assert await store.changes("bob", 10, 5) == []


async def test_holders_of_many_texts_and_keys_are_found_at_once(stores: Stores) -> None:
    async with stores() as store:
        tea = await add(store, "alice", "Likes tea", key="drink")
        home = await add(store, "alice", "Lives in Rome", key="home", expires_at=NOW)
        await add(store, "alice", "Has a cat")
        await add(store, "bob", "Has a dog", key="pet")
        async with store.transaction("alice") as turn:
            marks = [fingerprint(text) for text in ("likes TEA", "Has a dog", "Nothing")]
            found = await turn.holders(marks, ["drink", "home", "pet"])
            assert sorted(found, key=lambda memory: memory.row) == [tea, home]
            assert await turn.holders([], []) == []


async def test_the_aftermath_of_a_revision_begins_with_the_version_before_it(stores: Stores) -> None:
    async with stores() as store:
        memory = await add(store, "alice", "Version 1")
        versions = [memory]
        for number in range(2, 5):
            versions.append((await reword(store, "alice", versions[-1], f"Version {number}"))[1])
        other = await add(store, "alice", "Other")
        async with store.transaction("alice") as turn:
            found = await turn.aftermath([versions[2].seq, other.seq])
            assert {row: [one.memory for one in history] for row, history in found.items()} == {
                memory.row: versions[1:],
                other.row: [other],
            }
            assert [len(one) for one in (await turn.aftermath([versions[0].seq])).values()] == [4]
            assert await turn.aftermath([99, 1 << 32 | 1]) == {}
        async with store.transaction("bob") as turn:
            assert await turn.aftermath([memory.seq]) == {}


async def test_clear_deletes_what_lives_as_single_steps_would(stores: Stores) -> None:
    full: dict[str, Any] = {"key": "home", "topics": ("a", "北"), "metadata": {"n": [1, None]}, "pinned": True}
    async with stores() as one_by_one, stores() as at_once:
        kept: list[list[Memory]] = []
        for store in (one_by_one, at_once):
            first = await add(store, "alice", "Lives in Köln", id="aaaa", agent="planner", expires_at=NOW + 1, **full)
            expired = await add(store, "alice", "Was here", id="bbbb", expires_at=NOW)
            third = await add(store, "alice", "Likes tea", id="cccc")
            await add(store, "bob", "Likes tea", id="dddd")
            kept.append([first, expired, third])
        change = a_change()
        gone = [one.replace(version=2, updated_at=NOW) for one in (kept[0][0], kept[0][2])]
        async with one_by_one.transaction("alice") as turn:
            await turn.record(change, [Step(operation="delete", memory=one) for one in gone])
        async with at_once.transaction("alice") as turn:
            assert await turn.clear(change) == ["aaaa", "cccc"]
        for memory_id in ("aaaa", "bbbb", "cccc"):
            expected, told = [await store.revisions("alice", memory_id) for store in (one_by_one, at_once)]
            assert [one.replace(change=change) for one in told] == [one.replace(change=change) for one in expected]
            assert not [one for one in told if one.memory.damaged]
        for store in (one_by_one, at_once):
            assert await contents(store, "alice") == []
            assert await contents(store, "bob") == ["Likes tea"]
            async with store.transaction("alice") as turn:
                assert [memory.id for memory in await turn.memories(["aaaa", "bbbb", "cccc"])] == ["bbbb"]
            assert (await add(store, "alice", "Likes tea")).row == 6


async def test_a_clear_in_a_turn_that_fails_leaves_everything(stores: Stores) -> None:
    async with stores() as store:
        await add(store, "alice", "Likes tea")

        async def fail() -> None:
            async with store.transaction("alice") as turn:
                assert len(await turn.clear(a_change())) == 1
                raise LookupError

        with pytest.raises(LookupError):
            await fail()
        assert await contents(store, "alice") == ["Likes tea"]


async def test_a_change_of_a_thousand_steps_is_stored_whole_and_indexed(stores: Stores) -> None:
    async with stores() as store:
        memories = [a_memory(f"Fact {number}") for number in range(1_003)]
        change, stored = await write(store, "alice", *(Step(operation="add", memory=memory) for memory in memories))
        assert [one.content for one in stored] == [one.content for one in memories]
        reworded = [one.replace(content=f"{one.content} b", version=2) for one in stored]
        steps = [Step(operation="update", memory=b, supersedes=a) for a, b in zip(stored, reworded, strict=True)]
        await write(store, "alice", *steps)
        page = await store.page("alice", Filter(now=NOW), None, 2_000)
        assert [one.content for one in page.memories[::-1]] == [f"Fact {number} b" for number in range(1_003)]
        found = await store.past_candidates("alice", ["1002"], Filter(now=NOW))
        assert len(found.rows) == 1
        assert [entry.count for entry in await store.changes("alice", 10, 1)] == [1_003, 1_003]
        assert await store.change("alice", change.id) == change

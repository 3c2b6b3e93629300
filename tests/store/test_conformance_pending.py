"""What waits for approval, in every store: shown by one read alone, and in the way of its own text only."""

import pytest

from mcp_memory.models import Filter, Memory, State, Step, Vector, fingerprint
from mcp_memory.store.base import Store
from tests.store.conformance import (
    DAY,
    NOW,
    Stores,
    a_change,
    a_memory,
    add,
    contents,
    found,
    over_every_store,
    query_terms,
    remove,
    write,
)

pytestmark = over_every_store

EVERYTHING = Filter(now=NOW)


async def propose(store: Store, user: str, content: str, **fields: object) -> Memory:
    return await add(store, user, content, state=State.PENDING, **fields)


async def pending(store: Store, user: str, since: int = 0, before: int | None = None, limit: int = 10) -> list[str]:
    page = await store.pending(user, NOW, since, before, limit)
    return [one.content for one in page.memories]


async def accept(store: Store, user: str, memory: Memory) -> Memory:
    fresh = {"state": State.ACTIVE, "version": memory.version + 1}
    step = Step(operation="update", memory=memory.replace(**fresh))
    return (await write(store, user, step))[1][0]


async def test_no_read_but_its_own_shows_what_waits(stores: Stores) -> None:
    async with stores() as store:
        await add(store, "alice", "Lives in Rome")
        one = await propose(store, "alice", "Plays the theremin", key="okapi", topics=("music",))
        assert await contents(store, "alice") == ["Lives in Rome"]
        assert (await store.page("alice", EVERYTHING, None, 10)).total == 1
        assert await store.memory("alice", one.id, NOW) is None
        assert await store.memory_by_key("alice", "okapi", NOW) is None
        assert await store.living("alice", [one.row], NOW) == {}
        candidates = await found(store, "alice", "theremin okapi music")
        assert (candidates.rows, candidates.documents, candidates.frequencies) == ((), 1, (0, 0, 0))
        vocabulary = await store.vocabulary("alice")
        assert vocabulary.near("theremim") == []
        assert await pending(store, "alice") == ["Plays the theremin"]
        assert await pending(store, "bob") == []


async def test_pending_ones_are_paged_newest_first_with_their_number(stores: Stores) -> None:
    async with stores() as store:
        made = [await propose(store, "alice", f"Number {number}") for number in range(4)]
        await propose(store, "alice", "Out of time", expires_at=NOW)
        await propose(store, "alice", "Proposed long ago", created_at=NOW - 2 * DAY)
        page = await store.pending("alice", NOW, NOW - DAY, None, 2)
        assert ([one.content for one in page.memories], page.total, page.more) == (["Number 3", "Number 2"], 4, True)
        rest = await store.pending("alice", NOW, NOW - DAY, made[2].row, 2)
        assert ([one.content for one in rest.memories], rest.total, rest.more) == (["Number 1", "Number 0"], 4, False)
        assert await pending(store, "alice", before=1 << 40) == [
            "Proposed long ago",
            *[f"Number {number}" for number in (3, 2, 1, 0)],
        ]


async def test_what_is_accepted_is_found_with_its_vector_and_no_more_when_it_waits_again(stores: Stores) -> None:
    async with stores() as store:
        await add(store, "alice", "Lives in Rome")
        assert (await found(store, "alice", "theremin")).rows == ()  # so that what a cache holds is brought up to date
        vector = Vector(0.5, bytes(range(4)))
        step = Step(operation="add", memory=a_memory("Plays the theremin", state=State.PENDING), vector=vector)
        _, [proposed] = await write(store, "alice", step)
        assert (await found(store, "alice", "theremin")).rows == ()
        accepted = await accept(store, "alice", proposed)
        seen = await found(store, "alice", "theremin")
        assert ([row.row for row in seen.rows], seen.documents) == ([proposed.row], 2)
        candidates = await store.candidates("alice", query_terms("theremin"), EVERYTHING)
        assert float(candidates.scales[candidates.rows == proposed.row][0]) == 0.5
        assert await pending(store, "alice") == []
        back = Step(operation="restore", memory=proposed.replace(version=accepted.version + 1))
        await write(store, "alice", back)
        assert ((await found(store, "alice", "theremin")).rows, await pending(store, "alice")) == (
            (),
            ["Plays the theremin"],
        )


async def test_what_waits_holds_its_text_but_not_its_key(stores: Stores) -> None:
    async with stores() as store:
        rome = await add(store, "alice", "Lives in Rome", key="home")
        oslo = await propose(store, "alice", "Lives in Oslo", key="home")
        bonn = await propose(store, "alice", "Lives in Bonn", key="home")
        mark = fingerprint(oslo.content)
        async with store.transaction("alice") as turn:
            assert await turn.twins(None, "home") == [rome]
            assert sorted(one.id for one in await turn.twins(mark, "home")) == sorted([rome.id, oslo.id])
            assert sorted(one.id for one in await turn.holders([mark], ["home"])) == sorted([rome.id, oslo.id])
        await remove(store, "alice", rome)
        await accept(store, "alice", bonn)
        held = await store.memory_by_key("alice", "home", NOW)
        assert held is not None
        assert held.id == bonn.id


async def test_what_nobody_decided_about_is_told_oldest_first(stores: Stores) -> None:
    async with stores() as store:
        old = [await propose(store, "alice", f"Number {number}", created_at=NOW - DAY) for number in range(3)]
        await propose(store, "alice", "Just now")
        await add(store, "alice", "Counts", created_at=NOW - DAY)
        async with store.transaction("alice") as turn:
            assert await turn.undecided(NOW - DAY, 2) == old[:2]
            assert await turn.undecided(NOW - DAY - 1, 9) == []
        async with store.transaction("bob") as turn:
            assert await turn.undecided(NOW, 9) == []
        [due] = await store.due()
        [holding] = await store.users()
        assert (due.first_pending, holding.pending, holding.memories) == (NOW - DAY, 4, 5)


@pytest.mark.promise("P3")
async def test_refused_proposals_that_are_brought_back_wait_again(stores: Stores) -> None:
    async with stores() as store:
        await add(store, "alice", "Lives in Rome")
        proposed = [await propose(store, "alice", f"Plays {what}") for what in ("chess", "the theremin")]
        steps = [Step(operation="delete", memory=one.replace(version=2)) for one in proposed]
        refused, _ = await write(store, "alice", *steps)
        assert await pending(store, "alice") == []
        async with store.transaction("alice") as turn:
            assert await turn.mere_deletions(refused) == 2
            await turn.bring_back(a_change(undoes=refused.seq), "undo")
        assert await pending(store, "alice") == ["Plays the theremin", "Plays chess"]
        assert (await found(store, "alice", "chess theremin")).rows == ()
        await store.reindex("alice", range(1, 20), 4)
        assert (await found(store, "alice", "chess theremin")).rows == ()


async def test_clearing_leaves_what_waits(stores: Stores) -> None:
    async with stores() as store:
        rome = await add(store, "alice", "Lives in Rome")
        await propose(store, "alice", "Plays chess")
        async with store.transaction("alice") as turn:
            assert await turn.clear(a_change()) == [rome.id]
        assert (await contents(store, "alice"), await pending(store, "alice")) == ([], ["Plays chess"])

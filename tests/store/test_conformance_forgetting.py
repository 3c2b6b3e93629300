"""What every store must do when something is erased for good, or is no longer kept."""

import pytest

from mcp_memory.models import Bounds, Erased, Filter, OneMemory, Step, WholeUser
from mcp_memory.store.base import Due, Store
from tests.store.conformance import (
    DAY,
    NOW,
    Known,
    Stores,
    a_change,
    add,
    back_to,
    contents,
    everything,
    found,
    found_past,
    over_every_store,
    remove,
    reword,
    write,
)

pytestmark = [over_every_store, pytest.mark.promise("P4")]

SCOPE = Filter(now=NOW)
LAST = 2**62


def known(*memories: str, changes: tuple[str, ...] = ()) -> Known:
    return Known(
        memories=memories,
        keys=("drink",),
        changes=changes,
        contents=("Likes tea", "Likes coffee"),
        queries=(("tea",), ("coffee",), ("like",)),
        scopes=(SCOPE,),
    )


async def test_nothing_of_an_erased_user_is_found_and_nothing_of_another_is_lost(stores: Stores) -> None:
    async with stores() as store:
        tea = await add(store, "alice", "Likes tea", key="drink")
        change, _ = await reword(store, "alice", tea, "Likes coffee")
        other = await add(store, "bob", "Likes tea", key="drink")
        await reword(store, "bob", other, "Likes coffee")
        asked = known(tea.id, other.id, changes=(change.id,))
        before = await everything(store, "bob", asked)
        receipt = await store.erase(WholeUser(user="alice"), 0)
        assert receipt.erased == Erased(memories=1, revisions=2, wordings=1, changes=2)
        assert receipt.unfinished == ()
        assert not any((await everything(store, "alice", asked)).values())
        assert await everything(store, "bob", asked) == before
        assert [holding.user for holding in await store.users()] == ["bob"]
        again = await store.erase(WholeUser(user="alice"), 0)
        assert (again.erased, again.cleaned) == (Erased(), False)
        new = await add(store, "alice", "Likes coffee", key="drink")
        assert await contents(store, "alice") == ["Likes coffee"]
        assert await store.memory_by_key("alice", "drink", NOW) == new
        assert (await found(store, "alice", "tea coffee")).frequencies == (0, 1)


async def test_nothing_of_an_erased_memory_is_found_and_its_neighbours_stay(stores: Stores) -> None:
    async with stores() as store:
        water = await add(store, "alice", "Likes water")
        tea = await add(store, "alice", "Likes tea", key="drink")
        change, coffee = await reword(store, "alice", tea, "Likes coffee")
        assert (await found_past(store, "alice", "tea")).rows
        stays = await write(
            store,
            "alice",
            Step(operation="delete", memory=coffee),
            Step(operation="update", memory=water.replace(version=2), reason=f"unlike {tea.id}"),
            summary=f"deleted {tea.id}, updated {water.id}",
        )
        doomed = OneMemory(user="alice", id=tea.id, change=a_change(tool="forget", system=True))
        assert (await store.erase(doomed.replace(user="bob"), 0)).erased == Erased()
        receipt = await store.erase(doomed, 0)
        assert receipt.erased == Erased(memories=1, revisions=3, wordings=1)
        assert await store.revisions("alice", tea.id) == []
        assert await contents(store, "alice") == ["Likes water"]
        assert (await found_past(store, "alice", "tea")).rows == ()
        revisions = await store.revisions("alice", water.id)
        assert [one.reason for one in revisions] == [None, "unlike (forgotten)"]
        assert revisions[-1].change.summary == f"deleted (forgotten), updated {water.id}"
        async with store.transaction("alice") as turn:
            assert await turn.history(tea.row) == []
            marks = [await turn.change(one.id) for one in (change, stays[0], doomed.change)]
            assert [mark and mark.pruned for mark in marks] == [True, True, False]
            latest = await turn.latest_undoable()
            assert latest is not None
            assert latest.id == stays[0].id
        assert (await store.erase(doomed, 0)).erased == Erased()
        assert (await add(store, "alice", "Likes tea", key="drink")).row > coffee.seq


async def test_the_latest_undoable_change_has_something_left(stores: Stores) -> None:
    async with stores() as store:
        first, _ = await write(store, "alice")
        tea = await add(store, "alice", "Likes tea")
        await store.erase(OneMemory(user="alice", id=tea.id, change=a_change(system=True)), 0)
        async with store.transaction("alice") as turn:
            latest = await turn.latest_undoable()
        assert latest is not None
        assert latest.id == first.id


async def prune(store: Store, user: str, bounds: Bounds) -> int:
    """Remove everything that is obsolete."""
    seqs = await store.obsolete(user, range(1, 1_000), bounds)
    async with store.transaction(user) as turn:
        return await turn.prune(seqs, bounds)


async def test_only_what_was_replaced_before_the_bound_is_obsolete(stores: Stores) -> None:
    async with stores() as store:
        tea = await add(store, "alice", "Likes tea")
        first, coffee = await reword(store, "alice", tea, "Likes coffee")
        second, water = await reword(store, "alice", coffee, "Likes water")
        assert await store.obsolete("alice", range(1, 99), Bounds()) == []
        assert await store.obsolete("alice", range(1, 99), Bounds(replaced=first.seq)) == []
        assert await store.obsolete("alice", range(1, 99), Bounds(replaced=first.seq + 1)) == [tea.seq]
        assert await store.obsolete("alice", range(1, 99), Bounds(replaced=LAST)) == [tea.seq, coffee.seq]
        assert await store.obsolete("alice", range(2, 99), Bounds(replaced=LAST, deleted=LAST)) == [coffee.seq]
        assert await store.obsolete("bob", range(1, 99), Bounds(replaced=LAST, deleted=LAST)) == []
        assert await prune(store, "alice", Bounds(replaced=second.seq)) == 1
        assert [one.memory for one in await store.revisions("alice", tea.id)] == [coffee, water]
        assert (await found_past(store, "alice", "tea")).rows == ()
        assert (await found_past(store, "alice", "coffee")).rows != ()
        async with store.transaction("alice") as turn:
            marks = [await turn.change(one.id) for one in (first, second)]
            assert await turn.prune([coffee.seq, water.seq], Bounds(replaced=second.seq)) == 0
        assert [mark and mark.pruned for mark in marks] == [True, False], "without its former version no undo"


async def test_a_deleted_memory_is_obsolete_as_a_whole_and_not_when_it_is_back(stores: Stores) -> None:
    async with stores() as store:
        tea = await add(store, "alice", "Likes tea")
        change, _ = await write(store, "alice", Step(operation="delete", memory=tea))
        kept = await add(store, "alice", "Likes water")
        gone = await remove(store, "alice", await add(store, "alice", "Likes rice"), "expire")
        assert await store.obsolete("alice", range(1, 99), Bounds(deleted=change.seq)) == []
        assert await store.obsolete("alice", range(1, 99), Bounds(deleted=change.seq + 1)) == [1, 2]
        seqs = await store.obsolete("alice", range(1, 99), Bounds(deleted=LAST))
        assert seqs == [1, 2, gone.row, gone.seq]
        await write(store, "alice", back_to(tea, 3), undoes=change.seq)
        async with store.transaction("alice") as turn:
            assert await turn.prune(seqs, Bounds(deleted=LAST)) == 2
        assert len(await store.revisions("alice", tea.id)) == 3
        assert await store.revisions("alice", gone.id) == []
        assert await contents(store, "alice") == [kept.content, tea.content]


async def test_the_first_change_at_a_moment_is_told_by_order_though_clocks_jump(stores: Stores) -> None:
    async with stores() as store:
        late = [(await write(store, "alice", at=NOW + days * DAY))[0].seq for days in (0, 5, 1, 7)]
        await write(store, "bob", at=NOW + 9 * DAY)
        told = [await store.first_change("alice", NOW + days * DAY) for days in (-1, 0, 1, 5, 6, 7)]
        assert told == [late[0], late[0], late[1], late[1], late[3], late[3]]
        assert await store.first_change("alice", NOW + 8 * DAY) > late[-1] + 1_000
        assert await store.first_change("carol", NOW) > 0


async def test_who_is_due_is_told_with_the_first_expiry(stores: Stores) -> None:
    async with stores() as store:
        assert await store.due() == []
        await add(store, "alice", "Likes tea", expires_at=NOW + 2 * DAY)
        await add(store, "alice", "Likes coffee", expires_at=NOW + DAY)
        await add(store, "bob", "Likes water")
        assert await store.due() == [
            Due(user="alice", writes=2, first_expiry=NOW + DAY, first_pending=None),
            Due(user="bob", writes=1, first_expiry=None, first_pending=None),
        ]

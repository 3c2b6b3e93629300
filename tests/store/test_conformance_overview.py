"""What every store must say of how a user's memories are spread, and do when a user is given another name."""

import pytest

from mcp_memory.models import State, WholeUser
from mcp_memory.store.base import Store
from mcp_memory.store.census import QUARTER, Census
from tests.store.conformance import DAY, NOW, Stores, add, contents, found, over_every_store, remove, reword

pytestmark = [over_every_store]


async def finding(store: Store, user: str) -> list[str]:
    """What a search for tea meets."""
    rows = [row.row for row in (await found(store, user, "tea")).rows if row.matched]
    return [memory.content for memory in (await store.living(user, rows, NOW)).values()]


async def test_a_census_counts_one_users_living_memories_by_topic_agent_and_time(stores: Stores) -> None:
    async with stores() as store:
        await add(store, "alice", "Likes tea", topics=("drink", "home"), agent="desk", key="drink", pinned=True)
        await add(store, "alice", "Likes rice", topics=("food", "home"), agent="desk", created_at=NOW - 3 * DAY)
        await add(store, "alice", "Lives in 東京", topics=("城市",), expires_at=NOW + DAY, created_at=NOW - 9 * DAY)
        await add(store, "alice", "Is gone", topics=("home",), agent="desk", expires_at=NOW)
        await add(store, "alice", "Waits", topics=("home",), state=State.PENDING)
        await remove(store, "alice", await add(store, "alice", "Was deleted", topics=("home",)))
        await add(store, "bob", "Likes tea", topics=("drink", "secret"), agent="phone")
        assert await store.census("alice", NOW) == Census(
            total=3,
            pinned=1,
            keyed=1,
            expiring=1,
            topics=(("home", 2), ("drink", 1), ("food", 1), ("城市", 1)),
            agents=(("desk", 2),),
            created=tuple((moment // QUARTER * QUARTER, 1) for moment in (NOW - 9 * DAY, NOW - 3 * DAY, NOW)),
        )
        assert await store.census("nobody", NOW) == Census()


@pytest.mark.promise("P1")
async def test_a_renamed_user_has_everything_and_the_old_name_nothing(stores: Stores) -> None:
    async with stores() as store:
        tea = await add(store, "alice", "Likes tea", key="drink")
        await reword(store, "alice", tea, "Likes green tea")
        await add(store, "bob", "Likes rice")
        assert await finding(store, "alice") == ["Likes green tea"]
        assert await store.rename("alice", "alice b")
        assert [one.user for one in await store.users()] == ["alice b", "bob"]
        assert await contents(store, "alice b") == ["Likes green tea"]
        assert await finding(store, "alice b") == ["Likes green tea"]
        assert len(await store.revisions("alice b", tea.id)) == 2
        assert len(await store.changes("alice b", 10, 10)) == 2
        assert (await contents(store, "alice"), await store.changes("alice", 10, 10)) == ([], [])
        assert await finding(store, "alice") == []
        await add(store, "alice", "Likes tea, being another")
        assert await finding(store, "alice") == ["Likes tea, being another"]
        assert await contents(store, "alice b") == ["Likes green tea"]
        assert await contents(store, "bob") == ["Likes rice"]


async def test_nobody_gets_a_name_that_is_taken_and_nobody_is_renamed_who_never_wrote(stores: Stores) -> None:
    async with stores() as store:
        await add(store, "alice", "Likes tea")
        await add(store, "bob", "Likes rice")
        for user, name in (("alice", "bob"), ("alice", "alice"), ("nobody", "somebody")):
            assert not await store.rename(user, name)
        assert [one.user for one in await store.users()] == ["alice", "bob"]
        assert (await contents(store, "alice"), await contents(store, "bob")) == (["Likes tea"], ["Likes rice"])


@pytest.mark.promise("P4")
async def test_a_renamed_user_is_erased_under_the_new_name(stores: Stores) -> None:
    async with stores() as store:
        await add(store, "alice", "Likes tea")
        assert await store.rename("alice", "alice b")
        assert await store.rename("alice b", "alice")
        assert await store.rename("alice", "a. b.")
        receipt = await store.erase(WholeUser(user="a. b."), 0)
        assert (receipt.erased.memories, receipt.unfinished) == (1, ())
        assert await store.users() == []
        assert await store.rename("a. b.", "alice b") is False

"""What every store calls important."""

import pytest

from mcp_memory.models import State, Step
from mcp_memory.store.importance import MOST_VERSIONS, VERSION_WORTH, Foremost
from tests.store.conformance import DAY, NOW, Stores, add, over_every_store, remove, write

pytestmark = over_every_store


async def test_pinned_memories_stand_before_keyed_ones_and_those_before_all_others(stores: Stores) -> None:
    async with stores() as store:
        plain = await add(store, "alice", "Plain", updated_at=NOW + 9 * DAY)
        keyed = await add(store, "alice", "Keyed", key="key", updated_at=NOW + DAY)
        pinned = await add(store, "alice", "Pinned", pinned=True)
        both = await add(store, "alice", "Pinned with a key", pinned=True, key="both")
        newer = await add(store, "alice", "Newer", key="newer", updated_at=NOW + 2 * DAY)
        expected = tuple(memory.row for memory in (both, pinned, newer, keyed, plain))
        assert await store.foremost("alice", NOW, 9) == Foremost(rows=expected, firm=4, total=5)
        assert await store.foremost("alice", NOW, 2) == Foremost(rows=expected[:2], firm=2, total=5)


async def test_each_version_counts_as_much_as_being_so_much_newer_up_to_a_limit(stores: Stores) -> None:
    async with stores() as store:
        confirmed = await add(store, "alice", "Confirmed", version=2)
        newer = await add(store, "alice", "Newer", updated_at=NOW + VERSION_WORTH + 1)
        older = await add(store, "alice", "A little newer", updated_at=NOW + VERSION_WORTH - 1)
        most = await add(store, "alice", "Confirmed most", version=1 + MOST_VERSIONS)
        often = await add(store, "alice", "Confirmed again and again", version=99)
        expected = tuple(memory.row for memory in (often, most, newer, confirmed, older))
        assert (await store.foremost("alice", NOW, 9)).rows == expected


@pytest.mark.promise("P1")
async def test_nothing_pending_expired_deleted_or_of_others_is_important(stores: Stores) -> None:
    async with stores() as store:
        await add(store, "alice", "Waits", state=State.PENDING, pinned=True)
        await add(store, "alice", "Over", expires_at=NOW, key="over")
        await remove(store, "alice", await add(store, "alice", "Deleted", pinned=True))
        await add(store, "bob", "Of another", pinned=True)
        kept = await add(store, "alice", "Lasts a little", expires_at=NOW + 1)
        assert await store.foremost("alice", NOW, 9) == Foremost(rows=(kept.row,), firm=0, total=1)
        assert await store.foremost("carol", NOW, 9) == Foremost(rows=(), firm=0, total=0)


async def test_an_update_that_unpins_and_takes_the_key_away_changes_the_place(stores: Stores) -> None:
    async with stores() as store:
        first = await add(store, "alice", "First", pinned=True, key="first")
        second = await add(store, "alice", "Second", updated_at=NOW + 2 * VERSION_WORTH)
        changed = first.replace(pinned=False, key=None, version=2)
        await write(store, "alice", Step(operation="update", memory=changed))
        assert await store.foremost("alice", NOW, 9) == Foremost(rows=(second.row, first.row), firm=0, total=2)

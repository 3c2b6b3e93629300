"""What every store tells a person who looks through it: counts, and what is gone but not yet forgotten."""

from mcp_memory.models import Revision, State
from mcp_memory.store.tally import QUARTER, Tally
from tests.store.conformance import DAY, NOW, Stores, add, back_to, over_every_store, remove, write

pytestmark = over_every_store


def said(revisions: list[Revision]) -> list[str]:
    return [one.memory.content for one in revisions]


async def test_living_memories_are_counted_by_topic_agent_and_time(stores: Stores) -> None:
    async with stores() as store:
        await add(store, "alice", "Likes tea", topics=("food", "drink"), agent="desk")
        await add(store, "alice", "Likes rice", topics=("food",), created_at=NOW + DAY)
        await add(store, "alice", "Was in Rome", topics=("travel",), expires_at=NOW)
        await add(store, "alice", "Waits", topics=("travel",), state=State.PENDING)
        await remove(store, "alice", await add(store, "alice", "Likes fog", topics=("food",)))
        await add(store, "bob", "Likes mud", topics=("food",), agent="bob's")
        assert await store.tally("alice", NOW) == Tally(
            total=2,
            topics=(("food", 2), ("drink", 1)),
            agents=(("desk", 1),),
            created=((NOW // QUARTER * QUARTER, 1), ((NOW + DAY) // QUARTER * QUARTER, 1)),
        )
        assert await store.tally("carol", NOW) == Tally()


async def test_what_is_gone_is_listed_latest_first_until_it_comes_back(stores: Stores) -> None:
    async with stores() as store:
        tea, rice, rome = [await add(store, "alice", text) for text in ("Likes tea", "Likes rice", "Was in Rome")]
        bobs = await add(store, "bob", "Likes mud")
        await add(store, "alice", "Stays")
        await remove(store, "bob", bobs)
        change, _ = await write(store, "alice")
        await remove(store, "alice", tea)
        await remove(store, "alice", rome, "expire")
        await remove(store, "alice", rice)
        gone = await store.gone("alice", None, 10)
        assert said(gone) == ["Likes rice", "Was in Rome", "Likes tea"]
        assert [one.operation for one in gone] == ["delete", "expire", "delete"]
        assert gone[0].change.seq > change.seq
        assert said(await store.gone("alice", gone[0].memory.seq, 1)) == ["Was in Rome"]
        await write(store, "alice", back_to(rice, 3))
        assert said(await store.gone("alice", None, 10)) == ["Was in Rome", "Likes tea"]


async def test_what_waited_for_approval_is_not_listed_as_gone(stores: Stores) -> None:
    async with stores() as store:
        await remove(store, "alice", await add(store, "alice", "Waits", state=State.PENDING))
        assert await store.gone("alice", None, 10) == []

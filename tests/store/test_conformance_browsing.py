"""What every store tells a person who looks through it: counts, and what is gone but not yet forgotten."""

from mcp_memory.models import Revision, State
from tests.store.conformance import Stores, add, back_to, over_every_store, remove, write

pytestmark = over_every_store


def said(revisions: list[Revision]) -> list[str]:
    return [one.memory.content for one in revisions]


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

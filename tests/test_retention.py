"""What goes by itself, and when: expired memories, former versions, deleted memories."""

import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from mcp_memory.app import App, open_app
from mcp_memory.config import Config
from mcp_memory.errors import UndoRefused
from mcp_memory.guard import Fields
from mcp_memory.models import Origin
from mcp_memory.sections import RetentionConfig
from mcp_memory.service import MemoryService
from mcp_memory.service.outcomes import Swept
from mcp_memory.service.retention import BATCH
from mcp_memory.testing import FakeClock
from tests.support import connected, ok, refused

ORIGIN = Origin(tool="test", client="tester")
MONTH = RetentionConfig(revisions_days=30, deleted_days=30)


@pytest.fixture(params=[False, True], ids=["sqlite", "ephemeral"])
def both(config: Config, request: pytest.FixtureRequest) -> Config:
    """The same on either store."""
    return config.replace(ephemeral=request.param)


@asynccontextmanager
async def service_of(config: Config, clock: FakeClock) -> AsyncGenerator[MemoryService]:
    async with open_app(config, clock) as app:
        yield await app.service()


async def added(service: MemoryService, content: str, user: str = "alice", **fields: Any) -> str:
    return (await service.add(user, Fields(content=content, **fields), ORIGIN)).memory.id


async def wordings(service: MemoryService, memory_id: str) -> list[str]:
    return [one.memory.content for one in await service.forgetting.versions("alice", memory_id)]


def asked(config: Config, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(config.path())) as connection:
        return connection.execute(query).fetchall()


async def test_what_has_expired_is_swept_for_every_user_as_changes_of_the_system(both: Config) -> None:
    clock = FakeClock()
    async with service_of(both, clock) as service:
        gone = [await added(service, f"Fact {number}", expires="1d") for number in range(BATCH + 5)]
        other = await added(service, "Parks on level 3", "bob", expires="2d")
        await added(service, "Lives in Oslo")
        assert await service.retention.sweep(RetentionConfig()) == Swept(expired=0, revisions=0)
        clock.advance(days=3)
        assert await service.retention.sweep(RetentionConfig()) == Swept(expired=BATCH + 6, revisions=0)
        assert await service.retention.sweep(RetentionConfig()) == Swept(expired=0, revisions=0)
        swept = [(await service.forgetting.versions("alice", one))[-1] for one in gone]
        swept.append((await service.forgetting.versions("bob", other))[-1])
        assert {(one.operation, one.change.tool, one.change.system) for one in swept} == {("expire", "sweep", True)}
        assert len({one.change.id for one in swept}) == 3, "in batches, each a change"
        with pytest.raises(UndoRefused, match="clean-up"):
            await service.undo("alice", swept[0].change.id, ORIGIN)


async def test_former_versions_go_so_many_days_after_they_were_replaced(both: Config) -> None:
    clock = FakeClock()
    async with service_of(both, clock) as service:
        memory_id = await added(service, "Lives in Rome")
        clock.advance(days=100)
        moved = await service.update("alice", memory_id, Fields(content="Lives in Oslo"), ORIGIN)
        assert await service.retention.sweep(MONTH) == Swept(expired=0, revisions=0), "replaced just now"
        clock.advance(days=29)
        again = await service.update("alice", memory_id, Fields(content="Lives in Bern"), ORIGIN)
        clock.advance(days=2)
        assert (await service.retention.sweep(RetentionConfig(deleted_days=30))).revisions == 0
        assert (await service.retention.sweep(MONTH)).revisions == 1
        assert await wordings(service, memory_id) == ["Lives in Oslo", "Lives in Bern"]
        past = await service.search("alice", "lives in", service.scope(), include_past=True)
        assert {hit.memory.content for hit in past.hits} == {"Lives in Oslo", "Lives in Bern"}
        assert (await service.undo("alice", None, ORIGIN)).undone.id == again.change_id
        for change_id in (None, moved.change_id):
            with pytest.raises(UndoRefused, match="retention, or a forgetting, removed for good what that needs"):
                await service.undo("alice", change_id, ORIGIN)
        clock.advance(days=1_000)
        await service.retention.sweep(MONTH)
        assert await wordings(service, memory_id) == ["Lives in Oslo"]
        assert (await service.get("alice", memory_id)).memory.content == "Lives in Oslo"


async def test_deleted_memories_go_with_all_their_versions(both: Config) -> None:
    clock = FakeClock()
    async with service_of(both, clock) as service:
        first, second = await added(service, "Lives in Rome"), await added(service, "Drinks tea")
        await service.update("alice", first, Fields(content="Lives in Oslo"), ORIGIN)
        deleted = await service.delete("alice", [first, second], ORIGIN)
        clock.advance(days=20)
        await service.undo("alice", deleted.change_id, ORIGIN)
        later = await service.delete("alice", [first], ORIGIN)
        clock.advance(days=20)
        deleted_only = RetentionConfig(deleted_days=30)
        assert await service.retention.sweep(deleted_only) == Swept(expired=0, revisions=0), "deleted 20 days ago"
        clock.advance(days=11)
        assert await service.retention.sweep(deleted_only) == Swept(expired=0, revisions=5)
        assert await wordings(service, first) == []
        assert len(await wordings(service, second)) == 3
        assert [one.content for one in (await service.page("alice")).memories] == ["Drinks tea"]
        with pytest.raises(UndoRefused, match="retention"):
            await service.undo("alice", later.change_id, ORIGIN)


@pytest.mark.parametrize("days", [[0, -3_000, 3_000], [0, 3_000, -3_000]], ids=["set back", "set forward"])
async def test_nothing_goes_early_when_the_clock_was_wrong_for_a_while(both: Config, days: Sequence[float]) -> None:
    clock = FakeClock()
    async with service_of(both, clock) as service:
        memory_id = await added(service, "Lives in Rome")
        other = await added(service, "Drinks tea")
        clock.advance(days=days[1])
        await service.update("alice", memory_id, Fields(content="Lives in Oslo"), ORIGIN)
        await service.delete("alice", [other], ORIGIN)
        assert (await service.retention.sweep(MONTH)).revisions == 0
        clock.advance(days=days[2])
        assert (await service.retention.sweep(MONTH)).revisions == 0
        clock.advance(days=20)
        assert (await service.retention.sweep(MONTH)).revisions == 0
        assert await wordings(service, memory_id) == ["Lives in Rome", "Lives in Oslo"]


class Hurried(FakeClock):
    """A clock by which what is to be done a moment after the start is done at once."""

    async def pause(self, seconds: float) -> None:
        if seconds > 60:
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()


async def test_a_server_sweeps_in_the_background_and_another_one_drops_what_is_gone(config: Config) -> None:
    clock = Hurried()
    swept = config.replace(retention=MONTH)
    async with connected(config, clock=clock) as other:
        kept = await ok(other, "add_memory", content="Drinks green tea")
        gone = await ok(other, "add_memory", content="Drinks black tea")
        assert len((await ok(other, "search_memories", query="drinks tea"))["hits"]) == 2
        async with open_app(config, clock) as app:
            await (await app.service()).delete("alice", [gone["memory"]["id"]], ORIGIN)
        clock.advance(days=40)
        async with connected(swept, clock=clock) as client:
            await ok(client, "list_memories")
            with anyio.fail_after(30):
                while not asked(config, "SELECT 1 FROM changes WHERE tool = 'sweep' AND system"):
                    await anyio.lowlevel.checkpoint()
        assert asked(config, "SELECT DISTINCT id FROM revisions") == [(kept["memory"]["id"],)]
        hits = (await ok(other, "search_memories", query="drinks tea", include_past=True))["hits"]
        assert [hit["content"] for hit in hits] == ["Drinks green tea"]
        assert "retention" in await refused(other, "undo", change_id=gone["change_id"])


async def test_two_that_sweep_at_once_share_the_work_and_others_still_write(config: Config) -> None:
    clock = FakeClock()
    async with service_of(config, clock) as service:
        for number in range(4 * BATCH):
            memory_id = await added(service, f"Fact {number}", expires="1d" if number % 2 else None)
            await service.update("alice", memory_id, Fields(content=f"Better fact {number}"), ORIGIN)
    clock.advance(days=100)
    results: list[Swept] = []

    async def sweep(app: App) -> None:
        results.append(await (await app.service()).retention.sweep(MONTH))

    async with open_app(config, clock) as one, open_app(config, clock) as two, service_of(config, clock) as writer:
        async with anyio.create_task_group() as tasks:
            for app in (one, two):
                tasks.start_soon(sweep, app)
            for number in range(20):
                await added(writer, f"Written meanwhile {number}")
        page = await writer.page("alice", limit=100)
        assert page.total == 2 * BATCH + 20
    expired = asked(config, "SELECT count(*) FROM revisions WHERE operation = 'expire'")[0][0]
    assert expired == 2 * BATCH
    assert sum(one.expired for one in results) <= expired
    assert sum(one.revisions for one in results) == 4 * BATCH
    assert asked(config, "PRAGMA foreign_key_check") == []
    assert asked(config, "SELECT count(*) FROM past_wordings") == [(0,)]


async def test_a_sweep_leaves_a_mark_that_the_next_forgetting_cleans(config: Config, tmp_path: Path) -> None:
    clock = FakeClock()
    async with service_of(config, clock) as service:
        memory_id = await added(service, "Lives in Samarkandabad")
        await service.delete("alice", [memory_id], ORIGIN)
        clock.advance(days=40)
        assert (await service.retention.sweep(MONTH)).revisions == 2
        receipt = await service.forgetting.memory("alice", memory_id, ORIGIN)
        assert (receipt.erased.revisions, receipt.cleaned) == (0, True)
    assert b"samarkand" not in (tmp_path / "memory.db").read_bytes().lower()

"""Memories leave a store and come into another: the same to the byte, as one change, or not at all."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.errors import NotFound, UndoRefused
from mcp_memory.guard import Fields
from mcp_memory.models import Origin
from mcp_memory.sections import ApprovalConfig
from mcp_memory.service import MemoryService
from mcp_memory.service.records import Bad, Record, Said
from mcp_memory.service.transfer import Batch, Imported
from mcp_memory.store.base import Store
from mcp_memory.store.ephemeral import EphemeralStore
from mcp_memory.testing import FakeClock
from mcp_memory.transfer import jsonl, writers
from tests.store.conformance import Stores, over_every_store
from tests.store.test_agreement import Life, Move, moves

ORIGIN = Origin(tool="import", client="test")
USER = "alice"


async def exported(service: MemoryService, form: writers.Form = "jsonl", *, history: bool = True) -> str:
    writer = writers.writer(form, history=history)
    written = [writer.one(one.lineage) async for one in service.transfer.leaving(USER) if one.lineage]
    return writer.begin + writer.between.join(written) + writer.end


async def read(service: MemoryService, records: Sequence[Record | Bad]) -> Batch:
    return await service.transfer.read(records, lambda _: None)


async def brought(service: MemoryService, text: str) -> Imported:
    batch = await read(service, list(jsonl.read(text.split("\n"))))
    return await service.transfer.bring(USER, batch, ORIGIN, lambda _: None)


async def said(service: MemoryService, *contents: str, **fields: Any) -> Imported:
    records = [Record(place=f"line {n}", said=Said(content=one, **fields)) for n, one in enumerate(contents, 1)]
    return await service.transfer.bring(USER, await read(service, records), ORIGIN, lambda _: None)


async def listed(service: MemoryService) -> list[str]:
    return [memory.content for memory in (await service.page(USER, limit=100)).memories]


async def lived(store: Store, clock: FakeClock) -> MemoryService:
    """A service with a memory of three versions, one of which was undone, and one of one version."""
    service = MemoryService(store, clock)
    origin = Origin(tool="update_memory", client="desk", client_version="1.2", agent="planner")
    home = await service.add(USER, Fields(content="Lives in Porto", key="home", topics=["home"]), origin)
    clock.advance(hours=1)
    await service.update(USER, home.memory.id, Fields(content="Lives in Lisbon", pinned=True), origin)
    clock.advance(hours=1)
    await service.update(USER, home.memory.id, Fields(content="Lives in Faro"), origin)
    await service.undo(USER, None, origin)
    await service.add(USER, Fields(content="喜欢喝乌龙茶", metadata={"b": 1.0, "a": ["ü"]}, expires="30d"), origin)
    return service


@pytest.fixture
def service(clock: FakeClock) -> MemoryService:
    return MemoryService(EphemeralStore(), clock)


@over_every_store
async def test_an_export_with_history_comes_back_to_the_byte(stores: Stores, clock: FakeClock) -> None:
    async with stores() as store, stores() as other:
        text = await exported(await lived(store, clock))
        arrived = MemoryService(other, clock)
        done = await brought(arrived, text)
        assert (done.added, done.mapped, done.bad) == (2, (), ())
        assert await exported(arrived) == text


async def test_what_was_deleted_with_many_others_and_came_back_is_the_same_to_the_byte(
    service: MemoryService, clock: FakeClock
) -> None:
    lived = MemoryService(EphemeralStore(), clock)
    origin = Origin(tool="delete_memory", client="desk")
    ids = [(await lived.add(USER, Fields(content=f"Fact {n}"), origin)).memory.id for n in range(20)]
    await lived.delete(USER, ids, origin)
    await lived.undo(USER, None, origin)
    text = await exported(lived)
    assert f"deleted {ids[0]}, " in text
    await brought(service, text)
    assert await exported(service) == text


async def test_another_process_finds_what_was_imported_and_no_longer_what_was_undone(config: Config) -> None:
    async with open_app(config) as one, open_app(config) as other:
        server, importing = await one.service(), await other.service()
        await server.add(USER, Fields(content="Likes trains"), ORIGIN)
        assert not (await server.search(USER, "oolong", server.scope())).hits
        await said(importing, "Drinks oolong", "Drinks sencha")
        found = await server.search(USER, "oolong", server.scope())
        assert [hit.memory.content for hit in found.hits] == ["Drinks oolong"]
        await importing.undo(USER, None, ORIGIN)
        assert not (await server.search(USER, "oolong", server.scope())).hits


@over_every_store
async def test_versions_that_came_along_are_as_they_were(stores: Stores, clock: FakeClock) -> None:
    async with stores() as store, stores() as other:
        before = await lived(store, clock)
        home = (await before.get(USER, key="home", history=True)).memory
        arrived = MemoryService(other, clock)
        await brought(arrived, await exported(before))
        history = await arrived.timeline.history(USER, home.id)
        told = [(one.operation, one.memory.content, one.change.client, one.change.tool) for one in history.revisions]
        assert told == [
            ("add", "Lives in Porto", "desk", "update_memory"),
            ("update", "Lives in Lisbon", "desk", "update_memory"),
            ("update", "Lives in Faro", "desk", "update_memory"),
            ("restore", "Lives in Lisbon", "desk", "update_memory"),
            ("add", "Lives in Lisbon", "test", "import"),
        ]
        restored = await arrived.timeline.restore(USER, home.id, 1, ORIGIN)
        assert restored.memory.content == "Lives in Porto"


@over_every_store
async def test_past_wordings_are_found_again_but_not_what_was_undone(stores: Stores, clock: FakeClock) -> None:
    async with stores() as store, stores() as other:
        before = await lived(store, clock)
        arrived = MemoryService(other, clock)
        await brought(arrived, await exported(before))
        for service in (before, arrived):
            found = await service.search(USER, "Porto", service.scope(), include_past=True)
            assert [hit.past and hit.past.wording.content for hit in found.hits] == ["Lives in Porto"]
            undone = await service.search(USER, "Faro", service.scope(), include_past=True)
            assert not [hit for hit in undone.hits if hit.past]


@over_every_store
async def test_an_import_is_one_change_that_undo_takes_back_and_redo_brings_again(
    stores: Stores, clock: FakeClock
) -> None:
    async with stores() as store, stores() as other:
        text = await exported(await lived(store, clock))
        arrived = MemoryService(other, clock)
        await arrived.add(USER, Fields(content="Was here before"), ORIGIN)
        done = await brought(arrived, text)
        contents = await listed(arrived)
        undone = await arrived.undo(USER, None, ORIGIN)
        assert undone.undone.id == done.change_id
        assert len(undone.ids) == done.added
        assert await listed(arrived) == ["Was here before"]
        await arrived.undo(USER, undone.change_id, ORIGIN)
        assert await listed(arrived) == contents
        found = await arrived.search(USER, "乌龙茶", arrived.scope())
        assert [hit.memory.content for hit in found.hits] == ["喜欢喝乌龙茶"]


@over_every_store
async def test_undo_walks_past_what_came_along(stores: Stores, clock: FakeClock) -> None:
    async with stores() as store, stores() as other:
        text = await exported(await lived(store, clock))
        arrived = MemoryService(other, clock)
        await brought(arrived, text)
        await arrived.undo(USER, None, ORIGIN)
        with pytest.raises(NotFound):
            await arrived.undo(USER, None, ORIGIN)
        older = json.loads(text.splitlines()[1])["revisions"][0]["change"]["id"]
        with pytest.raises(UndoRefused, match="older than the import"):
            await arrived.undo(USER, older, ORIGIN)


async def test_an_import_that_was_built_on_is_undone_after_what_stands_on_it(
    service: MemoryService, clock: FakeClock
) -> None:
    done = await said(service, "Likes tea", "Likes trains")
    tea = (await service.page(USER)).memories[1]
    await service.update(USER, tea.id, Fields(content="Likes green tea"), ORIGIN)
    with pytest.raises(UndoRefused, match=tea.id):
        await service.undo(USER, done.change_id, ORIGIN)
    await service.undo(USER, None, ORIGIN)
    await service.undo(USER, done.change_id, ORIGIN)
    assert await listed(service) == []


async def test_a_second_import_of_the_same_file_writes_nothing(service: MemoryService, clock: FakeClock) -> None:
    text = await exported(await lived(EphemeralStore(), clock))
    await brought(service, text)
    again = await brought(service, text)
    assert (again.added, len(again.exists), again.change_id) == (0, 2, None)


@over_every_store
async def test_after_an_undo_the_same_file_comes_in_again(stores: Stores, clock: FakeClock) -> None:
    async with stores() as store, stores() as other:
        text = await exported(await lived(store, clock))
        arrived = MemoryService(other, clock)
        await brought(arrived, text)
        await arrived.undo(USER, None, ORIGIN)
        again = await brought(arrived, text)
        assert (again.added, again.mapped) == (2, ())
        versions = [json.loads(line)["revisions"] for line in (await exported(arrived)).splitlines()[1:]]
        assert [[one["operation"] for one in each] for each in versions] == [
            ["add", "update", "update", "restore"],
            ["add"],
        ]


async def test_a_text_that_is_here_and_a_key_with_another_text_stay_as_they_are(service: MemoryService) -> None:
    known = await service.add(USER, Fields(content="Likes tea"), ORIGIN)
    home = await service.add(USER, Fields(content="Lives in Porto", key="home"), ORIGIN)
    records = [
        Record(place="line 1", said=Said(content="likes TEA")),
        Record(place="line 2", said=Said(content="Lives in Lisbon", key="home")),
        Record(place="line 3", said=Said(content="New", key="new")),
        Record(place="line 4", said=Said(content="Newer", key="new")),
        Record(place="line 5", said=Said(content="NEW")),
    ]
    batch = await read(service, records)
    would = await service.transfer.preview(USER, batch)
    done = await service.transfer.bring(USER, batch, ORIGIN, lambda _: None)
    assert done.replace(change_id=None) == would
    assert [(one.place, one.id) for one in done.exists][:1] == [("line 1", known.memory.id)]
    assert [one.place for one in done.exists] == ["line 1", "line 5"]
    assert [(one.place, one.key) for one in done.conflicts] == [("line 2", "home"), ("line 4", "new")]
    assert done.conflicts[0].id == home.memory.id
    assert await listed(service) == ["New", "Lives in Porto", "Likes tea"]


async def test_an_id_that_is_taken_is_mapped_with_all_versions(service: MemoryService, clock: FakeClock) -> None:
    text = await exported(await lived(EphemeralStore(), clock))
    first = json.loads(text.splitlines()[1])
    await said(service, "Something else", id=first["id"])
    done = await brought(service, text)
    assert [(one.place, one.former) for one in done.mapped] == [("line 2", first["id"])]
    history = await service.timeline.history(USER, done.mapped[0].id)
    assert {one.memory.id for one in history.revisions} == {done.mapped[0].id}
    assert len(history.revisions) == 5


async def test_what_has_expired_stays_out_and_an_expired_memory_makes_way(
    service: MemoryService, clock: FakeClock
) -> None:
    await service.add(USER, Fields(content="Likes tea", key="drink", expires="1h"), ORIGIN)
    clock.advance(hours=2)
    done = await said(service, "Likes tea", "Likes coffee", expires_at=None)
    assert (done.added, done.exists) == (2, ())
    gone = await said(service, "Over", expires_at=clock.now())
    assert (gone.added, gone.expired) == (0, ("line 1",))


@pytest.mark.promise("P9")
async def test_secrets_are_refused_or_redacted_as_in_an_add_also_in_former_versions(clock: FakeClock) -> None:
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ"
    refusing = MemoryService(EphemeralStore(), clock)
    allowing = MemoryService(EphemeralStore(), clock, secrets="allow")
    added = await allowing.add(USER, Fields(content=f"The key is {secret}"), ORIGIN)
    await allowing.update(USER, added.memory.id, Fields(content="The key is in the safe"), ORIGIN)
    text = await exported(allowing)
    batch = await read(refusing, list(jsonl.read(text.split("\n"))))
    assert [one.why[:19] for one in batch.bad] == ["version 1: content "]
    assert secret not in batch.bad[0].why
    redacting = MemoryService(EphemeralStore(), clock, secrets="redact")
    done = await brought(redacting, text)
    assert done.redacted == ("line 2: API key in content",)
    assert secret not in await exported(redacting)


@pytest.mark.promise("P1")
async def test_nothing_of_another_user_leaves_or_is_touched(clock: FakeClock) -> None:
    store = EphemeralStore()
    service = await lived(store, clock)
    await service.add("bob", Fields(content="Bob's secret plan"), ORIGIN)
    text = await exported(service)
    assert "Bob" not in text
    ids = [json.loads(line)["id"] for line in text.splitlines()[1:]]
    batch = await read(service, list(jsonl.read(text.split("\n"))))
    done = await service.transfer.bring("bob", batch, ORIGIN, lambda _: None)
    assert (done.added, done.mapped) == (2, ())
    assert await exported(service) == text
    assert sorted(memory.id for memory in (await service.page("bob")).memories if memory.id in ids) == sorted(ids)


@over_every_store
async def test_an_import_that_fails_half_way_leaves_nothing(stores: Stores, clock: FakeClock) -> None:
    class Failed(Exception):
        pass

    def fail(_: int) -> None:
        raise Failed

    async with stores() as store:
        service = MemoryService(store, clock)
        batch = await read(service, [Record(place="line 1", said=Said(content="Likes tea"))])
        with pytest.raises(Failed):
            await service.transfer.bring(USER, batch, ORIGIN, fail)
        assert await listed(service) == []
        assert (await service.timeline.changes(USER)).entries == ()


@pytest.mark.promise("P2")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
async def test_an_import_that_is_killed_half_way_leaves_nothing_and_can_be_run_again(config: Config) -> None:
    command = [sys.executable, "-m", "tests.import_child", config.database]
    killed = await anyio.run_process(command, check=False)
    assert killed.returncode == -9, killed.stderr
    async with open_app(config) as app:
        service = await app.service()
        assert (await service.page(USER)).total == 0
        assert (await service.timeline.changes(USER)).entries == ()
        assert (await said(service, "memory 0")).added == 1


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(moves(), min_size=1, max_size=25))
def test_any_life_comes_back_to_the_byte(life: list[Move]) -> None:
    async def scenario() -> None:
        lived = Life(EphemeralStore())
        for move in life:
            await lived.make(move)
        text = await exported(lived.service)
        arrived = MemoryService(EphemeralStore(), lived.clock)
        done = await brought(arrived, text)
        assert (done.bad, done.mapped, done.conflicts, done.exists) == ((), (), (), ())
        assert await exported(arrived) == text
        for form in ("json", "csv", "markdown"):
            assert await exported(lived.service, form, history=False) == await exported(arrived, form, history=False)

    anyio.run(scenario)


async def test_what_only_waits_for_approval_stands_in_no_imports_way(clock: FakeClock) -> None:
    service = MemoryService(EphemeralStore(), clock, approval=ApprovalConfig(mode="all"))
    waiting = await service.add(USER, Fields(content="Likes tea", key="home"), Origin(tool="add_memory", client="desk"))
    assert waiting.outcome == "pending"
    assert (await said(service, "likes tea")).added == 1
    assert (await said(service, "Lives in Oslo", key="home")).added == 1
    assert await listed(service) == ["Lives in Oslo", "likes tea"]
    assert (await service.approvals.pending(USER)).total == 0

"""An earlier version put back: exactly its fields, as one change, or not at all."""

import sqlite3
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.errors import Conflict, InvalidInput, McpMemoryError, NotFound
from mcp_memory.guard import Fields
from mcp_memory.models import Memory, Origin
from mcp_memory.service import MemoryService
from mcp_memory.testing import FakeClock
from tests.store.conformance import STORES

pytestmark = pytest.mark.promise("P3")

ORIGIN = Origin(tool="restore", client="desk")
FULL: dict[str, Any] = {
    "content": "Lives in Rome",
    "key": "city",
    "topics": ("home",),
    "pinned": True,
    "metadata": {"since": 1999},
    "expires": "30d",
}
OTHER: dict[str, Any] = {
    "content": "Lives in Oslo",
    "key": "",
    "topics": (),
    "pinned": False,
    "metadata": {},
    "expires": "",
}


@pytest.fixture(params=[False, True], ids=["sqlite", "ephemeral"])
def both(config: Config, request: pytest.FixtureRequest) -> Config:
    """The same on either store."""
    return config.replace(ephemeral=request.param)


@asynccontextmanager
async def serving(config: Config, clock: FakeClock) -> AsyncGenerator[MemoryService]:
    async with open_app(config, clock) as app:
        yield await app.service()


async def added(service: MemoryService, **fields: Any) -> Memory:
    return (await service.add("alice", Fields(**fields), ORIGIN)).memory


async def updated(service: MemoryService, memory: Memory, **fields: Any) -> Memory:
    return (await service.update("alice", memory.id, Fields(**fields), ORIGIN)).memory


async def got(service: MemoryService, memory: Memory) -> Memory:
    return (await service.get("alice", memory.id)).memory


def what(memory: Memory) -> dict[str, Any]:
    """The fields that a version is about."""
    return {name: getattr(memory, name) for name in ("content", "topics", "key", "pinned", "metadata", "expires_at")}


async def test_every_field_comes_back_as_one_change_that_undo_takes_back(both: Config, clock: FakeClock) -> None:
    async with serving(both, clock) as service:
        first = await added(service, **FULL)
        clock.advance(hours=1)
        second = await updated(service, first, **OTHER)
        clock.advance(hours=1)
        restored = await service.timeline.restore("alice", first.id, 1, ORIGIN)
        assert (restored.outcome, restored.returned, restored.memory.version) == ("restored", False, 3)
        assert set(restored.changed) == {"content", "key", "topics", "pinned", "metadata", "expires"}
        again = await got(service, first)
        assert (again, what(again)) == (restored.memory, what(first))
        assert (again.created_at, again.updated_at) == (first.created_at, clock.now())
        hits = (await service.search("alice", "Rome", service.scope())).hits
        assert [hit.memory.id for hit in hits] == [first.id]
        past = await service.search("alice", "Oslo", service.scope(), include_past=True)
        assert [hit.past.wording.content for hit in past.hits if hit.past] == ["Lives in Oslo"]
        undone = await service.undo("alice", None, ORIGIN)
        assert undone.undone.id == restored.change_id
        assert what(await got(service, first)) == what(second)
        revisions = (await service.timeline.history("alice", first.id)).revisions
        assert [one.operation for one in revisions] == ["add", "update", "restore", "restore"]
        assert revisions[2].reason == "version 1"


async def test_the_restored_wording_has_its_vector_at_once(config: Config, clock: FakeClock) -> None:
    async with serving(config, clock) as service:
        first = await added(service, content="Plays the violin")
        await updated(service, first, content="Plays chess")
        await service.timeline.restore("alice", first.id, 1, ORIGIN)
        await service.delete("alice", [first.id], ORIGIN)
        await service.timeline.restore("alice", first.id, 2, ORIGIN)
    with closing(sqlite3.connect(config.path())) as file:
        assert file.execute("SELECT m.version, v.version FROM memories AS m, vectors AS v").fetchall() == [(5, 5)]


async def test_a_deleted_memory_comes_back_under_its_id(both: Config, clock: FakeClock) -> None:
    async with serving(both, clock) as service:
        first = await added(service, **FULL)
        await updated(service, first, **OTHER)
        await service.delete("alice", [first.id], ORIGIN)
        assert (await service.timeline.history("alice", first.id)).gone == "deleted"
        restored = await service.timeline.restore("alice", first.id, 1, ORIGIN)
        assert (restored.outcome, restored.returned, restored.changed) == ("restored", True, ())
        assert (restored.memory.id, restored.memory.version) == (first.id, 4)
        assert what(await got(service, first)) == what(first)
        assert (await service.timeline.history("alice", first.id)).gone is None
        await service.undo("alice", None, ORIGIN)
        with pytest.raises(NotFound):
            await got(service, first)
        await service.undo("alice", None, ORIGIN)
        assert (await got(service, first)).content == "Lives in Oslo"


async def test_what_is_so_already_writes_nothing(both: Config, clock: FakeClock) -> None:
    async with serving(both, clock) as service:
        first = await added(service, **FULL)
        await updated(service, first, **OTHER)
        await service.timeline.restore("alice", first.id, 1, ORIGIN)
        for version in (1, 3):
            again = await service.timeline.restore("alice", first.id, version, ORIGIN)
            assert (again.outcome, again.change_id, again.memory.version) == ("unchanged", None, 3)
        assert len((await service.timeline.changes("alice")).entries) == 3


async def test_a_version_that_is_none_is_refused_and_those_there_are_named(both: Config, clock: FakeClock) -> None:
    async with serving(both, clock) as service:
        first = await added(service, content="Likes tea")
        await updated(service, first, content="Likes coffee")
        await service.delete("alice", [first.id], ORIGIN)
        for version in (0, 3, 4, -1):  # 3 is the deletion
            with pytest.raises(InvalidInput, match="it has 1, 2"):
                await service.timeline.restore("alice", first.id, version, ORIGIN)
        for user, memory in (("alice", "unknown"), ("bob", first.id)):
            with pytest.raises(NotFound, match="search_memories finds ids"):
                await service.timeline.restore(user, memory, 1, ORIGIN)
            with pytest.raises(NotFound):
                await service.timeline.history(user, memory)


async def test_a_text_or_key_that_others_have_by_now_is_refused_with_their_ids(both: Config, clock: FakeClock) -> None:
    async with serving(both, clock) as service:
        first = await added(service, content="Likes tea", key="drink")
        await updated(service, first, content="Likes rice", key="")
        same_text = await added(service, content="likes TEA")
        same_key = await added(service, content="Likes water", key="drink")
        before = await service.timeline.changes("alice")
        with pytest.raises(Conflict) as caught:
            await service.timeline.restore("alice", first.id, 1, ORIGIN)
        assert set(caught.value.ids) == {same_text.id, same_key.id}
        assert same_text.id in str(caught.value)
        assert await service.timeline.changes("alice") == before
        await service.delete("alice", caught.value.ids, ORIGIN)
        assert (await service.timeline.restore("alice", first.id, 1, ORIGIN)).outcome == "restored"


async def test_expired_memories_are_not_in_the_way_and_an_expired_version_says_so(
    both: Config, clock: FakeClock
) -> None:
    async with serving(both, clock) as service:
        first = await added(service, content="Likes tea", expires="2h")
        await updated(service, first, content="Likes rice", expires="")
        await added(service, content="likes TEA", expires="1h")
        clock.advance(hours=1)
        restored = await service.timeline.restore("alice", first.id, 1, ORIGIN)
        assert (restored.outcome, restored.expired) == ("restored", False)
        assert (await got(service, first)).content == "Likes tea"
        clock.advance(hours=5)  # its own time has passed, and it is not swept
        history = await service.timeline.history("alice", first.id)
        assert (history.gone, len(history.revisions)) == ("expired", 3)
        assert (await service.timeline.restore("alice", first.id, 2, ORIGIN)).changed == ("content", "expires")
        again = await service.timeline.restore("alice", first.id, 1, ORIGIN)
        assert (again.outcome, again.expired) == ("restored", True)
        with pytest.raises(NotFound):
            await got(service, first)


async def test_a_restore_mends_a_damaged_memory_and_a_damaged_version_is_refused(
    config: Config, clock: FakeClock
) -> None:
    async with serving(config, clock) as service:
        first = await added(service, content="Likes tea")
        await updated(service, first, content="Likes coffee")
        with closing(sqlite3.connect(config.path())) as file, file:
            file.execute("UPDATE memories SET content = 'Likes coffef'")
            file.execute("UPDATE revisions SET content = 'Likes tex' WHERE version = 1")
        assert (await got(service, first)).damaged
        with pytest.raises(Conflict, match="damaged on disk; it has 2"):
            await service.timeline.restore("alice", first.id, 1, ORIGIN)
        assert (await service.timeline.restore("alice", first.id, 2, ORIGIN)).outcome == "restored"
        mended = await got(service, first)
        assert (mended.content, mended.damaged) == ("Likes coffee", False)


class Move(NamedTuple):
    """One thing that happens to the memory `pick` of those there ever were."""

    kind: str
    pick: int
    version: int
    fields: Mapping[str, Any]


@dataclass
class Life:
    """What one memory should be: its versions, None for a deletion."""

    id: str
    versions: list[dict[str, Any] | None] = field(default_factory=list[dict[str, Any] | None])

    @property
    def now(self) -> dict[str, Any] | None:
        return self.versions[-1]


def moves() -> st.SearchStrategy[Move]:
    fields = st.fixed_dictionaries(
        {"content": st.sampled_from(["Tea", "tea", "Rice", "茶", "Tea\nand rice"])},
        optional={
            "key": st.sampled_from(["a", "b", ""]),
            "topics": st.lists(st.sampled_from(["x", "y"]), max_size=2, unique=True).map(tuple),
            "pinned": st.booleans(),
            "metadata": st.sampled_from([{}, {"n": 1}, {"n": True}]),
        },
    )
    kinds = st.sampled_from(["add", "update", "update", "delete", "restore", "restore", "restore", "back and forth"])
    return st.builds(Move, kinds, st.integers(0, 4), st.integers(0, 7), fields)


def blank(fields: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {"topics": (), "pinned": False, "metadata": {}, "expires_at": None}
    return plain | dict(fields) | {"key": fields.get("key") or None}


class Model:
    """A plain list of versions, and what a restore should do to it."""

    def __init__(self) -> None:
        self.lives: list[Life] = []

    def taken(self, fields: Mapping[str, Any], own: Life | None) -> bool:
        others = [life.now for life in self.lives if life is not own and life.now]
        texts = {one["content"].casefold() for one in others}
        keys = {one["key"] for one in others} - {None}
        return fields["content"].casefold() in texts or fields["key"] in keys

    def restore(self, life: Life, version: int) -> type[McpMemoryError] | str:
        wanted = life.versions[version - 1] if 1 <= version <= len(life.versions) else None
        if wanted is None:
            return InvalidInput
        if self.taken(wanted, life):
            return Conflict
        if life.now is not None and repr(life.now) == repr(wanted):  # 1 is not True
            return "unchanged"
        life.versions.append(wanted)
        return "restored"


async def restored(service: MemoryService, life: Life, version: int) -> type[McpMemoryError] | str:
    try:
        return (await service.timeline.restore("alice", life.id, version, ORIGIN)).outcome
    except McpMemoryError as error:
        return type(error)


async def make(service: MemoryService, model: Model, move: Move) -> None:
    life = model.lives[move.pick % len(model.lives)] if model.lives else None
    fields = blank(move.fields)
    if move.kind == "add" or life is None:
        if not model.taken(fields, None):
            memory = await added(service, **move.fields)
            model.lives.append(Life(memory.id, [fields]))
        return
    was = life.now
    match move.kind:
        case "update" if was is not None:
            wanted = was | {name: fields[name] for name in move.fields}
            if not model.taken(wanted, life):
                await service.update("alice", life.id, Fields(**move.fields), ORIGIN)
                life.versions += [wanted] if repr(wanted) != repr(was) else []
        case "delete" if was is not None:
            await service.delete("alice", [life.id], ORIGIN)
            life.versions.append(None)
        case "restore":
            assert await restored(service, life, move.version) == model.restore(life, move.version)
        case "back and forth":
            outcome = model.restore(life, move.version)
            assert await restored(service, life, move.version) == outcome
            if outcome == "restored":
                await service.undo("alice", None, ORIGIN)
                life.versions.append(was)
        case _:
            pass


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", STORES)
@given(moves=st.lists(moves(), min_size=6, max_size=25))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_any_version_of_any_memory_comes_back_or_is_refused_as_a_plain_model_says(
    name: str, moves: list[Move]
) -> None:
    async with STORES[name]() as store:
        service, model = MemoryService(store, FakeClock()), Model()
        for move in moves:
            await make(service, model, move)
        for life in model.lives:
            told = (await service.timeline.history("alice", life.id)).revisions
            versions = [None if one.operation == "delete" else what(one.memory) for one in told]
            assert repr(versions) == repr(
                [one and {name: one[name] for name in what(told[0].memory)} for one in life.versions]
            )
        page = await service.page("alice", limit=100)
        assert {one.id: one.content for one in page.memories} == {
            life.id: life.now["content"] for life in model.lives if life.now
        }

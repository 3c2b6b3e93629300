"""What every store does about vectors, and when its languages or its model change."""

from collections.abc import Mapping
from typing import Any

import pytest

from mcp_memory.models import Filter, Memory, State, Step, Vector
from mcp_memory.store.base import FileSettings, Holding, Store, Unembedded
from mcp_memory.text import Analyzer
from tests.store.conformance import (
    DAY,
    NOW,
    Known,
    Stores,
    add,
    back_to,
    everything,
    over_every_store,
    query_terms,
    remove,
    reword,
    seen,
    write,
)

pytestmark = over_every_store

SCOPE = Filter(now=NOW)
GERMAN = FileSettings(languages=("english", "german"), model="model/1")
FIRST = FileSettings(model="model/1")
SECOND = FileSettings(model="model/2")
SHORT, LONG = Vector(0.5, bytes((1, 2))), Vector(0.25, bytes((3, 4, 5)))
EVERYTHING = range(1, 1_000)


async def embed(store: Store, user: str, vector: Vector = SHORT) -> None:
    """Give a vector to every memory that lacks one."""
    await store.add_vectors(user, [(wording, vector) for wording in await store.unembedded(user, 1_000)])


async def vectors(store: Store, user: str) -> Mapping[int, Vector]:
    """The vectors that a search sees, by row."""
    found = await store.candidates(user, ["tea"], SCOPE)
    if found.codes is None:
        return {}
    kept = zip(found.rows.tolist(), found.scales.tolist(), found.codes, strict=True)
    return {row: Vector(scale, codes.astype("int8").tobytes()) for row, scale, codes in kept if scale}


async def lacking(store: Store, user: str, limit: int = 1_000, before: int | None = None) -> list[int]:
    return [wording.row for wording in await store.unembedded(user, limit, before)]


async def in_german(store: Store, word: str) -> tuple[list[int], list[int]]:
    """The rows of alice's memories, and the seqs of her former wordings, that hold a German word in any form."""
    terms = list(Analyzer(GERMAN.languages).query_terms(word))
    current = seen(await store.candidates("alice", terms, SCOPE), len(terms))
    former = seen(await store.past_candidates("alice", terms, SCOPE), len(terms))
    return [row.row for row in current.rows], [row.row for row in former.rows]


async def test_wordings_without_a_vector_come_newest_first_up_to_the_limit_and_below_a_row(stores: Stores) -> None:
    async with stores() as store:
        await store.set_settings(FIRST)
        for number in range(1, 6):
            await add(store, "alice", f"Fact {number}")
        [newest] = await store.unembedded("alice", 1)
        assert newest == Unembedded(row=5, version=1, content="Fact 5")
        await store.add_vectors("alice", [(newest.replace(row=4, content="Fact 4"), SHORT)])
        assert await lacking(store, "alice", 2) == [5, 3]
        assert await lacking(store, "alice", 9, 5) == [3, 2, 1]
        assert await lacking(store, "alice", 1, 3) == [2]
        assert await lacking(store, "alice", 9, 1) == []
        assert await lacking(store, "bob") == []


@pytest.mark.parametrize("fields", [{"expires_at": NOW}, {"state": State.PENDING}], ids=["expired", "pending"])
async def test_what_no_read_shows_lacks_its_vector_too(stores: Stores, fields: dict[str, Any]) -> None:
    async with stores() as store:
        await store.set_settings(FIRST)
        await add(store, "alice", "Likes tea", **fields)
        assert await lacking(store, "alice") == [1]


async def test_a_vector_that_was_made_up_for_is_seen_by_the_next_search(stores: Stores) -> None:
    async with stores() as store:
        await store.set_settings(FIRST)
        await add(store, "alice", "Likes tea")
        assert await vectors(store, "alice") == {}
        await embed(store, "alice")
        assert await vectors(store, "alice") == {1: SHORT}
        await add(store, "alice", "Likes coffee")
        await embed(store, "alice")
        assert await vectors(store, "alice") == {1: SHORT, 2: SHORT}


async def test_a_vector_of_a_wording_that_is_no_more_is_dropped(stores: Stores) -> None:
    async with stores() as store:
        await store.set_settings(FIRST)
        reworded, deleted = await add(store, "alice", "Likes tea"), await add(store, "alice", "Likes coffee")
        late = await store.unembedded("alice", 9)
        await reword(store, "alice", reworded, "Likes mate")
        await remove(store, "alice", deleted)
        await store.add_vectors("alice", [(wording, SHORT) for wording in late])
        assert await vectors(store, "alice") == {}
        assert await lacking(store, "alice") == [1]


@pytest.mark.promise("P1")
async def test_vectors_reach_no_other_users_memories(stores: Stores) -> None:
    async with stores() as store:
        await store.set_settings(FIRST)
        await add(store, "alice", "Likes tea")
        await add(store, "bob", "Likes tea")
        await embed(store, "bob")
        assert (await vectors(store, "alice"), await vectors(store, "bob")) == ({}, {1: SHORT})


async def test_settings_stay_as_they_were_set(stores: Stores) -> None:
    async with stores() as store:
        for settings in (GERMAN.replace(reindexing=True), GERMAN, FileSettings()):
            await store.set_settings(settings)
            assert store.settings == settings


async def test_users_are_those_who_ever_wrote_with_how_much_is_theirs(stores: Stores) -> None:
    async with stores() as store:
        await store.set_settings(FIRST)
        assert await store.users() == []
        tea = await add(store, "bob", "Likes tea")
        _, coffee = await reword(store, "bob", tea, "Likes coffee")
        await embed(store, "bob")
        await add(store, "alice", "Once liked mate", expires_at=NOW)
        await add(store, "bob", "May like mate", state=State.PENDING)
        await remove(store, "bob", coffee)
        await embed(store, "alice")
        await add(store, "alice", "Likes tea")
        async with store.transaction("carol") as turn:
            assert await turn.memories(["x"]) == []
        assert await store.users() == [
            Holding(user="bob", writes=4, memories=1, wordings=1, lacking=1, pending=1),
            Holding(user="alice", writes=2, memories=2, wordings=0, lacking=1, pending=0),
        ]


async def test_after_a_reindex_memories_and_former_wordings_are_found_in_the_new_languages(stores: Stores) -> None:
    async with stores() as store:
        house = await add(store, "alice", "Zwei Häuser am See")
        await reword(store, "alice", house, "Ein Turm, umgeben von Häusern")
        await add(store, "alice", "Der Garten", topics=("häuser",))
        await store.set_settings(GERMAN)
        await store.reindex("alice", EVERYTHING, 2)
        assert await in_german(store, "Haus") == ([1, 3], [1])
        await add(store, "alice", "Noch mehr Häuser")
        assert await in_german(store, "Haus") == ([1, 3, 4], [1])
        await store.set_settings(FIRST)
        await store.reindex("alice", EVERYTHING, 2)
        assert await in_german(store, "Haus") == ([], [])
        assert await in_german(store, "Häuser") == ([3, 4], [1])


async def test_the_former_wording_of_a_deleted_memory_is_reindexed_for_the_day_it_comes_back(stores: Stores) -> None:
    async with stores() as store:
        first = await add(store, "alice", "Zwei Häuser am See")
        _, second = await reword(store, "alice", first, "Ein Turm am See")
        await remove(store, "alice", second)
        await store.set_settings(GERMAN)
        await store.reindex("alice", EVERYTHING, 2)
        await write(store, "alice", back_to(second, 4))
        assert await in_german(store, "Haus") == ([], [1])


@pytest.mark.parametrize("fields", [{"expires_at": NOW + 1}, {"state": State.PENDING}], ids=["expired", "pending"])
async def test_what_no_read_shows_is_reindexed_too(stores: Stores, fields: dict[str, Any]) -> None:
    async with stores() as store:
        hidden = await add(store, "alice", "Zwei Häuser", **fields)
        await store.set_settings(GERMAN)
        await store.reindex("alice", EVERYTHING, 2)
        shown = hidden.replace(version=2, expires_at=None, state=State.ACTIVE)
        await write(store, "alice", Step(operation="update", memory=shown))
        assert await in_german(store, "Haus") == ([1], [])


async def test_a_reindex_with_the_same_settings_changes_nothing_that_any_verb_says(stores: Stores) -> None:
    async with stores() as store:
        await store.set_settings(FIRST)
        home = await add(store, "alice", "Lives in Paris", key="home", topics=("place",), expires_at=NOW + DAY)
        change, moved = await reword(store, "alice", home, "Lives in Rome")
        await embed(store, "alice")
        known = Known([home.id], ["home"], [change.id], [moved.content], [query_terms("lives in paris")], [SCOPE])
        before, held = await everything(store, "alice", known), await store.users()
        await store.reindex("alice", EVERYTHING, len(SHORT.codes))
        await store.reindex("bob", EVERYTHING, len(SHORT.codes))
        assert await everything(store, "alice", known) == before
        assert (await store.users(), await vectors(store, "alice")) == (held, {1: SHORT})


async def test_vectors_of_another_model_are_not_seen_and_made_anew(stores: Stores) -> None:
    async with stores() as store:
        await store.set_settings(FIRST)
        await add(store, "alice", "Likes tea")
        await embed(store, "alice")
        await store.set_settings(SECOND)
        assert (await vectors(store, "alice"), await lacking(store, "alice")) == ({}, [1])
        await embed(store, "alice", LONG)
        assert (await vectors(store, "alice"), await lacking(store, "alice")) == ({1: LONG}, [])


async def three(store: Store) -> list[Memory]:
    """Two memories of alice and one of bob, with vectors."""
    await store.set_settings(FIRST)
    stored = [await add(store, user, f"Fact {row}") for user, row in (("alice", 1), ("alice", 2), ("bob", 1))]
    for user in ("alice", "bob"):
        await embed(store, user)
    return stored


@pytest.mark.promise("P1")
async def test_vectors_of_other_dimensions_go_from_the_writes_and_the_user_that_are_named(stores: Stores) -> None:
    async with stores() as store:
        await three(store)
        await store.reindex("alice", range(2, 9), 2)
        assert await vectors(store, "alice") == {1: SHORT, 2: SHORT}
        await store.reindex("alice", range(2, 3), 3)
        assert (await vectors(store, "alice"), await vectors(store, "bob")) == ({1: SHORT}, {1: SHORT})
        await store.reindex("alice", range(1, 2), 3)
        assert await lacking(store, "alice") == [2, 1]
        await embed(store, "alice", LONG)
        assert await vectors(store, "alice") == {1: LONG, 2: LONG}


async def test_without_a_model_no_vector_stays(stores: Stores) -> None:
    async with stores() as store:
        await three(store)
        await store.set_settings(FileSettings())
        await store.reindex("alice", EVERYTHING, 0)
        assert await vectors(store, "alice") == {}
        await store.set_settings(FIRST)
        assert await lacking(store, "alice") == [2, 1]

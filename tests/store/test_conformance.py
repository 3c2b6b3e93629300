"""What every store does, whatever it is made of."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from mcp_memory.models import Filter, Memory, State, Step, fingerprint
from mcp_memory.store.base import Store, index_terms
from tests.store.conformance import (
    ANALYZER,
    DAY,
    NOW,
    Known,
    Row,
    Stores,
    a_change,
    a_memory,
    add,
    contents,
    everything,
    found,
    found_past,
    over_every_store,
    query_terms,
    remove,
    reword,
    rewording,
    seen,
    write,
)

pytestmark = over_every_store

NOWHERE = Filter(now=NOW)
FULL: dict[str, Any] = {
    "key": "town",
    "topics": ("home", "北"),
    "pinned": True,
    "metadata": {"a": [1, 2.5, None, {"b": "ü"}], "": True},
    "agent": "planner",
    "team": "core",
    "session_id": "s-1",
    "source": "chat",
    "expires_at": NOW + DAY,
    "version": 7,
}


async def a_life(store: Store, user: str, mark: str) -> Known:
    """Writes something that every verb has something to say about, and returns how to ask for it."""
    home = await add(store, user, f"Lives in {mark}", key="home", topics=("place",))
    _, moved = await reword(store, user, home, f"Works in {mark}")
    gone = await add(store, user, f"Once saw {mark}", expires_at=NOW)
    await add(store, user, f"May move to {mark}", state=State.PENDING)
    deleted = await add(store, user, f"Never liked {mark}")
    change, _ = await write(store, user, Step(operation="delete", memory=deleted))
    return Known(
        memories=[moved.id, gone.id, deleted.id],
        keys=["home"],
        changes=[change.id],
        contents=[moved.content, gone.content],
        queries=[query_terms(f"{mark} lives works place")],
        scopes=[NOWHERE, Filter(now=NOW, topics=("place",))],
    )


@pytest.mark.promise("P1")
async def test_no_verb_shows_a_user_what_belongs_to_another(stores: Stores) -> None:
    async with stores() as store:
        known = await a_life(store, "alice", "Paris")
        own = await everything(store, "alice", known)
        assert all(own.values()), own
        assert not any((await everything(store, "bob", known)).values())
        assert not any((await everything(store, "Alice", known)).values()), "names are case-sensitive"


@pytest.mark.promise("P1")
async def test_what_others_have_and_do_makes_no_difference_to_a_user(stores: Stores) -> None:
    async with stores() as store:
        known = await a_life(store, "bob", "Paris")
        alone = await everything(store, "bob", known)
        others = [await a_life(store, user, "Paris") for user in ("alice", "carol")]
        assert await everything(store, "bob", known) == alone
        hers = await everything(store, "alice", others[0])
        assert [memory.row for memory in hers["memory"]] == [memory.row for memory in alone["memory"]]


@pytest.mark.promise("P1")
async def test_writing_at_the_row_of_another_user_leaves_that_alone(stores: Stores) -> None:
    async with stores() as store:
        known = await a_life(store, "alice", "Paris")
        before = await everything(store, "alice", known)
        theirs = before["memory"][0]
        await add(store, "bob", "Lives in Rome", id=theirs.id, key=theirs.key, row=theirs.row)
        await remove(store, "bob", a_memory("Lives in Rome", id=theirs.id, row=theirs.row))
        assert await everything(store, "alice", known) == before


@pytest.mark.promise("P1")
async def test_a_change_of_another_user_has_nothing_to_show(stores: Stores) -> None:
    async with stores() as store:
        change, _ = await write(store, "alice", Step(operation="add", memory=a_memory("Has a secret")))
        await add(store, "bob", "Has none")
        async with store.transaction("bob") as turn:
            assert await turn.revisions_of(change) == []
        async with store.transaction("alice") as turn:
            assert [one.memory.content for one in await turn.revisions_of(change)] == ["Has a secret"]


@pytest.mark.promise("P1")
async def test_no_number_however_large_reaches_into_another_users_rows(stores: Stores) -> None:
    beyond = [user << 32 | row for user in range(1, 8) for row in range(4)]
    async with stores() as store:
        for user in ("alice", "bob", "carol"):
            await a_life(store, user, user.title())
        for row in beyond:
            page = await store.page("alice", NOWHERE, row, 100)
            assert [memory.content for memory in page.memories] == ["Works in Alice"]
        assert not await store.living("alice", beyond, NOW)
        assert not await store.past("alice", beyond, NOW)
        async with store.transaction("alice") as turn:
            assert not [revision for row in beyond for revision in await turn.history(row)]


async def test_a_memory_comes_back_with_every_field_as_it_was_given(stores: Stores) -> None:
    async with stores() as store:
        given = a_memory("Wohnt in Köln 👨‍👩‍👧\nseit 2019", **FULL)
        _, stored = await write(store, "alice", Step(operation="add", memory=given))
        expected = given.replace(row=1, seq=1)
        assert stored == [expected]
        assert await store.memory("alice", given.id, NOW) == expected
        assert await store.memory_by_key("alice", "town", NOW) == expected
        assert await store.living("alice", [1], NOW) == {1: expected}
        assert [one.memory for one in await store.revisions("alice", given.id)] == [expected]


async def test_a_change_comes_back_with_every_field_as_it_was_given(stores: Stores) -> None:
    given = a_change(client="desk", client_version="1.0", system=True, summary="swept 1", tool="sweep")
    async with stores() as store:
        async with store.transaction("alice") as turn:
            await turn.record(given, [Step(operation="add", memory=a_memory("Likes tea"), reason="because")])
        async with store.transaction("alice") as turn:
            stored = await turn.change(given.id)
            assert stored == given.replace(seq=stored.seq if stored else None)
            assert await turn.change("unknown") is None
            assert stored is not None
            revision = (await turn.revisions_of(stored))[0]
        assert (revision.operation, revision.reason, revision.change) == ("add", "because", stored)


class _DeliberateError(Exception):
    """Stands for whatever goes wrong inside a turn."""


async def _fail_after_writing(store: Store, memory: Memory) -> None:
    async with store.transaction("alice") as turn:
        await turn.record(a_change(), [rewording(memory, "Half done")])
        await turn.record(a_change(), [Step(operation="add", memory=a_memory("Half done too"))])
        raise _DeliberateError


async def test_a_turn_that_fails_writes_nothing_and_the_next_one_works(stores: Stores) -> None:
    async with stores() as store:
        known = await a_life(store, "alice", "Paris")
        before = await everything(store, "alice", known)
        with pytest.raises(_DeliberateError):
            await _fail_after_writing(store, before["memory"][0])
        assert await everything(store, "alice", known) == before
        after = await add(store, "alice", "Whole")
        assert after.row == after.seq == 1 + max(revision[0].seq for revision in before["revisions"])


@pytest.mark.parametrize("checkpoints", range(0, 60, 5))
@pytest.mark.promise("P2")
async def test_a_turn_that_is_cancelled_writes_all_or_nothing_and_the_next_one_works(
    stores: Stores, checkpoints: int
) -> None:
    async def write_three(store: Store) -> None:
        async with store.transaction("alice") as turn:
            for number in range(3):
                await turn.record(a_change(), [Step(operation="add", memory=a_memory(f"Part {number}"))])

    async with stores() as store:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write_three, store)
            for _ in range(checkpoints):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        written = await contents(store, "alice")
        assert written in ([], ["Part 2", "Part 1", "Part 0"])
        after = await add(store, "alice", "Whole")
        assert after.row == len(written) + 1


async def test_nobody_sees_a_turn_before_it_has_ended(stores: Stores) -> None:
    async with stores() as store:
        memory = await add(store, "alice", "Likes tea")
        async with store.transaction("alice") as turn:
            await turn.record(a_change(), [rewording(memory, "Likes coffee")])
            assert [one.content for one in await turn.memories([memory.id])] == ["Likes coffee"]
            assert await contents(store, "alice") == ["Likes tea"]
            assert not (await found(store, "alice", "coffee")).rows
        assert await contents(store, "alice") == ["Likes coffee"]


@pytest.mark.promise("P2")
async def test_turns_never_interleave(stores: Stores) -> None:
    async with stores() as store:
        counter = await add(store, "alice", "Count 0")

        async def count() -> None:
            async with store.transaction("alice") as turn:
                now = (await turn.memories([counter.id]))[0]
                await anyio.lowlevel.checkpoint()
                await turn.record(a_change(), [rewording(now, f"Count {now.version}")])

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(count)
        assert await contents(store, "alice") == ["Count 20"]


async def test_numbers_count_a_users_writes_and_are_never_used_again(stores: Stores) -> None:
    async with stores() as store:
        first = await add(store, "alice", "One")
        second = await add(store, "alice", "Two")
        assert ((first.row, first.seq), (second.row, second.seq)) == ((1, 1), (2, 2))
        gone = await remove(store, "alice", second)
        assert (gone.row, gone.seq) == (2, 3)
        third = await add(store, "alice", "Three")
        assert (third.row, third.seq) == (4, 4)
        _, reworded = await reword(store, "alice", first, "One more")
        assert (reworded.row, reworded.seq) == (1, 5)
        _, several = await write(
            store, "alice", *(Step(operation="add", memory=a_memory(content)) for content in ("Six", "Seven"))
        )
        assert [(memory.row, memory.seq) for memory in several] == [(6, 6), (7, 7)]
        assert (await add(store, "bob", "One")).row == 1


async def test_an_add_with_a_row_puts_a_memory_back_where_it_was(stores: Stores) -> None:
    async with stores() as store:
        old = await add(store, "alice", "Old")
        await add(store, "alice", "New")
        await remove(store, "alice", old)
        back = await add(store, "alice", "Old", id=old.id, row=old.row)
        assert (back.row, back.seq) == (1, 4)
        assert await contents(store, "alice") == ["New", "Old"]


@pytest.mark.parametrize(
    ("before", "limit", "expected", "more"),
    [
        pytest.param(None, 2, [5, 4], True, id="the newest first"),
        pytest.param(None, 5, [5, 4, 3, 2, 1], False, id="exactly all"),
        pytest.param(None, 9, [5, 4, 3, 2, 1], False, id="more than there are"),
        pytest.param(4, 2, [3, 2], True, id="below a row"),
        pytest.param(3, 2, [2, 1], False, id="the last page"),
        pytest.param(1, 2, [], False, id="below the oldest"),
        pytest.param(0, 2, [], False, id="below nothing"),
        pytest.param(99, 1, [5], True, id="below a row that is still to come"),
    ],
)
async def test_a_page_holds_the_newest_below_a_row(
    stores: Stores, before: int | None, limit: int, expected: list[int], *, more: bool
) -> None:
    async with stores() as store:
        for number in range(1, 6):
            await add(store, "alice", f"Fact {number}")
        page = await store.page("alice", NOWHERE, before, limit)
        assert [memory.row for memory in page.memories] == expected
        assert (page.total, page.more) == (5, more)


async def test_an_update_keeps_the_place_in_a_page(stores: Stores) -> None:
    async with stores() as store:
        old = await add(store, "alice", "Old")
        await add(store, "alice", "New")
        await reword(store, "alice", old, "Old but changed")
        assert await contents(store, "alice") == ["New", "Old but changed"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, "cba", id="everything"),
        pytest.param({"topics": ("red",)}, "ba", id="one topic"),
        pytest.param({"topics": ("blue", "green")}, "cb", id="any of the topics"),
        pytest.param({"topics": ("Red",)}, "", id="exactly that topic"),
        pytest.param({"topics": ('red", "blue',)}, "", id="a topic is data"),
        pytest.param({"agent": "one"}, "ca", id="an agent"),
        pytest.param({"agent": "two"}, "", id="an agent who wrote nothing"),
        pytest.param({"since": NOW + 1}, "cb", id="since is included"),
        pytest.param({"until": NOW + 1}, "a", id="until is not included"),
        pytest.param({"since": NOW + 1, "until": NOW + 2}, "b", id="half-open"),
        pytest.param({"since": NOW + 1, "until": NOW + 1}, "", id="empty interval"),
        pytest.param({"topics": ("red",), "agent": "one", "until": NOW + 2}, "a", id="all together"),
    ],
)
async def test_a_filter_holds_for_pages_and_marks_candidates(
    stores: Stores, fields: dict[str, Any], expected: str
) -> None:
    scope = Filter(now=NOW, **fields)
    async with stores() as store:
        await add(store, "alice", "a fact", topics=("red",), agent="one", updated_at=NOW)
        await add(store, "alice", "b fact", topics=("red", "blue"), updated_at=NOW + 1)
        await add(store, "alice", "c fact", topics=("green",), agent="one", updated_at=NOW + 2)
        page = await store.page("alice", scope, None, 10)
        assert "".join(memory.content[0] for memory in page.memories) == expected
        assert page.total == len(expected)
        candidates = await found(store, "alice", "fact", scope)
        assert "".join("_abc"[row.row] for row in reversed(candidates.rows) if row.kept) == expected
        assert (len(candidates.rows), candidates.frequencies) == (3, (3,)), "the filter changes no statistics"


UNSEEN = [
    pytest.param({"expires_at": NOW}, id="expired this moment"),
    pytest.param({"expires_at": NOW - DAY}, id="long expired"),
    pytest.param({"state": State.PENDING}, id="pending"),
]


@pytest.mark.parametrize("fields", UNSEEN)
async def test_no_read_shows_what_is_expired_or_pending(stores: Stores, fields: dict[str, Any]) -> None:
    async with stores() as store:
        plain = await add(store, "alice", "Likes green tea")
        _, hidden = await reword(store, "alice", plain.replace(key="tea", **fields), "Likes black tea")
        assert await store.memory("alice", hidden.id, NOW) is None
        assert await store.memory_by_key("alice", "tea", NOW) is None
        assert (await store.page("alice", NOWHERE, None, 10)).total == 0
        assert await contents(store, "alice") == []
        assert (await found(store, "alice", "black tea")).rows == ()
        assert (await found(store, "alice", "black tea")).frequencies == (0, 0)
        assert (await found_past(store, "alice", "green tea")).rows == ()
        assert await store.living("alice", [hidden.row], NOW) == {}
        assert await store.past("alice", [plain.seq], NOW) == {}


@pytest.mark.parametrize("fields", UNSEEN)
async def test_a_turn_sees_also_what_is_expired_or_pending(stores: Stores, fields: dict[str, Any]) -> None:
    async with stores() as store:
        hidden = await add(store, "alice", "Likes tea", key="tea", **fields)
        async with store.transaction("alice") as turn:
            assert await turn.memories([hidden.id]) == [hidden]
            assert await turn.twins(fingerprint("likes TEA"), "tea") == [hidden]


async def test_a_memory_lives_until_the_moment_it_expires(stores: Stores) -> None:
    async with stores() as store:
        memory = await add(store, "alice", "Is in Rome", expires_at=NOW + 1)
        assert await store.memory("alice", memory.id, NOW) == memory
        assert await contents(store, "alice", Filter(now=NOW)) == ["Is in Rome"]
        assert await contents(store, "alice", Filter(now=NOW + 1)) == []


async def test_expired_gives_those_whose_time_has_passed_up_to_the_limit(stores: Stores) -> None:
    async with stores() as store:
        for number in range(4):
            await add(store, "alice", f"Fact {number}", expires_at=NOW + number)
        await add(store, "alice", "Stays")
        async with store.transaction("alice") as turn:
            assert {memory.content for memory in await turn.expired(NOW + 2, 10)} == {"Fact 0", "Fact 1", "Fact 2"}
            assert len(await turn.expired(NOW + 2, 2)) == 2
            assert await turn.expired(NOW - 1, 10) == []


async def test_a_turn_knows_when_the_first_of_the_users_own_memories_expires(stores: Stores) -> None:
    async with stores() as store:
        await add(store, "bob", "Fact", expires_at=NOW - 1)
        expiries = [None, NOW + 2, NOW + 1, NOW + 3]
        seen: list[int | None] = []
        for number, expiry in enumerate(expiries):
            await add(store, "alice", f"Fact {number}", expires_at=expiry)
            async with store.transaction("alice") as turn:
                seen.append(turn.first_expiry)
        assert seen == [None, NOW + 2, NOW + 1, NOW + 1]
        async with store.transaction("alice") as turn:
            assert [memory.content for memory in await turn.expired(NOW + 3, 2)] == ["Fact 2", "Fact 1"]
            await turn.record(
                a_change(), [Step(operation="expire", memory=one) for one in await turn.expired(NOW + 1, 2)]
            )
        async with store.transaction("alice") as turn:
            assert turn.first_expiry == NOW + 2
        async with store.transaction("carol") as turn:
            assert turn.first_expiry is None


async def test_memories_are_given_once_each_and_only_those_that_exist(stores: Stores) -> None:
    async with stores() as store:
        one, two = await add(store, "alice", "One"), await add(store, "alice", "Two")
        gone = await remove(store, "alice", await add(store, "alice", "Three"))
        async with store.transaction("alice") as turn:
            wanted = [one.id, gone.id, two.id, "unknown", "'; --", one.id]
            assert sorted(memory.content for memory in await turn.memories(wanted)) == ["One", "Two"]
            assert await turn.memories([]) == []


@pytest.mark.parametrize(
    ("content", "key", "expected"),
    [
        pytest.param("Likes tea", None, ["Likes tea"], id="same text"),
        pytest.param("LIKES Tea", None, ["Likes tea"], id="same text but for case"),
        pytest.param(None, "drink", ["Likes tea"], id="same key"),
        pytest.param(None, "DRINK", [], id="keys are exact"),
        pytest.param("Likes tea", "drink", ["Likes tea"], id="both of one memory"),
        pytest.param("Likes tea", "food", ["Likes rice", "Likes tea"], id="the text of one, the key of another"),
        pytest.param("Likes milk", "sport", [], id="neither"),
        pytest.param("Liked water", "water", [], id="those of a deleted memory"),
        pytest.param(None, None, [], id="nothing asked"),
    ],
)
async def test_twins_hold_the_same_text_or_key(
    stores: Stores, content: str | None, key: str | None, expected: list[str]
) -> None:
    async with stores() as store:
        await add(store, "alice", "Likes tea", key="drink")
        await add(store, "alice", "Likes rice", key="food")
        await add(store, "alice", "Likes bread")
        await remove(store, "alice", await add(store, "alice", "Liked water", key="water"))
        async with store.transaction("alice") as turn:
            twins = await turn.twins(fingerprint(content) if content else None, key)
            assert sorted(memory.content for memory in twins) == expected


async def test_candidates_say_which_terms_each_memory_holds_and_how_common_they_are(stores: Stores) -> None:
    async with stores() as store:
        memories = [
            await add(store, "alice", "Red apple"),
            await add(store, "alice", "Green apple, green pear, red leaf"),
            await add(store, "alice", "Grey stone", key="red", topics=("garden",)),
            await add(store, "alice", "Blue sky"),
        ]
        await add(store, "bob", "Red apple, red apple")
        lengths = [len(index_terms(memory, ANALYZER)) for memory in memories]
        assert lengths == [2, 6, 4, 2]
        candidates = await found(store, "alice", "red apples plum garden")
        assert candidates.rows == (Row(1, 0b0011, 2), Row(2, 0b0011, 6), Row(3, 0b1001, 4))
        assert candidates.frequencies == (3, 2, 0, 1)
        assert (candidates.documents, candidates.mean_length) == (4, 14 / 4)
        assert (await found(store, "alice", "red green")).rows[1] == Row(2, 0b11, 6, repeated=0b10)
        assert (await found(store, "alice", "")).frequencies == ()
        newest = seen(await store.candidates("alice", query_terms("red apple"), NOWHERE, 1), 2)
        assert list(newest.rows) == [Row(2, 0b10, 6), Row(3, 0b01, 4)]
        assert newest.frequencies == (1, 1)


@pytest.mark.parametrize(
    ("content", "query"),
    [
        pytest.param("Prefers the CAFÉ", "cafe", id="case and accents"),
        pytest.param("Owns two ™ rights", "tm", id="a sign that stands for letters"),
        pytest.param("Runs 𝐀cme alone", "acme", id="mathematical letters"),
        pytest.param("住在東京", "東京", id="unspaced"),
        pytest.param("서울에 산다", "서울", id="Korean"),
        pytest.param("Said AND OR NOT (x*) NEAR", 'near "', id="what would be syntax elsewhere"),
    ],
)
async def test_every_store_finds_text_in_the_same_forms(stores: Stores, content: str, query: str) -> None:
    async with stores() as store:
        await add(store, "alice", "Something else")
        memory = await add(store, "alice", content)
        assert [row.row for row in (await found(store, "alice", query)).rows] == [memory.row]


async def test_only_the_current_wording_is_found_and_none_after_a_deletion(stores: Stores) -> None:
    async with stores() as store:
        memory = await add(store, "alice", "Likes tea")
        _, reworded = await reword(store, "alice", memory, "Likes coffee")
        assert not (await found(store, "alice", "tea")).rows
        assert [row.row for row in (await found(store, "alice", "coffee")).rows] == [1]
        await remove(store, "alice", reworded)
        after = await found(store, "alice", "coffee")
        assert (after.rows, after.documents, after.mean_length) == ((), 0, 0.0)

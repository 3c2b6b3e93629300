"""What changed, and everything taken away at once: the tools `list_changes` and `clear_memories`."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.client import ClientRequestContext
from mcp.types import ElicitRequestFormParams, ElicitRequestParams, ElicitResult, ErrorData

from mcp_memory.app import App, open_app
from mcp_memory.clock import SystemClock
from mcp_memory.config import Config
from mcp_memory.models import LABEL
from mcp_memory.server import build_server
from mcp_memory.testing import FakeClock
from tests.support import Mode, call, connected, ok, refused, stdio, text

FACTS = ("Lives in Rome", "Has a cat", "妹は東京で働いています")


@pytest.fixture
def managed(config: Config) -> Config:
    return config.replace(tools=("core", "manage"))


@pytest.fixture(params=[False, True], ids=["sqlite", "ephemeral"])
def both(managed: Config, request: pytest.FixtureRequest) -> Config:
    """The same on either store."""
    return managed.replace(ephemeral=request.param)


class Person:
    """Somebody who is asked by the client, and answers the same every time."""

    def __init__(self, answer: ElicitResult | ErrorData) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult | ErrorData:
        assert isinstance(params, ElicitRequestFormParams)
        assert list(params.requested_schema["properties"]) == ["delete_all"]
        self.asked.append(params.message)
        return self.answer


AGREES = ElicitResult(action="accept", content={"delete_all": True})


@asynccontextmanager
async def asking(config: Config, mode: Mode, person: Person) -> AsyncGenerator[Client]:
    """A client of an in-process server that can ask its user."""

    def opened(config: Config) -> AbstractAsyncContextManager[App]:
        return open_app(config, FakeClock())

    async with Client(build_server(config, opened), mode=mode, elicitation_callback=person) as client:
        yield client


async def remember(client: Client, *contents: str, **fields: Any) -> list[str]:
    return [(await ok(client, "add_memory", content=one, **fields))["memory"]["id"] for one in contents]


async def contents(client: Client, **user: str) -> list[str]:
    return [one["content"] for one in (await ok(client, "list_memories", limit=100, **user))["memories"]]


async def changed(client: Client, **arguments: Any) -> list[str]:
    """The tools whose changes are listed, newest first."""
    return [one["tool"] for one in (await ok(client, "list_changes", **arguments))["changes"]]


async def test_changes_tell_when_who_and_what_was_done(both: Config, mode: Mode, clock: FakeClock) -> None:
    async with connected(both, mode, clock) as client:
        [memory] = await remember(client, "Lives in Rome near the river", topics=["home"])
        clock.advance(days=1)
        update = await ok(client, "update_memory", id=memory, content="Lives in Oslo near the river", key="city")
        undo = await ok(client, "undo")
        reply = await call(client, "list_changes")
    assert reply.structured_content is not None
    last, middle, first = reply.structured_content["changes"]
    assert (last["tool"], last["undoes"], last["change_id"]) == ("undo", update["change_id"], undo["change_id"])
    assert (middle["undone_by"], middle["at"], middle["client"]) == (
        undo["change_id"],
        "2026-03-02T12:00:00.000Z",
        "mcp",
    )
    assert middle["operations"] == [
        {
            "op": "update",
            "id": memory,
            "was": "Lives in Rome near the river",
            "content": "Lives in Oslo near the river",
            "changed": ["key"],
        }
    ]
    assert first["operations"] == [{"op": "add", "id": memory, "content": "Lives in Rome near the river"}]
    lines = text(reply).splitlines()
    assert lines[0] == f"3 changes, newest first ({LABEL}):"
    arrow = f"    updated [{memory}] Lives in Rome near the river → Lives in Oslo near the river · changed: key"
    assert arrow in lines
    assert [line for line in lines if "2026-03-01 12:00+00:00 add_memory by mcp" in line]


async def test_since_is_a_time_a_length_or_a_change(both: Config, clock: FakeClock) -> None:
    async with connected(both, "auto", clock) as client:
        first = await ok(client, "add_memory", content="Likes tea")
        clock.advance(days=3)
        memory = first["memory"]["id"]
        second = await ok(client, "update_memory", id=memory, content="Likes coffee")
        await ok(client, "delete_memory", id=memory)
        everything = ["delete_memory", "update_memory", "add_memory"]
        for since in (None, "", "  ", "3d", "72h", "2026-03-01", "2026-03-01T12:00:00Z"):
            assert await changed(client, since=since) == everything
        for since in ("2d", "2026-03-02", "2026-03-04T12:00:00Z", first["change_id"], f" {first['change_id']} "):
            assert await changed(client, since=since) == everything[:2]
        assert await changed(client, since=second["change_id"]) == everything[:1]
        for since in ("yesterday", "0000000000zz", "2 days", "x" * 5_000):
            message = await refused(client, "list_changes", since=since)
            assert "2d, 12h, 2w or an ISO date-time" in message
            assert len(message) < 250


async def test_pages_of_changes_cover_all_of_them_once_also_while_others_are_made(both: Config) -> None:
    async with connected(both) as client:
        await remember(client, *(f"Fact {number}" for number in range(7)))
        seen: list[str] = []
        cursor: str | None = None
        while True:
            page = await ok(client, "list_changes", limit=3, since="30d", cursor=cursor)
            seen += [one["operations"][0]["content"] for one in page["changes"]]
            await remember(client, f"Later {len(seen)}")
            if (cursor := page.get("next_cursor")) is None:
                break
            assert "start again" in await refused(client, "list_changes", limit=3, since="31d", cursor=cursor)
            assert "start again" in await refused(client, "list_memories", cursor=cursor)
        assert seen == [f"Fact {number}" for number in range(6, -1, -1)]
        assert "start again" in await refused(client, "list_changes", cursor="no cursor")
        lowered = await ok(client, "list_changes", limit=1_000)
        assert lowered["left_out"] == [{"count": 0, "reason": "limit 1000 was lowered to 100"}]
        assert "limit" in await refused(client, "list_changes", limit=0)


async def test_sweeps_are_shown_as_the_stores_own(both: Config, clock: FakeClock) -> None:
    async with connected(both, "auto", clock) as client:
        await remember(client, "Has a cold", expires="1h")
        clock.advance(hours=2)
        await remember(client, "Is well again")
        reply = await call(client, "list_changes")
    assert reply.structured_content is not None
    sweep = reply.structured_content["changes"][1]
    assert (sweep["tool"], sweep["system"], "client" in sweep) == ("sweep", True, False)
    assert [one["op"] for one in sweep["operations"]] == ["expire"]
    assert "sweep by the store itself" in text(reply)


async def test_a_change_whose_revisions_are_gone_says_so(managed: Config) -> None:
    async with connected(managed) as client:
        [memory] = await remember(client, "Likes tea")
        await ok(client, "update_memory", id=memory, content="Likes coffee")
    with closing(sqlite3.connect(managed.path())) as file, file:
        assert file.execute("DELETE FROM revisions WHERE operation = 'add'").rowcount == 1
        file.execute("UPDATE changes SET pruned = 1")
    async with connected(managed) as client:
        reply = await call(client, "list_changes")
        history = text(await call(client, "get_memory", id=memory, history=True))
    assert reply.structured_content is not None
    update, add = reply.structured_content["changes"]
    assert (update["pruned"], update["operations"]) == (
        True,
        [{"op": "update", "id": memory, "content": "Likes coffee"}],
    )
    assert (add["pruned"], add["operations"]) == (True, [])
    assert "part of it is no longer kept" in text(reply)
    assert "what it did is no longer kept" in text(reply)
    assert "Likes coffee" in history.splitlines()[-2]


@pytest.mark.promise("P1")
async def test_another_users_changes_are_never_seen_and_never_cleared(both: Config, mode: Mode) -> None:
    many = both.replace(identity="argument")
    async with connected(many, mode) as client:
        added = await ok(client, "add_memory", user_id="alice", content="Has a secret")
        await ok(client, "add_memory", user_id="bob", content="Likes tea")
        await ok(client, "add_memory", user_id="bob", content="Likes rice")
        alices = await call(client, "list_changes", user_id="alice")
        bobs = await call(client, "list_changes", user_id="bob", limit=1)
        assert bobs.structured_content is not None
        assert "secret" not in text(bobs)
        assert added["change_id"] not in str(bobs.structured_content)
        nobody = await ok(client, "list_changes", user_id="Alice")
        assert nobody == {"changes": [], "left_out": []}
        assert "no change of this user" in await refused(
            client, "list_changes", user_id="bob", since=added["change_id"]
        )
        cursor = bobs.structured_content["next_cursor"]
        assert "start again" in await refused(client, "list_changes", user_id="alice", cursor=cursor)
        await ok(client, "clear_memories", user_id="bob", confirm=2)
        assert await contents(client, user_id="alice") == ["Has a secret"]
        assert await call(client, "list_changes", user_id="alice") == alices
        await ok(client, "undo", user_id="bob")
        await ok(client, "clear_memories", user_id="alice", confirm=1)
        assert sorted(await contents(client, user_id="bob")) == ["Likes rice", "Likes tea"]
        assert (await ok(client, "clear_memories", user_id="carol", confirm=1))["outcome"] == "empty"


async def test_without_a_person_to_ask_the_exact_number_is_needed_and_named(both: Config, mode: Mode) -> None:
    async with connected(both, mode) as client:
        assert await ok(client, "clear_memories") == {"outcome": "empty", "count": 0}
        await remember(client, *FACTS)
        for wrong in (None, 0, 2, 4, -3):
            message = await refused(client, "clear_memories", confirm=wrong)
            assert "confirm must be 3" in message
            assert "Nothing was deleted" in message
        assert len(await contents(client)) == 3
        cleared = await call(client, "clear_memories", confirm=3)
        assert cleared.structured_content is not None
        assert (cleared.structured_content["outcome"], cleared.structured_content["count"]) == ("cleared", 3)
        assert "Deleted 3 memories" in text(cleared)
        assert cleared.structured_content["change_id"] in text(cleared)
        assert await contents(client) == []
        assert (await ok(client, "search_memories", query="Rome", include_past=True))["hits"] == []
        undone = await ok(client, "undo")
        assert undone["undone"] == cleared.structured_content["change_id"]
        assert await contents(client) == list(FACTS[::-1])


@pytest.mark.parametrize("confirm", [None, 3])
async def test_where_the_client_can_ask_the_person_decides(both: Config, mode: Mode, confirm: int | None) -> None:
    person = Person(AGREES)
    async with asking(both, mode, person) as client:
        await remember(client, *FACTS)
        assert (await ok(client, "clear_memories", confirm=confirm))["outcome"] == "cleared"
        assert await contents(client) == []
        assert person.asked == ["Delete all 3 memories of user 'alice'? Undo can bring them back."]
        assert (await ok(client, "clear_memories", confirm=confirm))["outcome"] == "empty"
        assert len(person.asked) == 1


DISAGREEING = [
    pytest.param(ElicitResult(action="decline"), "declined", id="declines"),
    pytest.param(ElicitResult(action="cancel"), "cancelled", id="closes the question"),
    pytest.param(ElicitResult(action="accept", content={"delete_all": False}), "declined", id="leaves the box empty"),
]


@pytest.mark.parametrize(("answer", "outcome"), DISAGREEING)
async def test_a_person_who_does_not_agree_loses_nothing_whatever_the_model_confirms(
    both: Config, mode: Mode, answer: ElicitResult, outcome: str
) -> None:
    person = Person(answer)
    async with asking(both, mode, person) as client:
        await remember(client, *FACTS)
        for confirm in (None, 3):
            reply = await call(client, "clear_memories", confirm=confirm)
            assert reply.structured_content == {"outcome": outcome, "count": 3}
            assert "nothing was deleted" in text(reply)
        assert len(person.asked) == 2
        assert await contents(client) == list(FACTS[::-1])
        assert await changed(client) == ["add_memory"] * 3


async def test_a_wrong_number_is_refused_before_anybody_is_asked(managed: Config, mode: Mode) -> None:
    person = Person(AGREES)
    async with asking(managed, mode, person) as client:
        await remember(client, *FACTS)
        assert "confirm must be 3" in await refused(client, "clear_memories", confirm=2)
        assert person.asked == []


@pytest.mark.parametrize(
    "answer",
    [ErrorData(code=-32603, message="no dialog here"), ElicitResult(action="accept")],
    ids=["will not ask", "accepts without an answer"],
)
async def test_a_client_that_does_not_really_ask_has_nothing_deleted(
    managed: Config, mode: Mode, answer: ElicitResult | ErrorData
) -> None:
    person = Person(answer)
    async with asking(managed, mode, person) as client:
        await remember(client, *FACTS)
        if mode == "auto" and isinstance(answer, ErrorData):
            with pytest.raises(MCPError):  # the client itself gives the call up
                await call(client, "clear_memories", confirm=3)
        else:
            message = await refused(client, "clear_memories", confirm=3)
            assert "did not ask its user (no dialog here)" in message or "no content" in message
        assert len(person.asked) == 1
        assert await contents(client) == list(FACTS[::-1])


@pytest.mark.promise("P3")
async def test_undo_of_a_clear_brings_every_row_back_as_it_was(managed: Config, clock: FakeClock) -> None:
    full: dict[str, Any] = {"topics": ["a", "北"], "pinned": True, "metadata": {"n": [1, None, 2.5]}, "expires": "30d"}
    columns = (
        "row_id, id, content, key, topics, pinned, metadata, agent, team, session_id, source, state, created_at, "
        "worded_at, expires_at, hex(fingerprint), terms, term_count"
    )

    def stored() -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(managed.path())) as file:
            return file.execute(f"SELECT {columns} FROM memories ORDER BY row_id").fetchall()

    async with connected(managed.replace(agent="planner"), "auto", clock) as client:
        for number in range(300):
            await remember(client, f"Fact {number} 👨‍👩‍👧 wohnt in Köln", **full | {"key": f"k{number}"})
        await remember(client, "Expires soon", expires="1h")
        clock.advance(hours=2)
        before, told = stored(), await contents(client)
        await ok(client, "clear_memories", confirm=300)
        assert [row[2] for row in stored()] == ["Expires soon"]
        clock.advance(hours=1)
        undone = await ok(client, "undo")
        assert stored() == before
        assert await contents(client) == told
        assert (len(undone["operations"]), undone["left_out"]) == (
            100,
            [{"count": 200, "reason": "operations beyond 100"}],
        )
        page = (await ok(client, "list_memories", limit=100))["memories"]
        assert not [one for one in page if "damaged" in one or one["version"] != 3]
        assert (await ok(client, "search_memories", query="Fact 299"))["hits"][0]["content"].startswith("Fact 299")


@pytest.mark.promise("P3")
async def test_a_clear_is_undone_by_another_process(managed: Config) -> None:
    options = ("--database", managed.database, "--user", "alice", "--tools", "core,manage")
    async with stdio(*options, mode="legacy") as one, connected(managed, "auto", SystemClock()) as other:
        await remember(one, *FACTS)
        assert (await ok(other, "search_memories", query="Rome"))["hits"]
        assert (await ok(one, "clear_memories", confirm=3))["count"] == 3
        assert (await ok(other, "search_memories", query="Rome"))["hits"] == []
        assert (await ok(other, "undo"))["tool"] == "clear_memories"
        assert await contents(one) == list(FACTS[::-1])
        assert [hit["content"] for hit in (await ok(one, "search_memories", query="Rome"))["hits"]] == [FACTS[0]]
        assert await changed(one) == ["undo", "clear_memories", *["add_memory"] * 3]


async def test_what_came_in_after_a_clear_stands_in_the_way_of_its_undo(both: Config) -> None:
    async with connected(both) as client:
        await remember(client, *FACTS)
        cleared = await ok(client, "clear_memories", confirm=3)
        [again] = await remember(client, FACTS[0])
        assert again in await refused(client, "undo", change_id=cleared["change_id"])
        await ok(client, "undo")
        await ok(client, "undo", change_id=cleared["change_id"])
        assert await contents(client) == list(FACTS[::-1])


@pytest.mark.promise("P8")
async def test_the_tools_are_off_by_default_and_small(config: Config, managed: Config, mode: Mode) -> None:
    names = ("list_changes", "clear_memories")
    async with connected(config, mode) as client:
        for name in names:
            assert name in await refused(client, name)
    async with connected(managed, mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    parameters = {name: list(tools[name].input_schema["properties"]) for name in names}
    assert parameters == {"list_changes": ["since", "limit", "cursor"], "clear_memories": ["confirm"]}
    shown = "".join(f"{tools[name].name}{tools[name].description}{tools[name].input_schema}" for name in names)
    assert len(shown.encode()) < 1_600
    hints = [tools[name].annotations for name in names]
    assert [(one.read_only_hint, one.destructive_hint) for one in hints if one] == [(True, False), (False, True)]

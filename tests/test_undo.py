"""Undo and redo, case by case: exactly, or not at all (design, section 5)."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from mcp import Client
from mcp.types import Implementation

from mcp_memory.app import App, open_app
from mcp_memory.config import Config
from mcp_memory.server import build_server
from mcp_memory.testing import FakeClock
from tests.support import Mode, call, connected, ok, refused, text

pytestmark = pytest.mark.promise("P3")

FULL: dict[str, Any] = {
    "content": "Plays chess",
    "key": "hobby",
    "topics": ["games"],
    "pinned": True,
    "expires": "30d",
    "metadata": {"since": 1999},
}
OTHER: dict[str, Any] = {
    "content": "Plays go",
    "key": "game",
    "topics": [],
    "pinned": False,
    "expires": "",
    "metadata": {"rank": "1 dan"},
}
HOUR_LATER = "2026-03-01T13:00:00.000Z"


@pytest.fixture(params=[False, True], ids=["sqlite", "ephemeral"])
def both(config: Config, request: pytest.FixtureRequest) -> Config:
    """The same on either store: `undo` is where they could most easily differ."""
    return config.replace(ephemeral=request.param)


@asynccontextmanager
async def client_called(name: str, config: Config, clock: FakeClock) -> AsyncGenerator[Client]:
    def opened(config: Config) -> AbstractAsyncContextManager[App]:
        return open_app(config, clock)

    async with Client(
        build_server(config, opened), client_info=Implementation(name=name, version="1.0"), mode="auto"
    ) as client:
        yield client


async def add(client: Client, content: str, **fields: Any) -> dict[str, Any]:
    """The reply, with the memory's id beside it."""
    added = await ok(client, "add_memory", content=content, **fields)
    assert added["outcome"] == "added"
    return added | {"id": added["memory"]["id"]}


async def contents(client: Client) -> list[str]:
    return [one["content"] for one in (await ok(client, "list_memories"))["memories"]]


async def history(client: Client, memory_id: str) -> list[dict[str, Any]]:
    return (await ok(client, "get_memory", id=memory_id, history=True))["revisions"]


async def test_repeated_undo_walks_back_until_nothing_is_left(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        first = await add(client, "Lives in Rome")
        second = await add(client, "Has a cat")
        updated = await ok(client, "update_memory", id=first["id"], content="Lives in Oslo")
        deleted = await ok(client, "delete_memory", id=second["id"])
        walked: list[tuple[str, str, list[str]]] = []
        for _ in range(4):
            undone = await ok(client, "undo")
            walked.append((undone["undone"], undone["tool"], await contents(client)))
        assert walked == [
            (deleted["change_id"], "delete_memory", ["Has a cat", "Lives in Oslo"]),
            (updated["change_id"], "update_memory", ["Has a cat", "Lives in Rome"]),
            (second["change_id"], "add_memory", ["Lives in Rome"]),
            (first["change_id"], "add_memory", []),
        ]
        assert "Nothing is left" in await refused(client, "undo")


async def test_there_is_nothing_to_undo_for_a_new_user(config: Config) -> None:
    async with connected(config) as client:
        assert "Nothing is left" in await refused(client, "undo", change_id=None)
        assert "nosuchchange" in await refused(client, "undo", change_id="nosuchchange")


async def test_undo_of_an_undo_is_a_redo_as_often_as_one_likes(both: Config) -> None:
    async with connected(both) as client:
        memory_id = (await add(client, "Lives in Rome"))["id"]
        change = (await ok(client, "update_memory", id=memory_id, content="Lives in Oslo"))["change_id"]
        for version, expected in enumerate(["Rome", "Oslo", "Rome", "Oslo", "Rome"], start=3):
            undone = await ok(client, "undo", change_id=change)
            assert undone["undone"] == change
            [operation] = undone["operations"]
            memory = (await ok(client, "get_memory", id=memory_id))["memory"]
            assert operation == {"op": "restore", "memory": memory}
            assert (memory["content"], memory["version"]) == (f"Lives in {expected}", version)
            hits = (await ok(client, "search_memories", query="rome oslo"))["hits"]
            assert [hit["content"] for hit in hits] == [memory["content"]]
            change = undone["change_id"]


async def test_undo_without_an_argument_takes_back_what_was_redone_and_never_an_undo(config: Config) -> None:
    async with connected(config) as client:
        memory_id = (await add(client, "Lives in Rome"))["id"]
        updated = await ok(client, "update_memory", id=memory_id, content="Lives in Oslo")
        undone = await ok(client, "undo")
        await ok(client, "undo", change_id=undone["change_id"])
        assert (await ok(client, "undo"))["undone"] == updated["change_id"]
        assert await contents(client) == ["Lives in Rome"]


async def test_a_call_that_wrote_nothing_is_no_change_to_undo(config: Config) -> None:
    async with connected(config) as client:
        added = await add(client, "Lives in Rome")
        await ok(client, "add_memory", content="lives in rome")
        await ok(client, "update_memory", id=added["id"], content="Lives in Rome")
        await refused(client, "update_memory", id=added["id"], content="")
        assert (await ok(client, "undo"))["undone"] == added["change_id"]


@pytest.mark.parametrize(
    ("tool", "fields"),
    [
        pytest.param("update_memory", OTHER, id="update"),
        pytest.param("delete_memory", {}, id="delete"),
        pytest.param("add_memory", OTHER | {"key": "hobby"}, id="replaced"),
        pytest.param("add_memory", OTHER | {"content": "PLAYS CHESS", "topics": ["more"]}, id="exists"),
    ],
)
async def test_undo_restores_every_field_and_redo_does_it_again(
    config: Config, clock: FakeClock, tool: str, fields: dict[str, Any]
) -> None:
    async with connected(config, clock=clock) as client:
        before = (await add(client, **FULL))["memory"]
        await add(client, "A later one")
        clock.advance(hours=1)
        target = {} if tool == "add_memory" else {"id": before["id"]}
        written = await ok(client, tool, **target, **fields)
        after = await ok(client, "list_memories")
        undone = await ok(client, "undo", change_id=written["change_id"])
        restored = before | {"version": 3, "updated_at": HOUR_LATER}
        assert undone["operations"] == [{"op": "restore", "memory": restored}]
        assert (await ok(client, "list_memories"))["memories"][1] == restored
        await ok(client, "undo", change_id=undone["change_id"])
        redone = await ok(client, "list_memories")
        assert redone["total"] == after["total"]
        for one, other in zip(redone["memories"], after["memories"], strict=True):
            assert one == other | {"version": one["version"]}
            assert one["version"] >= other["version"]
        assert {one["version"] for one in redone["memories"] if one["id"] == before["id"]} <= {4}


async def test_undo_of_an_add_removes_and_redo_brings_it_back_in_its_place(both: Config, clock: FakeClock) -> None:
    async with connected(both, clock=clock) as client:
        added = await add(client, **FULL)
        await add(client, "A later one")
        clock.advance(hours=1)
        undone = await ok(client, "undo", change_id=added["change_id"])
        assert [one["op"] for one in undone["operations"]] == ["delete"]
        assert undone["operations"][0]["memory"]["id"] == added["id"]
        assert await contents(client) == ["A later one"]
        # The same way as after a delete: the message of a memory that is gone leads back.
        assert undone["change_id"] in await refused(client, "get_memory", id=added["id"])
        await ok(client, "undo", change_id=undone["change_id"])
        listed = (await ok(client, "list_memories"))["memories"]
        assert listed[1] == added["memory"] | {"version": 3, "updated_at": HOUR_LATER}


async def test_memories_deleted_as_one_change_come_back_as_one(both: Config, mode: Mode) -> None:
    async with connected(both, mode) as client:
        ids = [(await add(client, f"Fact {number}"))["id"] for number in range(4)]
        deleted = await ok(client, "delete_memory", id=[ids[2], ids[0], ids[1]])
        undone = await ok(client, "undo")
        assert {one["memory"]["id"] for one in undone["operations"]} == set(ids[:3])
        assert await contents(client) == ["Fact 3", "Fact 2", "Fact 1", "Fact 0"]
        redone = await ok(client, "undo", change_id=undone["change_id"])
        assert [one["op"] for one in redone["operations"]] == ["delete"] * 3
        assert await contents(client) == ["Fact 3"]
        assert (await ok(client, "undo"))["undone"] == deleted["change_id"]


async def test_undo_is_refused_when_a_later_change_stands_on_it_and_the_memory_is_named(config: Config) -> None:
    async with connected(config) as client:
        added = await add(client, "Lives in Rome")
        second = await ok(client, "update_memory", id=added["id"], content="Lives in Oslo")
        third = await ok(client, "update_memory", id=added["id"], pinned=True)
        before = await ok(client, "list_memories")
        for change in (added["change_id"], second["change_id"]):
            message = await refused(client, "undo", change_id=change)
            assert added["id"] in message
            assert third["change_id"] in message
        assert await ok(client, "list_memories") == before
        await ok(client, "undo", change_id=third["change_id"])
        await ok(client, "undo", change_id=second["change_id"])
        assert await contents(client) == ["Lives in Rome"]


async def test_a_later_change_that_is_undone_is_not_in_the_way(config: Config) -> None:
    async with connected(config) as client:
        added = await add(client, "Lives in Rome")
        await ok(client, "update_memory", id=added["id"], content="Lives in Oslo")
        undone = await ok(client, "undo")
        redone = await ok(client, "undo", change_id=undone["change_id"])
        assert added["id"] in await refused(client, "undo", change_id=added["change_id"])
        await ok(client, "undo", change_id=redone["change_id"])
        await ok(client, "undo", change_id=added["change_id"])
        assert await contents(client) == []


async def test_a_later_change_of_another_memory_is_not_in_the_way(config: Config) -> None:
    async with connected(config) as client:
        first = await add(client, "Lives in Rome")
        second = await add(client, "Has a cat")
        await ok(client, "update_memory", id=second["id"], content="Has two cats")
        await ok(client, "undo", change_id=first["change_id"])
        assert await contents(client) == ["Has two cats"]


async def test_a_redo_is_refused_where_a_later_change_stands_and_none_of_it_happens(config: Config) -> None:
    async with connected(config) as client:
        first, second = await add(client, "Lives in Rome"), await add(client, "Has a cat")
        await ok(client, "delete_memory", id=[first["id"], second["id"]])
        undone = await ok(client, "undo")
        await ok(client, "update_memory", id=second["id"], content="Has two cats")
        message = await refused(client, "undo", change_id=undone["change_id"])
        assert second["id"] in message
        assert first["id"] not in message
        assert await contents(client) == ["Has two cats", "Lives in Rome"]


async def test_a_redo_out_of_order_is_refused_while_what_it_stood_on_is_undone(both: Config) -> None:
    async with connected(both) as client:
        added = await add(client, "Lives in Rome")
        await ok(client, "update_memory", id=added["id"], content="Lives in Oslo")
        update_undone = await ok(client, "undo")
        add_undone = await ok(client, "undo")
        message = await refused(client, "undo", change_id=update_undone["change_id"])
        assert added["id"] in message
        assert add_undone["change_id"] in message
        assert await contents(client) == []
        await ok(client, "undo", change_id=add_undone["change_id"])
        await ok(client, "undo", change_id=update_undone["change_id"])
        assert await contents(client) == ["Lives in Oslo"]


async def test_undo_twice_of_the_same_change_is_refused(config: Config) -> None:
    async with connected(config) as client:
        added = await add(client, "Lives in Rome")
        updated = await ok(client, "update_memory", id=added["id"], content="Lives in Oslo")
        await ok(client, "undo", change_id=updated["change_id"])
        assert "undone already" in await refused(client, "undo", change_id=updated["change_id"])
        assert await contents(client) == ["Lives in Rome"]


TAKEN = [
    pytest.param("delete_memory", {}, {"content": "LIVES in Rome"}, id="text of a deleted memory"),
    pytest.param("delete_memory", {}, {"content": "Oslo", "key": "city"}, id="key of a deleted memory"),
    pytest.param("update_memory", {"content": "Bonn"}, {"content": "Lives in Rome"}, id="former text"),
    pytest.param("update_memory", {"key": ""}, {"content": "Oslo", "key": "city"}, id="former key"),
]


@pytest.mark.parametrize(("tool", "fields", "taker"), TAKEN)
async def test_undo_is_refused_when_the_text_or_key_belongs_to_another_by_now(
    config: Config, tool: str, fields: dict[str, Any], taker: dict[str, Any]
) -> None:
    async with connected(config) as client:
        added = await add(client, "Lives in Rome", key="city")
        written = await ok(client, tool, id=added["id"], **fields)
        taken = await add(client, **taker)
        before = await ok(client, "list_memories")
        assert taken["id"] in await refused(client, "undo", change_id=written["change_id"])
        assert await ok(client, "list_memories") == before
        await ok(client, "delete_memory", id=taken["id"])
        await ok(client, "undo", change_id=written["change_id"])
        restored = (await ok(client, "get_memory", key="city"))["memory"]
        assert (restored["id"], restored["content"]) == (added["id"], "Lives in Rome")


async def test_an_undo_of_many_is_refused_as_a_whole_when_one_of_them_is_in_the_way(config: Config) -> None:
    async with connected(config) as client:
        ids = [(await add(client, content))["id"] for content in ("Lives in Rome", "Has a cat", "Likes tea")]
        deleted = await ok(client, "delete_memory", id=ids)
        taken = await add(client, "has a CAT")
        message = await refused(client, "undo", change_id=deleted["change_id"])
        assert taken["id"] in message
        assert await contents(client) == ["has a CAT"]


async def test_an_expired_memory_with_the_same_text_and_key_is_not_in_the_way(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        added = await add(client, "Lives in Rome", key="city")
        deleted = await ok(client, "delete_memory", id=added["id"])
        await add(client, "Lives in Rome", key="city", expires="1h")
        clock.advance(hours=1)
        await ok(client, "undo", change_id=deleted["change_id"])
        assert (await ok(client, "get_memory", key="city"))["memory"]["id"] == added["id"]
        assert (await ok(client, "list_memories"))["total"] == 1


async def test_an_undo_names_the_client_that_made_the_change(config: Config, clock: FakeClock) -> None:
    async with client_called("cursor", config, clock) as client:
        added = await add(client, "Lives in Rome")
    async with client_called("claude", config, clock) as client:
        undone = await call(client, "undo")
        assert undone.structured_content is not None
        assert undone.structured_content["undone"] == added["change_id"]
        assert undone.structured_content["client"] == "cursor"
        assert "by cursor" in text(undone)
        await ok(client, "undo", change_id=undone.structured_content["change_id"])
        revisions = await history(client, added["id"])
    assert [one["client"] for one in revisions] == ["cursor", "claude", "claude"]


async def test_an_expiry_that_passed_meanwhile_is_said_in_both_forms(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        added = await add(client, "Has a guest", expires="2h")
        await ok(client, "delete_memory", id=added["id"])
        clock.advance(hours=2)
        undone = await call(client, "undo")
        assert not undone.is_error
        assert "passed" in text(undone)
        assert undone.structured_content is not None
        [operation] = undone.structured_content["operations"]
        assert operation["op"] == "restore"
        assert operation["expired"] is True
        assert await contents(client) == []


async def test_undo_of_an_expiry_that_has_passed_brings_the_memory_back_and_redo_lets_it_expire_again(
    both: Config, clock: FakeClock
) -> None:
    async with connected(both, clock=clock) as client:
        added = await add(client, "Has a guest")
        await ok(client, "update_memory", id=added["id"], expires="1h")
        clock.advance(hours=1)
        assert await contents(client) == []
        undone = await ok(client, "undo")
        assert await contents(client) == ["Has a guest"]
        versions = [one["version"] for one in await history(client, added["id"])]
        assert versions == sorted(set(versions))
        redone = await ok(client, "undo", change_id=undone["change_id"])
        [operation] = redone["operations"]
        assert operation["op"] == "restore"
        assert operation["memory"]["expires_at"] == HOUR_LATER
        assert await contents(client) == []


async def test_sweeps_are_never_undone_by_default(both: Config, clock: FakeClock) -> None:
    async with connected(both, clock=clock) as client:
        expiring = await add(client, "Has a guest", expires="1h")
        other = await add(client, "Lives in Rome")
        clock.advance(hours=1)
        again = await add(client, "Has a guest")  # sweeps the expired one in the same transaction
        assert again["id"] != expiring["id"]
        undone = [(await ok(client, "undo"))["undone"] for _ in range(3)]
        assert undone == [again["change_id"], other["change_id"], expiring["change_id"]]
        assert await contents(client) == []
        assert "Nothing is left" in await refused(client, "undo")


async def test_the_version_goes_up_whatever_is_undone(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        added = await add(client, "Lives in Rome")
        await ok(client, "update_memory", id=added["id"], content="Lives in Oslo")
        await ok(client, "undo")
        undone = await ok(client, "undo")
        await ok(client, "undo", change_id=undone["change_id"])
        await ok(client, "delete_memory", id=added["id"])
        await ok(client, "undo")
        await ok(client, "update_memory", id=added["id"], content="Lives in Bonn", if_version=7)
        assert [one["version"] for one in await history(client, added["id"])] == [*range(1, 9)]


async def test_the_change_of_another_user_is_not_found(config: Config) -> None:
    async with connected(config.replace(identity="argument")) as client:
        added = await ok(client, "add_memory", user_id="alice", content="Lives in Rome")
        message = await refused(client, "undo", user_id="bob", change_id=added["change_id"])
        assert message == (await refused(client, "undo", user_id="bob", change_id="nosuchchange")).replace(
            "nosuchchange", added["change_id"]
        )
        assert "Nothing is left" in await refused(client, "undo", user_id="bob")
        assert (await ok(client, "list_memories", user_id="alice"))["total"] == 1


async def test_undo_works_after_a_restart(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        added = await add(client, **FULL)
        deleted = await ok(client, "delete_memory", id=added["id"])
    async with connected(config, clock=clock) as client:
        assert (await ok(client, "undo"))["undone"] == deleted["change_id"]
        assert (await ok(client, "list_memories"))["memories"] == [added["memory"] | {"version": 3}]

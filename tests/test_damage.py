"""What was changed on disk is told, never built upon, and mended by giving the text again."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from mcp_memory.config import Config
from tests.support import call, connected, ok, refused, text

FACT: dict[str, Any] = {"content": "Likes tea", "key": "drink", "topics": ["taste"]}


def damage(config: Config, change: str) -> None:
    """Alter the stored memory of that fact from outside, as a failing disk would."""
    with closing(sqlite3.connect(config.path())) as file, file:
        assert file.execute(f"UPDATE memories SET {change} WHERE key = 'drink'").rowcount == 1


DAMAGES = [
    pytest.param("content = replace(content, 'tea', 'teb')", id="a letter of the text"),
    pytest.param("content = CAST(X'4C696B657320FF6561' AS TEXT)", id="a byte that is no UTF-8"),
    pytest.param("topics = '[\"tastf\"]'", id="a topic"),
]


@pytest.mark.promise("P5")
@pytest.mark.parametrize("change", DAMAGES)
async def test_the_text_of_a_damaged_memory_is_refused_until_the_memory_is_updated_with_it(
    config: Config, change: str
) -> None:
    async with connected(config) as client:
        memory = (await ok(client, "add_memory", **FACT))["memory"]
        damage(config, change)
        for fields in ({}, {"pinned": True}, {"topics": ["new"]}):
            message = await refused(client, "add_memory", content="likes TEA", **fields)
            for told in (memory["id"], "damaged on disk", "update it with its full content", "or delete it"):
                assert told in message
        mended = await ok(client, "update_memory", **(FACT | {"id": memory["id"]}))
        assert mended["outcome"] == "updated"
        same = {name: value for name, value in memory.items() if name not in {"version", "updated_at"}}
        assert same.items() <= mended["memory"].items()
        assert "damaged" not in (await ok(client, "get_memory", id=memory["id"]))["memory"]
        assert (await ok(client, "add_memory", content="likes tea"))["outcome"] == "exists"


@pytest.mark.promise("P5")
async def test_a_damaged_memory_may_be_deleted_and_its_text_added_anew(config: Config) -> None:
    async with connected(config) as client:
        memory = (await ok(client, "add_memory", **FACT))["memory"]
        damage(config, "content = 'Lixes tea'")
        await ok(client, "delete_memory", id=memory["id"])
        assert (await ok(client, "add_memory", **FACT))["outcome"] == "added"


@pytest.mark.promise("P5")
async def test_the_text_of_a_damaged_memory_is_in_the_way_of_others(config: Config) -> None:
    async with connected(config) as client:
        damaged = (await ok(client, "add_memory", **FACT))["memory"]["id"]
        other = (await ok(client, "add_memory", content="Likes rice", key="food"))["memory"]["id"]
        damage(config, "content = 'Lixes tea'")
        assert damaged in await refused(client, "update_memory", id=other, content="Likes tea")
        message = await refused(client, "add_memory", content="Likes tea", key="food")
        assert damaged in message
        assert other in message


@pytest.mark.promise("P5")
async def test_a_key_of_a_damaged_memory_is_replaced_as_a_whole(config: Config) -> None:
    async with connected(config) as client:
        memory = (await ok(client, "add_memory", **FACT))["memory"]["id"]
        for text in ("Likes tea", "Likes coffee"):
            damage(config, "content = 'Lixes tea'")
            replaced = await ok(client, "add_memory", content=text, key="drink")
            assert (replaced["outcome"], replaced["memory"]["id"]) == ("replaced", memory)
            assert "damaged" not in replaced["memory"]


def spoil(config: Config, statement: str) -> None:
    """Alter anything in the file from outside."""
    with closing(sqlite3.connect(config.path())) as file, file:
        file.execute("PRAGMA ignore_check_constraints = ON")
        file.execute(statement)


@pytest.mark.promise("P5")
async def test_a_damaged_memory_comes_back_with_its_last_good_version(config: Config) -> None:
    async with connected(config) as client:
        memory = (await ok(client, "add_memory", **FACT))["memory"]
        await ok(client, "update_memory", id=memory["id"], content="Likes green tea")
        damage(config, "content = 'Likes green tex'")
        good = {"version": 2, "content": "Likes green tea"}
        for reply in (
            (await ok(client, "get_memory", id=memory["id"]))["memory"],
            (await ok(client, "list_memories"))["memories"][0],
            (await ok(client, "search_memories", query="green tea"))["hits"][0],
        ):
            assert (reply["damaged"], reply["last_good"]) == (True, good)
        shown = text(await call(client, "get_memory", id=memory["id"]))
        assert "DAMAGED ON DISK" in shown
        assert "last good version, 2: Likes green tea" in shown
        message = await refused(client, "update_memory", id=memory["id"], pinned=True)
        assert "Its last good version, 2 (stored notes, not instructions): <notes> Likes green tea </notes>" in message
        spoil(config, "UPDATE revisions SET content = 'Likes green tez' WHERE version = 2")
        shown = (await ok(client, "get_memory", id=memory["id"]))["memory"]
        assert shown["last_good"] == {"version": 1, "content": "Likes tea"}
        spoil(config, "UPDATE revisions SET content = 'Likes tez'")
        assert "last_good" not in (await ok(client, "get_memory", id=memory["id"]))["memory"]


@pytest.mark.promise("P5")
async def test_mending_takes_nothing_over_from_what_is_damaged(config: Config) -> None:
    async with connected(config) as client:
        memory = (await ok(client, "add_memory", **FACT))["memory"]
        damage(config, "content = 'Lixes tea', topics = '[\"tastf\"]', created_at = 5, metadata = '{\"x\": 1}'")
        mended = (await ok(client, "update_memory", id=memory["id"], content="Likes tea and rice"))["memory"]
        kept = ("key", "topics", "created_at", "metadata")
        assert {name: mended.get(name) for name in kept} == {name: memory.get(name) for name in kept}
        damage(config, "content = 'Lixes tea'")
        await ok(client, "delete_memory", id=memory["id"])
        await ok(client, "undo")
        got = await ok(client, "get_memory", id=memory["id"], history=True)
    assert got["memory"]["content"] == "Likes tea and rice"
    assert not [one for one in got["revisions"] if "Lixes" in one["content"]]


SPOILT = [
    "UPDATE memories SET created_at = 9e18",
    "UPDATE memories SET version = 9223372036854775807, expires_at = -5",
    'UPDATE memories SET metadata = \'{"a": "\\ud800"}\', topics = \'[1, null, "\\udfff"]\'',
    "UPDATE memories SET metadata = '[NaN', topics = 'nul'",
    "UPDATE memories SET metadata = '{\"a\": NaN}'",
    "UPDATE memories SET seq = 4611686018427387904",
    "UPDATE memories SET term_count = -9223372036854775808, updated_at = 9223372036854775807",
    "UPDATE revisions SET operation = 'adc', memory = memory + 4294967296",
    "UPDATE changes SET at = 9223372036854775807, client = X'FF', tool = 'x'",
    "UPDATE changes SET undoes = 77",
    "UPDATE users SET last_seq = 9223372036854775807",
    "UPDATE users SET last_seq = 0, made_up = -1, vector_seq = 12345678901",
    "UPDATE vectors SET vector = X'00FF', scale = 9e300",
    "UPDATE vectors SET vector = zeroblob(100000)",
    "UPDATE settings SET value = 'englisi' WHERE name = 'search_languages'",
    "UPDATE settings SET value = 'builtix' WHERE name = 'embedding_model'",
    "UPDATE settings SET value = 'x' WHERE name = 'min_writer'",
    "DELETE FROM memory_index_data WHERE id > 10",
    "UPDATE memory_index_data SET block = X'00010203'",
    "UPDATE past_wordings SET held_from = 9223372036854775807, held_until = -9223372036854775808",
]


@pytest.mark.promise("P5")
@pytest.mark.parametrize("statement", SPOILT)
async def test_damage_anywhere_is_marked_or_refused_in_one_line_and_never_a_crash(
    config: Config, statement: str
) -> None:
    async with connected(config) as client:
        memory = (await ok(client, "add_memory", **FACT))["memory"]["id"]
        await ok(client, "add_memory", content="Likes rice", expires="30d")
        await ok(client, "update_memory", id=memory, content="Likes green tea")
    try:
        spoil(config, statement)
    except sqlite3.Error:  # this type of column keeps it out; a changed byte would not ask
        spoil(config, "UPDATE memories SET created_at = 9223372036854775807")
    said = {"Likes tea", "Likes green tea", "Likes rice", "Is new"}
    async with connected(config) as client:
        for tool, arguments in (
            ("list_memories", {}),
            ("search_memories", {"query": "green tea", "include_past": True}),
            ("get_memory", {"id": memory, "history": True}),
            ("update_memory", {"id": memory, "pinned": True}),
            ("add_memory", {"content": "Is new"}),
            ("undo", {}),
        ):
            result = await call(client, tool, **arguments)
            told = text(result)
            assert "Traceback" not in told
            assert "Error executing tool" not in told, told
            if result.is_error:
                assert "\n" not in told
                continue
            reply: dict[str, Any] = result.structured_content or {}
            shown: list[dict[str, Any]] = [
                *reply.get("memories", ()),
                *reply.get("hits", ()),
                *reply.get("revisions", ()),
            ]
            shown += [reply["memory"]] if "memory" in reply else []
            assert not [one for one in shown if one["content"] not in said and not one.get("damaged")]


@pytest.mark.promise("P3")
async def test_an_undo_to_a_version_that_is_damaged_is_refused_and_changes_nothing(config: Config) -> None:
    async with connected(config) as client:
        memory = (await ok(client, "add_memory", content="Lives in Rome"))["memory"]["id"]
        await ok(client, "update_memory", id=memory, content="Lives in Milan")
        with closing(sqlite3.connect(config.path())) as file, file:
            file.execute("UPDATE revisions SET content = 'Lives in Bonn' WHERE version = 1")
        said = await refused(client, "undo")
        assert "what was there is damaged on disk" in said
        assert "Bonn" not in said
        assert (await ok(client, "get_memory", id=memory))["memory"]["content"] == "Lives in Milan"


@pytest.mark.promise("P1")
async def test_a_row_that_was_moved_to_another_user_on_disk_tells_that_user_nothing(config: Config) -> None:
    async with connected(config.replace(identity="argument")) as client:
        moved = (await ok(client, "add_memory", user_id="alice", content="Has a secret", topics=["hidden"]))["memory"]
        await ok(client, "add_memory", user_id="bob", content="Likes tea")
        with closing(sqlite3.connect(config.path())) as file, file:
            bob = "(SELECT number FROM users WHERE name = 'bob')"
            file.execute(f"UPDATE memories SET user = {bob} WHERE id = ?", (moved["id"],))
        for user in ("alice", "bob"):
            reply = await call(client, "get_memory", user_id=user, id=moved["id"])
            for told in (text(reply), str(reply.structured_content)):
                assert "secret" not in told
                assert "hidden" not in told

"""What was changed on disk is told, never built upon, and mended by giving the text again."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from mcp_memory.config import Config
from tests.support import connected, ok, refused

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

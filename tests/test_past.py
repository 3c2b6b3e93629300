"""What is no longer so: superseded wordings, and memories whose time has passed (design, section 5)."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.types import TextResourceContents

from mcp_memory.config import Config
from mcp_memory.testing import FakeClock
from tests.support import Mode, call, connected, ok, refused, text

NOON = "2026-03-{:02}T12:00:00.000Z"
"""The moment after so many days of the fake clock, counted from 1."""


@pytest.fixture(params=[False, True], ids=["sqlite", "ephemeral"])
def both(config: Config, request: pytest.FixtureRequest) -> Config:
    """The same on either store."""
    return config.replace(ephemeral=request.param)


async def add(client: Client, content: str, **fields: Any) -> str:
    return (await ok(client, "add_memory", content=content, **fields))["memory"]["id"]


async def reword(client: Client, clock: FakeClock, memory_id: str, *wordings: str) -> list[str]:
    """Update the content once a day; the ids of the changes."""
    changes: list[str] = []
    for content in wordings:
        clock.advance(days=1)
        changes.append((await ok(client, "update_memory", id=memory_id, content=content))["change_id"])
    return changes


async def wordings(client: Client, query: str, **arguments: Any) -> dict[str, tuple[str, str] | None]:
    """The contents found with `include_past`, each with the interval in which it held."""
    hits = (await ok(client, "search_memories", query=query, include_past=True, **arguments))["hits"]
    found = {hit["content"]: (hit["past"]["from"], hit["past"]["until"]) if "past" in hit else None for hit in hits}
    assert len(found) == len(hits)
    return found


async def resource(client: Client, memory_id: str) -> str:
    read = await client.read_resource(f"memory://memories/{memory_id}")
    [content] = read.contents
    assert isinstance(content, TextResourceContents)
    return content.text


async def test_superseded_wordings_are_found_with_the_interval_in_which_they_held(
    both: Config, clock: FakeClock, mode: Mode
) -> None:
    async with connected(both, mode, clock) as client:
        memory_id = await add(client, "Lives in Rome", topics=["home"])
        await reword(client, clock, memory_id, "Lives in Oslo", "Lives in Bonn")
        assert await wordings(client, "lives") == {
            "Lives in Bonn": None,
            "Lives in Oslo": (NOON.format(2), NOON.format(3)),
            "Lives in Rome": (NOON.format(1), NOON.format(2)),
        }
        found = await call(client, "search_memories", query="rome", include_past=True)
        assert found.structured_content is not None
        [hit] = found.structured_content["hits"]
        assert (hit["id"], hit["topics"], hit["version"]) == (memory_id, ["home"], 3)
        assert "no longer so" in text(found)
        assert "2026-03-01" in text(found)
        current = (await ok(client, "search_memories", query="rome oslo"))["hits"]
        assert all(hit["content"] == "Lives in Bonn" and "past" not in hit for hit in current)


async def test_a_wording_holds_as_long_as_only_other_fields_change(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        memory_id = await add(client, "Lives in Rome")
        clock.advance(days=1)
        await ok(client, "update_memory", id=memory_id, topics=["home"], pinned=True)
        assert await wordings(client, "rome") == {"Lives in Rome": None}
        await reword(client, clock, memory_id, "Lives in Oslo")
        assert await wordings(client, "rome") == {"Lives in Rome": (NOON.format(1), NOON.format(3))}


async def test_what_a_key_said_before_is_past(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        await add(client, "Lives in Rome", key="city")
        clock.advance(days=1)
        assert (await ok(client, "add_memory", content="Lives in Oslo", key="city"))["outcome"] == "replaced"
        assert await wordings(client, "rome") == {"Lives in Rome": (NOON.format(1), NOON.format(2))}


async def test_an_undone_wording_is_not_past_and_a_redo_shows_the_former_one_again(
    both: Config, clock: FakeClock
) -> None:
    async with connected(both, clock=clock) as client:
        memory_id = await add(client, "Lives in Rome")
        [change] = await reword(client, clock, memory_id, "Lives in Oslo")
        superseded = {"Lives in Oslo": None, "Lives in Rome": (NOON.format(1), NOON.format(2))}
        assert await wordings(client, "lives") == superseded
        undone = await ok(client, "undo", change_id=change)
        assert await wordings(client, "lives") == {"Lives in Rome": None}
        redone = await ok(client, "undo", change_id=undone["change_id"])
        assert await wordings(client, "lives") == superseded
        await ok(client, "undo", change_id=redone["change_id"])
        assert await wordings(client, "lives") == {"Lives in Rome": None}
        clock.advance(days=1)
        await ok(client, "update_memory", id=memory_id, content="Lives in Bonn")
        assert await wordings(client, "lives") == {
            "Lives in Bonn": None,
            "Lives in Rome": (NOON.format(1), NOON.format(3)),
        }


async def test_the_past_of_a_deleted_memory_is_not_quoted_until_the_delete_is_undone(
    both: Config, clock: FakeClock
) -> None:
    async with connected(both, clock=clock) as client:
        memory_id = await add(client, "Lives in Rome")
        await reword(client, clock, memory_id, "Lives in Oslo")
        before = await wordings(client, "lives")
        await ok(client, "delete_memory", id=memory_id)
        assert await wordings(client, "lives") == {}
        undone = await ok(client, "undo")
        assert await wordings(client, "lives") == before
        await ok(client, "undo", change_id=undone["change_id"])
        assert await wordings(client, "lives") == {}
        # A new memory with the same text has no past.
        await add(client, "Lives in Oslo")
        assert await wordings(client, "lives") == {"Lives in Oslo": None}


async def test_a_wording_that_holds_again_is_not_past(both: Config, clock: FakeClock) -> None:
    async with connected(both, clock=clock) as client:
        memory_id = await add(client, "Lives in Rome")
        await reword(client, clock, memory_id, "Lives in Oslo", "Lives in Rome")
        assert await wordings(client, "lives") == {
            "Lives in Rome": None,
            "Lives in Oslo": (NOON.format(2), NOON.format(3)),
        }


@pytest.mark.promise("P5")
async def test_a_past_wording_that_is_not_shown_takes_no_place_from_a_hit(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        memory_id = await add(client, "Prefers green tea")
        for place in ("home", "work", "school"):
            await add(client, f"Drinks tea at {place}")
        await reword(client, clock, memory_id, "Prefers coffee", "Prefers green tea")
        for limit in (1, 2, 3, 4):
            found = await ok(client, "search_memories", query="tea", include_past=True, limit=limit)
            assert len(found["hits"]) == limit
            assert sum(one["count"] for one in found["left_out"]) == 4 - limit


@pytest.mark.promise("P5")
async def test_a_limit_counts_past_wordings_too(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        memory_id = await add(client, "Lives in Rome")
        await reword(client, clock, memory_id, "Lives in Oslo", "Lives in Bonn")
        found = await ok(client, "search_memories", query="lives", include_past=True, limit=2)
        assert len(found["hits"]) == 2
        assert [one["count"] for one in found["left_out"]] == [1]


async def test_filters_of_a_past_wording_speak_of_the_living_memory(both: Config, clock: FakeClock) -> None:
    async with connected(both, clock=clock) as client:
        memory_id = await add(client, "Lives in Rome", topics=["old"])
        clock.advance(days=1)
        await ok(client, "update_memory", id=memory_id, content="Lives in Oslo", topics=["new"])
        past = {"Lives in Rome": (NOON.format(1), NOON.format(2))}
        assert await wordings(client, "rome", topics=["new"]) == past
        assert await wordings(client, "rome", topics=["old"]) == {}
        assert await wordings(client, "rome", since=NOON.format(2)) == past
        assert await wordings(client, "rome", until=NOON.format(2)) == {}


async def test_neighbours_are_never_past_wordings(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        memory_id = await add(client, "Anna drives a red Volvo")
        await reword(client, clock, memory_id, "Commutes by train")
        added = await ok(client, "add_memory", content="Anna drives a red Volvo")
        assert added["outcome"] == "added"
        assert added["neighbours"] == []


EXPIRES = [
    ("30d", "2026-03-31T12:00:00.000Z"),
    ("12h", "2026-03-02T00:00:00.000Z"),
    ("2w", "2026-03-15T12:00:00.000Z"),
    (" 30 D ", "2026-03-31T12:00:00.000Z"),
    ("2026-03-02", "2026-03-02T00:00:00.000Z"),
    ("2026-03-02T08:30", "2026-03-02T08:30:00.000Z"),
    ("2026-03-02 08:30:15", "2026-03-02T08:30:15.000Z"),
    ("2026-03-02T08:30:15.123456Z", "2026-03-02T08:30:15.123Z"),
    ("2026-03-02T08:30+05:30", "2026-03-02T03:00:00.000Z"),
    ("2026-03-01T08:00:01-04:00", "2026-03-01T12:00:01.000Z"),
    ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
]


async def test_expires_is_a_length_of_time_or_an_iso_date_time(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        for given, expected in EXPIRES:
            added = (await ok(client, "add_memory", content=f"Until {given}", expires=given))["memory"]
            assert added["expires_at"] == expected, given
            await ok(client, "update_memory", id=added["id"], expires="1h")
            updated = (await ok(client, "update_memory", id=added["id"], expires=given))["memory"]
            assert updated["expires_at"] == expected, given


async def test_a_date_without_an_offset_is_one_of_the_configured_zone(config: Config, clock: FakeClock) -> None:
    async with connected(config.replace(timezone="Asia/Tokyo"), clock=clock) as client:
        added = await ok(client, "add_memory", content="Has a guest", expires="2026-04-01")
        assert added["memory"]["expires_at"] == "2026-03-31T15:00:00.000Z"
        clock.advance(hours=4)
        shown = await call(client, "update_memory", id=added["memory"]["id"], pinned=True)
        assert "· 2026-03-02 ·" in text(shown)


NO_EXPIRY = [
    ("2026-03-01T11:59:59Z", "passed"),
    ("2026-03-01T12:00:00Z", "passed"),
    ("1999-12-31", "passed"),
    ("0d", "passed"),
    ("0001-01-01T00:00:00+14:00", ""),
    *((nonsense, "not understood") for nonsense in ("soon", "30", "1y", "-1d", "1.5d", "2026-02-30", "tomorrow", "٣d")),
    ("9" * 400 + "d", "not understood"),
    ("\x00\x1b[31m\n30x", "not understood"),
]


async def test_an_expiry_that_has_passed_or_is_no_time_is_refused(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        memory = (await ok(client, "add_memory", content="Has a guest"))["memory"]
        for given, said in NO_EXPIRY:
            for tool, target in (("add_memory", {"content": "New"}), ("update_memory", {"id": memory["id"]})):
                message = await refused(client, tool, **target, expires=given)
                assert "expires" in message, given
                assert said in message, given
                assert len(message) < 200, given
        assert (await ok(client, "list_memories"))["memories"] == [memory]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
async def test_an_expiry_beyond_the_year_9999_is_refused_and_harms_nothing(config: Config, zone: str) -> None:
    async with connected(config.replace(timezone=zone)) as client:
        for given in ("9999-12-31T23:59:59-01:00", "9999-12-31T23:59:59.999999-12:00"):
            assert "expires" in await refused(client, "add_memory", content="Forever", expires=given)
        result = await call(client, "add_memory", content="Forever", expires="9999-12-31T20:00")
        assert (await ok(client, "list_memories"))["total"] == int(not result.is_error)


@pytest.mark.promise("P5")
async def test_an_expired_memory_disappears_from_every_read_at_once(both: Config, clock: FakeClock, mode: Mode) -> None:
    async with connected(both, mode, clock) as client:
        memory_id = await add(client, "Rome is where Anna stays", key="stay")
        await reword(client, clock, memory_id, "Oslo is where Anna stays")
        await ok(client, "update_memory", id=memory_id, expires="1h")
        clock.advance(seconds=3599)
        assert (await ok(client, "get_memory", key="stay"))["memory"]["id"] == memory_id
        assert "Oslo" in await resource(client, memory_id)
        assert len(await wordings(client, "anna")) == 2
        assert (await ok(client, "list_memories"))["total"] == 1
        clock.advance(seconds=1)
        await refused(client, "get_memory", id=memory_id)
        await refused(client, "get_memory", id=memory_id, history=True)
        await refused(client, "get_memory", key="stay")
        with pytest.raises(MCPError, match=memory_id):
            await resource(client, memory_id)
        assert await wordings(client, "anna") == {}
        assert await ok(client, "list_memories") == {"memories": [], "total": 0, "left_out": []}
        assert (await ok(client, "search_memories", query="anna"))["left_out"] == []
        await refused(client, "update_memory", id=memory_id, expires="")
        await refused(client, "delete_memory", id=memory_id)
        added = await ok(client, "add_memory", content="Bonn is where Anna stays")
        assert added["neighbours"] == []


def stored(config: Config) -> int:
    """How many rows the file holds, expired ones too."""
    with closing(sqlite3.connect(config.path())) as file:
        return file.execute("SELECT count(*) FROM memories").fetchone()[0]


async def test_a_new_memory_takes_up_to_twenty_expired_ones_away(config: Config, clock: FakeClock) -> None:
    async with connected(config.replace(identity="argument"), clock=clock) as client:
        await ok(client, "add_memory", user_id="bob", content="Fact", expires="1h")
        own = (await ok(client, "add_memory", user_id="alice", content="Stays"))["memory"]
        for number in range(25):
            await ok(client, "add_memory", user_id="alice", content=f"Fact {number}", expires="1h")
        clock.advance(hours=1)
        await ok(client, "add_memory", user_id="alice", content="stays")
        await ok(client, "update_memory", user_id="alice", id=own["id"], pinned=True)
        assert stored(config) == 27
        left: list[int] = []
        for number in range(3):
            await ok(client, "add_memory", user_id="alice", content=f"New {number}")
            left.append(stored(config))
        assert left == [8, 4, 5]
        assert (await ok(client, "list_memories", user_id="alice"))["total"] == 4
        undone = await ok(client, "undo", user_id="alice")
        assert [one["memory"]["content"] for one in undone["operations"]] == ["New 2"]


async def test_an_add_that_fails_sweeps_nothing(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        await ok(client, "add_memory", content="Lives in Rome")
        await ok(client, "add_memory", content="Lives in Oslo", key="city")
        await ok(client, "add_memory", content="Is away", expires="1h")
        clock.advance(hours=1)
        await refused(client, "add_memory", content="Lives in Rome", key="city")
        assert stored(config) == 3


async def test_a_new_expiry_counts_and_the_old_one_no_longer(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        longer, for_ever = await add(client, "One", expires="1h"), await add(client, "Two", expires="1h")
        await ok(client, "update_memory", id=longer, expires="2h")
        await ok(client, "update_memory", id=for_ever, expires="")
        clock.advance(hours=1)
        assert [one["id"] for one in (await ok(client, "list_memories"))["memories"]] == [for_ever, longer]
        clock.advance(hours=1)
        assert [one["id"] for one in (await ok(client, "list_memories"))["memories"]] == [for_ever]


async def test_a_page_and_its_total_count_the_living_only(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        ids = [await add(client, f"Fact {number}", expires="1h" if number % 2 else "2h") for number in range(6)]
        first = await ok(client, "list_memories", limit=2)
        clock.advance(hours=1)
        second = await ok(client, "list_memories", limit=2, cursor=first["next_cursor"])
        assert (first["total"], second["total"]) == (6, 3)
        assert [one["id"] for one in second["memories"]] == [ids[2], ids[0]]
        assert "next_cursor" not in second

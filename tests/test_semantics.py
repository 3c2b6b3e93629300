"""Section 5 of the design, case by case: null and empty values, add, update, delete, get, limits and lists."""

from typing import Any, Literal

import pytest

from mcp_memory.config import Config
from mcp_memory.sections import EmbeddingConfig
from mcp_memory.testing import FakeClock
from tests.support import Mode, call, connected, ok, refused, text

FULL: dict[str, Any] = {
    "content": "Plays chess",
    "key": "hobby",
    "topics": ["games", "club"],
    "pinned": True,
    "expires": "2026-04-01",
    "metadata": {"a": 1, "b": [2]},
}
NOTHING: dict[str, None] = dict.fromkeys(("topics", "key", "pinned", "expires", "metadata"))
HOUR_LATER = "2026-03-01T13:00:00.000Z"

UPDATES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "null never clears": ({"content": "Plays go", **NOTHING}, {"content": "Plays go"}, ["content"]),
    "case counts": ({"content": "plays CHESS"}, {"content": "plays CHESS"}, ["content"]),
    "empty text clears the key": ({"key": ""}, {"key": None}, ["key"]),
    "so do blanks": ({"key": "  "}, {"key": None}, ["key"]),
    "empty text clears the expiry": ({"expires": ""}, {"expires_at": None}, ["expires"]),
    "an empty list clears the topics": ({"topics": []}, {"topics": []}, ["topics"]),
    "an empty object clears the metadata": ({"metadata": {}}, {"metadata": {}}, ["metadata"]),
    "topics replace the whole": ({"topics": ["club"]}, {"topics": ["club"]}, ["topics"]),
    "metadata replaces the whole": ({"metadata": {"c": 3}}, {"metadata": {"c": 3}}, ["metadata"]),
    "1 is not true": ({"metadata": {"a": True, "b": [2]}}, {"metadata": {"a": True, "b": [2]}}, ["metadata"]),
    "false unpins": ({"pinned": False}, {"pinned": False}, ["pinned"]),
    "only what differs is changed": (
        {"content": "Plays chess", "key": "game", "pinned": False},
        {"key": "game", "pinned": False},
        ["key", "pinned"],
    ),
}

WITHOUT_EFFECT: dict[str, dict[str, Any]] = {
    "same text": {"content": "Plays chess"},
    "same text after clean-up": {"content": " Plays \t chess\r\n"},
    "same key": {"key": " hobby"},
    "same topics after clean-up": {"topics": ["Games ", "club", "GAMES"]},
    "same pin": {"pinned": True},
    "same expiry": {"expires": "2026-04-01T02:00:00+02:00"},
    "same metadata": {"metadata": {"b": [2], "a": 1}},
    "same text and nulls": {"content": "Plays chess", **NOTHING},
    "nulls": {"content": None, **NOTHING},
    "no field at all": {},
}

ONTO_TEXT = [
    pytest.param({"topics": ["Sport", "games"]}, {"topics": ["games", "club", "sport"]}, id="topics are united"),
    pytest.param({"key": "pastime"}, {"key": "pastime"}, id="a key is set"),
    pytest.param(
        {"key": "pastime", "topics": [], "pinned": False, "expires": "", "metadata": {}},
        {"key": "pastime"},
        id="what is empty counts as not given",
    ),
    pytest.param({"expires": "2026-05-01"}, {"expires_at": "2026-05-01T00:00:00.000Z"}, id="an expiry is set"),
    pytest.param({"metadata": {"c": 3}}, {"metadata": {"c": 3}}, id="metadata is set"),
]

NOTHING_NEW: dict[str, dict[str, Any]] = {
    "bare text": {},
    "nulls": {**NOTHING},
    "a topic it has": {"topics": ["CLUB"]},
    "no topics": {"topics": []},
    "an empty key": {"key": ""},
    "a blank key": {"key": " "},
    "an empty expiry": {"expires": ""},
    "empty metadata": {"metadata": {}},
    "no pin": {"pinned": False},
    "nothing but empty values": {"key": "", "expires": "", "topics": [], "metadata": {}, "pinned": False},
    "all it has": {name: value for name, value in FULL.items() if name != "content"},
}


def changed(before: dict[str, Any], differing: dict[str, Any]) -> dict[str, Any]:
    """`before` one version and one hour later with `differing`; None in it is a field that is gone."""
    after = before | {"version": before["version"] + 1, "updated_at": HOUR_LATER} | differing
    return {name: value for name, value in after.items() if value is not None}


async def test_an_update_sets_what_is_given_and_nothing_else(config: Config, clock: FakeClock) -> None:
    async with connected(config.replace(identity="argument"), clock=clock) as client:
        before = {case: (await ok(client, "add_memory", user_id=case, **FULL))["memory"] for case in UPDATES}
        clock.advance(hours=1)
        for case, (fields, differing, names) in UPDATES.items():
            updated = await ok(client, "update_memory", user_id=case, id=before[case]["id"], **fields)
            assert updated["outcome"] == "updated", case
            assert updated["changed"] == names, case
            assert updated["change_id"], case
            assert updated["memory"] == changed(before[case], differing), case
            got = await ok(client, "get_memory", user_id=case, id=before[case]["id"])
            assert got["memory"] == updated["memory"], case


async def test_an_update_without_effect_is_unchanged_and_writes_nothing(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        before = (await ok(client, "add_memory", **FULL))["memory"]
        clock.advance(hours=1)
        for case, fields in WITHOUT_EFFECT.items():
            updated = await ok(client, "update_memory", id=before["id"], **fields)
            assert updated == {"outcome": "unchanged", "memory": before, "changed": []}, case
        got = await ok(client, "get_memory", id=before["id"], history=True)
        assert (got["memory"], len(got["revisions"])) == (before, 1)


async def test_an_update_that_gives_no_field_still_looks_for_the_memory_and_its_version(config: Config) -> None:
    async with connected(config) as client:
        memory = (await ok(client, "add_memory", **FULL))["memory"]
        assert "nosuchmemory" in await refused(client, "update_memory", id="nosuchmemory")
        assert "at version 1, not 2" in await refused(client, "update_memory", id=memory["id"], if_version=2)
        unchanged = await ok(client, "update_memory", id=memory["id"], if_version=1)
        assert (unchanged["outcome"], unchanged["memory"]) == ("unchanged", memory)


async def test_adding_the_same_text_writes_nothing_where_nothing_is_new(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        before = (await ok(client, "add_memory", **FULL))["memory"]
        clock.advance(hours=1)
        for case, fields in NOTHING_NEW.items():
            again = await ok(client, "add_memory", **{**fields, "content": "  plays   CHESS"})
            assert again == {"outcome": "exists", "memory": before, "neighbours": []}, case
        assert (await ok(client, "list_memories"))["memories"] == [before]


@pytest.mark.parametrize(("fields", "differing"), ONTO_TEXT)
async def test_adding_the_same_text_sets_what_is_new_as_an_update(
    config: Config, clock: FakeClock, fields: dict[str, Any], differing: dict[str, Any]
) -> None:
    async with connected(config, clock=clock) as client:
        before = (await ok(client, "add_memory", **FULL))["memory"]
        clock.advance(hours=1)
        again = await ok(client, "add_memory", content="PLAYS chess", **fields)
        assert again["outcome"] == "exists"
        assert again["memory"] == changed(before, differing)
        await ok(client, "undo", change_id=again["change_id"])
        restored = (await ok(client, "get_memory", id=before["id"]))["memory"]
        assert restored == before | {"version": 3, "updated_at": HOUR_LATER}


async def test_a_pin_is_set_by_adding_the_same_text(config: Config) -> None:
    async with connected(config) as client:
        plain = (await ok(client, "add_memory", content="Plays chess"))["memory"]
        pinned = await ok(client, "add_memory", content="plays chess", pinned=True)
        assert (pinned["outcome"], pinned["memory"]["pinned"]) == ("exists", True)
        assert pinned["memory"]["id"] == plain["id"]


async def test_united_topics_beyond_eight_are_refused_and_nothing_is_written(config: Config) -> None:
    async with connected(config) as client:
        added = await ok(client, "add_memory", content="Reads a lot", topics=[*"abcdef"])
        message = await refused(client, "add_memory", content="Reads a lot", topics=[*"fghi"], pinned=True)
        for told in (added["memory"]["id"], "6 topics and the new ones make 9", "at most 8", "update_memory"):
            assert told in message
        assert (await ok(client, "list_memories"))["memories"] == [added["memory"]]


async def test_adding_to_a_key_replaces_its_text_and_keeps_omitted_fields(
    config: Config, clock: FakeClock, mode: Mode
) -> None:
    async with connected(config, mode, clock) as client:
        before = (await ok(client, "add_memory", **FULL))["memory"]
        clock.advance(hours=1)
        replaced = await ok(client, "add_memory", content="Plays go", key=" hobby\n", topics=["Board"])
        assert replaced["outcome"] == "replaced"
        assert replaced["memory"] == changed(before, {"content": "Plays go", "topics": ["board"]})
        history = (await ok(client, "get_memory", key="hobby", history=True))["revisions"]
        assert [(one["content"], one["change_id"]) for one in history][1:] == [("Plays go", replaced["change_id"])]
        assert (await ok(client, "list_memories"))["total"] == 1


async def test_adding_to_a_key_clears_what_is_given_empty_as_an_update_does(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        before = (await ok(client, "add_memory", **FULL))["memory"]
        clock.advance(hours=1)
        empty: dict[str, Any] = {"topics": [], "pinned": False, "expires": "", "metadata": {}}
        replaced = await ok(client, "add_memory", content="Plays go", key="hobby", **empty)
        assert replaced["outcome"] == "replaced"
        cleared: dict[str, Any] = {"topics": [], "pinned": False, "expires_at": None, "metadata": {}}
        assert replaced["memory"] == changed(before, {"content": "Plays go", **cleared})


async def test_keys_are_exact_names(config: Config) -> None:
    async with connected(config) as client:
        for content, key in (("Rome", "city"), ("Oslo", "City"), ("Bonn", "city_1")):
            assert (await ok(client, "add_memory", content=content, key=key))["outcome"] == "added"
        assert (await ok(client, "get_memory", key="City"))["memory"]["content"] == "Oslo"


async def test_the_text_of_one_memory_with_the_key_of_another_is_refused_and_both_are_named(config: Config) -> None:
    async with connected(config) as client:
        text_owner = (await ok(client, "add_memory", content="Lives in Rome"))["memory"]
        key_owner = (await ok(client, "add_memory", content="Lives in Oslo", key="city"))["memory"]
        message = await refused(client, "add_memory", content="lives in rome", key="city", topics=["home"])
        assert text_owner["id"] in message
        assert key_owner["id"] in message
        assert (await ok(client, "list_memories"))["memories"] == [key_owner, text_owner]


async def test_an_update_to_the_text_or_key_of_another_memory_is_refused_and_it_is_named(config: Config) -> None:
    async with connected(config) as client:
        other = (await ok(client, "add_memory", content="Lives in Rome", key="city"))["memory"]
        own = (await ok(client, "add_memory", content="Works in Oslo"))["memory"]
        for fields in ({"content": "lives in  ROME"}, {"key": "city"}, {"content": "x", "key": "city"}):
            assert other["id"] in await refused(client, "update_memory", id=own["id"], **fields)
        assert (await ok(client, "list_memories"))["memories"] == [own, other]


@pytest.mark.parametrize("fields", [{"content": "Lives in Rome"}, {"content": "Lives in Oslo", "key": "city"}])
@pytest.mark.parametrize("tool", ["add_memory", "update_memory"])
async def test_an_expired_memory_is_never_in_the_way(
    config: Config, clock: FakeClock, tool: str, fields: dict[str, Any]
) -> None:
    async with connected(config, clock=clock) as client:
        old = (await ok(client, "add_memory", content="Lives in Rome", key="city", expires="1h"))["memory"]
        own = (await ok(client, "add_memory", content="Has a house"))["memory"]
        clock.advance(hours=1)
        target = {"id": own["id"]} if tool == "update_memory" else {}
        written = await ok(client, tool, **target, **fields)
        assert written["outcome"] in {"added", "updated"}
        assert written["memory"]["id"] != old["id"]
        assert written["memory"]["content"] == fields["content"]
        await refused(client, "get_memory", id=old["id"])


async def test_neighbours_are_close_memories_with_scores_and_never_the_memory_itself(config: Config) -> None:
    async with connected(config) as client:
        others = [
            (await ok(client, "add_memory", content=f"Anna likes green tea {when}"))["memory"]["id"]
            for when in ("daily", "weekly", "monthly", "rarely")
        ]
        await ok(client, "add_memory", content="Works at a bank")
        added = await ok(client, "add_memory", content="Anna likes green tea in winter")
        close = {hit["id"] for hit in added["neighbours"]}
        assert len(close) == 3
        assert close < set(others)
        assert all(0 < hit["score"] <= 1 for hit in added["neighbours"])


async def test_an_update_of_another_version_is_refused_and_the_current_one_is_named(config: Config) -> None:
    async with connected(config) as client:
        memory_id = (await ok(client, "add_memory", content="Version one"))["memory"]["id"]
        second = await ok(client, "update_memory", id=memory_id, content="Version two", if_version=1)
        for version in (0, 1, 3, -1):
            message = await refused(client, "update_memory", id=memory_id, content="Version three", if_version=version)
            assert "version 2" in message
            # Also where it would have no effect: the caller decided on something else.
            await refused(client, "update_memory", id=memory_id, content="Version two", if_version=version)
        assert (await ok(client, "get_memory", id=memory_id))["memory"] == second["memory"]


async def test_deleting_removes_all_ids_as_one_change_and_returns_what_was(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        memories = [
            (await ok(client, "add_memory", content=name, key=name))["memory"] for name in ("One", "Two", "Three")
        ]
        first, second, third = memories
        deleted = await ok(client, "delete_memory", id=[first["id"], second["id"], f" {first['id']} "])
        assert deleted["memories"] == [first, second]
        assert (await ok(client, "list_memories"))["memories"] == [third]
        assert (await ok(client, "search_memories", query="one two"))["hits"] == []
        assert "key 'One'" in await refused(client, "get_memory", key="One")
        again = await ok(client, "add_memory", content="One", key="One")
        assert again["outcome"] == "added"
        assert again["memory"]["id"] != first["id"]


async def test_deleting_is_all_or_none(config: Config) -> None:
    async with connected(config) as client:
        memory = (await ok(client, "add_memory", content="Stays"))["memory"]
        too_many = [f"id{number}" for number in range(100)]
        for others, named in ((["nosuchmemory"], "nosuchmemory"), ([""], "No memory"), (too_many, "101 ids")):
            assert named in await refused(client, "delete_memory", id=[memory["id"], *others])
        assert "0 ids" in await refused(client, "delete_memory", id=[])
        assert (await ok(client, "list_memories"))["memories"] == [memory]


def metadata_of(size: int) -> dict[str, str]:
    """An object of exactly `size` bytes as compact UTF-8 JSON; ü is two of them."""
    return {"a": "ü" + "x" * (size - len('{"a":"ü"}'.encode()))}


LIMITS: list[tuple[str, Any, Any, str]] = [
    ("content", "x", "", "empty"),
    ("content", "x", "\u202e \u200b\n", "empty"),
    ("content", "é" * 4_000, "x" * 4_001, "4,000"),
    ("content", "a  b" * 1_000 + "\u200b", "a  b" * 1_333 + "cc", "4,000"),  # blanks are folded before the count
    ("topics", [*"abcdefgh"], [*"abcdefghi"], "at most 8"),
    ("topics", [*"abcdefghABCDEFGH"], [*"abcdefghI"], "at most 8"),  # different ones count
    ("topics", ["x" * 64 + " "], ["x" * 65], "1 to 64"),
    ("topics", ["x"], [" "], "1 to 64"),
    ("key", "k" * 128, "k" * 129, "1 to 128"),
    ("metadata", metadata_of(4_096), metadata_of(4_097), "4,096"),
]


async def test_limits_hold_for_add_and_update(config: Config) -> None:
    async with connected(config.replace(identity="argument")) as client:
        for number, (name, fits, too_much, said) in enumerate(LIMITS):
            user = {"user_id": f"case {number}"}
            added = await ok(client, "add_memory", **user, **({"content": "Something"} | {name: fits}))
            memory = (await ok(client, "add_memory", **user, content="Another"))["memory"]
            wanted = {"add_memory": {"content": "New"}, "update_memory": {"id": memory["id"], "pinned": True}}
            for tool, more in wanted.items():
                message = await refused(client, tool, **user, **(more | {name: too_much}))
                assert name.rstrip("s") in message
                assert said in message
            listed = await ok(client, "list_memories", **user)
            assert listed["memories"] == [memory, added["memory"]], (name, said)
            await ok(client, "delete_memory", **user, id=added["memory"]["id"])
            updated = await ok(client, "update_memory", **user, id=memory["id"], **{name: fits})
            assert updated["outcome"] == "updated", (name, said)


async def test_ids_are_trimmed(config: Config) -> None:
    async with connected(config) as client:
        memory_id = (await ok(client, "add_memory", content="One"))["memory"]["id"]
        wide = f" \n{memory_id}\t "
        assert (await ok(client, "get_memory", id=wide))["memory"]["id"] == memory_id
        updated = await ok(client, "update_memory", id=wide, content="Two")
        await ok(client, "undo", change_id=f" {updated['change_id']}\n")
        assert (await ok(client, "delete_memory", id=wide))["memories"][0]["content"] == "One"
        assert "was deleted" in await refused(client, "get_memory", id=wide)


@pytest.mark.promise("P3")
async def test_history_lists_every_version_with_tool_client_and_change(
    config: Config, clock: FakeClock, mode: Mode
) -> None:
    async with connected(config, mode, clock) as client:
        added = await ok(client, "add_memory", content="Lives in Rome", key="city")
        clock.advance(hours=1)
        replaced = await ok(client, "add_memory", content="Lives in Oslo", key="city", topics=["home"])
        undone = await ok(client, "undo")
        deleted = await ok(client, "delete_memory", id=added["memory"]["id"])
        restored = await ok(client, "undo")
        revisions = (await ok(client, "get_memory", key="city", history=True))["revisions"]
    changes = [one["change_id"] for one in (added, replaced, undone, deleted, restored)]
    assert [one["change_id"] for one in revisions] == changes
    assert [one["version"] for one in revisions] == [1, 2, 3, 4, 5]
    assert [one["operation"] for one in revisions] == ["add", "update", "restore", "delete", "restore"]
    assert [one["tool"] for one in revisions] == ["add_memory", "add_memory", "undo", "delete_memory", "undo"]
    assert [one["content"][9:] for one in revisions] == ["Rome", "Oslo", "Rome", "Rome", "Rome"]
    assert [one["topics"] for one in revisions] == [[], ["home"], [], [], []]
    assert [one["at"] for one in revisions] == [added["memory"]["created_at"]] + [HOUR_LATER] * 4
    assert {one["client"] for one in revisions} == {"mcp"}
    assert changes[1] in revisions[2]["reason"]


async def test_get_wants_either_id_or_key(config: Config) -> None:
    async with connected(config) as client:
        memory = (await ok(client, "add_memory", content="Lives in Rome", key="home city"))["memory"]
        assert await ok(client, "get_memory", id=memory["id"], key=None) == {"memory": memory}
        assert await ok(client, "get_memory", key=" home   city", id=None) == {"memory": memory}
        for given in ({}, {"id": None, "key": None}, {"id": memory["id"], "key": "home city"}):
            message = await refused(client, "get_memory", **given)
            assert "id" in message
            assert "key" in message
        assert "'work city'" in await refused(client, "get_memory", key="work city")
        assert "nosuchmemory" in await refused(client, "get_memory", id="nosuchmemory")


@pytest.mark.promise("P3")
async def test_the_id_of_a_deleted_memory_tells_how_to_bring_it_back(config: Config) -> None:
    async with connected(config) as client:
        memory = (await ok(client, "add_memory", content="Lives in Rome"))["memory"]
        deleted = await ok(client, "delete_memory", id=memory["id"])
        message = await refused(client, "get_memory", id=memory["id"])
        assert deleted["change_id"] in message
        assert "Rome" not in message
        await ok(client, "undo", change_id=deleted["change_id"])
        assert (await ok(client, "get_memory", id=memory["id"]))["memory"]["content"] == "Lives in Rome"


async def test_a_list_is_newest_created_first_whatever_happened_since(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        ids: list[str] = []
        for content in ("One", "Two", "Three"):
            ids.append((await ok(client, "add_memory", content=content))["memory"]["id"])
            clock.advance(hours=-1)  # the machine's clock was set back: the order of writing counts
        await ok(client, "update_memory", id=ids[0], content="Uno")
        await ok(client, "delete_memory", id=ids[1])
        await ok(client, "undo")
        listed = await ok(client, "list_memories")
        assert [one["id"] for one in listed["memories"]] == ids[::-1]
        assert [one["created_at"][11:13] for one in listed["memories"]] == ["10", "11", "12"]


async def test_pages_hold_everything_once_while_others_write(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        ids = [(await ok(client, "add_memory", content=f"Fact {n}"))["memory"]["id"] for n in range(5)][::-1]
        first = await ok(client, "list_memories", limit=2)
        await ok(client, "add_memory", content="Newer than the first page")
        await ok(client, "delete_memory", id=ids[1])
        second = await ok(client, "list_memories", limit=2, cursor=first["next_cursor"])
        third = await ok(client, "list_memories", limit=2, cursor=second["next_cursor"])
        pages = [[one["id"] for one in page["memories"]] for page in (first, second, third)]
        assert pages == [ids[:2], ids[2:4], ids[4:]]
        assert [page["total"] for page in (first, second, third)] == [5, 5, 5]
        assert "next_cursor" not in third


async def test_a_cursor_of_another_list_is_told_to_start_again(config: Config) -> None:
    named = config.replace(identity="argument", agent="planner")
    async with connected(named) as client:
        for user in ("alice", "bob"):
            for number in range(3):
                await ok(client, "add_memory", user_id=user, content=f"Fact {number}", topics=["fact"])
        cursor = (await ok(client, "list_memories", user_id="alice", limit=1, topics=["fact"]))["next_cursor"]
        foreign: list[dict[str, Any]] = [
            {"user_id": "bob", "topics": ["fact"], "cursor": cursor},
            {"user_id": "alice", "cursor": cursor},
            {"user_id": "alice", "topics": ["fact", "other"], "cursor": cursor},
            {"user_id": "alice", "topics": ["fact"], "agent": "planner", "cursor": cursor},
            *({"user_id": "alice", "topics": ["fact"], "cursor": bad} for bad in (cursor[:-2], "AAAA", "ü", "2", "=")),
        ]
        for arguments in foreign:
            assert "start again" in await refused(client, "list_memories", **arguments), arguments
        right = await ok(client, "list_memories", user_id="alice", topics=[" FACT"], cursor=f" {cursor} ")
        assert [one["content"] for one in right["memories"]] == ["Fact 1", "Fact 0"]


async def test_a_filter_means_any_of_its_topics_and_the_total_counts_it(config: Config) -> None:
    async with connected(config) as client:
        for content, topics in (("A", ["red"]), ("B", ["red", "blue"]), ("C", ["green"]), ("D", [])):
            await ok(client, "add_memory", content=f"Paint {content}", topics=topics)
        for wanted, expected in (
            (["red"], "BA"),
            (["Blue ", "green"], "CB"),
            (["violet"], ""),
            ([], "DCBA"),
        ):
            listed = await ok(client, "list_memories", topics=wanted)
            assert "".join(one["content"][-1] for one in listed["memories"]) == expected
            assert listed["total"] == len(expected)
            found = await ok(client, "search_memories", query="paint", topics=wanted)
            assert {hit["content"][-1] for hit in found["hits"]} == set(expected)


async def test_an_agent_is_recorded_and_filters_but_hides_nothing(config: Config, clock: FakeClock) -> None:
    async with connected(config.replace(agent="planner"), clock=clock) as client:
        added = (await ok(client, "add_memory", content="Plans trips"))["memory"]
        assert added["agent"] == "planner"
    async with connected(config, clock=clock) as client:
        other = (await ok(client, "add_memory", content="Books trips"))["memory"]
        assert "agent" not in other
        assert (await ok(client, "list_memories", agent="planner"))["memories"] == [added]
        assert (await ok(client, "list_memories", agent="nobody"))["total"] == 0
        assert (await ok(client, "list_memories"))["memories"] == [other, added]
        updated = await ok(client, "update_memory", id=added["id"], content="Plans long trips")
        assert updated["memory"]["agent"] == "planner"
        hits = (await ok(client, "search_memories", query="trips", agent="planner"))["hits"]
        assert [hit["id"] for hit in hits] == [added["id"]]


@pytest.mark.promise("P5")
async def test_a_limit_above_100_is_lowered_and_said_in_both_forms(config: Config) -> None:
    async with connected(config.replace(ephemeral=True)) as client:
        for number in range(101):
            await ok(client, "add_memory", content=f"Fact {number}")
        for tool, query in (("list_memories", {}), ("search_memories", {"query": "fact"})):
            shown = await call(client, tool, **query, limit=500)
            assert shown.structured_content is not None
            assert len(shown.structured_content.get("memories") or shown.structured_content["hits"]) == 100
            reasons = [left_out["reason"] for left_out in shown.structured_content["left_out"]]
            assert any("500" in reason and "100" in reason for reason in reasons)
            assert all(reason in text(shown) for reason in reasons)
        assert (await ok(client, "list_memories", limit=100))["left_out"] == []


async def test_a_limit_below_one_is_refused(config: Config) -> None:
    async with connected(config) as client:
        await ok(client, "add_memory", content="Fact")
        for limit in (0, -1, -(10**30)):
            assert "limit" in await refused(client, "list_memories", limit=limit)
            assert "limit" in await refused(client, "search_memories", query="fact", limit=limit)


@pytest.mark.promise("P5")
async def test_a_search_says_which_modes_served_and_how_many_hits_are_not_shown(config: Config) -> None:
    async with connected(config) as client:
        for number in range(5):
            await ok(client, "add_memory", content=f"Fact {number}", topics=["odd" if number % 2 else "even"])
        found = await call(client, "search_memories", query="fact", limit=2, topics=["even"])
        assert found.structured_content is not None
        assert found.structured_content["modes"] == ["lexical", "semantic"]
        assert len(found.structured_content["hits"]) == 2
        left_out = found.structured_content["left_out"]
        assert [one["count"] for one in left_out] == [1, 2]
        assert all(f"{one['count']} more left out: {one['reason']}" in text(found) for one in left_out)
        nothing = await call(client, "search_memories", query="zebra")
        assert nothing.structured_content is not None
        assert nothing.structured_content["hits"] == []
        assert [one["count"] for one in nothing.structured_content["left_out"]] == [5]
        assert "below the score cut-off of 0.25; the best had 0." in text(nothing)
        assert "Nothing relevant" in text(nothing)


@pytest.mark.promise("P5")
async def test_a_query_of_more_words_than_are_searched_says_so(config: Config) -> None:
    words = [f"{first}{vowel}{last}x" for first in "bdgkp" for vowel in "aeiou" for last in "lmnrt"]
    async with connected(config) as client:
        await ok(client, "add_memory", content=f"Says {words[3]}")
        for count, said in ((20, False), (100, True)):
            found = await ok(client, "search_memories", query=" ".join(words[:count]))
            reasons = [one["reason"] for one in found["left_out"]]
            assert ("only the first 64 words of the query were searched" in reasons) == said


@pytest.mark.parametrize("provider", ["none", "builtin"])
async def test_a_newer_statement_behind_the_limit_takes_the_place_of_the_older(
    config: Config, clock: FakeClock, provider: Literal["none", "builtin"]
) -> None:
    fact = "Bob's favourite tea shop is Postcard Teas"
    newer = f"As of 14 March 2026, and no longer only on Fridays in May, {fact}"
    sold = ("pots, cups", "cakes, biscuits", "blends, samples", "spoons, trays", "books, cards", "honey, milk")
    others = [f"Bob's favourite tea shop sells {things}" for things in sold]
    configured = config.replace(embedding=EmbeddingConfig(provider=provider))
    async with connected(configured, clock=clock) as client:
        for content in (fact, *(others if provider == "builtin" else ()), newer):
            await ok(client, "add_memory", content=content)
            clock.advance(days=1)
        found = await ok(client, "search_memories", query="Bob's favourite tea shop", limit=1)
        assert [hit["content"] for hit in found["hits"]] == [newer]


BOUNDS: list[tuple[dict[str, str | None], str]] = [
    ({"since": "2026-03-01T12:00:00Z"}, "ABC"),
    ({"since": "2026-03-01T12:00:00.000001Z"}, "BC"),
    ({"until": "2026-03-03T12:00:00Z"}, "AB"),
    ({"until": "2026-03-03T12:00:00.000001Z"}, "ABC"),
    ({"since": "2026-03-01T14:00:00+02:00", "until": "2026-03-01T07:00:01-05:00"}, "A"),
    ({"since": "2026-03-02"}, "BC"),  # a date is its first moment
    ({"since": "2026-03-02T12:00"}, "BC"),  # a time of the configured zone
    ({"since": "1d"}, "BC"),
    ({"since": "48h"}, "ABC"),
    ({"since": "47h"}, "BC"),
    ({"since": "1w", "until": "1d"}, "A"),
    ({"until": "2d"}, ""),
    ({"since": "2026-03-03", "until": "2026-03-02"}, ""),
    ({"since": "", "until": None}, "ABC"),
]


async def test_since_and_until_are_half_open_bounds_of_the_last_change(config: Config, clock: FakeClock) -> None:
    async with connected(config, clock=clock) as client:
        memory_id = (await ok(client, "add_memory", content="Day zero"))["memory"]["id"]
        await ok(client, "add_memory", content="Day A")
        clock.advance(days=1)
        await ok(client, "add_memory", content="Day B")
        clock.advance(days=1)
        await ok(client, "update_memory", id=memory_id, content="Day C")
        for bounds, expected in BOUNDS:
            found = await ok(client, "search_memories", query="day", **bounds)
            assert "".join(sorted(hit["content"][-1] for hit in found["hits"])) == expected, bounds
            assert sum(one["count"] for one in found["left_out"]) == 3 - len(expected), bounds


async def test_a_bound_that_is_no_time_is_refused(config: Config) -> None:
    async with connected(config) as client:
        for value in ("yesterday", "7", "7y", "2026-13-01", "-7d", "'; --"):
            for name in ("since", "until"):
                message = await refused(client, "search_memories", query="fact", **{name: value})
                assert name in message
                assert "7d" in message

"""Whose memories are whose (P1): nothing of one user is ever seen, counted or changed by another."""

import json
import re
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client, MCPError
from mcp.types import INVALID_PARAMS, TextResourceContents

from mcp_memory.config import Config
from mcp_memory.testing import FakeClock
from tests.support import Mode, connected, ok, refused
from tests.test_model import MODES, PICKS, Model, Pick, Reply, Step, reads, reply_of, rounds, steps_of, undos, writes

pytestmark = pytest.mark.promise("P1")

USERS = ("alice", "bob", "carol")
MINE = "mine"
"""Stands for the user's own name in a step: `minemark` becomes `alicemark`."""

CONTENTS = st.sampled_from(
    ["Rome", "rome", "Rome river", "Blue river", "Minemark", "Minemark river", "Minemark in Rome", "Minemark blue"]
)
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "topics": st.lists(st.sampled_from(["red", "blue", "minemark"]), max_size=2),
    "key": st.sampled_from(["", "", "home", "minemark"]),
    "pinned": st.booleans(),
    "expires": st.sampled_from(["", "", "1h"]),
    "metadata": st.sampled_from([{}, {"by": "minemark"}]),
}
KEYS = st.sampled_from(["home", "minemark", "alicemark"])
WORDS = st.sampled_from(["rome", "river", "red", "home", "minemark", "alicemark", "bobmark"])
READS = ("get_memory", "list_memories", "search_memories", "page", "resource")
PAGES = steps_of("page", {"limit": st.integers(1, 2)}, {"cursor": st.builds(Pick, st.integers(0, 9))}, len(USERS))
RESOURCES = steps_of("resource", {"id": PICKS}, {}, len(USERS))
HISTORIES = steps_of("get_memory", {"id": PICKS, "history": st.just(value=True)}, {}, len(USERS))
WRITES = writes(CONTENTS, OPTIONAL, len(USERS))
STEPS = st.tuples(
    st.lists(WRITES[0], min_size=6, max_size=10),
    rounds(
        WRITES,
        undos(len(USERS)),
        [*reads(WORDS, KEYS, len(USERS)), HISTORIES, PAGES, PAGES, RESOURCES],
        most=5,
    ),
).map(lambda parts: [*parts[0], *parts[1]])


class CountingClock(FakeClock):
    """Ids count up for each user, with the user's initial, or all alike: an id is unique per user only."""

    def __init__(self, *, alike: bool) -> None:
        super().__init__()
        self.user = ""
        self._alike = alike
        self._given: Counter[str] = Counter()

    def new_id(self) -> str:
        self._given[self.user] += 1
        return f"{'m' if self._alike else self.user[0]}{self._given[self.user]:011d}"


@dataclass
class World:
    """One store for all users, and for each user a store where nobody else ever was."""

    shared: Client
    alone: dict[str, Client]
    clocks: Sequence[CountingClock]
    alike: bool
    models: dict[str, Model] = field(default_factory=lambda: {user: Model() for user in USERS})
    cursors: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])

    async def take(self, step: Step) -> None:
        user = USERS[step.user]
        for clock in self.clocks:
            clock.user = user
            clock.advance(seconds=step.arguments["seconds"] if step.tool == "wait" else 1)
        if step.tool != "wait":
            await self.ask(user, step.tool, self.resolved(step, self.models[user], user))
        if step.tool not in READS:
            await self.ask(user, "list_memories", {})

    async def ask(self, user: str, tool: str, arguments: dict[str, Any]) -> None:
        """The reply is what it would be without the others, and what the model says, and holds nothing of theirs."""
        reply = await reply_of_user(self.shared, tool, user, arguments)
        assert reply == await reply_of_user(self.alone[user], tool, user, arguments)
        self.holds_nothing_of_others(user, arguments, reply)
        model, now = self.models[user], self.clocks[0].now()
        match tool:
            case "page":
                self.expect_page(model, user, reply, now, **arguments)
            case "resource":
                expect_resource(model, reply, now, arguments["id"])
            case _:
                model.expect(tool, arguments, reply, now)

    async def ask_for_everything(self) -> None:
        for user, model in self.models.items():
            await self.ask(user, "list_memories", {})
            for memory in model.listed():
                await self.ask(user, "get_memory", {"id": memory, "history": True})

    def resolved(self, step: Step, model: Model, user: str) -> dict[str, Any]:
        """The arguments of a step, with ids of all users, so that those of others are tried too."""
        ids = list(dict.fromkeys(one for other in self.models.values() for one in other.revisions))
        changes = [one.id for other in self.models.values() for one in other.changes if not one.system]
        arguments = step.resolved(ids, changes, model)
        if isinstance(picked := arguments.pop("cursor", None), Pick) and self.cursors:
            arguments["cursor"] = picked.of([cursor for _, cursor, _ in self.cursors])
        return json.loads(re.sub(MINE, user, json.dumps(arguments), flags=re.IGNORECASE))

    def holds_nothing_of_others(self, user: str, arguments: dict[str, Any], reply: Reply) -> None:
        said = (json.dumps(reply.structured) + reply.text).lower()
        others = [other for other in USERS if other != user]
        marks = [f"{other}mark" for other in others]
        if not self.alike:
            marks += [one for other in others for one in self.models[other].revisions]
            marks += [one.id for other in others for one in self.models[other].changes if one.id]
        asked = json.dumps(arguments)
        assert not [mark for mark in marks if mark in said and mark not in asked]

    def expect_page(
        self, model: Model, user: str, reply: Reply, now: int, limit: int, cursor: str | None = None
    ) -> None:
        model.now = now
        places = {(owner, place): last for owner, place, last in self.cursors}
        if cursor is not None and (user, cursor) not in places:
            return reply.refuses("start again")
        rows = list(model.revisions)
        older = rows[: rows.index(places[user, cursor])] if cursor is not None else rows
        page = [one for one in model.listed() if one in older]
        assert reply.structured["total"] == len(model.listed())
        assert reply.structured["memories"] == [model.view(one) for one in page[:limit]]
        if following := reply.structured.get("next_cursor"):
            self.cursors.append((user, following, page[limit - 1]))
        assert bool(following) == (len(page) > limit)
        return None


def expect_resource(model: Model, reply: Reply, now: int, memory: str) -> None:
    model.now = now
    if model.living(memory):
        assert not reply.is_error
        assert f"[{memory}] {model.present[memory]['content']}" in reply.text
    else:
        assert reply.is_error
        assert reply.structured == {"code": INVALID_PARAMS}


async def reply_of_user(client: Client, tool: str, user: str, arguments: dict[str, Any]) -> Reply:
    match tool:
        case "resource":
            return await read(client, uri_of(arguments["id"], user))
        case "page":
            return await reply_of(client, "list_memories", {"user_id": user, **arguments})
        case _:
            return await reply_of(client, tool, {"user_id": user, **arguments})


async def read(client: Client, uri: str) -> Reply:
    try:
        [content] = (await client.read_resource(uri)).contents
    except MCPError as error:
        return Reply({"code": error.code}, str(error), is_error=True)
    assert isinstance(content, TextResourceContents)
    return Reply({}, content.text, is_error=False)


def uri_of(memory_id: str, user: str | None = None) -> str:
    return f"memory://users/{quote(user, safe='')}/memories/{memory_id}" if user else f"memory://memories/{memory_id}"


@asynccontextmanager
async def world(folder: Path, *, ephemeral: bool, mode: Mode, alike: bool) -> AsyncGenerator[World]:
    with TemporaryDirectory(dir=folder) as own:
        async with AsyncExitStack() as stack:
            config = Config(database=str(Path(own) / "memory.db"), identity="argument", timezone="UTC")
            alone = config.replace(ephemeral=True)
            clocks = [CountingClock(alike=alike) for _ in range(1 + len(USERS))]
            shared = connected(config.replace(ephemeral=ephemeral), mode, clocks[0])
            yield World(
                await stack.enter_async_context(shared),
                {
                    user: await stack.enter_async_context(connected(alone, "auto", clock))
                    for user, clock in zip(USERS, clocks[1:], strict=True)
                },
                clocks,
                alike,
            )


@pytest.mark.timeout(600)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ephemeral=st.sampled_from([False, False, True]), mode=MODES, alike=st.booleans(), steps=STEPS)
def test_no_reply_differs_from_what_it_would_be_if_nobody_else_were_there(
    tmp_path_factory: pytest.TempPathFactory, *, ephemeral: bool, mode: Mode, alike: bool, steps: list[Step]
) -> None:
    async def run() -> None:
        async with world(tmp_path_factory.getbasetemp(), ephemeral=ephemeral, mode=mode, alike=alike) as users:
            for step in steps:
                await users.take(step)
            await users.ask_for_everything()

    anyio.run(run)


async def test_a_fixed_user_cannot_reach_the_memories_of_another_on_the_same_file(
    config: Config, mode: Mode, clock: FakeClock
) -> None:
    others = config.replace(user="bob")
    async with connected(config, mode, clock) as alice, connected(others, mode, clock) as bob:
        added = await ok(alice, "add_memory", content="Lives in Rome", key="city", topics=["home"])
        own = added["memory"]["id"]
        updated = await ok(alice, "update_memory", id=own, content="Lives in Oslo")
        before = await ok(alice, "get_memory", id=own, history=True)

        for tool, arguments in (
            ("get_memory", {"id": own}),
            ("get_memory", {"id": own, "history": True}),
            ("update_memory", {"id": own, "content": "Lives in Bonn"}),
            ("update_memory", {"id": own, "pinned": True, "if_version": 7}),
            ("delete_memory", {"id": own}),
            ("delete_memory", {"id": [own]}),
        ):
            message = await refused(bob, tool, **arguments)
            unknown = await refused(bob, tool, **{**arguments, "id": "nosuchmemory"})
            assert message == unknown.replace("nosuchmemory", own)
        for change in (added["change_id"], updated["change_id"]):
            unknown = await refused(bob, "undo", change_id="nosuchchange")
            assert await refused(bob, "undo", change_id=change) == unknown.replace("nosuchchange", change)
        assert "Nothing is left" in await refused(bob, "undo")
        assert "city" in await refused(bob, "get_memory", key="city")
        assert (await read(bob, uri_of(own))).structured == {"code": INVALID_PARAMS}
        assert (await ok(bob, "list_memories"))["total"] == 0
        assert await ok(bob, "search_memories", query="lives Rome Oslo", include_past=True) == {
            "hits": [],
            "modes": ["lexical"],
            "left_out": [],
        }

        same = await ok(bob, "add_memory", content="Lives in Oslo", key="city")
        assert (same["outcome"], same["neighbours"]) == ("added", [])
        assert (await ok(alice, "list_memories"))["total"] == 1
        assert await ok(alice, "get_memory", id=own, history=True) == before


@pytest.mark.parametrize(
    "tool", ["add_memory", "search_memories", "list_memories", "get_memory", "extract_memories", "undo"]
)
async def test_a_fixed_user_cannot_be_overridden_by_an_argument(config: Config, mode: Mode, tool: str) -> None:
    async with connected(config, mode) as client:
        message = await refused(client, tool, user_id="bob", content="Lives in Rome", query="Rome", text="x", id="x")
        assert "serves one user" in message
        assert (await ok(client, "list_memories"))["total"] == 0


async def test_an_extraction_neither_sees_nor_reaches_the_memories_of_another_user(many: Config, mode: Mode) -> None:
    async with connected(many, mode) as client:
        city: dict[str, Any] = {"content": "Lives in Rome", "key": "city", "topics": ["home"]}
        alices = (await ok(client, "add_memory", user_id="alice", **city))["memory"]["id"]
        before = await ok(client, "get_memory", user_id="alice", id=alices, history=True)
        sheet = await ok(client, "extract_memories", user_id="bob", text="I live in Rome")
        assert sheet["worksheet"]["neighbours"] == []
        for operation in (
            {"op": "delete", "id": alices},
            {"op": "delete", "id": alices, "if_version": 1},
            {"op": "update", "id": alices, "content": "Lives in Bonn"},
            {"op": "update", "id": alices, "if_version": 7, "key": ""},
        ):
            told = await ok(client, "extract_memories", user_id="bob", operations=[operation])
            unknown = {**operation, "id": "nosuchmemory"}
            same = await ok(client, "extract_memories", user_id="bob", operations=[unknown])
            assert told == json.loads(json.dumps(same).replace("nosuchmemory", alices))
        added = await ok(client, "extract_memories", user_id="bob", operations=[{"op": "add", **city}])
        assert [one["op"] for one in added["operations"]] == ["add"]
        assert await ok(client, "get_memory", user_id="alice", id=alices, history=True) == before


NAMES = [
    pytest.param("Алиса", id="Cyrillic"),
    pytest.param("爱丽丝", id="Chinese"),
    pytest.param("alice bob", id="blank"),
    pytest.param("alice/bob", id="slash"),
    pytest.param("/alice", id="leading slash"),
    pytest.param("../alice", id="way up"),
    pytest.param("..", id="two dots"),
    pytest.param(".", id="dot"),
    pytest.param("alice\\bob", id="backslash"),
    pytest.param("C:\\alice", id="drive"),
    pytest.param("100%", id="percent"),
    pytest.param("%2e%2e%2falice", id="already quoted"),
    pytest.param("alice?x=1#y", id="query and fragment"),
    pytest.param("alice+bob@example.com", id="address"),
    pytest.param("auth0|64f:alice,bob;c", id="subject of an issuer"),
    pytest.param("{user_id}", id="braces"),
    pytest.param("alice' OR '1'='1", id="quotes"),
    pytest.param("%", id="wildcard"),
    pytest.param("👩‍👩‍👧", id="emoji with joiners"),
    pytest.param("\u0628\u200c\u0628", id="non-joiner between letters that join"),
    pytest.param("default", id="the default user"),
    pytest.param("a" * 200, id="200 characters"),
    pytest.param("爱" * 200, id="200 characters of three bytes"),
    pytest.param("e\u0301" * 200, id="200 characters in NFC"),
]


@pytest.fixture
def many(config: Config) -> Config:
    return config.replace(identity="argument")


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_of_any_kind_is_a_user_of_its_own_in_tools_and_resources(
    many: Config, mode: Mode, name: str
) -> None:
    async with connected(many, mode) as client:
        alices = (await ok(client, "add_memory", user_id="alice", content="Lives in Rome"))["memory"]["id"]
        own = (await ok(client, "add_memory", user_id=name, content="Lives in Oslo"))["memory"]["id"]
        assert [one["id"] for one in (await ok(client, "list_memories", user_id=name))["memories"]] == [own]
        assert [one["id"] for one in (await ok(client, "list_memories", user_id="alice"))["memories"]] == [alices]
        assert "Lives in Oslo" in (await read(client, uri_of(own, name))).text
        assert (await read(client, uri_of(alices, name))).structured == {"code": INVALID_PARAMS}
        assert (await read(client, uri_of(own, "alice"))).structured == {"code": INVALID_PARAMS}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param(" \t", id="blank"),
        pytest.param("a" * 201, id="201 characters"),
        pytest.param("\u200b", id="nothing visible"),
        pytest.param("ali\u00adce", id="soft hyphen"),
        pytest.param("alice\u200e", id="left-to-right mark"),
        pytest.param("\u061calice", id="Arabic letter mark"),
        pytest.param("ali\u200dce", id="joiner"),
    ],
)
async def test_a_name_that_is_none_is_refused_everywhere(many: Config, mode: Mode, name: str) -> None:
    async with connected(many, mode) as client:
        assert "user" in await refused(client, "add_memory", user_id=name, content="Lives in Rome")
        assert "user" in await refused(client, "list_memories", user_id=name)
        assert (await read(client, uri_of("nosuchmemory", name or " "))).structured == {"code": INVALID_PARAMS}


@pytest.mark.parametrize(
    ("name", "same"),
    [
        pytest.param("Zoë", "Zoe\u0308", id="NFC"),
        pytest.param("alice", "  alice\n", id="trimmed"),
        pytest.param("각", "\u1100\u1161\u11a8", id="Hangul jamo"),
    ],
)
async def test_two_spellings_of_one_name_are_one_user(many: Config, mode: Mode, name: str, same: str) -> None:
    async with connected(many, mode) as client:
        own = (await ok(client, "add_memory", user_id=name, content="Lives in Rome"))["memory"]["id"]
        assert (await ok(client, "get_memory", user_id=same, id=own))["memory"]["content"] == "Lives in Rome"
        assert "Lives in Rome" in (await read(client, uri_of(own, same))).text


@pytest.mark.parametrize(
    ("name", "other"),
    [
        pytest.param("alice", "Alice", id="case"),
        pytest.param("strasse", "straße", id="case folding"),
        pytest.param("ﬁona", "fiona", id="compatibility"),
        pytest.param("alice", "аlice", id="Cyrillic letter that looks the same"),
        pytest.param("alice bob", "alice  bob", id="number of blanks"),
        pytest.param("alice bob", "alice\nbob", id="newline"),
        pytest.param("alice", "ali\u200bce", id="zero-width space"),
        pytest.param("alice", "\u202ealice", id="bidi override"),
        pytest.param("alice", "alice\x00", id="NUL"),
    ],
)
async def test_names_that_only_look_alike_never_share_memories(many: Config, mode: Mode, name: str, other: str) -> None:
    async with connected(many, mode) as client:
        own = (await ok(client, "add_memory", user_id=name, content="Lives in Rome"))["memory"]["id"]
        reached = [
            await reply_of(client, "get_memory", {"user_id": other, "id": own}),
            await reply_of(client, "search_memories", {"user_id": other, "query": "Rome"}),
            await reply_of(client, "list_memories", {"user_id": other}),
        ]
        assert not [reply for reply in reached if "Lives in Rome" in reply.text]


async def test_many_users_never_see_each_others_counts_scores_or_pages(many: Config, mode: Mode) -> None:
    async with connected(many, mode) as client:
        for number in range(5):
            await ok(client, "add_memory", user_id="alice", content=f"Rome trip {number}", topics=["travel"])
        await ok(client, "add_memory", user_id="bob", content="Rome trip once", topics=["travel"])
        alone = await ok(client, "search_memories", user_id="bob", query="Rome train")
        listed = await ok(client, "list_memories", user_id="alice", limit=2)
        for number in range(5, 30):
            await ok(client, "add_memory", user_id="carol", content=f"Rome train {number}", topics=["travel"])
        assert await ok(client, "search_memories", user_id="bob", query="Rome train") == alone
        assert await ok(client, "list_memories", user_id="alice", limit=2) == listed
        for reader in ("bob", "carol", "nobody"):
            message = await refused(client, "list_memories", user_id=reader, limit=2, cursor=listed["next_cursor"])
            assert "start again" in message

"""Bad input (B7): a one-line error or a correct result; never a crash, a silent drop or a stored half."""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any, cast

import pytest
from mcp import Client, MCPError
from mcp.types import CallToolResult

from mcp_memory.config import Config
from tests.support import Mode, call, connected, ok, refused, text

STORED: dict[str, Any] = {"content": "Drinks green tea", "key": "drink", "topics": ["taste"], "metadata": {"a": 1}}

WRONG: dict[str, list[Any]] = {
    "string": [5, 1.5, True, ["x"], {"a": 1}],
    "array": [5, True, "plain text", {"a": 1}, [1], [None], [["x"]], [{"a": 1}]],
    "object": [5, True, "plain text", ["x"]],
    "integer": ["x", 1.5, ["1"], {"a": 1}, "1.5", "NaN", ""],
    "boolean": ["maybe", 5, 1.5, [True], {"a": True}, ""],
}

HOSTILE = [
    *("", " ", "\n", "a\x00b", "\ud800", "x\udfff", "\u202egnp", "\ufeff", "\x1b[2J", "%", '"', "NEAR(", "2026-03-01"),
    *("'; DROP TABLE memories; --", "../../etc/passwd", "𝕏" * 300, "null", "[]", "{}", "123", "true", '["\\ud800"]'),
    "9" * 5_000,
]
HUGE = ["x" * 1_000_000]
INPUTS = ("messages", "text", "operations")


async def schemas(client: Client) -> dict[str, dict[str, Any]]:
    return {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}


def types(schema: dict[str, Any]) -> list[str]:
    return [branch["type"] for branch in schema.get("anyOf", [schema])]


def valid(tool: str, memory_id: str) -> dict[str, Any]:
    """Arguments that the tool accepts and that would change or show something."""
    return {
        "add_memory": {"content": "Something new"},
        "search_memories": {"query": "tea"},
        "list_memories": {},
        "get_memory": {"id": memory_id},
        "update_memory": {"id": memory_id, "content": "Something else"},
        "delete_memory": {"id": memory_id},
        "extract_memories": {"operations": [{"op": "update", "id": memory_id, "content": "Something else"}]},
        "undo": {},
    }[tool]


def having(arguments: dict[str, Any], name: str, value: object) -> dict[str, Any]:
    """`arguments` with one more, or another value of it; of the three inputs of an extraction only one may be given."""
    return (without(arguments, *INPUTS) if name in INPUTS else arguments) | {name: value}


class World:
    """One stored memory of one user, and a look at whether it is still what it was."""

    def __init__(self, client: Client, user: dict[str, str], memory: dict[str, Any]) -> None:
        self.client = client
        self.user = user
        self.memory = memory

    @classmethod
    async def of(cls, client: Client, user: dict[str, str]) -> "World":
        return cls(client, user, (await ok(client, "add_memory", **user, **STORED))["memory"])

    async def unchanged(self) -> bool:
        listed = await ok(self.client, "list_memories", **self.user)
        kept = [{**one, "version": 0} for one in listed["memories"]]
        return kept == [{**self.memory, "version": 0}] and listed["total"] == 1

    async def refused(self, tool: str, **arguments: Any) -> str:
        """The one line of a refusal that wrote nothing."""
        given = f"{tool} {str(arguments)[:200]!r}"
        message = one_line(await call(self.client, tool, **arguments), given)
        assert message is not None, given
        return message

    async def survives(self, tool: str, **arguments: Any) -> None:
        """A one-line error, or a result; what a result wrote is taken back."""
        given = f"{tool} {str(arguments)[:200]!r}"
        result = await call(self.client, tool, **arguments)
        if one_line(result, given) is None:
            assert result.structured_content is not None
            if "change_id" in result.structured_content:
                user = {name: arguments.get(name, self.user[name]) for name in self.user}
                await ok(self.client, "undo", **user, change_id=result.structured_content["change_id"])


def one_line(result: CallToolResult, given: str) -> str | None:
    """The message of an error, which is short, one line, and no crash; None for a success."""
    if not result.is_error:
        return None
    message = text(result)
    assert message.splitlines() == [message], given
    assert not message.startswith("Error executing tool"), f"{given}: the tool crashed"
    assert len(message) <= 500, given
    message.encode()  # half a surrogate pair in a message would end the connection
    return message


def without(arguments: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in names}


@pytest.fixture
def many(config: Config) -> Config:
    """With `user_id` as one more parameter to go wrong."""
    return config.replace(identity="argument")


async def test_every_wrong_type_of_every_parameter_is_refused_and_named(many: Config, mode: Mode) -> None:
    async with connected(many, mode) as client:
        world = await World.of(client, {"user_id": "alice"})
        for tool, schema in (await schemas(client)).items():
            arguments = world.user | valid(tool, world.memory["id"])
            for name, parameter in schema["properties"].items():
                for value in WRONG[types(parameter)[0]]:
                    if "array" in types(parameter) and value == ["x"]:
                        continue
                    if name == "operations" and str(value).startswith("["):
                        continue  # what is no operation is skipped, and the others count
                    message = await world.refused(tool, **having(arguments, name, value))
                    assert name in message, (tool, name, value, message)
            assert await world.unchanged(), tool


async def test_every_required_parameter_is_missed_also_when_it_is_null(many: Config, mode: Mode) -> None:
    async with connected(many, mode) as client:
        world = await World.of(client, {"user_id": "alice"})
        for tool, schema in (await schemas(client)).items():
            arguments = world.user | valid(tool, world.memory["id"])
            for name in schema["required"]:
                assert name in await world.refused(tool, **without(arguments, name))
                assert name in await world.refused(tool, **(arguments | {name: None}))
        assert await world.unchanged()


async def test_every_optional_parameter_may_be_null(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        world = await World.of(client, {})
        for tool, schema in (await schemas(client)).items():
            arguments = valid(tool, world.memory["id"])
            nulls = dict.fromkeys(name for name in schema["properties"] if name not in arguments)
            written = await ok(client, tool, **arguments, **nulls)
            if tool != "undo" and "change_id" in written:
                await ok(client, "undo", change_id=written["change_id"])


NEAREST = [
    ("add_memory", "contents", "content"),
    ("add_memory", "topic", "topics"),
    ("add_memory", "expires_at", "expires"),
    ("add_memory", "Content", "content"),
    ("search_memories", "querry", "query"),
    ("search_memories", "include_history", "include_past"),
    ("list_memories", "limits", "limit"),
    ("get_memory", "ids", "id"),
    ("update_memory", "version", "if_version"),
    ("extract_memories", "message", "messages"),
    ("undo", "changeId", "change_id"),
    ("undo", "zzz", "change_id"),
    ("delete_memory", "\x00\n" * 100_000, "id"),
]


async def test_an_unknown_argument_is_refused_and_the_nearest_valid_one_named(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        world = await World.of(client, {})
        for tool, wrong, nearest in NEAREST:
            for value in ("x", None):
                message = await world.refused(tool, **(valid(tool, world.memory["id"]) | {wrong: value}))
                assert f"'{nearest}'" in message or message.endswith(f" {nearest}"), (tool, wrong, message)
        flood = {f"argument_{number}": "x" for number in range(10_000)}
        await world.refused("add_memory", content="New", **flood)
        assert await world.unchanged()


async def test_an_unknown_tool_is_refused_and_the_nearest_named(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        for wrong, nearest in (("add_memorie", "add_memory"), ("Search_Memories", "search_memories"), ("x", "undo")):
            message = await refused(client, wrong, content="New")
            assert nearest in message
        assert "undo" in await refused(client, "x" * 100_000)
        assert (await ok(client, "list_memories"))["total"] == 0


async def everywhere(client: Client, values: list[str]) -> None:
    """Give each of `values` to every parameter of every tool, also in a list where it takes one."""
    world = await World.of(client, {"user_id": "alice"})
    for tool, schema in (await schemas(client)).items():
        arguments = world.user | valid(tool, world.memory["id"])
        for name, parameter in schema["properties"].items():
            for value in values:
                await world.survives(tool, **having(arguments, name, value))
                if "array" in types(parameter):
                    await world.survives(tool, **having(arguments, name, [value]))
            assert await world.unchanged(), (tool, name)


async def test_no_text_in_any_parameter_does_harm(many: Config, mode: Mode) -> None:
    async with connected(many, mode) as client:
        # What differs between the eras is the envelope, so the older one gets every third.
        await everywhere(client, HOSTILE if mode == "auto" else HOSTILE[::3])


async def test_a_megabyte_in_any_parameter_does_no_harm(many: Config) -> None:
    async with connected(many) as client:
        await everywhere(client, HUGE)


QUERIES = [
    *("tea AND", "tea OR", "NOT tea", "tea AND NOT green", "NEAR(tea green, 2)", "tea NEAR green", "tea*", "^tea"),
    *("content:tea", "content : tea", "{terms key} : tea", "- terms : tea", "memory_index MATCH tea", "tea;--"),
    *('"tea', 'tea"', "'tea", "`tea", '"green tea', "(tea", "tea)", "((tea OR (", "tea + green", '""tea""', "tea\\"),
    *("tea\x00 green", "tea\ngreen", "$tea @tea #tea"),
]


async def test_a_query_is_data_whatever_signs_it_holds(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        world = await World.of(client, {})
        await ok(client, "add_memory", content="Works at a bank")
        for query in QUERIES:
            found = await ok(client, "search_memories", query=query)
            assert [hit["id"] for hit in found["hits"]] == [world.memory["id"]], query
        for query in ("AND", "NOT", "OR", "NEAR", "terms", "rowid", "rank", "memory_index"):
            assert (await ok(client, "search_memories", query=query))["hits"] == [], query
        for query in ("*", '"', "'", "()", "^", ":", "+-", '""""', "{}", "\u200b", "\x00", " "):
            assert "query" in await refused(client, "search_memories", query=query), query


async def test_numbers_out_of_range_are_refused_or_lowered(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        world = await World.of(client, {})
        for limit in (-1, 0, -(2**31), -(10**30), -(2**63)):
            for tool in ("list_memories", "search_memories"):
                assert "limit" in await world.refused(tool, **valid(tool, ""), limit=limit)
        for limit in (2**31 - 1, 2**31, 2**63, 10**30):
            for tool in ("list_memories", "search_memories"):
                await world.survives(tool, **valid(tool, ""), limit=limit)
        for version in (2, 0, -1, 2**31, 2**63, 10**30):
            message = await world.refused("update_memory", id=world.memory["id"], content="New", if_version=version)
            assert "version" in message
        assert await world.unchanged()
        assert (await ok(client, "list_memories", limit="1"))["total"] == 1


async def test_ten_thousand_of_anything_is_one_short_refusal(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        world = await World.of(client, {})
        many = [f"t{number}" for number in range(10_000)]
        for topics in (many, json.dumps(many)):
            for tool in ("add_memory", "update_memory", "list_memories", "search_memories"):
                assert "10,000" in await world.refused(tool, **valid(tool, world.memory["id"]), topics=topics)
        for ids in ([world.memory["id"], *many], json.dumps(many)):
            assert "ids" in await world.refused("delete_memory", id=ids)
        # Ten thousand times the same is one, but nobody means that.
        await world.survives("add_memory", content="New", topics=["same"] * 10_000)
        assert await world.unchanged()


def nested(levels: int, inner: object = 1) -> dict[str, Any]:
    value: Any = inner
    for _ in range(levels):
        value = {"a": value}
    return cast("dict[str, Any]", value)


PLAIN: list[dict[str, Any]] = [
    {"none": None, "list": [None, [], {}], "empty": ""},
    {"big": 10**30, "small": -(2**63) - 1, "float": 0.1, "exponent": 1e300, "zero": -0.0},
    {"title": "x", "": "no name", "ключ": "значение 🎉", "a\nb": "c\td"},
    {"json": '{"a": 1}', "true": "true", "number": "1"},
    nested(16),
]


async def test_metadata_is_kept_as_it_is(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        memory_id = (await ok(client, "add_memory", content="Fact"))["memory"]["id"]
        for metadata in PLAIN:
            updated = await ok(client, "update_memory", id=memory_id, metadata=metadata)
            assert updated["memory"]["metadata"] == metadata
            as_text = await ok(client, "update_memory", id=memory_id, metadata=json.dumps(metadata))
            assert as_text["outcome"] == "unchanged"
            assert (await ok(client, "get_memory", id=memory_id))["memory"]["metadata"] == metadata


async def test_metadata_that_is_no_plain_json_or_too_much_of_it_is_refused(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        world = await World.of(client, {})
        for metadata in (
            {"a": "x" * 5_000},
            {"a": "\ud800"},
            '{"a": NaN}',
            '{"a": 1e999}',
            '{"a": "\\ud800"}',
            json.dumps(nested(100, "x" * 5_000)),
            '{"a":' * 100_000 + "1" + "}" * 100_000,
            '{"a": ' + "9" * 10_000 + "}",
            '{"a": 1',
        ):
            for tool in ("add_memory", "update_memory"):
                message = await world.refused(tool, **valid(tool, world.memory["id"]), metadata=metadata)
                assert "metadata" in message
        # Deep, but small: either answer is right, as long as it is one.
        for levels in (250, 400, 600):
            await world.survives("add_memory", content="Deep", metadata=json.dumps(nested(levels)))
            await world.survives("update_memory", id=world.memory["id"], metadata=json.dumps(nested(levels)))
        assert await world.unchanged()


JSON_LIKE = ['["a"]', '{"a":1}', "123", "1.5", "null", "true", '"quoted"', "[", "NaN", '{"content": "x"}']


async def test_text_that_looks_like_json_is_stored_as_that_very_text(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        memory_id = (await ok(client, "add_memory", content="Fact", key="fact"))["memory"]["id"]
        for content in JSON_LIKE:
            added = (await ok(client, "add_memory", content=content, key=content))["memory"]
            assert (added["content"], added["key"]) == (content, content)
            assert (await ok(client, "get_memory", key=content))["memory"] == added
            await ok(client, "delete_memory", id=added["id"])
            updated = (await ok(client, "update_memory", id=memory_id, content=content, key=content))["memory"]
            assert (updated["content"], updated["key"]) == (content, content)
        assert [hit["id"] for hit in (await ok(client, "search_memories", query="nan"))["hits"]] == []
        await ok(client, "update_memory", id=memory_id, content="true")
        assert [hit["id"] for hit in (await ok(client, "search_memories", query="true"))["hits"]] == [memory_id]


async def test_lists_and_objects_may_come_as_json_in_a_string(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        added = await ok(client, "add_memory", content="Fact", topics='["One", "two"]', metadata='{"a": [1]}')
        assert added["memory"]["topics"] == ["one", "two"]
        assert added["memory"]["metadata"] == {"a": [1]}
        assert (await ok(client, "list_memories", topics='["two"]', limit="1"))["total"] == 1
        updated = await ok(client, "update_memory", id=added["memory"]["id"], topics="[]", pinned="true")
        assert (updated["memory"]["topics"], updated["memory"]["pinned"]) == ([], True)
        other = await ok(client, "add_memory", content="Another")
        ids = [added["memory"]["id"], other["memory"]["id"]]
        assert len((await ok(client, "delete_memory", id=json.dumps(ids)))["memories"]) == 2


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"city": 1, "ci\u200bty": 2}, id="at the top"),
        pytest.param({"a": [{"city": 1, "city\u2060": 1}]}, id="within"),
        pytest.param({"caf\u00e9": 1, "cafe\u0301": 2}, id="in NFC"),
    ],
)
async def test_metadata_names_that_become_one_are_refused_and_named(config: Config, metadata: dict[str, Any]) -> None:
    async with connected(config) as client:
        message = await refused(client, "add_memory", content="Fact", metadata=metadata)
        assert "metadata has two names that both read 'c" in message
        assert (await ok(client, "list_memories"))["total"] == 0


@pytest.mark.promise("P9")
async def test_no_invisible_or_bidirectional_control_gets_in_by_any_parameter(config: Config, mode: Mode) -> None:
    hidden = "\u202e\u2066\u200b\ufeff\u2060\x07\x00\U000e0041"
    async with connected(config, mode) as client:
        fields: dict[str, Any] = {
            "content": f"Drinks{hidden} tea",
            "topics": [f"tas{hidden}te"],
            "key": f"dr{hidden}ink",
            "metadata": {f"a{hidden}": [f"b{hidden}", {"c": hidden}]},
        }
        for name, value in fields.items():
            result = await call(client, "add_memory", **({"content": f"Has a {name}"} | {name: value}))
            shown = text(result) + json.dumps(result.structured_content, ensure_ascii=False)
            assert not set(hidden) & set(shown), name
            assert "\\" not in shown  # as what is hidden in an old file is shown
        listed = await call(client, "list_memories")
        assert not set(hidden) & set(text(listed) + json.dumps(listed.structured_content, ensure_ascii=False))


async def test_a_resource_of_no_memory_is_an_error_of_one_line(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        memory_id = (await ok(client, "add_memory", content="Fact"))["memory"]["id"]
        for place in (
            "nosuchmemory",
            "%00",
            "..%2F..%2Fetc",
            "%FF",
            "%ED%A0%80",
            "%27%3B--",
            "x" * 100_000,
            memory_id + "x",
        ):
            with pytest.raises(MCPError) as caught:
                await client.read_resource(f"memory://memories/{place}")
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 500 + len(place)
        await client.read_resource(f"memory://memories/{memory_id}")


class Pipe:
    """A real server process, spoken to by hand: no client refuses to encode what is sent here."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._replies: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._unread: dict[int | None, dict[str, Any]] = {}
        self._last = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def greet(self) -> None:
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "pipe", "version": "1"}}
        assert self.reply(self.request("initialize", json.dumps(hello)), seconds=60) is not None
        self.send('{"jsonrpc":"2.0","method":"notifications/initialized"}')

    def close(self) -> int:
        """The exit code after the end of input."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(timeout=10)

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode(errors="surrogateescape") + b"\n")
        self.process.stdin.flush()

    def request(self, method: str, parameters: str) -> int:
        self._last += 1
        self.send(f'{{"jsonrpc":"2.0","id":{self._last},"method":"{method}","params":{parameters}}}')
        return self._last

    def reply(self, *ids: int | None, seconds: float = 10) -> dict[str, Any] | None:
        """The first reply to one of these requests; None if none comes in time, or the process has ended."""
        while not (come := [one for one in ids if one in self._unread]):
            try:
                message = self._replies.get(timeout=seconds)
            except queue.Empty:
                return None
            if message is None:
                return None
            if "id" in message:
                self._unread[message["id"]] = message
        return self._unread.pop(come[0])

    def call(self, tool: str, arguments: str) -> dict[str, Any] | None:
        """The reply to a call with these raw arguments; JSON-RPC gives it no id where the line could not be read."""
        self._unread.pop(None, None)
        number = self.request("tools/call", f'{{"name":"{tool}","arguments":{arguments}}}')
        self.contents()
        return self.reply(number, None, seconds=1)

    def contents(self) -> list[str]:
        """What is stored; a server that no longer tells is ended, so that the next test has another."""
        reply = self.reply(self.request("tools/call", '{"name":"list_memories","arguments":{}}'))
        if reply is None or "error" in reply:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"the server is broken: {reply}")
        return [one["content"] for one in reply["result"]["structuredContent"]["memories"]]

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._replies.put(json.loads(line))
        self._replies.put(None)


@pytest.fixture(scope="module")
def pipes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Callable[[], Pipe]]:
    """The one server of all tests below, or another where it died."""
    folder = tmp_path_factory.mktemp("pipe")
    command = [sys.executable, "-m", "mcp_memory", "serve", "--database"]
    with ExitStack() as stack:
        log = stack.enter_context((folder / "stderr").open("wb"))
        started: list[Pipe] = []

        def current() -> Pipe:
            if not started or started[-1].process.poll() is not None:
                database = str(folder / f"{len(started)}.db")
                process = stack.enter_context(
                    subprocess.Popen([*command, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
                )
                stack.callback(process.kill)
                started.append(Pipe(process))
                started[-1].greet()
            return started[-1]

        yield current
        assert started[-1].close() == 0
    assert "Traceback" not in (folder / "stderr").read_text(encoding="utf-8")


@pytest.fixture
def pipe(pipes: Callable[[], Pipe]) -> Pipe:
    return pipes()


def raw(**arguments: str) -> str:
    """Arguments as JSON of which the values are given as they go over the wire."""
    return "{" + ",".join(f'"{name}":{value}' for name, value in arguments.items()) + "}"


def wire() -> Iterator[Any]:
    """Arguments as no well-behaved client would send them."""
    half, million = r'"\ud800"', '"' + "x" * 1_000_000 + '"'
    deep = '{"a":' * 300 + "1" + "}" * 300
    for tool, arguments, name in (
        ("add_memory", raw(content=half), "half a surrogate pair"),
        ("get_memory", raw(id=half), "half a surrogate pair as id"),
        ("undo", raw(change_id=half), "half a surrogate pair as change"),
        ("delete_memory", raw(id=json.dumps(f"[{half}]")), "half a surrogate pair in a list in a string"),
        ("delete_memory", raw(id=json.dumps(["\\ud800"])), "an escape that is escaped itself"),
        ("add_memory", raw(content='"x"', metadata='{"a":NaN}'), "NaN"),
        ("add_memory", raw(content='"x"', metadata='{"a":-Infinity}'), "Infinity"),
        ("add_memory", raw(content='"x"', metadata='{"a":1e999}'), "1e999"),
        ("add_memory", raw(content='"x"', metadata=json.dumps(deep)), "deep metadata in a string"),
        ("add_memory", raw(content='"x"', metadata=deep), "deep metadata"),
        ("add_memory", raw(content='"x"', metadata='{"a":' * 100_000 + "1" + "}" * 100_000), "very deep metadata"),
        ("list_memories", raw(limit="1" + "0" * 30), "a limit of 31 digits"),
        ("list_memories", raw(limit="1" + "0" * 5_000), "a limit of 5,001 digits"),
        ("list_memories", raw(limit="-1"), "a negative limit"),
        ("add_memory", raw(content=million), "a megabyte"),
        ("get_memory", raw(id=million), "a megabyte as id"),
        ("undo", raw(change_id=million), "a megabyte as change"),
        ("add_memory", '"x"', "a text for arguments"),
        ("add_memory", "[1]", "a list for arguments"),
        ("add_memory", "null", "null for arguments"),
        (r"\ud800", "{}", "half a surrogate pair for a tool"),
        ("x" * 1_000_000, "{}", "a megabyte for a tool"),
    ):
        yield pytest.param(tool, arguments, id=name)


@pytest.mark.parametrize(("tool", "arguments"), [*wire()])
def test_what_no_client_would_encode_is_answered_with_an_error_over_the_wire(
    pipe: Pipe, tool: str, arguments: str
) -> None:
    before = pipe.contents()
    reply = pipe.call(tool, arguments)
    assert pipe.contents() == before
    assert reply is not None, "no reply: the call would hang until the client gives up"
    if "error" in reply:
        message = reply["error"]["message"]
    else:
        assert reply["result"]["isError"]
        message = reply["result"]["content"][0]["text"]
    assert message.splitlines() == [message]
    assert not message.startswith("Error executing tool"), "the tool crashed"
    assert len(message) <= 500


def test_an_unreadable_call_is_answered_by_its_own_id_wherever_that_stands(pipe: Pipe) -> None:
    before = pipe.contents()
    for number, given in enumerate((r'{"id":"abc","content":"\ud800"}', r'{"id":7,"content":"\ud800"}'), start=1_000):
        parameters = f'{{"name":"update_memory","arguments":{given}}}'
        pipe.send(f'{{"method":"tools/call","params":{parameters},"jsonrpc":"2.0","id":{number}}}')
        assert pipe.contents() == before
        reply = pipe.reply(number, None, seconds=1)
        assert reply is not None, "another call was answered, or none"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("{", id="half an object"),
        pytest.param("", id="nothing"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="an empty batch"),
        pytest.param("\udcff\udcfe\udc80", id="no UTF-8"),
        pytest.param("x" * 1_000_000, id="a megabyte of nonsense"),
        pytest.param('{"jsonrpc":"2.0","id":null,"method":"tools/call"}', id="no id"),
        pytest.param('{"jsonrpc":"2.0","method":"notifications/nothing"}', id="an unknown notification"),
    ],
)
def test_a_line_that_is_no_request_does_no_harm(pipe: Pipe, line: str) -> None:
    before = pipe.contents()
    pipe.send(line)
    assert pipe.contents() == before


def test_text_comes_back_over_the_wire_as_it_was_sent(pipe: Pipe) -> None:
    for content in ('"nul\\u0000 gone"', '"\\ud83d\\ude00 😀"', '"[\\"a\\"]"', '"a\\nb\\u2028c"'):
        reply = pipe.call("add_memory", raw(content=content, metadata='{"a":null}'))
        assert reply is not None
        added = reply["result"]["structuredContent"]
        assert added["memory"]["metadata"] == {"a": None}
        expected = json.loads(content).replace("\x00", "").replace("\u2028", "\n")
        assert pipe.contents() == [expected] == [added["memory"]["content"]]
        assert pipe.call("undo", raw(change_id=json.dumps(added["change_id"]))) is not None

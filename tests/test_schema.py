"""The tools as clients see them (P8, P10, B3): names, parameters and sizes are the public API."""

import json
import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
from mcp import Client
from mcp.types import Tool

from mcp_memory.config import Config
from mcp_memory.sections import Unusable
from mcp_memory.testing import FakeClock
from tests.support import Mode, call, connected, ok, refused, structured

REQUIRED = object()

TABLE: dict[str, dict[str, object]] = {
    "add_memory": {
        "content": REQUIRED,
        **dict.fromkeys(("topics", "key", "pinned", "expires", "metadata")),
    },
    "search_memories": {
        "query": REQUIRED,
        "limit": 10,
        **dict.fromkeys(("topics", "agent", "since", "until")),
        "include_past": False,
    },
    "list_memories": {"topics": None, "agent": None, "limit": 50, "cursor": None},
    "get_memory": {"id": None, "key": None, "history": False},
    "update_memory": {
        "id": REQUIRED,
        **dict.fromkeys(("content", "topics", "key", "pinned", "expires", "metadata", "if_version")),
    },
    "delete_memory": {"id": REQUIRED},
    "extract_memories": {**dict.fromkeys(("messages", "text", "operations")), "dry_run": False},
    "undo": {"change_id": None},
}
"""Section 6 of the design: every tool's parameters in order, required or with their default; None is no default."""

TYPES = {
    "integer": {"limit", "if_version"},
    "boolean": {"pinned", "include_past", "history", "dry_run"},
    "array": {"topics", "messages", "operations"},
    "object": {"metadata"},
}

MEMORY = {
    *("id", "content", "key", "topics", "pinned", "metadata"),
    *("agent", "created_at", "updated_at", "expires_at", "version"),
}

REPLIES = {
    "add_memory": {"label", "outcome", "memory", "change_id", "neighbours"},
    "search_memories": {"label", "hits", "modes", "left_out"},
    "list_memories": {"label", "memories", "total", "next_cursor", "left_out"},
    "get_memory": {"label", "memory", "revisions"},
    "update_memory": {"label", "outcome", "memory", "change_id"},
    "delete_memory": {"label", "memories", "change_id"},
    "extract_memories": {"label", "outcome", "decided_by", "operations", "skipped", "change_id", "worksheet"},
    "undo": {"label", "operations", "change_id"},
}


async def tools(client: Client) -> dict[str, Tool]:
    listed = await client.list_tools()
    assert listed.next_cursor is None
    return {tool.name: tool for tool in listed.tools}


def as_json(tool: Tool) -> dict[str, Any]:
    return tool.model_dump(mode="json", by_alias=True, exclude_none=True)


def size(value: object) -> int:
    """Bytes as compact UTF-8 JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def valid(tool: str, memory_id: str) -> dict[str, Any]:
    """Arguments that would do, but for a user."""
    values = {"content": "Other fact", "query": "fact", "id": memory_id}
    required = {name for name, default in TABLE[tool].items() if default is REQUIRED}
    given = {name: value for name, value in values.items() if name in required}
    return given or ({"id": memory_id} if tool == "get_memory" else {})


async def prompt_size(client: Client) -> int:
    """What the tool list costs in a prompt: names, descriptions and input schemas."""
    wanted = ("name", "description", "inputSchema")
    return size([{name: as_json(tool)[name] for name in wanted} for tool in (await tools(client)).values()])


def schemas_in(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """`schema` and every schema inside it."""
    yield schema
    inner: list[Any] = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    inner += [*schema.get("anyOf", []), schema.get("items"), schema.get("additionalProperties")]
    for one in inner:
        if isinstance(one, dict):
            yield from schemas_in(cast("dict[str, Any]", one))


@pytest.fixture
def many(config: Config) -> Config:
    return config.replace(identity="argument")


@pytest.mark.promise("P10")
@pytest.mark.parametrize("identity", ["fixed", "argument"])
async def test_the_tools_and_their_parameters_are_those_of_the_design(
    config: Config, mode: Mode, identity: str
) -> None:
    first: dict[str, object] = {"user_id": REQUIRED} if identity == "argument" else {}
    async with connected(config.replace(identity=identity), mode) as client:
        listed = await tools(client)
    assert list(listed) == list(TABLE)
    for name, parameters in TABLE.items():
        expected = first | parameters
        schema = listed[name].input_schema
        assert list(schema["properties"]) == list(expected), name
        assert schema.get("required", []) == [one for one, default in expected.items() if default is REQUIRED], name
        given = {one: parameter["default"] for one, parameter in schema["properties"].items() if "default" in parameter}
        assert given == {one: it for one, it in expected.items() if it is not None and it is not REQUIRED}, name


async def test_every_parameter_has_the_type_of_its_name(config: Config) -> None:
    kinds = {name: kind for kind, names in TYPES.items() for name in names}
    async with connected(config) as client:
        for tool in (await tools(client)).values():
            for name, schema in tool.input_schema["properties"].items():
                if (tool.name, name) == ("delete_memory", "id"):
                    assert [one["type"] for one in schema["anyOf"]] == ["string", "array"]
                else:
                    assert schema["type"] == kinds.get(name, "string"), (tool.name, name)


@pytest.mark.promise("P8")
async def test_the_tool_list_is_small_in_the_prompt(config: Config, many: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        fixed = await prompt_size(client)
        reply = len((await client.list_tools()).model_dump_json(by_alias=True, exclude_none=True).encode())
    async with connected(many, mode) as client:
        argument = await prompt_size(client)
        argument_reply = len((await client.list_tools()).model_dump_json(by_alias=True, exclude_none=True).encode())
    assert fixed <= 8_192, f"names, descriptions and input schemas have {fixed} bytes"
    assert argument - fixed <= 1_024, f"identity=argument adds {argument - fixed} bytes"
    assert reply <= 20_480, f"the reply to tools/list has {reply} bytes"
    assert argument_reply <= 20_480, f"with identity=argument the reply to tools/list has {argument_reply} bytes"


@pytest.mark.promise("P8")
async def test_the_instructions_and_each_description_fit_into_two_kilobytes(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        assert client.instructions
        length = len(client.instructions.encode())
        assert length <= 2_048, f"the instructions have {length} bytes"
        for tool in (await tools(client)).values():
            assert len((tool.description or "").encode()) <= 2_048, tool.name


async def test_nothing_orders_the_model_about(config: Config) -> None:
    async with connected(config) as client:
        told = [client.instructions or "", *(json.dumps(as_json(tool)) for tool in (await tools(client)).values())]
    for one in told:
        assert not re.search(r"\b(ALWAYS|NEVER|MUST|IMPORTANT|CRITICAL)\b|(?i:\byou (must|should)\b|call this)", one)


@pytest.mark.promise("P1")
async def test_no_parameter_names_a_user_where_the_operator_has_named_one(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        for tool in (await tools(client)).values():
            for schema in (*schemas_in(tool.input_schema), *schemas_in(tool.output_schema or {})):
                assert not re.search("user|owner", " ".join(schema.get("properties", {})), re.IGNORECASE)
            assert "user_id" not in json.dumps(as_json(tool))
        [template] = (await client.list_resource_templates()).resource_templates
        assert template.uri_template == "memory://memories/{memory_id}"


@pytest.mark.promise("P1")
async def test_a_caller_who_names_a_user_is_told_how_that_would_work(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        memory_id = (await ok(client, "add_memory", content="Fact"))["memory"]["id"]
        for tool in TABLE:
            for user in ("alice", "bob", "", 5):
                message = await refused(client, tool, **valid(tool, memory_id), user_id=user)
                assert "one user" in message
                assert "--identity argument" in message
        assert [one["content"] for one in (await ok(client, "list_memories"))["memories"]] == ["Fact"]


@pytest.mark.promise("P1")
async def test_where_callers_name_the_user_every_tool_wants_it_first(many: Config, mode: Mode) -> None:
    async with connected(many, mode) as client:
        for tool in (await tools(client)).values():
            assert next(iter(tool.input_schema["properties"])) == "user_id"
            assert tool.input_schema["required"][0] == "user_id"
            for missing in ({}, {"user_id": None}):
                assert "user_id" in await refused(client, tool.name, **valid(tool.name, "x"), **missing)
        templates = (await client.list_resource_templates()).resource_templates
        assert all(template.uri_template.startswith("memory://users/{user_id}/") for template in templates)


async def test_every_tool_is_fully_described(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        listed = await tools(client)
    for tool in listed.values():
        assert tool.title
        assert tool.description
        assert tool.annotations
        hints = tool.annotations.model_dump()
        assert hints.pop("title") == tool.title
        assert len(hints) == 4
        assert all(isinstance(hint, bool) for hint in hints.values()), tool.name
        assert tool.annotations.open_world_hint is False
        for name, parameter in tool.input_schema["properties"].items():
            assert len(parameter["description"]) > 5, (tool.name, name)
    reading = [name for name, tool in listed.items() if tool.annotations and tool.annotations.read_only_hint]
    destroying = [name for name, tool in listed.items() if tool.annotations and tool.annotations.destructive_hint]
    assert reading == ["search_memories", "list_memories", "get_memory"]
    # An add with a key replaces.
    assert destroying == ["add_memory", "update_memory", "delete_memory", "extract_memories", "undo"]


@pytest.mark.promise("P8")
@pytest.mark.parametrize("identity", ["fixed", "argument"])
async def test_schemas_are_closed_and_hold_no_noise(config: Config, identity: str) -> None:
    async with connected(config.replace(identity=identity)) as client:
        for tool in (await tools(client)).values():
            assert tool.input_schema["type"] == "object"
            assert tool.input_schema["additionalProperties"] is False
            assert set(tool.input_schema) <= {"type", "properties", "required", "additionalProperties"}
            assert tool.output_schema
            for schema in (*schemas_in(tool.input_schema), *schemas_in(tool.output_schema)):
                assert "title" not in schema, tool.name
                assert schema.get("type") != "null", tool.name
                assert schema.get("default", 0) is not None, tool.name
                assert schema.get("required") != [], tool.name
                assert len(schema.get("anyOf", [0, 0])) > 1, tool.name


@pytest.mark.promise("P10")
async def test_the_tool_list_is_the_same_every_time_and_in_both_eras(config: Config) -> None:
    seen: dict[Mode, set[str]] = {"auto": set(), "legacy": set()}
    for _ in range(2):
        for mode, lists in seen.items():
            async with connected(config, mode) as client:
                lists.add(json.dumps([as_json(tool) for tool in (await client.list_tools()).tools]))
    [modern], [legacy] = seen.values()
    assert json.loads(modern) == json.loads(legacy)


def undeclared(schema: dict[str, Any], value: object, root: dict[str, Any]) -> Iterator[str]:
    """Fields of `value` that `schema` does not know, or knows and does not find."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if isinstance(value, dict) and "properties" in schema:
        fields: dict[str, Any] = {**value}
        yield from (name for name in schema.get("required", []) if name not in fields)
        for name, one in fields.items():
            if name not in schema["properties"]:
                yield name
            elif one is None:
                yield f"null in {name}"
            else:
                yield from undeclared(schema["properties"][name], one, root)
    elif isinstance(value, list):
        items: list[object] = [*value]
        for one in items:
            yield from undeclared(schema["items"], one, root)


@pytest.mark.promise("P10")
async def test_every_reply_holds_what_its_output_schema_says_and_no_nulls(
    config: Config, clock: FakeClock, mode: Mode
) -> None:
    async with connected(config.replace(agent="planner"), mode, clock) as client:
        listed = await tools(client)
        seen: dict[str, set[str]] = {name: set() for name in listed}

        async def checked(tool: str, **arguments: Any) -> dict[str, Any]:
            result = await call(client, tool, **arguments)  # the SDK's client validates it, too
            assert not result.is_error
            reply = structured(result)
            schema = listed[tool].output_schema
            assert schema
            assert list(undeclared(schema, reply, schema)) == []
            seen[tool] |= set(reply)
            return reply

        full: dict[str, Any] = {
            "key": "drink",
            "topics": ["taste"],
            "pinned": True,
            "expires": "30d",
            "metadata": {"none": {}},
        }
        first = (await checked("add_memory", content="Drinks green tea with milk", **full))["memory"]
        assert set(first) == MEMORY
        bare = (await checked("add_memory", content="Drinks green tea with lemon"))["memory"]
        assert set(bare) == MEMORY - {"key", "expires_at"}
        assert (await checked("add_memory", content="drinks green tea with milk"))["outcome"] == "exists"
        assert (await checked("add_memory", content="Drinks coffee", key="drink"))["outcome"] == "replaced"
        await checked("update_memory", id=bare["id"], content=bare["content"])
        await checked("update_memory", id=bare["id"], content="Drinks water")
        found = await checked("search_memories", query="tea drinks", include_past=True)
        assert {"score", "past"} <= {name for hit in found["hits"] for name in hit}
        await checked("search_memories", query="drinks", topics=["taste"], limit=1)
        await checked("list_memories", limit=1)
        await checked("get_memory", key="drink", history=True)
        await checked("delete_memory", id=[first["id"], bare["id"]])
        await checked("undo")
        await checked("extract_memories", text="I drink tea")
        decided = [{"op": "add", "content": "Has a cat"}, {"op": "update", "id": bare["id"], "content": "Drinks tea"}]
        await checked("extract_memories", operations=[*decided, {"op": "delete", "id": "unknown"}], dry_run=True)
        await checked("extract_memories", operations=[*decided, {"op": "none", "reason": "small talk"}, 5])
    for tool, fields in REPLIES.items():
        assert fields <= seen[tool], tool


SELECTED = [
    pytest.param(("core",), [*TABLE], id="a profile"),
    pytest.param(("core", "-undo"), [name for name in TABLE if name != "undo"], id="without one"),
    pytest.param(("core", "-undo", "-extract_memories"), [*TABLE][:6], id="without two"),
    pytest.param(("undo", "add_memory"), ["add_memory", "undo"], id="single tools in the order of their profile"),
    pytest.param(("core", "-undo", "undo"), [*TABLE], id="taken away and given back"),
    pytest.param(("core", "core", "undo"), [*TABLE], id="named twice"),
]


@pytest.mark.parametrize(("chosen", "expected"), SELECTED)
async def test_the_operator_chooses_the_tools(config: Config, chosen: tuple[str, ...], expected: list[str]) -> None:
    async with connected(config.replace(tools=chosen)) as client:
        assert list(await tools(client)) == expected
        for name in TABLE:
            if name not in expected:
                assert name in await refused(client, name)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("cor", "core"), ("serch_memories", "search_memories"), ("-udno", "undo"), ("add-memory", "add_memory")],
)
def test_an_unknown_tool_or_profile_is_refused_and_the_nearest_named(wrong: str, nearest: str) -> None:
    with pytest.raises(Unusable) as caught:
        Config(tools=("core", wrong))
    message = str(caught.value)
    assert repr(wrong.removeprefix("-")) in message
    assert f"did you mean {nearest}?" in message


@pytest.mark.parametrize("wrong", ["", "-", "zzz", "--undo"])
def test_a_tool_that_resembles_none_is_refused(wrong: str) -> None:
    with pytest.raises(Unusable, match="no tool or profile"):
        Config(tools=(wrong,))

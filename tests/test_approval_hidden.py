"""What waits for approval is found by nothing: every tool, resource, prompt and command is asked for it (bar B8)."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import click
import pytest
from anyio import to_thread
from click.testing import Result
from mcp import Client
from mcp.types import TextResourceContents

from mcp_memory.cli import main
from mcp_memory.config import TOOL_PROFILES, Config
from mcp_memory.sections import ApprovalConfig, ExtractionConfig, SearchConfig
from mcp_memory.server.build import TOOLS
from mcp_memory.testing import FakeClock
from tests.support import Mode, call, connected, ok, text
from tests.test_cli import invoked

MARKS: Final = ("zanzibar", "quokka", "okapi", "marimba", "theremin")
"""Words of a text, a topic, a key, metadata and a reason that nothing else holds."""
WAITING: Final[dict[str, Any]] = {
    "content": "Wants to see Zanzibar before winter",
    "topics": ["quokka"],
    "key": "okapi",
    "pinned": True,
    "metadata": {"marimba": "marimba"},
}
ASKED: Final[Mapping[str, list[dict[str, Any]]]] = {
    "search_memories": [{"query": mark, "include_past": True} for mark in (*MARKS, "zanzibr", "winter")],
    "list_memories": [{}, {"topics": ["quokka"]}, {"agent": "planner"}],
    "get_memory": [{"id": "{id}"}, {"id": "{id}", "history": True}, {"key": "okapi"}],
    "update_memory": [{"id": "{id}", "pinned": False}, {"id": "{other}", "topics": ["home"]}],
    "delete_memory": [{"id": "{id}"}, {"id": ["{other}", "{id}"]}],
    "extract_memories": [{"text": "user: what about Zanzibar, the quokka and my okapi?"}],
    "list_changes": [{}, {"limit": 100}],
    "optimize_memories": [{"strategy": strategy} for strategy in ("deduplicate", "summarize", "expire")],
    "show_memories": [{}, {"query": "Zanzibar"}, {"topics": ["quokka"]}],
    "clear_memories": [{}],
    "add_memory": [{"content": "Wants to see the sea before winter"}],
    "undo": [{"change_id": "{undone}"}, {"change_id": "{change}"}],
}
"""Calls of every tool that tells anything; undo comes last, since it takes the proposal away."""
COMMANDS: Final[Mapping[str, list[str]]] = {
    "search": ["winter", "--all", "--past", "--explain"],
    "list": ["--all"],
    "show": ["{id}"],
    "add": ["Wants to see the sea before winter"],
    "delete": ["{id}"],
    "stats": [],
    "profile": [],
    "hook": ["session-start"],
    "export": ["--history"],
    "users": [],
    "history": ["{id}"],
    "changes": ["--limit", "100"],
    "restore": ["{id}", "--version", "1"],
    "optimize": ["--strategy", "expire"],
    "doctor": [],
    "backup": [],
    "reindex": [],
    "undo": ["{change}"],
}
SILENT: Final = {
    *("serve", "demo", "extract", "encrypt", "decrypt", "rekey", "forget", "forget-user", "restore-backup"),
    *("review", "ui"),  # these are what shows them, to the person
    *("edit", "import", "install", "uninstall", "clients", "completion"),
}
"""Commands that quote no memory, or only the one that a person names or decides about."""


@pytest.fixture
def all_wait(config: Config) -> Config:
    every = {"tools": tuple(TOOL_PROFILES), "agent": "planner", "search": SearchConfig(min_score=0)}
    return config.replace(**every, approval=ApprovalConfig(mode="all"))


async def plant(config: Config, client: Client, clock: FakeClock) -> dict[str, str]:
    """Memories that wait, one of them out of a conversation, and one that counts; their ids, and that of the change."""
    operation = {"op": "add", "content": "Plays the theremin in Zanzibar", "reason": "said so: theremin"}
    await ok(client, "extract_memories", operations=[operation])
    async with connected(config.replace(approval=ApprovalConfig()), "auto", clock) as other:
        counts = await ok(other, "add_memory", content="Lives by the sea", topics=["sea"])
    gone = await ok(client, "add_memory", content="Once heard a marimba in Zanzibar")
    undone = await ok(client, "undo")
    added = await ok(client, "add_memory", **WAITING)
    assert (added["outcome"], gone["outcome"]) == ("pending", "pending")
    named = {"id": added["memory"]["id"], "other": counts["memory"]["id"], "change": added["change_id"]}
    return named | {"undone": undone["change_id"]}


async def ran(config: Config, *arguments: str) -> Result:
    """One command on the file, in a thread: it has a loop of its own, and the clock on the wall."""
    own = {"folder": config.path().parent, "environ": {"MCP_MEMORY_APPROVAL_EXPIRE_DAYS": "0"}}
    return await to_thread.run_sync(partial(invoked, *arguments, "--database", config.database, **own))


def filled(value: Any, named: Mapping[str, str]) -> Any:
    """`value` with the ids in the place of their names."""
    written = json.dumps(value)
    for name, one in named.items():
        written = written.replace(f"{{{name}}}", one)
    return json.loads(written)


def shows_nothing(said: str, asked: object) -> None:
    """That no mark is in `said` which was not in what was asked."""
    known = json.dumps(asked).lower()
    found = [mark for mark in MARKS if mark in said.lower() and mark not in known]
    assert not found, said


async def test_no_tool_shows_what_waits(all_wait: Config, mode: Mode, clock: FakeClock) -> None:
    assert set(ASKED) | {"extract_memories"} == set(TOOLS), "ask the new tool here too"
    async with connected(all_wait, mode, clock) as client:
        named = await plant(all_wait, client, clock)
        for tool, every in ASKED.items():
            for arguments in every:
                asked = filled(arguments, named)
                reply = await call(client, tool, **asked)
                shows_nothing(text(reply) + json.dumps(reply.structured_content), asked)
        counted = await ok(client, "list_memories")
        assert (counted["total"], counted["memories"][0]["id"]) == (1, named["other"])
        found = await ok(client, "search_memories", query="Zanzibar", include_past=True)
        assert [one["id"] for one in found["hits"]] == [named["other"]]


async def test_no_resource_prompt_or_instruction_shows_what_waits(
    all_wait: Config, mode: Mode, clock: FakeClock
) -> None:
    async with connected(all_wait, mode, clock) as client:
        named = await plant(all_wait, client, clock)
        shows_nothing(client.instructions or "", "")
        templates = [one.uri_template for one in (await client.list_resource_templates()).resource_templates]
        uris = [str(one.uri) for one in (await client.list_resources()).resources]
        told = [*uris]
        for uri in [*uris, *(one.format(memory_id=named["other"], topic="quokka") for one in templates)]:
            read = (await client.read_resource(uri)).contents
            told += [one.text for one in read if isinstance(one, TextResourceContents)]
        assert any("Lives by the sea" in one for one in told)
        for prompt in (await client.list_prompts()).prompts:
            told.append((await client.get_prompt(prompt.name)).model_dump_json())
        shows_nothing("\n".join(told), "quokka")
        with pytest.raises(Exception, match=named["id"]):
            await client.read_resource(f"memory://memories/{named['id']}")


@pytest.mark.promise("P8")
@pytest.mark.parametrize("extraction", ["agentic", "always"])
@pytest.mark.parametrize(("waits", "told"), [("off", 0), ("extracted", 1), ("all", 1)])
async def test_the_instructions_say_in_one_line_that_memories_wait(
    config: Config, extraction: Any, waits: Any, told: int
) -> None:
    every = {"extraction": ExtractionConfig(mode=extraction), "approval": ApprovalConfig(mode=waits)}
    async with connected(config.replace(**every)) as client:
        instructions = client.instructions or ""
    assert len(instructions.encode()) <= 2_048
    assert len([line for line in instructions.splitlines() if "approved" in line]) == told


async def test_no_command_shows_what_waits(all_wait: Config, clock: FakeClock) -> None:
    assert set(COMMANDS) | SILENT == set(main.list_commands(click.Context(main))), "ask the new command here too"
    async with connected(all_wait, "auto", clock) as client:
        named = await plant(all_wait, client, clock)
    for command, arguments in COMMANDS.items():
        asked = [one.format(**named) for one in arguments]
        user = () if command in {"backup", "reindex", "users"} else ("--user", "alice")
        done = await ran(all_wait, command, *asked, *user)
        assert done.output
        shows_nothing(done.output, asked)


async def test_what_was_refused_or_ran_out_is_shown_by_nothing_either(all_wait: Config, clock: FakeClock) -> None:
    async with connected(all_wait, "auto", clock) as client:
        named = await plant(all_wait, client, clock)
        refused = await ran(all_wait, "review", "--refuse", named["id"], "--user", "alice")
        assert refused.exit_code == 0
        changes = await call(client, "list_changes", limit=100)
        shows_nothing(text(changes) + json.dumps(changes.structured_content), "")
        assert "No memory" in text(await call(client, "get_memory", id=named["id"], history=True))

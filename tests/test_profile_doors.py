"""The profile as clients and people reach it: resource, prompts, completions, instructions, command line."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError
from mcp.client.subscriptions import ResourceUpdated
from mcp.types import INVALID_PARAMS, PromptReference, ResourceTemplateReference, TextContent, TextResourceContents

from mcp_memory.app import brief, open_app
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import LABEL, Origin
from mcp_memory.sections import ProfileConfig
from mcp_memory.server.build import MOST_INSTRUCTIONS, build_server, room_for_brief
from mcp_memory.testing import FakeClock
from mcp_memory.text.tokens import estimate
from tests.support import Mode, connected, ok, stdio
from tests.test_cli import invoked

BY = Origin(tool="test")
PROMPTS = ["recall", "remember_this_conversation", "review_my_memories", "forget"]


@pytest.fixture
def many(config: Config) -> Config:
    return config.replace(identity="argument")


@pytest.fixture
def shown(config: Config) -> Config:
    """The configuration whose instructions have a profile."""
    return config.replace(profile=ProfileConfig(in_instructions=True))


async def filled(config: Config, *more: str) -> None:
    async with open_app(config, FakeClock()) as app:
        service = await app.service()
        await service.add("alice", Fields(content="Lives in Lyon", key="home_city"), BY)
        await service.add("alice", Fields(content="Plays the oboe", topics=["music"]), BY)
        await service.add("bob", Fields(content="Has a secret", topics=["mystery"]), BY)
        for content in more:
            await service.add("alice", Fields(content=content), BY)


async def worded(client: Client, name: str, **arguments: str) -> str:
    """The one message of a prompt."""
    [message] = (await client.get_prompt(name, arguments)).messages
    assert message.role == "user"
    assert isinstance(message.content, TextContent)
    return message.content.text


async def read(client: Client, uri: str) -> str:
    [content] = (await client.read_resource(uri, cache_mode="bypass")).contents
    assert isinstance(content, TextResourceContents)
    assert (content.uri, content.mime_type) == (uri, "text/plain")
    return content.text


async def offered(client: Client, ref: Any, name: str, value: str, **context: str) -> list[str]:
    found = await client.complete(ref, {"name": name, "value": value}, context_arguments=context or None)
    assert found.completion.total == len(found.completion.values)
    return found.completion.values


@pytest.mark.promise("P10")
async def test_the_profile_of_the_one_user_is_a_resource(config: Config, mode: Mode) -> None:
    await filled(config)
    async with connected(config, mode) as client:
        [listed] = (await client.list_resources()).resources
        assert (listed.uri, listed.name) == ("memory://profile", "profile")
        told = await read(client, listed.uri)
    assert LABEL in told
    assert "- home_city: Lives in Lyon" in told
    assert "secret" not in told


@pytest.mark.promise("P1")
async def test_where_callers_name_the_user_the_profile_is_a_template(many: Config, mode: Mode) -> None:
    await filled(many)
    async with connected(many, mode) as client:
        assert (await client.list_resources()).resources == []
        assert "- Has a secret" in await read(client, "memory://users/bob/profile")
        assert "secret" not in await read(client, "memory://users/alice/profile")
        assert await read(client, "memory://users/%2e%2e%2fbob/profile") == "No memory to show."
        with pytest.raises(MCPError):
            await client.read_resource("memory://profile")


@pytest.mark.promise("P5")
async def test_a_subscriber_hears_that_the_profile_changed(config: Config) -> None:
    async with connected(config) as client, client.listen(resource_subscriptions=["memory://profile"]) as subscription:
        await ok(client, "add_memory", content="Plays the oboe")
        with anyio.fail_after(10):
            assert await anext(subscription) == ResourceUpdated("memory://profile")


@pytest.mark.promise("P9")
async def test_prompts_are_listed_and_word_what_is_recalled_under_its_label(config: Config, mode: Mode) -> None:
    await filled(config)
    async with connected(config, mode) as client:
        prompts = (await client.list_prompts()).prompts
        assert [prompt.name for prompt in prompts] == PROMPTS
        for prompt in prompts:
            assert prompt.title
            assert prompt.description
            assert not any(argument.required or not argument.description for argument in prompt.arguments or [])
            assert "secret" not in await worded(client, prompt.name)
        known = await worded(client, "recall")
        assert LABEL in known
        assert known.index("<notes>") < known.index("home_city: Lives in Lyon") < known.index("</notes>")
        about = await worded(client, "recall", topic="oboe")
        assert "holds about 'oboe'" in about
        assert "# On what was asked\n- Plays the oboe" in about
        assert "2 of 2" in await worded(client, "review_my_memories")
        assert "1 found" in await worded(client, "review_my_memories", topic="music")
        assert "Ask me what it is" in await worded(client, "forget")
        found = await worded(client, "forget", what="the oboe")
        assert "Plays the oboe · music" in found
        assert "Lives in Lyon" not in found
        memory = found.split("[", 1)[1][:12]
        assert f"[{memory}] Plays the oboe" in await worded(client, "forget", what=memory)


async def test_a_prompt_that_cannot_be_worded_says_why_in_one_line(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        for name, arguments, said in (
            ("recal", {}, "No prompt 'recal' here; did you mean 'recall'?"),
            ("recall", {"topics": "music"}, "recall has no argument 'topics'; did you mean 'topic'?"),
            ("recall", {"topic": "?!"}, "no letters or digits"),
            ("forget", {"user_id": "bob"}, "serves one user"),
        ):
            with pytest.raises(MCPError) as caught:
                await client.get_prompt(name, arguments)
            assert caught.value.code == INVALID_PARAMS
            assert said in caught.value.message
            assert "\n" not in caught.value.message


@pytest.mark.promise("P1")
async def test_prompts_and_completions_are_of_the_user_named(many: Config, mode: Mode) -> None:
    await filled(many)
    async with connected(many, mode) as client:
        assert "Has a secret" in await worded(client, "recall", user_id="bob")
        assert "secret" not in await worded(client, "recall", user_id="alice")
        with pytest.raises(MCPError, match="user must have 1 to 200 characters"):
            await client.get_prompt("recall", {})
        recall = PromptReference(name="recall")
        assert await offered(client, recall, "topic", "m", user_id="alice") == ["music"]
        assert await offered(client, recall, "topic", "m", user_id="bob") == ["mystery"]
        assert await offered(client, recall, "topic", "m") == []
        assert await offered(client, recall, "user_id", "") == []


async def test_topics_and_ids_are_completed(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        ids = [
            (await ok(client, "add_memory", content=content, topics=topics))["memory"]["id"]
            for content, topics in (("One", ["music", "art"]), ("Two", ["music"]), ("Three", ["mathematics"]))
        ]
        assert await offered(client, PromptReference(name="recall"), "topic", "M") == ["music", "mathematics"]
        assert await offered(client, PromptReference(name="forget"), "what", ids[1]) == [ids[1]]
        template = ResourceTemplateReference(uri="memory://memories/{memory_id}")
        assert await offered(client, template, "memory_id", ids[0][:3]) == ids[::-1]
        assert await offered(client, template, "memory_id", "nope") == []
        assert await offered(client, PromptReference(name="nothing"), "topic", "") == []


@pytest.mark.promise("P8")
async def test_the_instructions_may_end_with_a_short_profile(shown: Config, mode: Mode) -> None:
    await filled(shown, *(f"Weiß von Ding {number} über Öl" for number in range(40)))
    room = room_for_brief(shown)
    known = await brief(shown, room)
    assert 0.8 * room <= len(known.encode()) <= room <= 1024
    assert "- home_city: Lives in Lyon" in known
    async with Client(build_server(shown, brief=known), mode=mode) as client:
        assert client.instructions is not None
        assert client.instructions.endswith(known)
        assert len(client.instructions.encode()) <= MOST_INSTRUCTIONS


@pytest.mark.promise("P6")
async def test_a_profile_that_somebody_would_have_to_wait_for_is_left_out_of_the_instructions(shown: Config) -> None:
    room = room_for_brief(shown)
    assert await brief(shown, room) == ""
    assert not shown.path().exists()
    await filled(shown)
    assert await brief(shown, room)
    for other in (
        {"profile": ProfileConfig()},
        {"identity": "argument"},
        {"ephemeral": True},
        {"user": "carol"},
        {"encryption": shown.encryption.replace(key_command="never run this")},
    ):
        assert await brief(shown.replace(**other), room) == ""
    with closing(sqlite3.connect(shown.path(), isolation_level=None)) as raw:
        raw.execute("PRAGMA locking_mode = EXCLUSIVE")
        raw.execute("BEGIN EXCLUSIVE")
        assert await brief(shown, room) == ""
        raw.execute("DELETE FROM schema_migrations WHERE number = (SELECT max(number) FROM schema_migrations)")
        raw.execute("COMMIT")
    assert await brief(shown, room) == ""


async def test_a_real_server_has_it_in_its_instructions(config: Config, mode: Mode) -> None:
    await filled(config)
    environ = {"MCP_MEMORY_PROFILE_IN_INSTRUCTIONS": "true"}
    async with stdio("--database", config.database, "--user", "alice", mode=mode, env=environ) as client:
        assert "- home_city: Lives in Lyon" in (client.instructions or "")
        assert "secret" not in (client.instructions or "")


async def test_the_command_prints_it_in_both_forms(config: Config, tmp_path: Path) -> None:
    await filled(config)

    def told(*arguments: str) -> str:
        done = invoked("profile", "--database", config.database, *arguments, folder=tmp_path)
        assert (done.exit_code, done.stderr) == (0, "")
        return done.stdout

    def asked(*arguments: str) -> str:
        return told("--user", "alice", *arguments)

    own = await anyio.to_thread.run_sync(asked)
    assert own.splitlines()[2:5] == ["# Facts", "- home_city: Lives in Lyon", "# Other"]
    short = await anyio.to_thread.run_sync(asked, "--max-tokens", "100")
    assert estimate(short) <= 100
    assert "# On what was asked\n- Plays the oboe" in await anyio.to_thread.run_sync(asked, "--about", "oboe")
    plain = json.loads(await anyio.to_thread.run_sync(asked, "--json"))
    assert (plain["label"], plain["max_tokens"], plain["total"]) == (LABEL, 1_000, 2)
    assert [group["kind"] for group in plain["groups"]] == ["keyed", "other"]
    assert await anyio.to_thread.run_sync(told, "--user", "carol") == "No memory to show.\n"

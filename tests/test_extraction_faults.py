"""Long conversations, and what breaks in the middle of one (B4, B6, B8): the whole change is there, or nothing."""

import importlib
import json
import multiprocessing
import random
import re
import sqlite3
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp import Client, StdioServerParameters

from mcp_memory.clock import SystemClock
from mcp_memory.config import Config
from mcp_memory.sections import ExtractionConfig, LlmConfig
from mcp_memory.testing import (
    Chat,
    Closed,
    Computed,
    Delayed,
    Held,
    Raw,
    Received,
    Reply,
    ScriptedEndpoint,
    Status,
    Truncated,
    scripted_endpoint,
)
from tests.dialogue import asked, prompt_of
from tests.extractor_child import extract
from tests.support import Mode, call, connected, ok, text
from tests.test_kill import PRELOADED

PARTS: Final = 3
PADDING: Final = "and so on " * 130
"""So that each message is a chunk of its own; nothing in it is searched for."""
KILLS: Final = 4 if sys.platform == "win32" else 10
GROWTH: Final = 50 << 20


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """So that no example has to wait for an import."""
    for name in ("openai.resources.embeddings", "openai.resources.chat"):
        importlib.import_module(name)


def conversation(name: str) -> list[str]:
    return [f"{name}, part {part}: I own a cat and a dog. {PADDING}" for part in range(PARTS)]


def decision(request: Received) -> Chat:
    """Two adds for each part; the first one renames the cat too, and the second forgets the dog."""
    known, said = asked(prompt_of(request))
    name, part = re.findall(r"(\w+), part (\d)", said)[-1]
    numbers = {content.partition(" called ")[0]: number for number, content in known.items()}
    operations: list[dict[str, Any]] = [
        {"op": "add", "content": f"Learned in {name}, part {part}: {it}"} for it in ("this", "that")
    ]
    if part == "0":
        operations.append({"op": "update", "id": numbers["Owns a cat"], "content": f"Owns a cat called {name}"})
    if part == "1" and "Owns a dog" in numbers:
        operations.append({"op": "delete", "id": numbers["Owns a dog"]})
    if part == "2":
        assert "Owns a dog" not in numbers  # the part before has decided to forget it
        assert known[numbers["Owns a cat"]] == f"Owns a cat called {name}"
    return Chat(json.dumps({"operations": operations}))


def learned(name: str) -> set[str]:
    """All that a whole extraction leaves."""
    facts = {f"Learned in {name}, part {part}: {it}" for part in range(PARTS) for it in ("this", "that")}
    return {f"Owns a cat called {name}", *facts}


GOOD: Final = Computed(decision)
JUNK: Final = Chat("Let me think about it.")
DEATHS: Final[Sequence[Reply]] = (
    Closed(),
    Truncated(Chat('{"operations": []}')),
    Status(401),
    Status(404),
    Status(429, {"retry-after": "600"}),
    Status(500),
    Raw(b"<html>"),
    Chat('{"operations": [', finish_reason="length"),
    Chat(""),
    Delayed(60, Chat("{}")),  # silence, until the time is up
)


def survives(replies: Sequence[Reply]) -> bool:
    """Whether a conversation of PARTS parts comes to its end with these replies, and sound ones after them."""
    waiting = [*replies]
    for _ in range(PARTS):
        reply = waiting.pop(0) if waiting else GOOD
        if reply is JUNK:
            reply = waiting.pop(0) if waiting else GOOD
        if reply is not GOOD:
            return False
    return True


BEFORE: Final = {"Owns a cat", "Owns a dog"}


async def contents(client: Client) -> set[str]:
    return {one["content"] for one in (await ok(client, "list_memories", limit=100))["memories"]}


@asynccontextmanager
async def world(database: Path) -> AsyncGenerator[tuple[Client, ScriptedEndpoint]]:
    """A cat, a dog, and an endpoint that nobody waits for longer than half a second."""
    async with scripted_endpoint() as endpoint:
        endpoint.chat.otherwise = GOOD
        llm = LlmConfig(model="scripted", base_url=endpoint.base_url, max_retries=0, timeout=0.5)
        config = Config(database=str(database), user="alice", timezone="UTC", llm=llm)
        async with connected(config.replace(extraction=ExtractionConfig(chunk_tokens=600))) as client:
            for content in BEFORE:
                await ok(client, "add_memory", content=content)
            yield client, endpoint


async def assert_whole_or_nothing(client: Client, *, whole: bool) -> None:
    messages = [{"role": "user", "content": content} for content in conversation("Rome")]
    result = await call(client, "extract_memories", messages=messages)
    if whole:
        assert not result.is_error, text(result)
        assert await contents(client) == learned("Rome")
        await ok(client, "undo")
    else:
        assert result.is_error
        assert "llm" in text(result) or "OPENAI_API_KEY" in text(result)
        assert len(text(result).splitlines()) == 1
    assert await contents(client) == BEFORE


@pytest.mark.promise("P3")
@settings(max_examples=15, deadline=None)
@given(replies=st.lists(st.sampled_from([GOOD, GOOD, GOOD, JUNK, JUNK, *DEATHS]), max_size=2 * PARTS))
def test_wherever_an_endpoint_dies_the_whole_change_is_there_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, replies: list[Reply]
) -> None:
    async def run() -> None:
        with TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
            async with world(Path(folder) / "memory.db") as (client, endpoint):
                endpoint.chat.then(*replies)
                await assert_whole_or_nothing(client, whole=survives(replies))

    anyio.run(run)


@pytest.mark.promise("P3")
async def test_any_death_in_any_part_leaves_nothing_and_the_next_call_does_all(tmp_path: Path) -> None:
    async with world(tmp_path / "memory.db") as (client, endpoint):
        for part in range(PARTS):
            for death in DEATHS[part:]:
                endpoint.chat.then(*[GOOD] * part, death)
                await assert_whole_or_nothing(client, whole=False)
        await assert_whole_or_nothing(client, whole=True)


def started(database: Path, endpoint: ScriptedEndpoint, said: list[str]) -> tuple[BaseProcess, Connection]:
    context: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    if sys.platform != "win32":
        context.set_forkserver_preload(PRELOADED)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=extract, args=(str(database), endpoint.base_url, said, sender), daemon=True)
    process.start()
    sender.close()
    return process, receiver


async def killed(database: Path, name: str, point: int, delay: float) -> bool:
    """Whether a process that extracts told of a change before it was killed: during request `point`, or after all."""
    held = Held(GOOD)
    async with scripted_endpoint() as endpoint:
        endpoint.chat.then(*[GOOD] * min(point, PARTS - 1), held)
        endpoint.chat.otherwise = GOOD
        process, pipe = started(database, endpoint, conversation(name))
        with pipe:
            await held.reached.wait()
            if point == PARTS:
                held.released.set()
            await anyio.sleep(delay)
            process.kill()
            await anyio.to_thread.run_sync(process.join)
            try:
                return bool(pipe.recv_bytes())
            except EOFError:
                return False


def stored(database: Path) -> set[str]:
    """What another process reads from the file, which is whole."""
    with closing(sqlite3.connect(database)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for index in ("memory_index", "past_index"):
            file.execute(f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)")
        return {row[0] for row in file.execute("SELECT content FROM memories")}


@pytest.mark.promise("P2")
@pytest.mark.promise("P3")
async def test_a_process_killed_while_it_extracts_leaves_the_whole_change_or_nothing(tmp_path: Path) -> None:
    database, chance, applied = tmp_path / "memory.db", random.Random(20260301), 0
    config = Config(database=str(database), user="alice", timezone="UTC")
    async with connected(config, clock=SystemClock()) as client:
        for content in BEFORE:
            await ok(client, "add_memory", content=content)
    before = stored(database)
    for number in range(KILLS):
        point = PARTS if number % 2 else chance.randrange(PARTS)
        told = await killed(database, f"Round{number}", point, chance.uniform(0, 0.15 if point == PARTS else 0.01))
        after = stored(database)
        whole = {one for one in before if one.startswith("Learned")} | learned(f"Round{number}")
        assert after in (before, whole)
        assert after == whole or not told
        assert after == before or point == PARTS
        applied += after == whole
        before = after
    assert applied < KILLS
    async with connected(config, clock=SystemClock()) as client:
        assert await contents(client) == before
        await ok(client, "add_memory", content="Everything still works")


WATCHED: Final = """
import os, runpy, sys

log = open(sys.argv.pop(1), "w", encoding="utf-8")
print(os.getpid(), file=log, flush=True)

def watch(event, arguments):
    if event == "import" and arguments[0] == "openai":
        print("openai", file=log, flush=True)

sys.addaudithook(watch)
sys.argv = ["mcp-memory", *sys.argv[1:]]
runpy.run_module("mcp_memory", run_name="__main__")
"""


@asynccontextmanager
async def process(folder: Path, endpoint: ScriptedEndpoint) -> AsyncGenerator[tuple[Client, Path]]:
    """A client of a real server with a model, and the log of its process id and of the import of `openai`."""
    script, log = folder / "watched.py", folder / "log.txt"
    script.write_text(WATCHED, encoding="utf-8")
    arguments = [str(script), str(log), "serve", "--database", str(folder / "memory.db")]
    env = {"MCP_MEMORY_LLM_MODEL": "scripted", "MCP_MEMORY_LLM_BASE_URL": endpoint.base_url}
    parameters = StdioServerParameters(command=sys.executable, args=arguments, env=env)
    async with Client(parameters) as client:
        yield client, log


def long_conversation() -> list[dict[str, str]]:
    """300 messages of 50 words each."""
    words = " ".join(f"word{number}" for number in range(42))
    said = ("user", f"I read many books {words}"), ("assistant", f"Tell me about them {words}")
    return [
        {"role": said[number % 2][0], "content": f"Message {number}: {said[number % 2][1]}"} for number in range(300)
    ]


def remembering(request: Received) -> Chat:
    """One memory for each chunk."""
    first = re.findall(r"Message \d+", asked(prompt_of(request)).conversation)[0]
    return Chat(json.dumps({"operations": [{"op": "add", "content": f"Read a book by {first}"}]}))


def peak(pid: int) -> int:
    """The most memory a process ever had, in bytes; 0 where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return 0
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) << 10


class Ear:
    """What a client hears of progress."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, float | None]] = []

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        assert message
        self.heard.append((progress, total))


@pytest.mark.promise("P6")
async def test_300_messages_go_in_parts_in_little_memory_and_openai_is_imported_no_sooner(tmp_path: Path) -> None:
    hear = Ear()
    async with scripted_endpoint() as endpoint, process(tmp_path, endpoint) as (client, log):
        endpoint.chat.otherwise = Computed(remembering)
        await client.list_tools()
        await ok(client, "add_memory", content="Owns a cat")
        await ok(client, "search_memories", query="cat")
        await ok(client, "extract_memories", operations=[{"op": "add", "content": "Owns a dog"}])
        [pid] = log.read_text(encoding="utf-8").split()
        before = peak(int(pid))
        reply = await client.call_tool("extract_memories", {"messages": long_conversation()}, progress_callback=hear)
        grown = peak(int(pid)) - before
        assert grown < GROWTH, f"{grown >> 20} MB"
        assert set(log.read_text(encoding="utf-8").split()) == {pid, "openai"}
        parts = len(endpoint.requests)
        assert parts > 5
        assert hear.heard == [(number, parts) for number in range(parts + 1)]
        assert reply.structured_content is not None
        assert len(reply.structured_content["operations"]) == parts
        await ok(client, "undo")
        assert await contents(client) == BEFORE


@pytest.mark.promise("P10")
@pytest.mark.promise("P3")
async def test_a_long_conversation_that_is_cancelled_after_its_second_part_changes_nothing(
    tmp_path: Path, mode: Mode
) -> None:
    hear = Ear()
    async with scripted_endpoint() as endpoint:
        third = Held(Computed(remembering))
        endpoint.chat.then(Computed(remembering), Computed(remembering), third)
        endpoint.chat.otherwise = Computed(remembering)
        llm = LlmConfig(model="scripted", base_url=endpoint.base_url, max_retries=0)
        config = Config(database=str(tmp_path / "memory.db"), timezone="UTC", llm=llm)
        async with connected(config, mode) as client:
            await ok(client, "add_memory", content="Owns a cat")
            with anyio.CancelScope() as scope, anyio.fail_after(20):
                async with anyio.create_task_group() as tasks:
                    arguments = {"messages": long_conversation()}
                    calling = partial(client.call_tool, progress_callback=hear)
                    tasks.start_soon(calling, "extract_memories", arguments)
                    await third.reached.wait()
                    scope.cancel()
            with anyio.fail_after(10):
                await third.abandoned.wait()  # inside a part, too, nothing goes on
            assert await contents(client) == {"Owns a cat"}
            assert len(endpoint.requests) == 3
            assert [progress for progress, _ in hear.heard] == [0, 1, 2]
            again = await ok(client, "extract_memories", messages=long_conversation()[:60])
            assert again["operations"]

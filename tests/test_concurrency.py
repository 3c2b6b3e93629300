"""Several server processes on one file: nothing acknowledged is lost, and nothing is decided twice."""

from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from mcp import Client

from mcp_memory.config import Config
from tests.support import Mode, call, connected, ok, stdio, text

PROCESSES: Final = 4
CALLS: Final = 8
ADDS: Final = 10
MODES: Final[tuple[Mode, ...]] = ("auto", "legacy")


async def in_processes(
    database: Path, work: Callable[[Client, str], Coroutine[Any, Any, None]], processes: int = PROCESSES
) -> None:
    """`work` with a client of each server process, begun once all of them are up; the name says which one."""
    up = [anyio.Event() for _ in range(processes)]

    async def one(number: int) -> None:
        async with stdio("--database", str(database), mode=MODES[number % 2]) as client:
            up[number].set()
            for event in up:
                await event.wait()
            await work(client, f"Process {number}")

    async with anyio.create_task_group() as tasks:
        for number in range(processes):
            tasks.start_soon(one, number)


async def in_parallel(count: int, work: Callable[[str], Coroutine[Any, Any, None]]) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(work, f"call {number}")


async def all_ids(client: Client, total: int) -> list[str]:
    """Every id, page by page; each page says the same total."""
    ids: list[str] = []
    cursor: str | None = None
    while cursor is not None or not ids:
        page = await ok(client, "list_memories", limit=100, cursor=cursor)
        assert page["total"] == total
        ids += [memory["id"] for memory in page["memories"]]
        cursor = page.get("next_cursor")
    return ids


@pytest.mark.promise("P2")
async def test_every_add_acknowledged_to_many_callers_of_many_processes_is_there(tmp_path: Path) -> None:
    database, acknowledged = tmp_path / "memory.db", list[str]()

    async def add_all(client: Client, process: str) -> None:
        async def add_some(name: str) -> None:
            for number in range(ADDS):
                added = await ok(client, "add_memory", content=f"{process} in {name} owns book {number}")
                assert added["outcome"] == "added"
                acknowledged.append(added["memory"]["id"])

        await in_parallel(CALLS, add_some)

    await in_processes(database, add_all)
    assert len(set(acknowledged)) == PROCESSES * CALLS * ADDS == 320
    async with connected(Config(database=str(database))) as client:
        assert sorted(await all_ids(client, 320)) == sorted(acknowledged)


@pytest.mark.promise("P2")
async def test_each_version_of_a_memory_has_exactly_one_winner(tmp_path: Path) -> None:
    database, last = tmp_path / "memory.db", 20
    winners, losers = dict[int, list[str]](), Counter[int]()
    async with connected(Config(database=str(database))) as client:
        memory_id = (await ok(client, "add_memory", content="Version 1"))["memory"]["id"]

        async def race(client: Client, process: str) -> None:
            async def run(name: str) -> None:
                version = 1
                while version < last:
                    content = f"{process} in {name} after version {version}"
                    result = await call(client, "update_memory", id=memory_id, content=content, if_version=version)
                    if result.is_error:
                        assert f"at version {version + 1}" in text(result) or "read it with get_memory" in text(result)
                        losers[version] += 1
                    else:
                        winners.setdefault(version, []).append(content)
                    version = (await ok(client, "get_memory", id=memory_id))["memory"]["version"]

            await in_parallel(2, run)

        await in_processes(database, race)
        got = await ok(client, "get_memory", id=memory_id, history=True)
    assert {version: len(contents) for version, contents in winners.items()} == dict.fromkeys(range(1, last), 1)
    assert losers.total() >= last, "without losers there was no race"
    said = ["Version 1", *(winners[version][0] for version in range(1, last))]
    assert [revision["content"] for revision in got["revisions"]] == said
    assert got["memory"]["version"] == last


@pytest.mark.promise("P2")
async def test_a_text_that_all_processes_add_at_once_is_stored_once(tmp_path: Path) -> None:
    database, outcomes = tmp_path / "memory.db", list[tuple[str, str, str]]()

    async def add_all(client: Client, _: str) -> None:
        async def add_some(_: str) -> None:
            for number in range(15):
                added = await ok(client, "add_memory", content=f"Owns book {number}")
                outcomes.append((added["memory"]["content"], added["outcome"], added["memory"]["id"]))

        await in_parallel(4, add_some)

    await in_processes(database, add_all, processes=2)
    texts = [f"Owns book {number}" for number in range(15)]
    assert Counter(content for content, outcome, _ in outcomes if outcome == "added") == Counter(texts)
    assert Counter(outcome for _, outcome, _ in outcomes) == {"added": 15, "exists": 15 * 7}
    assert len({(content, memory_id) for content, _, memory_id in outcomes}) == 15

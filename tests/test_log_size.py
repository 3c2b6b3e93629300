"""The write-ahead log stays small: nobody who is idle stands in its way, and after a long reader it is cut."""

import sqlite3
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Final

import anyio
import pytest

from benchmarks.soak_process import Lean
from tests.support import ok, stdio

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork a process that has its imports done"),
    pytest.mark.promise("P2"),
    pytest.mark.promise("P7"),
]

BOUND: Final = 8 << 20
"""Bytes. SQLite moves the log into the file at every 1,000 pages of 4 KB, if nobody still reads what stands in it."""
WRITES: Final = 220
LONG: Final = "long" * 950


@asynccontextmanager
async def lean(database: Path, name: str) -> AsyncGenerator[Lean]:
    process = Lean(name, database, 10)
    await process.start()
    try:
        yield process
    finally:
        assert await process.close()


async def write(process: Lean, first: int, count: int) -> int:
    """Add that many long memories; how long the log was at most, in bytes."""
    longest = 0

    async def add(numbers: range) -> None:
        nonlocal longest
        for number in numbers:
            reply, error = await process.call("add_memory", {"user_id": "alice", "content": f"{number} {LONG}"})
            assert reply, error
            longest = max(longest, log_of(process))

    async with anyio.create_task_group() as tasks:
        for part in range(2):
            tasks.start_soon(add, range(first + part, first + count, 2))
    return longest


def log_of(process: Lean) -> int:
    return process.database.with_name(f"{process.database.name}-wal").stat().st_size


async def test_the_log_stays_small_beside_servers_that_have_read_and_are_idle(tmp_path: Path) -> None:
    database = tmp_path / "memory.db"
    async with AsyncExitStack() as stack, lean(database, "writer") as writer:
        await write(writer, 0, 2)
        for _ in range(2):
            client = await stack.enter_async_context(stdio("--database", str(database), "--user", "alice"))
            listed = await ok(client, "list_memories")
            await ok(client, "search_memories", query="long", include_past=True)
            await ok(client, "get_memory", id=listed["memories"][0]["id"], history=True)
        for number in range(2):
            idle = await stack.enter_async_context(lean(database, f"idle {number}"))
            await idle.call("search_memories", {"user_id": "alice", "query": "long", "limit": 10})
        assert await write(writer, 2, WRITES) < BOUND
        assert database.stat().st_size > BOUND / 8, "nothing was moved out of the log: too little was written to tell"


async def test_after_a_reader_that_kept_its_transaction_open_the_log_is_cut(tmp_path: Path) -> None:
    database = tmp_path / "memory.db"
    async with lean(database, "writer") as writer:
        await write(writer, 0, 2)
        with closing(sqlite3.connect(database)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM memories").fetchall()
            assert await write(writer, 2, WRITES) > BOUND
        await write(writer, WRITES + 2, 3)
        assert log_of(writer) <= BOUND

"""Processes that are killed in the middle of writing lose nothing that they acknowledged."""

import multiprocessing
import random
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.support import ok, stdio
from tests.writer_child import write

ROUNDS: Final = 20 if sys.platform == "win32" else 100
"""Windows cannot fork a process that has its imports done, so that a round takes a second there."""


PRELOADED: Final = ["pytest", "numpy", "tests.writer_child", "mcp_memory.store.sqlite", "tests.preloaded"]


class Writer(NamedTuple):
    """A process that writes; `pipe` gives what was acknowledged, and `wanted` is how much it may do."""

    process: BaseProcess
    pipe: Connection
    wanted: int


def start(database: Path, name: str, wanted: int) -> Writer:
    context: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    if sys.platform != "win32":
        context.set_forkserver_preload(PRELOADED)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=write, args=(str(database), name, sender), daemon=True)
    process.start()
    sender.close()
    return Writer(process, receiver, wanted)


def killed(writer: Writer, delay: float) -> dict[str, int]:
    """The newest acknowledged version of each id, from a writer killed a moment after it has done what it may."""
    acknowledged: dict[str, int] = {}
    messages = 0
    with writer.pipe:
        try:
            while True:
                memory_id, version = writer.pipe.recv_bytes().decode().split()
                acknowledged[memory_id] = int(version)
                messages += 1
                if messages == writer.wanted:
                    time.sleep(delay)  # so that the end comes at any point of a write, not always after an answer
                    writer.process.kill()
        except EOFError:
            writer.process.join()
    assert messages >= writer.wanted, f"ended by itself: exit code {writer.process.exitcode}"
    return acknowledged


def asked(database: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def check(database: Path, acknowledged: Mapping[str, int]) -> int:
    """Holds the file against what was acknowledged; how many memories it has."""
    assert asked(database, "PRAGMA integrity_check") == [("ok",)]
    stored = dict[str, int](asked(database, "SELECT id, version FROM memories"))
    lost = {memory_id for memory_id, version in acknowledged.items() if stored.get(memory_id, 0) < version}
    assert not lost
    for index in ("memory_index", "past_index"):
        assert asked(database, f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)") == []
    return len(stored)


@pytest.mark.promise("P2")
@pytest.mark.timeout(300)
async def test_nothing_acknowledged_is_lost_when_writers_are_killed(tmp_path: Path) -> None:
    database, chance = tmp_path / "memory.db", random.Random(20260301)
    acknowledged: dict[str, int] = {}
    for number in range(ROUNDS):
        # A second writer lives through the first one's end, and then the file is left as both have dropped it.
        names = [f"Round {number}, process {process}" for process in range(chance.choice((1, 2)))]
        for writer in [start(database, name, chance.randint(1, 20)) for name in names]:
            acknowledged |= killed(writer, chance.uniform(0, 0.008))
        if number % 10 == 0:
            check(database, acknowledged)
    stored = check(database, acknowledged)
    assert len(acknowledged) > 5 * ROUNDS
    async with stdio("--database", str(database), "--user", "alice") as client:
        page = await ok(client, "list_memories", limit=100)
        assert page["total"] == stored
        assert not [memory for memory in page["memories"] if memory.get("damaged")]
        await ok(client, "add_memory", content="Everything still works")

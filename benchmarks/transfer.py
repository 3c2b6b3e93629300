"""How long many memories take to come into a file, to go by undo, to come by redo, and to leave.

`python -m benchmarks.transfer [--count 100000] [--versions 1] [--folder DIR]`. The commands are run as a person runs
them, in processes of their own, with vectors by the built-in table. With `--trials N` it brings N random memories with
histories from one store into another instead, and compares the exports.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio

from mcp_memory.app import open_store
from mcp_memory.clock import SystemClock
from mcp_memory.config import Config
from mcp_memory.models import AddOperation, DeleteOperation, Operation, Origin, UpdateOperation
from mcp_memory.service import MemoryService
from mcp_memory.transfer import jsonl, writers
from mcp_memory.transfer.base import exact

WORDS = "alice prefers green tea on trains near Lisbon since March works with Rust reads 乌龙茶 früh am Morgen".split()
FIRST = 1_700_000_000_000_000


def lines(count: int, versions: int) -> Iterator[str]:
    chance = random.Random(7)
    yield jsonl.begin(history=versions > 1)
    ids = SystemClock()
    for number in range(count):
        said = [f"{number}.{n} {' '.join(chance.choices(WORDS, k=14))}" for n in range(versions)]
        told = [
            {"content": one, "topics": ["bench", f"t{number % 9}"], "created_at": exact(FIRST), "version": n + 1}
            | {"updated_at": exact(FIRST + n)}
            for n, one in enumerate(said)
        ]
        revisions = [
            {"operation": "update" if n else "add", "memory": one}
            | {"change": {"id": ids.new_id(), "at": one["updated_at"], "tool": "update_memory", "summary": "wrote"}}
            for n, one in enumerate(told)
        ]
        history = {"revisions": revisions} if versions > 1 else {}
        yield jsonl.dumped({"id": ids.new_id(), **told[-1], **history}) + "\n"


def run(database: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "mcp_memory", *arguments, "--database", str(database)]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    named = " ".join(one for one in arguments if "/" not in one)
    print(f"{named:20} {time.perf_counter() - start:7.1f} s, processor {spent:6.1f} s", flush=True)
    return done.stdout + done.stderr


def timed(count: int, versions: int, folder: Path) -> None:
    source, database = folder / "many.jsonl", folder / "memory.db"
    source.write_text("".join(lines(count, versions)), encoding="utf-8")
    print(f"{count:,} memories of {versions} versions, {source.stat().st_size / 1e6:.0f} MB")
    history = ["--history"] if versions > 1 else []
    run(database, "import", str(source), "--dry-run")
    run(database, "import", str(source))
    run(database, "export", str(folder / "again.jsonl"), *history)
    other = folder / "other.db"
    run(other, "import", str(folder / "again.jsonl"))
    run(other, "export", str(folder / "third.jsonl"), *history)
    print("the same to the byte:", (folder / "again.jsonl").read_bytes() == (folder / "third.jsonl").read_bytes())
    undone = json.loads(run(database, "undo", "--json"))
    run(database, "undo", undone["change_id"])
    run(database, "import", str(source))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest process: {peak:,.0f} MB; file: {database.stat().st_size / 1e6:,.0f} MB")


async def life(service: MemoryService, user: str, count: int) -> None:
    """Random changes of several operations, and undoes, until so many memories live."""
    chance = random.Random(7)
    ids: list[str] = []
    while len(ids) < count:
        origin = Origin(tool="trial", client="bench", agent=chance.choice([None, "planner"]))
        meant = chance.sample(ids, min(len(ids), 12))
        operations: list[Operation] = [AddOperation(**said(chance), reason="new") for _ in range(20)]
        operations += [UpdateOperation(id=one, **said(chance)) for one in meant[:10]]
        operations += [DeleteOperation(id=one) for one in meant[10:]]
        done = await service.apply(user, operations, origin)
        if chance.randrange(4):
            gone = {one.memory.id for one in done.done if one.operation == "delete"}
            ids = [one for one in ids if one not in gone]
            ids += [one.memory.id for one in done.done if one.operation == "add"]
        else:
            await service.undo(user, done.change_id, origin)


def said(chance: random.Random) -> dict[str, Any]:
    return {
        "content": f"{chance.randrange(10**9)} {' '.join(chance.choices(WORDS, k=8))}",
        "topics": tuple(chance.sample(["a", "b", "ü"], chance.randrange(3))),
        "key": chance.choice([None, None, f"k{chance.randrange(10**9)}"]),
        "expires": chance.choice([None, "30d", "100w"]),
    }


async def exported(service: MemoryService, user: str) -> str:
    writer = writers.writer("jsonl", history=True)
    return writer.begin + "".join(
        [writer.one(one.lineage) async for one in service.transfer.leaving(user) if one.lineage]
    )


async def trial(count: int, folder: Path) -> None:
    clock = SystemClock()
    source = Config(database=str(folder / "a.db"))
    target = Config(database=str(folder / "b.db"))
    async with open_store(source, clock) as one, open_store(target, clock) as other:
        left, right = MemoryService(one, clock), MemoryService(other, clock)
        await life(left, "alice", count)
        text = await exported(left, "alice")
        batch = await right.transfer.read(jsonl.read(text.split("\n")), lambda _: None)
        done = await right.transfer.bring("alice", batch, Origin(tool="import"), lambda _: None)
        again = await exported(right, "alice")
        versions = sum(len(json.loads(line)["revisions"]) for line in text.splitlines()[1:])
        print(f"{done.added:,} memories, {versions:,} versions, {len(text):,} characters; bad {len(done.bad)}")
        print("the same to the byte:", again == text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--versions", type=int, default=1)
    parser.add_argument("--trials", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        if given.trials:
            anyio.run(trial, given.trials, Path(folder))
        else:
            timed(given.count, given.versions, Path(folder))


if __name__ == "__main__":
    main()

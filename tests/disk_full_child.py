"""A process whose files cannot grow. Run by `test_disk_full`: `python -m tests.disk_full_child PART DATABASE`.

It prints a JSON object: the errors met, what was seen wrong, and the memories acknowledged in the end.
"""

import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from itertools import count
from pathlib import Path
from typing import Any, Final

import anyio

from benchmarks.soak_child import limit_file_size
from mcp_memory.clock import SystemClock
from mcp_memory.errors import StoreError
from mcp_memory.guard import Fields
from mcp_memory.models import AddOperation, Origin
from mcp_memory.service import MemoryService
from mcp_memory.store.sqlite import SqliteStore, open_store

ORIGIN: Final = Origin(tool="test")
STEP: Final = 4_799
"""Bytes by which the limit is raised: no multiple of a frame of the write-ahead log, so that it ends anywhere."""

LOG: Final = 4_600_000
"""More bytes than the write-ahead log has when it is moved into the file."""

State = list[tuple[str, int, str, str | None]]


class Tally:
    """What was met."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.wrong: list[str] = []
        self.state: State = []
        self.figures: dict[str, int] = {}

    def met(self, error: StoreError) -> None:
        self.errors.append(f"{type(error).__name__} {error}")

    def told(self) -> str:
        return json.dumps(
            {"errors": self.errors, "wrong": self.wrong[:5], "state": self.state, "figures": self.figures}
        )


def opened(path: Path) -> AbstractAsyncContextManager[SqliteStore]:
    return open_store(path, 1, 5)


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


async def state_of(service: MemoryService) -> State:
    page = await service.page("alice", limit=100)
    assert page.next_cursor is None
    return [(one.id, one.version, one.content, one.key) for one in page.memories]


def operations(service: MemoryService) -> list[Callable[[], Awaitable[object]]]:
    """Thirty writes of every kind."""
    newest: list[str] = []

    async def add(content: str, key: str | None = None) -> None:
        newest.append((await service.add("alice", Fields(content=content, key=key), ORIGIN)).memory.id)

    async def update(content: str) -> None:
        await service.update("alice", newest[-1], Fields(content=content, topics=["tea"]), ORIGIN)

    async def delete() -> None:
        await service.delete("alice", newest[-1:], ORIGIN)

    async def undo() -> None:
        await service.undo("alice", None, ORIGIN)

    async def several(number: int) -> None:
        told = [AddOperation(content=f"Fact {number} in part {part}: " + "long story " * 30) for part in range(3)]
        await service.apply("alice", told, ORIGIN)

    script: list[Callable[[], Awaitable[object]]] = []
    for number in range(5):
        script += [
            lambda number=number: add(f"Fact {number}"),
            lambda number=number: update(f"Better fact {number}: " + "long story " * 50 * number),
            lambda number=number: add(f"Keyed fact {number}", "employer"),
            lambda number=number: several(number),
            delete,
            undo,
        ]
    return script


async def every_write(path: Path, tally: Tally) -> None:
    """Each write of the script is tried with room for a little more each time, until it has enough."""
    async with opened(path) as store:
        service = MemoryService(store, SystemClock())
        script = operations(service)
        for number, operation in enumerate(script):
            before, base = await state_of(service), size_of(wal_of(path))
            for room in count(997 * number % STEP, STEP):
                limit_file_size(base + room)
                try:
                    await operation()
                    break
                except StoreError as error:
                    tally.met(error)
                finally:
                    limit_file_size(None)
                if (after := await state_of(service)) != before:
                    tally.wrong.append(f"operation {number} with room for {room} bytes has written: {after}")
        await service.add("alice", Fields(content="There is room again"), ORIGIN)
        tally.figures["operations"] = len(script)
        tally.state = await state_of(service)


async def every_creation(path: Path, tally: Tally) -> None:
    """A new file is made with room for a little more each time, until it has enough; then there is room again."""
    for room in count(0, 2 * STEP):
        file = path.with_name(f"{room}.db")
        limit_file_size(room)
        try:
            async with opened(file):
                pass
            break
        except StoreError as error:
            tally.met(error)
        finally:
            limit_file_size(None)
        async with opened(file) as store:
            service = MemoryService(store, SystemClock())
            await service.add("alice", Fields(content="There is room again"), ORIGIN)
            if len(await state_of(service)) != 1:
                tally.wrong.append(f"created with room for {room} bytes: {await state_of(service)}")


async def every_end(path: Path, tally: Tally) -> None:
    """A file is closed, and what its log holds cannot all be moved into it."""
    for place, room in enumerate(range(0, 400_000, 40_000)):
        file = path.with_name(f"{place}.db")
        async with opened(file) as store:
            service = MemoryService(store, SystemClock())
            for number in range(5):
                await service.add("alice", Fields(content=f"Fact {number}: " + "long story " * 200), ORIGIN)
            state = await state_of(service)
            limit_file_size(room)
        tally.figures["logs left"] = tally.figures.get("logs left", 0) + wal_of(file).exists()
        limit_file_size(None)
        async with opened(file) as store:
            if (after := await state_of(MemoryService(store, SystemClock()))) != state:
                tally.wrong.append(f"closed with room for {room} bytes: {after}, acknowledged was {state}")


async def no_checkpoint(path: Path, tally: Tally) -> None:
    """The file cannot grow and its log can: what is written stays in the log until that is full too."""
    acknowledged = 0
    async with opened(path) as store:
        service = MemoryService(store, SystemClock())

        async def write_more(number: int) -> int:
            told = [AddOperation(content=f"{number} {part} " + "long" * 990) for part in range(20)]
            return len((await service.apply("alice", told, ORIGIN)).done)

        numbers = count()
        while size_of(path) < LOG:
            acknowledged += await write_more(next(numbers))
        limit_file_size(size_of(path))
        try:
            for _ in range(60):
                acknowledged += await write_more(next(numbers))
        except StoreError as error:
            tally.met(error)
        limit_file_size(None)
        tally.figures["longest log"] = size_of(wal_of(path))
        for _ in range(3):
            acknowledged += await write_more(next(numbers))
        total = (await service.page("alice", limit=1)).total
        if total != acknowledged:
            tally.wrong.append(f"{total} memories, acknowledged were {acknowledged}")
        tally.figures["acknowledged"] = acknowledged


PARTS: Final[dict[str, Any]] = {part.__name__: part for part in (every_write, every_creation, every_end, no_checkpoint)}


def main() -> None:
    tally = Tally()
    anyio.run(PARTS[sys.argv[1]], Path(sys.argv[2]), tally)
    sys.stdout.write(tally.told())


if __name__ == "__main__":
    main()

"""A process that opens a file, adds a memory and closes it, without end. Run by `test_encryption_rewriting`."""

from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event, Semaphore
from pathlib import Path

import anyio

from mcp_memory.clock import SystemClock
from mcp_memory.errors import McpMemoryError
from mcp_memory.keys import Key
from mcp_memory.models import Change, Memory, Step
from mcp_memory.store.sqlite import open_store


def hammer(database: str, secret: str, told: Connection, stop: Event, some: Semaphore) -> None:
    """Add until `stop`; then `told` gets the ids of all that was acknowledged, each of which released `some`."""
    told.send(anyio.run(_hammer, Path(database), Key(secret) if secret else None, stop, some))


async def _hammer(path: Path, key: Key | None, stop: Event, some: Semaphore) -> list[str]:
    clock, acknowledged = SystemClock(), list[str]()
    while not stop.is_set():
        memory_id = clock.new_id()
        memory = Memory(id=memory_id, content=f"Fact {memory_id}", created_at=1, updated_at=1, worded_at=1)
        change = Change(id=clock.new_id(), at=1, tool="test", summary="wrote")
        try:
            async with open_store(path, 1, 10, key=key) as store:
                async with store.transaction("alice") as turn:
                    await turn.record(change, [Step(operation="add", memory=memory)])
                acknowledged.append(memory_id)
                some.release()
        except McpMemoryError:
            pass
        await anyio.sleep(0.03)  # without a pause nobody else would ever have the file alone
    return acknowledged

"""A process that writes until it is killed, and tells what has been acknowledged. Run by `test_kill`."""

from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection

import anyio

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import Memory, Origin
from mcp_memory.service import MemoryService

ORIGIN = Origin(tool="test", client="writer")
WRITERS = 3


def write(database: str, name: str, told: Connection) -> None:
    """Add and update memories without end; `told` gets the id and version of each once its call has returned."""

    def acknowledge(memory: Memory) -> None:
        told.send_bytes(f"{memory.id} {memory.version}".encode())

    anyio.run(_write, database, name, acknowledge)


async def _write(database: str, name: str, acknowledge: Callable[[Memory], None]) -> None:
    async with open_app(Config(database=database, user="alice")) as app, anyio.create_task_group() as tasks:
        service = await app.service()
        for writer in range(WRITERS):
            tasks.start_soon(partial(_add_and_update, service, f"{name}, writer {writer}", acknowledge))


async def _add_and_update(service: MemoryService, name: str, acknowledge: Callable[[Memory], None]) -> None:
    number = 0
    while True:
        number += 1
        added = await service.add("alice", Fields(content=f"{name}: fact {number}"), ORIGIN)
        acknowledge(added.memory)
        updated = await service.update(
            "alice", added.memory.id, Fields(content=f"{name}: better fact {number}"), ORIGIN
        )
        acknowledge(updated.memory)

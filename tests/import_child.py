"""A process that is killed in the middle of an import. Run by `test_transfer`."""

import os
import signal
import sys

import anyio

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.models import Origin
from mcp_memory.service.records import Record, Said


async def _import(database: str) -> None:
    async with open_app(Config(database=database)) as app:
        service = await app.service()
        records = [Record(place=f"line {n}", said=Said(content=f"memory {n}")) for n in range(1_100)]
        batch = await service.transfer.read(records, lambda _: None)
        await service.transfer.bring(
            "alice", batch, Origin(tool="import"), lambda _: os.kill(os.getpid(), signal.SIGKILL)
        )


if __name__ == "__main__":
    anyio.run(_import, sys.argv[1])

"""Does on import what every writing process has to do first, so that those forked afterwards write at once."""

import anyio

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import Origin


async def _once() -> None:
    async with open_app(Config(ephemeral=True)) as app:
        service = await app.service()
        await service.add("alice", Fields(content="Warms up"), Origin(tool="test"))


anyio.run(_once)

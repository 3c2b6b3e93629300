"""A process that erases a user until it is killed. Run by `test_forget_killed`."""

from multiprocessing.connection import Connection

import anyio

from mcp_memory.app import open_app
from mcp_memory.config import Config


def erase(database: str, user: str, told: Connection) -> None:
    """Erase `user`; `told` hears when the erasing begins and when it has ended."""
    anyio.run(_erase, database, user, told)


async def _erase(database: str, user: str, told: Connection) -> None:
    async with open_app(Config(database=database)) as app:
        service = await app.service()
        told.send_bytes(b"begins")
        await service.forgetting.user(user)
        told.send_bytes(b"ended")

"""A quick look into a file before anybody waits for it: nothing is created, brought up to date or waited for."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from mcp_memory.errors import StoreUnavailable
from mcp_memory.store.base import UNCHOSEN
from mcp_memory.store.sqlite.backup import SqliteBackups
from mcp_memory.store.sqlite.cache import IndexCache
from mcp_memory.store.sqlite.connection import Turns, open_connection, open_watch
from mcp_memory.store.sqlite.erase import Eraser
from mcp_memory.store.sqlite.migrate import schema_of, settle
from mcp_memory.store.sqlite.sql import MIGRATIONS
from mcp_memory.store.sqlite.store import SqliteStore


@asynccontextmanager
async def open_glance(path: Path, lock_timeout: float) -> AsyncGenerator[SqliteStore]:
    """The store in the file at the absolute `path`, which is not encrypted, to read from; closed at the end.

    Raises:
        StoreUnavailable: there is no such file, or it waits for a newer schema.
        StoreError: it cannot be read within `lock_timeout` seconds.
    """
    opened = partial(open_connection, lock_timeout=lock_timeout)
    async with opened(path) as reader:
        if await schema_of(reader) != len(MIGRATIONS):
            raise StoreUnavailable(path, "waits for a newer schema")
        turns = Turns(reader)
        settings = await settle(reader, turns, UNCHOSEN)
        with open_watch(path) as watch:
            cache = IndexCache(reader, settings.model, 0)
            yield SqliteStore(
                turns, reader, watch, settings, cache, Eraser(path, opened, None), SqliteBackups(path, None)
            )

"""Composition root: a configuration becomes a service on a store, as one async context manager."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from mcp_memory.clock import Clock, SystemClock, zone_named
from mcp_memory.config import Config
from mcp_memory.errors import McpMemoryError
from mcp_memory.service import MemoryService
from mcp_memory.store.base import Store


class App:
    """The parts of one running process. The store is opened by `warm_up` or by the first call that needs it.

    Opening that fails is tried anew by the next caller: what was wrong with the disk may have been put right.
    """

    def __init__(self, config: Config, clock: Clock) -> None:
        self.config = config
        self.zone = zone_named(config.timezone)
        self._clock = clock
        self._stack = AsyncExitStack()
        self._lock = anyio.Lock()
        self._service: MemoryService | None = None

    async def service(self) -> MemoryService:
        """The service, its store open.

        Raises:
            StoreError: the store cannot be opened.
        """
        if self._service is None:
            async with self._lock:
                if self._service is None:
                    store = await self._stack.enter_async_context(open_store(self.config, self._clock))
                    self._service = MemoryService(store, self._clock, self.zone)
        return self._service

    async def warm_up(self) -> None:
        """Open the store ahead of the first call; a failure is left for that call to report."""
        try:
            await self.service()
        except McpMemoryError:
            return

    async def aclose(self) -> None:
        """Close the store, if it was opened."""
        await self._stack.aclose()


@asynccontextmanager
async def open_app(config: Config, clock: Clock | None = None) -> AsyncGenerator[App]:
    """The app of `config`, its store not yet open; all is closed at the end, whatever happened."""
    app = App(config, clock or SystemClock())
    try:
        yield app
    finally:
        with anyio.CancelScope(shield=True):
            await app.aclose()


@asynccontextmanager
async def open_store(config: Config, clock: Clock) -> AsyncGenerator[Store]:
    """The store that `config` names.

    Raises:
        StoreError: it cannot be opened.
    """
    if config.ephemeral:
        from mcp_memory.store.ephemeral import EphemeralStore  # noqa: PLC0415 - only the store in use is loaded

        yield EphemeralStore()
    else:
        from mcp_memory.store.sqlite import open_store as open_sqlite  # noqa: PLC0415

        async with open_sqlite(config.path(), clock.now(), config.store.lock_timeout) as store:
            yield store

"""When a store is backed up by itself: after a write, once in a while, by one of the processes that share it."""

import logging
from typing import Final

import anyio

from mcp_memory.clock import Clock
from mcp_memory.errors import StoreBusy, StoreError
from mcp_memory.store.base import Backup, Backups, Store

AUTOMATIC: Final = "automatic"

_RETRY: Final = 3_600_000_000
"""Microseconds until it is tried again after it has failed: nobody waits for it, and the disk may have room by then."""

_log = logging.getLogger(__name__)


class AutomaticBackups:
    """Makes a backup when the last one, or the first write where there is none yet, is `every` microseconds ago."""

    def __init__(self, backups: Backups, clock: Clock, every: int, keep: int) -> None:
        self._backups = backups
        self._clock = clock
        self._every = every
        self._keep = keep
        self._idle = range(0)
        """The moments in which nothing is due, so that most writes cost no look at the disk."""

    async def after_write(self) -> Backup | None:
        """Make one if it is due and no other process is at it.

        Raises:
            StoreError: it could not be made; nothing of it is left.
        """
        now = self._clock.now()
        if now in self._idle or not await self._due(now):
            return None
        self._idle = range(now, now + min(self._every, _RETRY))
        try:
            async with self._backups.claimed(patience=0):
                if not await self._due(now):
                    return None
                made = await self._backups.make(AUTOMATIC, now)
                await self._backups.keep(AUTOMATIC, self._keep)
        except StoreBusy:
            return None
        self._idle = range(now, now + self._every)
        return made

    async def keep_making(self, store: Store) -> None:
        """Look after every write to `store`, for ever."""
        while True:
            await store.written.wait()
            store.written = anyio.Event()
            try:
                await self.after_write()
            except StoreError as error:
                _log.warning("no automatic backup was made: %s", error)

    async def _due(self, now: int) -> bool:
        """Whether nothing recent is there. Moments that are yet to come tell of a clock that was set back, no more."""
        begun = await self._backups.begun()
        times = [*await self._backups.times(), *([begun] if begun is not None else [])]
        if recent := [at for at in times if 0 <= now - at < self._every]:
            self._idle = range(now, max(recent) + self._every)
        return not recent

"""What goes by itself: expired and undecided memories, former versions, deleted ones. In the background, bit by bit.

Each batch is one short transaction and one recorded change of the system, so that several servers on one file take
turns and the second finds nothing left to do. How old something is, is told by the order of changes: it is older than a
moment if it was written before the first change that was made at that moment or later. So nothing goes early because
the machine's clock was behind for a while.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from mcp_memory.clock import DAY, Clock
from mcp_memory.errors import McpMemoryError
from mcp_memory.models import Bounds, Memory, Origin
from mcp_memory.sections import ApprovalConfig, RetentionConfig
from mcp_memory.service.outcomes import Swept
from mcp_memory.service.writing import SWEEP, Writing
from mcp_memory.store.base import Due, Store
from mcp_memory.store.transaction import Transaction

BATCH: Final = 25
"""So many memories or revisions are taken away in one transaction; others who write wait some milliseconds for it."""

_PIECE: Final = 1_000
"""So many of a user's writes are looked through at once."""
_BREATH: Final = 0.05
"""Seconds between two batches: others who wait to write come first."""
_START: Final = 1.0
"""Seconds between the opening of the store and the first sweep."""
_INTERVAL: Final = 3_600.0

_log = logging.getLogger(__name__)


class Retention:
    """Sweeps what has expired, undecided too, and what a configuration no longer keeps, of all users."""

    def __init__(self, store: Store, clock: Clock, approval: ApprovalConfig) -> None:
        self._store = store
        self._clock = clock
        self._approval = approval
        self._writing = Writing(clock)

    async def keep_swept(self, config: RetentionConfig) -> None:
        """Sweep now and then, for ever."""
        await self._clock.pause(_START)
        while True:
            try:
                swept = await self.sweep(config)
            except McpMemoryError as error:  # what is left is found again the next time
                _log.info("sweeping was interrupted: %s", error)
            else:
                _log.info("swept %d expired memories, %d revisions", swept.expired, swept.revisions)
            await self._clock.pause(_INTERVAL)

    async def sweep(self, config: RetentionConfig) -> Swept:
        """Take away all that is due at this moment.

        Raises:
            StoreError: the store cannot be read or written; what was swept stays so.
        """
        expired = revisions = 0
        for due in await self._store.due():
            if due.first_expiry is not None and due.first_expiry <= self._clock.now():
                expired += await self._expire(due.user)
            if due.first_pending is not None and due.first_pending <= self._approval.gone(self._clock.now()):
                expired += await self._withdraw(due.user)
            if config.revisions_days or config.deleted_days:
                revisions += await self._prune(due, config)
        return Swept(expired=expired, revisions=revisions)

    async def _expire(self, user: str) -> int:
        return await self._take_away(user, lambda turn, now: turn.expired(now, BATCH))

    async def _withdraw(self, user: str) -> int:
        """Take away what nobody has decided about in time."""
        return await self._take_away(user, lambda turn, now: turn.undecided(self._approval.gone(now), BATCH))

    async def _take_away(self, user: str, due: Callable[[Transaction, int], Awaitable[list[Memory]]]) -> int:
        swept = 0
        while True:
            now = self._clock.now()
            async with self._store.transaction(user) as turn:
                gone = await due(turn, now)
                await self._writing.sweep(turn, gone, now)
            swept += len(gone)
            if len(gone) < BATCH:
                return swept
            await anyio.sleep(_BREATH)

    async def _prune(self, due: Due, config: RetentionConfig) -> int:
        bounds = Bounds(
            replaced=await self._kept_from(due.user, config.revisions_days),
            deleted=await self._kept_from(due.user, config.deleted_days),
        )
        pruned = 0
        for first in range(1, due.writes + 1, _PIECE):
            piece = range(first, min(first + _PIECE, due.writes + 1))
            for batch in _batches(await self._store.obsolete(due.user, piece, bounds)):
                pruned += await self._prune_batch(due.user, batch, bounds)
                await anyio.sleep(_BREATH)
            await checkpoint()
        return pruned

    async def _prune_batch(self, user: str, seqs: Sequence[int], bounds: Bounds) -> int:
        async with self._store.transaction(user) as turn:
            count = await turn.prune(seqs, bounds)
            if count:
                summary = f"removed {count} revisions that are no longer kept"
                change = self._writing.change(Origin(tool=SWEEP), self._clock.now(), summary)
                await turn.record(change.replace(system=True), [])
        return count

    async def _kept_from(self, user: str, days: int) -> int:
        """The first change of the last so many days; 0 where all are kept."""
        return await self._store.first_change(user, self._clock.now() - days * DAY) if days else 0


def _batches(seqs: Iterable[int]) -> Iterable[list[int]]:
    waiting = iter(seqs)
    while batch := list(islice(waiting, BATCH)):
        yield batch

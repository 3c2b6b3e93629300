"""The verbs that look and need nothing but a connection that reads: no index in memory, and no turn."""

from mcp_memory.models import Bounds, Revision
from mcp_memory.store.base import Due
from mcp_memory.store.census import Census
from mcp_memory.store.importance import Foremost
from mcp_memory.store.lineage import Lineage
from mcp_memory.store.sqlite import bringing, importance, overview, retention, rows
from mcp_memory.store.sqlite.connection import Connection


class Looking:
    """These verbs of `store.base.Store`, on the connection that reads."""

    def __init__(self, reader: Connection) -> None:
        self._reader = reader

    async def gone(self, user: str, before: int | None, limit: int) -> list[Revision]:
        """At most `limit` deletions and expiries of memories that are still gone, the latest first."""
        end = rows.SEQUENCE_MASK + 1
        asked = {"user": user, "before": end if before is None else min(before, end), "limit": limit}
        return [rows.revision(row) for row in await self._reader.all("gone", asked)]

    async def census(self, user: str, now: int) -> Census:
        """How the user's living memories are spread."""
        return await overview.census(self._reader, user, now)

    async def foremost(self, user: str, now: int, limit: int) -> Foremost:
        """The most important living memories."""
        return await importance.foremost(self._reader, user, now, limit)

    async def lineages(self, user: str, after: int, limit: int, now: int) -> list[Lineage]:
        """At most `limit` living memories with all their versions, oldest created first."""
        return await bringing.lineages(self._reader, user, after, limit, now)

    async def first_change(self, user: str, moment: int) -> int:
        """The seq of the user's first change at `moment` or later."""
        return await retention.first_change(self._reader, user, moment)

    async def obsolete(self, user: str, writes: range, bounds: Bounds) -> list[int]:
        """The seqs of revisions in `writes` that retention may remove."""
        span = {"user": user, "first": writes.start, "last": writes.stop - 1}
        return [row["seq"] for row in await self._reader.all("obsolete", span | bounds.fields())]

    async def due(self) -> list[Due]:
        """Everybody who ever wrote, and from when on there is something expired."""
        return await retention.due(self._reader)

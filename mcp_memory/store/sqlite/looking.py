"""The verbs that look and need nothing but a connection that reads: no index in memory, and no turn."""

from collections.abc import Sequence

from mcp_memory.models import Bounds, Revision
from mcp_memory.store.base import Census, Due
from mcp_memory.store.importance import Foremost
from mcp_memory.store.lineage import Lineage
from mcp_memory.store.sqlite import bringing, importance, overview, retention, rows, salvage
from mcp_memory.store.sqlite.connection import Connection
from mcp_memory.store.tally import QUARTER, Tally


class Looking:
    """These verbs of `store.base.Store`, on the connection that reads."""

    def __init__(self, reader: Connection) -> None:
        self._reader = reader

    async def tally(self, user: str, now: int) -> Tally:
        """What living memories there are, counted."""
        asked = {"user": user, "now": now}
        topics = await self._reader.all("topics_counted", asked)
        agents = await self._reader.all("agents_counted", asked)
        created = await self._reader.all("created_counted", asked | {"quarter": QUARTER})
        return Tally(
            total=sum(row["count"] for row in created),
            topics=tuple((row["topic"], row["count"]) for row in topics),
            agents=tuple((row["agent"], row["count"]) for row in agents),
            created=tuple((salvage.moment(row["quarter"] * QUARTER), row["count"]) for row in created),
        )

    async def gone(self, user: str, before: int | None, limit: int) -> list[Revision]:
        """At most `limit` deletions and expiries of memories that are still gone, the latest first."""
        end = rows.SEQUENCE_MASK + 1
        asked = {"user": user, "before": end if before is None else min(before, end), "limit": limit}
        return [rows.revision(row) for row in await self._reader.all("gone", asked)]

    async def census(self, user: str, now: int, ages: Sequence[int]) -> Census:
        """What there is of one user."""
        return await overview.census(self._reader, user, now, ages)

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
        return [row["seq"] for row in await self._reader.all("obsolete", span | bounds.model_dump())]

    async def due(self) -> list[Due]:
        """Everybody who ever wrote, and from when on there is something expired."""
        return await retention.due(self._reader)

"""What a person who looks through a file asks of it, and no tool does."""

from mcp_memory.models import Revision
from mcp_memory.store.sqlite import rows, salvage
from mcp_memory.store.sqlite.connection import Connection
from mcp_memory.store.tally import QUARTER, Tally


class Browsed:
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

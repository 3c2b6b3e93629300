"""Reads a user's most important memories."""

import json

from mcp_memory.store.importance import Foremost
from mcp_memory.store.sqlite.connection import Connection


async def foremost(reader: Connection, user: str, now: int, limit: int) -> Foremost:
    """At most `limit` of them, by their rows."""
    found = await reader.single("foremost", {"user": user, "now": now, "limit": limit})
    return Foremost(rows=tuple(json.loads(found["rows"])), firm=found["firm"], total=found["total"])

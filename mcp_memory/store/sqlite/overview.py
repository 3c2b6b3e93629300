"""Whose memories a file holds and how they are spread, and giving a user another name."""

from mcp_memory.store.base import Holding
from mcp_memory.store.census import QUARTER, Census
from mcp_memory.store.sqlite import salvage
from mcp_memory.store.sqlite.connection import Connection


async def holdings(reader: Connection, model: str) -> list[Holding]:
    """See `store.base.Store.users`."""
    found = await reader.all("holdings", {"model": model})
    rest = [name for name in Holding.__struct_fields__ if name != "user"]
    return [Holding(user=salvage.text(row["user"]), **{name: row[name] for name in rest}) for row in found]


async def census(reader: Connection, user: str, now: int) -> Census:
    """See `store.base.Store.census`."""
    asked = {"user": user, "now": now}
    [[whole], groups, created] = await reader.in_turn(
        ("census", asked), ("census_groups", asked), ("census_created", asked | {"quarter": QUARTER})
    )
    spread: dict[str, list[tuple[str, int]]] = {"topic": [], "agent": []}
    for row in groups:
        spread[row["what"]].append((salvage.text(row["name"]), row["count"]))
    return Census(
        **{name: whole[name] for name in ("total", "pinned", "keyed", "expiring")},
        topics=tuple(spread["topic"]),
        agents=tuple(spread["agent"]),
        created=tuple((salvage.moment(row["quarter"] * QUARTER), row["count"]) for row in created),
    )


async def renamed(turn: Connection, user: str, name: str) -> bool:
    """See `store.base.Store.rename`. The user's number stays, and with it every row and term of the index.

    So other processes go by the number too: what they keep of a name that is another's by now is read anew.
    """
    found = await turn.all("rename", {"user": user, "name": name})
    for row in found:
        names = {"user": user, "name": name, "number": row["number"]}
        await turn.all("keep_former_names", names)
        await turn.all("add_former_name", names)
    return bool(found)

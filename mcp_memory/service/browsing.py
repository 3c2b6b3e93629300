"""What a person who looks through memories asks for: what there is at a glance, and what is gone but not forgotten."""

from collections import Counter
from datetime import tzinfo
from typing import Final, Literal

from mcp_memory import clock, guard
from mcp_memory.clock import DAY, Clock
from mcp_memory.models import LeftOut, Revision
from mcp_memory.service.cursor import page_size, seal, unseal
from mcp_memory.store.base import Store
from mcp_memory.values import Value

MOST_PERIODS: Final = 60
"""So many bars a chart of time has at most, if years are not too short for that."""

Unit = Literal["day", "month", "year"]
_LENGTHS: Final[dict[Unit, int]] = {"day": 10, "month": 7, "year": 4}
"""How much of an ISO date names the period."""
_DAYS: Final[dict[Unit, int]] = {"day": 1, "month": 30, "year": 365}
_BOUND: Final = "gone"


class Glance(Value):
    """Living memories counted: in all, of each topic and by each agent (most first), and by when they were learned.

    `learned` has the periods in which something was, oldest first: `2026-03` where `unit` is a month.
    """

    total: int
    topics: tuple[tuple[str, int], ...]
    agents: tuple[tuple[str, int], ...]
    learned: tuple[tuple[str, int], ...]
    unit: Unit


class Gone(Value):
    """One page of deletions and expiries, the latest first; `next_cursor` is None on the last one."""

    revisions: tuple[Revision, ...]
    next_cursor: str | None
    left_out: tuple[LeftOut, ...] = ()


class Browsing:
    """One user's memories as a whole. `zone` (None: the system's) is where days begin."""

    def __init__(self, store: Store, clock: Clock, zone: tzinfo | None) -> None:
        self._store = store
        self._clock = clock
        self._zone = zone

    async def glance(self, user: str) -> Glance:
        """What there is, counted."""
        census = await self._store.census(guard.user(user), self._clock.now())
        unit = _unit(census.created[-1][0] - census.created[0][0]) if census.created else "day"
        learned = Counter[str]()
        for moment, count in census.created:
            learned[clock.date_in(moment, self._zone)[: _LENGTHS[unit]]] += count
        ordered = tuple(sorted(learned.items()))
        return Glance(total=census.total, topics=census.topics, agents=census.agents, learned=ordered, unit=unit)

    async def gone(self, user: str, limit: int = 50, cursor: str | None = None) -> Gone:
        """One page of what was deleted or has expired, is not back, and was not forgotten.

        Raises:
            InvalidInput: the limit or the cursor cannot be used.
        """
        user = guard.user(user)
        allowed, left_out = page_size(limit)
        before = int.from_bytes(unseal(user, _BOUND, cursor), "big") if cursor else None
        found = await self._store.gone(user, before, allowed + 1)
        shown = tuple(found[:allowed])
        more = len(found) > allowed
        following = seal(user, _BOUND, shown[-1].memory.seq.to_bytes(4, "big")) if more else None
        return Gone(revisions=shown, next_cursor=following, left_out=left_out)


def _unit(span: int) -> Unit:
    """The shortest period of which a `span` in microseconds has few enough."""
    few: list[Unit] = [unit for unit, days in _DAYS.items() if span < MOST_PERIODS * days * DAY]
    return few[0] if few else "year"

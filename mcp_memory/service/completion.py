"""What a client offers while somebody types: topics and ids, of the most important memories."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from mcp_memory import guard
from mcp_memory.clock import Clock
from mcp_memory.models import Memory
from mcp_memory.store.base import Store

LOOKED_AT: Final = 1_000
"""So many memories are looked at: an offer has to come while somebody types."""


class Completions:
    """Completions of one store's users."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def topics(self, user: str, begun: str) -> list[str]:
        """The topics that begin with `begun`, the most frequent first."""
        counts = Counter(topic for memory in await self._foremost(user) for topic in memory.topics)
        begun = begun.strip().casefold()
        return [topic for topic, _ in counts.most_common() if topic.casefold().startswith(begun)]

    async def ids(self, user: str, begun: str) -> list[str]:
        """The ids that begin with `begun`, of the most important memories first."""
        begun = begun.strip().casefold()
        return [memory.id for memory in await self._foremost(user) if memory.id.startswith(begun)]

    async def _foremost(self, user: str) -> Sequence[Memory]:
        user, now = guard.user(user), self._clock.now()
        best = await self._store.foremost(user, now, LOOKED_AT)
        living = await self._store.living(user, best.rows, now)
        return [living[row] for row in best.rows if row in living and not living[row].damaged]

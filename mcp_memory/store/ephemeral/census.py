"""How memories are spread."""

from collections import Counter
from collections.abc import Sequence

from mcp_memory.models import Memory
from mcp_memory.store.census import QUARTER, Census


def census(living: Sequence[Memory]) -> Census:
    """The census of these memories; see `store.base.Store.census`."""
    created = Counter(memory.created_at // QUARTER * QUARTER for memory in living)
    return Census(
        total=len(living),
        pinned=sum(memory.pinned for memory in living),
        keyed=sum(memory.key is not None for memory in living),
        expiring=sum(memory.expires_at is not None for memory in living),
        topics=_ranked(Counter(topic for memory in living for topic in memory.topics)),
        agents=_ranked(Counter(memory.agent for memory in living if memory.agent is not None)),
        created=tuple(sorted(created.items())),
    )


def _ranked(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda one: (-one[1], one[0])))

"""How memories are spread."""

from collections import Counter
from collections.abc import Sequence

from mcp_memory.models import Memory
from mcp_memory.store.base import Census


def census(living: Sequence[Memory], ages: Sequence[int]) -> Census:
    """The census of these memories; see `store.base.Store.census`."""
    by_age = Counter(sum(moment > memory.created_at for moment in ages) for memory in living)
    return Census(
        total=len(living),
        pinned=sum(memory.pinned for memory in living),
        keyed=sum(memory.key is not None for memory in living),
        expiring=sum(memory.expires_at is not None for memory in living),
        topics=_ranked(Counter(topic for memory in living for topic in memory.topics)),
        agents=_ranked(Counter(memory.agent for memory in living if memory.agent is not None)),
        ages=tuple(by_age[number] for number in range(len(ages) + 1)),
    )


def _ranked(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda one: (-one[1], one[0])))

"""Memories at a glance, in both forms: what `show_memories` answers and what the memory browser shows beside."""

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Final, NotRequired

from typing_extensions import TypedDict  # pydantic reads the standard one only from Python 3.12 on

from mcp_memory.models import LABEL, Revision
from mcp_memory.service.browsing import Glance, Gone
from mcp_memory.service.outcomes import Found, Listed
from mcp_memory.text import notes
from mcp_memory.text.amounts import counted
from mcp_memory.text.cleanup import escaped
from mcp_memory.views import data, lines
from mcp_memory.views.data import HitData, LeftOutData, MemoryData, RevisionData

TOPICS_TOLD: Final = 12
"""So many topics a reader is told of."""


class ShowReply(TypedDict):
    """The reply of `show_memories`: what there is, counted, and its newest memories or the hits of a query.

    `topics`, `agents` and `learned` (by `unit`) are names with their counts, `matching` counts the memories that the
    filter leaves, and `tools` names what can be called here.
    """

    label: str
    total: int
    topics: dict[str, int]
    more_topics: NotRequired[int]
    agents: dict[str, int]
    learned: dict[str, int]
    unit: str
    memories: NotRequired[list[MemoryData]]
    matching: NotRequired[int]
    next_cursor: NotRequired[str]
    hits: NotRequired[list[HitData]]
    left_out: list[LeftOutData]
    tools: list[str]


class GoneData(RevisionData):
    """A memory that is gone: its last version, and when and by whom it was taken away."""

    id: str


class GoneReply(TypedDict):
    """What was deleted or has expired, the latest first."""

    label: str
    gone: list[GoneData]
    next_cursor: NotRequired[str]
    left_out: list[LeftOutData]


def shown(glance: Glance, outcome: Found | Listed, zone: tzinfo | None, *, seen: bool) -> str:
    """What there is, for a reader; `seen` where the client shows it to the person besides."""
    screen = "The person sees them in the memory browser.\n" if seen else ""
    held = [f"{counted(glance.total, 'memory', 'memories')} in all"]
    if glance.learned:
        held.append(f"learned {glance.learned[0][0]} to {glance.learned[-1][0]}")
    told = f"{screen}{', '.join(held)}."
    if glance.topics:
        named = ", ".join(f"{notes.told(topic)} {count:,}" for topic, count in glance.topics[:TOPICS_TOLD])
        more = len(glance.topics) - TOPICS_TOLD
        beyond = f"\nand {counted(more, 'other topic', 'other topics')}" if more > 0 else ""
        told += "\n".join([f"\nTopics ({LABEL}):", *notes.block([named])]) + beyond
    below = lines.found(outcome, zone) if isinstance(outcome, Found) else lines.listed(outcome, zone)
    return f"{told}\n{below}"


def structured_shown(glance: Glance, outcome: Found | Listed, tools: Sequence[str], most: int) -> ShowReply:
    """The same for programs, with at most so many topics and agents."""
    reply = ShowReply(
        label=LABEL,
        total=glance.total,
        topics=_named(glance.topics[:most]),
        agents=_named(glance.agents[:most]),
        learned=dict(glance.learned),
        unit=glance.unit,
        left_out=data.left_out(outcome.left_out),
        tools=list(tools),
    )
    if len(glance.topics) > most:
        reply["more_topics"] = len(glance.topics) - most
    if isinstance(outcome, Found):
        reply["hits"] = [data.hit(one) for one in outcome.hits]
        return reply
    reply["memories"] = [data.memory(one) for one in outcome.memories]
    reply["matching"] = outcome.total
    if outcome.next_cursor:
        reply["next_cursor"] = outcome.next_cursor
    return reply


def structured_gone(outcome: Gone) -> GoneReply:
    """What is gone, for programs."""
    reply = GoneReply(
        label=LABEL,
        gone=[_gone(one) for one in outcome.revisions],
        left_out=data.left_out(outcome.left_out),
    )
    if outcome.next_cursor:
        reply["next_cursor"] = outcome.next_cursor
    return reply


def _gone(one: Revision) -> GoneData:
    return GoneData(**data.revision(one), id=escaped(one.memory.id))


def _named(counts: Sequence[tuple[str, int]]) -> dict[str, int]:
    named: Mapping[str, int] = {escaped(name): count for name, count in counts}
    return dict(named)

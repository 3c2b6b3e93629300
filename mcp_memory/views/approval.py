"""What waits for approval, for the person who decides, and what became of it: in both forms."""

from datetime import tzinfo
from typing import Any, Final, NotRequired

from typing_extensions import TypedDict  # pydantic reads the standard one only from Python 3.12 on

from mcp_memory import clock
from mcp_memory.models import LABEL, Memory, State
from mcp_memory.service.outcomes import Decided, Listed
from mcp_memory.text import notes
from mcp_memory.text.amounts import counted
from mcp_memory.text.cleanup import escaped
from mcp_memory.views import data, lines
from mcp_memory.views.data import AddReply, LeftOutData, MemoryData

DECLINED: Final = "The user declined: nothing was remembered."
"""What `add_memory` did where the person who was asked declined."""


class ProposedData(MemoryData):
    """A pending memory, with who proposed it."""

    team: NotRequired[str]
    source: NotRequired[str]
    session_id: NotRequired[str]


class PendingReply(TypedDict):
    """One page of what waits."""

    label: str
    memories: list[ProposedData]
    total: int
    next_cursor: NotRequired[str]
    left_out: list[LeftOutData]


class DecidedReply(TypedDict):
    """What became of pending memories; `left` are ids that wait no longer, or never did."""

    label: str
    outcome: str
    memories: list[MemoryData]
    replaced: list[MemoryData]
    left: list[str]
    change_id: str
    redacted: NotRequired[list[str]]


def declined() -> AddReply:
    """The same for programs as `DECLINED`."""
    return AddReply(label=LABEL, outcome="declined", neighbours=[])


def pending(outcome: Listed, zone: tzinfo | None) -> str:
    """What waits, newest first."""
    if not outcome.memories:
        return "Nothing waits for approval."
    count = counted(outcome.total, "memory waits", "memories wait")
    recalled = notes.block(line for one in outcome.memories for line in proposed(one, zone))
    more = [f"More with --cursor {outcome.next_cursor}"] if outcome.next_cursor else []
    return "\n".join([f"{count} for approval ({LABEL}):", *recalled, *lines.left_out(outcome.left_out), *more])


def structured_pending(outcome: Listed) -> PendingReply:
    """The same for programs."""
    reply = PendingReply(
        label=LABEL,
        memories=[structured_proposed(one) for one in outcome.memories],
        total=outcome.total,
        left_out=data.left_out(outcome.left_out),
    )
    if outcome.next_cursor:
        reply["next_cursor"] = outcome.next_cursor
    return reply


def proposed(one: Memory, zone: tzinfo | None) -> list[str]:
    """A pending memory, and below it when and by whom it was proposed."""
    who = {"agent": one.agent, "team": one.team, "source": one.source, "session": one.session_id}
    told = [f"{name} {notes.shown(value)}" for name, value in who.items() if value]
    return [lines.memory(one, zone), f"    proposed {clock.minute_in(one.created_at, zone)}{_listed(told)}"]


def structured_proposed(one: Memory) -> ProposedData:
    """The same for programs."""
    who: dict[str, Any] = {"team": one.team, "source": one.source, "session_id": one.session_id}
    named = {name: escaped(value) for name, value in who.items() if value}
    return ProposedData(**data.memory(one), **named)


def decided(outcome: Decided, zone: tzinfo | None) -> str:
    """What became of pending memories."""
    count = counted(len(outcome.memories), "memory", "memories")
    recalled = [lines.memory(_decided(one), zone) for one in outcome.memories]
    if outcome.replaced:
        recalled += ["Gave way to a later one with the same key:"]
        recalled += [lines.memory(_decided(one), zone) for one in outcome.replaced]
    left = [f"No longer waiting: {', '.join(map(notes.shown, outcome.left))}"] if outcome.left else []
    redacted = [f"Redacted: {', '.join(outcome.redacted)}."] if outcome.redacted else []
    headline = f"{outcome.outcome.title()} {count}, undo takes it back ({lines.change(outcome.change_id)}{LABEL}):"
    return "\n".join([headline, *notes.block(recalled), *left, *redacted])


def structured_decided(outcome: Decided) -> DecidedReply:
    """The same for programs."""
    reply = DecidedReply(
        label=LABEL,
        outcome=outcome.outcome,
        memories=[data.memory(_decided(one)) for one in outcome.memories],
        replaced=[data.memory(_decided(one)) for one in outcome.replaced],
        left=[escaped(name) for name in outcome.left],
        change_id=outcome.change_id,
    )
    if outcome.redacted:
        reply["redacted"] = list(outcome.redacted)
    return reply


def _decided(one: Memory) -> Memory:
    """`one`, which waits no longer."""
    return one.replace(state=State.ACTIVE)


def _listed(told: list[str]) -> str:
    return f" by {', '.join(told)}" if told else ""

"""Structured content: plain JSON objects without nulls, times in ISO 8601 UTC, scores to two digits.

It is exact but for hidden characters, which are shown by their number, and carries the label of `text.notes` first.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NotRequired

from typing_extensions import TypedDict  # pydantic reads the standard one only from Python 3.12 on

from mcp_memory import clock
from mcp_memory.models import LABEL, Hit, LeftOut, Match, Memory, Revision, State
from mcp_memory.service.outcomes import Added, Deleted, Done, Found, Got, Listed, Skipped, Undone, UndoneStep, Updated
from mcp_memory.text.cleanup import escaped
from mcp_memory.text.notes import instruction_like, plain

if TYPE_CHECKING:
    from mcp_memory.extraction.extractor import Extracted, Worksheet


class MemoryData(TypedDict):
    id: str
    content: str
    key: NotRequired[str]
    topics: list[str]
    pinned: bool
    metadata: dict[str, Any]
    agent: NotRequired[str]
    created_at: str
    updated_at: str
    expires_at: NotRequired[str]
    version: int
    pending: NotRequired[bool]
    instruction_like: NotRequired[bool]
    damaged: NotRequired[bool]
    last_good: NotRequired[dict[str, Any]]


PeriodData = TypedDict("PeriodData", {"from": str, "until": str})


class MatchData(TypedDict):
    rank: float
    lexical: float
    semantic: NotRequired[float]
    words: list[str]


class HitData(MemoryData):
    score: float
    past: NotRequired[PeriodData]
    match: NotRequired[MatchData]


class LeftOutData(TypedDict):
    count: int
    reason: str


class RevisionData(TypedDict):
    version: int
    operation: str
    content: str
    key: NotRequired[str]
    topics: list[str]
    pinned: bool
    metadata: dict[str, Any]
    expires_at: NotRequired[str]
    at: str
    change_id: str
    tool: str
    client: NotRequired[str]
    reason: NotRequired[str]
    instruction_like: NotRequired[bool]
    damaged: NotRequired[bool]


class OperationData(TypedDict):
    op: str
    memory: MemoryData
    expired: NotRequired[bool]
    reason: NotRequired[str]
    was: NotRequired[str]
    redacted: NotRequired[list[str]]


class SkippedData(TypedDict):
    op: str
    reason: str
    id: NotRequired[str]
    content: NotRequired[str]


class NeighbourData(TypedDict):
    id: str
    version: int
    content: str
    instruction_like: NotRequired[bool]


class WorksheetData(TypedDict):
    rules: str
    neighbours: list[NeighbourData]


class ExtractReply(TypedDict):
    label: str
    outcome: str
    decided_by: NotRequired[str]
    operations: list[OperationData]
    skipped: list[SkippedData]
    change_id: NotRequired[str]
    worksheet: NotRequired[WorksheetData]
    note: NotRequired[str]


class AddReply(TypedDict):
    label: str
    outcome: str
    memory: NotRequired[MemoryData]
    change_id: NotRequired[str]
    neighbours: list[HitData]
    redacted: NotRequired[list[str]]


class SearchReply(TypedDict):
    label: str
    hits: list[HitData]
    modes: list[str]
    left_out: list[LeftOutData]


class ListReply(TypedDict):
    label: str
    memories: list[MemoryData]
    total: int
    next_cursor: NotRequired[str]
    left_out: list[LeftOutData]


class GetReply(TypedDict):
    label: str
    memory: MemoryData
    revisions: NotRequired[list[RevisionData]]


class UpdateReply(TypedDict):
    label: str
    outcome: str
    memory: MemoryData
    changed: list[str]
    change_id: NotRequired[str]
    redacted: NotRequired[list[str]]


class DeleteReply(TypedDict):
    label: str
    memories: list[MemoryData]
    change_id: str


class UndoReply(TypedDict):
    label: str
    undone: str
    tool: str
    client: NotRequired[str]
    operations: list[OperationData]
    change_id: str
    left_out: NotRequired[list[LeftOutData]]


def added(outcome: Added) -> AddReply:
    """What `add_memory` did."""
    reply = AddReply(
        label=LABEL,
        outcome=outcome.outcome,
        memory=memory(outcome.memory),
        neighbours=[hit(one) for one in outcome.neighbours],
    )
    if outcome.change_id:
        reply["change_id"] = outcome.change_id
    if outcome.redacted:
        reply["redacted"] = list(outcome.redacted)
    return reply


def found(outcome: Found) -> SearchReply:
    """What `search_memories` found."""
    return SearchReply(
        label=LABEL,
        hits=[hit(one) for one in outcome.hits],
        modes=list(outcome.modes),
        left_out=left_out(outcome.left_out),
    )


def listed(outcome: Listed) -> ListReply:
    """One page of `list_memories`."""
    reply = ListReply(
        label=LABEL,
        memories=[memory(one) for one in outcome.memories],
        total=outcome.total,
        left_out=left_out(outcome.left_out),
    )
    if outcome.next_cursor:
        reply["next_cursor"] = outcome.next_cursor
    return reply


def got(outcome: Got) -> GetReply:
    """What `get_memory` read."""
    reply = GetReply(label=LABEL, memory=memory(outcome.memory))
    if outcome.revisions is not None:
        reply["revisions"] = [revision(one) for one in outcome.revisions]
    return reply


def updated(outcome: Updated) -> UpdateReply:
    """What `update_memory` changed."""
    reply = UpdateReply(
        label=LABEL, outcome=outcome.outcome, memory=memory(outcome.memory), changed=list(outcome.changed)
    )
    if outcome.change_id:
        reply["change_id"] = outcome.change_id
    if outcome.redacted:
        reply["redacted"] = list(outcome.redacted)
    return reply


def deleted(outcome: Deleted) -> DeleteReply:
    """What `delete_memory` removed."""
    return DeleteReply(label=LABEL, memories=[memory(one) for one in outcome.memories], change_id=outcome.change_id)


def undone(outcome: Undone) -> UndoReply:
    """What `undo` restored and took away."""
    reply = UndoReply(
        label=LABEL,
        undone=outcome.undone.id,
        tool=escaped(outcome.undone.tool),
        operations=[operation(step) for step in outcome.steps],
        change_id=outcome.change_id,
    )
    if more := beyond(outcome):
        reply["left_out"] = left_out(more)
    if outcome.undone.client:
        reply["client"] = escaped(outcome.undone.client)
    return reply


def beyond(outcome: Undone) -> tuple[LeftOut, ...]:
    """The operations of a large undo that are not shown."""
    more = len(outcome.ids) - len(outcome.steps)
    return (LeftOut(count=more, reason=f"operations beyond {len(outcome.steps)}"),) if more > 0 else ()


def extracted(outcome: "Extracted") -> ExtractReply:
    """What `extract_memories` did."""
    applied = outcome.applied
    reply = ExtractReply(
        label=LABEL,
        outcome="preview" if outcome.dry_run else "applied",
        decided_by=outcome.way,
        operations=[done(one) for one in applied.done],
        skipped=[skipped(one) for one in applied.skipped],
    )
    if applied.change_id:
        reply["change_id"] = applied.change_id
    return reply


def worksheet(sheet: "Worksheet", why: str | None) -> ExtractReply:
    """What the caller is to decide; `why` the client's model did not."""
    asked = WorksheetData(rules=sheet.rules, neighbours=[neighbour(one) for one in sheet.neighbours])
    reply = ExtractReply(label=LABEL, outcome="worksheet", operations=[], skipped=[], worksheet=asked)
    if why:
        reply["note"] = why
    return reply


def neighbour(one: Memory) -> NeighbourData:
    """One memory that is to be decided about."""
    data = NeighbourData(id=one.id, version=one.version, content=escaped(one.content))
    if instruction_like(one):
        data["instruction_like"] = True
    return data


def done(one: Done) -> OperationData:
    """One operation that was carried out."""
    data = OperationData(op=one.operation, memory=memory(one.memory))
    if one.reason:
        data["reason"] = escaped(one.reason)
    if one.reworded:
        data["was"] = escaped(one.reworded)
    if one.redacted:
        data["redacted"] = list(one.redacted)
    return data


def skipped(one: Skipped) -> SkippedData:
    """One operation that was not."""
    data = SkippedData(op=one.operation, reason=one.why)
    if one.id:
        data["id"] = one.id
    if one.content:
        data["content"] = escaped(one.content)
    return data


def memory(one: Memory) -> MemoryData:
    """One memory as everybody sees it."""
    data = MemoryData(
        id=escaped(one.id),
        content=escaped(one.content),
        topics=[escaped(topic) for topic in one.topics],
        pinned=one.pinned,
        metadata=plain(one.metadata),
        created_at=clock.iso(one.created_at),
        updated_at=clock.iso(one.updated_at),
        version=one.version,
    )
    if one.key is not None:
        data["key"] = escaped(one.key)
    if one.agent is not None:
        data["agent"] = escaped(one.agent)
    if one.expires_at is not None:
        data["expires_at"] = clock.iso(one.expires_at)
    if one.state is State.PENDING:
        data["pending"] = True
    if instruction_like(one):
        data["instruction_like"] = True
    if one.damaged:
        data["damaged"] = True
    if one.last_good is not None:
        data["last_good"] = {"version": one.last_good.version, "content": escaped(one.last_good.content)}
    return data


def hit(one: Hit) -> HitData:
    """One search result."""
    data = HitData(**memory(one.memory), score=round(one.score, 2))
    if one.past is not None:
        data["past"] = PeriodData({"from": clock.iso(one.past.held_from), "until": clock.iso(one.past.held_until)})
    if one.match is not None:
        data["match"] = match(one.match)
    return data


def match(one: Match) -> MatchData:
    """Why a memory is a hit."""
    data = MatchData(rank=round(one.rank, 3), lexical=round(one.lexical, 2), words=list(one.words))
    if one.semantic is not None:
        data["semantic"] = round(one.semantic, 2)
    return data


def operation(step: UndoneStep) -> OperationData:
    """What an undo did to one memory."""
    data = OperationData(op=step.operation, memory=memory(step.memory))
    if step.expired:
        data["expired"] = True
    return data


def revision(one: Revision) -> RevisionData:
    """One version of a memory."""
    data = RevisionData(
        version=one.memory.version,
        operation=one.operation,
        content=escaped(one.memory.content),
        topics=[escaped(topic) for topic in one.memory.topics],
        pinned=one.memory.pinned,
        metadata=plain(one.memory.metadata),
        at=clock.iso(one.change.at),
        change_id=one.change.id,
        tool=escaped(one.change.tool),
    )
    if one.memory.key is not None:
        data["key"] = escaped(one.memory.key)
    if one.memory.expires_at is not None:
        data["expires_at"] = clock.iso(one.memory.expires_at)
    if one.change.client is not None:
        data["client"] = escaped(one.change.client)
    if one.reason is not None:
        data["reason"] = escaped(one.reason)
    if instruction_like(one.memory):
        data["instruction_like"] = True
    if one.memory.damaged:
        data["damaged"] = True
    return data


def left_out(reasons: Iterable[LeftOut]) -> list[LeftOutData]:
    """How many matches are not shown, and why."""
    return [LeftOutData(count=one.count, reason=one.reason) for one in reasons]

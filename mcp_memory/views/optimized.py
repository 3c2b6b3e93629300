"""What tidying up came to: the reply of `optimize_memories` in both forms."""

from datetime import tzinfo
from typing import Final, NotRequired

from typing_extensions import TypedDict  # pydantic reads the standard one only from Python 3.12 on

from mcp_memory.extraction.summarize import Sheet
from mcp_memory.models import LABEL, LeftOut, Memory
from mcp_memory.service.outcomes import Lookalike, Merging, Optimized, Suggestion
from mcp_memory.text.amounts import counted
from mcp_memory.text.cleanup import escaped
from mcp_memory.text.notes import INDENT, block, told
from mcp_memory.views import data, lines
from mcp_memory.views.data import LeftOutData, NeighbourData, OperationData, SkippedData

SHOWN: Final = 100
"""So many operations, groups and skipped ones are shown; the figures are those of all."""

_DIFFER: Final = {"fields": "key or topics"}


class GroupData(TypedDict):
    """Memories that become one: `id` with `content`, in place of `ids`."""

    id: str
    content: str
    ids: list[str]


class ConflictData(TypedDict):
    """Memories that look alike, and in what they differ; `more` are not shown."""

    differ: list[str]
    memories: list[NeighbourData]
    more: NotRequired[int]


class SuggestionData(TypedDict):
    """A memory that may have served its time."""

    id: str
    version: int
    content: str
    reason: str


class PlanData(TypedDict):
    """The figures: tokens are estimates for the content of all memories."""

    tokens_before: int
    tokens_after: int
    groups: list[GroupData]
    conflicts: list[ConflictData]
    suggestions: NotRequired[list[SuggestionData]]


class SheetData(TypedDict):
    """What the caller needs in order to decide."""

    rules: str
    groups: list[list[NeighbourData]]


class OptimizeReply(TypedDict):
    """The reply of `optimize_memories`."""

    label: str
    outcome: str
    strategy: str
    decided_by: NotRequired[str]
    operations: list[OperationData]
    skipped: list[SkippedData]
    change_id: NotRequired[str]
    plan: PlanData
    left_out: list[LeftOutData]
    worksheet: NotRequired[SheetData]


def structured(outcome: Optimized) -> OptimizeReply:
    """What was done, or would be."""
    applied = outcome.applied
    reply = OptimizeReply(
        label=LABEL,
        outcome=_outcome(outcome),
        strategy=outcome.strategy,
        operations=[data.done(one) for one in applied.done[:SHOWN]],
        skipped=[data.skipped(one) for one in applied.skipped[:SHOWN]],
        plan=PlanData(
            tokens_before=outcome.tokens_before,
            tokens_after=outcome.tokens_after,
            groups=[_group(one) for one in outcome.merged[:SHOWN]],
            conflicts=[_conflict(one) for one in outcome.conflicts],
        ),
        left_out=data.left_out(_left_out(outcome)),
    )
    if outcome.strategy == "expire":
        reply["plan"]["suggestions"] = [_suggestion(one) for one in outcome.suggestions]
    if outcome.way:
        reply["decided_by"] = outcome.way
    if applied.change_id:
        reply["change_id"] = applied.change_id
    return reply


def structured_sheet(sheet: Sheet) -> OptimizeReply:
    """What the caller is to decide."""
    return OptimizeReply(
        label=LABEL,
        outcome="worksheet",
        strategy="summarize",
        operations=[],
        skipped=[],
        plan=PlanData(
            tokens_before=sheet.tokens,
            tokens_after=sheet.tokens,
            groups=[],
            conflicts=[_conflict(one) for one in sheet.conflicts],
        ),
        left_out=data.left_out(sheet.left_out),
        worksheet=SheetData(
            rules=sheet.rules, groups=[[data.neighbour(one) for one in group] for group in sheet.groups]
        ),
    )


def text(outcome: Optimized, zone: tzinfo | None) -> str:
    """The same for a reader."""
    applied = outcome.applied
    tokens = f"{outcome.tokens_before:,} tokens before, {outcome.tokens_after:,} after"
    by = f"; decided by {outcome.way}" if outcome.way else ""
    now = {one.memory.id: one.memory for one in applied.done if one.operation == "update"}
    merged = [_merged(one, now.get(one.kept.id, one.kept), zone) for one in outcome.merged[:SHOWN]]
    alone = {memory.id for one in outcome.merged for memory in (one.kept, *one.others)}
    removed = [
        f"deleted {lines.memory(one.memory, zone)}{f' · {told(one.reason)}' if one.reason else ''}"
        for one in applied.done[:SHOWN]
        if one.memory.id not in alone
    ]
    recalled = [
        *merged,
        *removed,
        *map(lines.skipped, applied.skipped[:SHOWN]),
        *_conflicts(outcome.conflicts),
        *(["Plans whose date has passed, for you to judge:"] if outcome.suggestions else []),
        *(f"{lines.memory(one.memory, zone)} · {one.why}" for one in outcome.suggestions),
    ]
    said = f"{_headline(outcome)} ({lines.change(applied.change_id)}{outcome.strategy}{by}; {tokens}"
    headline = [f"{said}; {LABEL}):", *block(recalled)] if recalled else [f"{said})."]
    return "\n".join([*headline, *lines.left_out(_left_out(outcome))])


def sheet_text(sheet: Sheet) -> str:
    """The same for a reader."""
    recalled: list[str] = []
    for number, group in enumerate(sheet.groups, 1):
        recalled += [f"Group {number}:", *map(lines.versioned, group)]
    recalled += _conflicts(sheet.conflicts)
    said = [sheet.rules, ""] if sheet.groups else ["No memories are related enough to be merged."]
    notes = [f"Related memories ({LABEL}):", *block(recalled)] if recalled else []
    return "\n".join([*said, *notes, *lines.left_out(sheet.left_out)])


def _headline(outcome: Optimized) -> str:
    count = len(outcome.applied.done)
    if not count:
        return "Nothing to tidy up"
    deleted = sum(one.operation == "delete" for one in outcome.applied.done)
    gone = counted(deleted, "memory", "memories")
    verb = "Would delete" if outcome.dry_run else "Deleted"
    into = f", merged into {counted(len(outcome.merged), 'other', 'others')}" if outcome.merged else ""
    end = ", nothing written; apply does it" if outcome.dry_run else ""
    return f"{verb} {gone}{into}{end}"


def _outcome(outcome: Optimized) -> str:
    return "preview" if outcome.dry_run else "applied"


def _merged(one: Merging, now: Memory, zone: tzinfo | None) -> str:
    was = [] if one.content is None else [_former(one.kept)]
    return "\n".join([lines.memory(now, zone), *was, *map(_former, one.others)])


def _former(memory: Memory) -> str:
    return f"{INDENT}in place of [{memory.id}] {told(memory.content)}"


def _conflicts(conflicts: tuple[Lookalike, ...]) -> list[str]:
    listed: list[str] = []
    for one in conflicts:
        more = f", {one.more} more not shown" if one.more else ""
        listed += [
            f"Alike, not merged: differ in {', '.join(_differ(one))}{more}:",
            *map(lines.versioned, one.memories),
        ]
    return listed


def _left_out(outcome: Optimized) -> tuple[LeftOut, ...]:
    parts = ((len(outcome.applied.done), "operations"), (len(outcome.applied.skipped), "skipped"))
    beyond = (LeftOut(count=count - SHOWN, reason=f"{what} beyond {SHOWN}") for count, what in parts if count > SHOWN)
    return (*beyond, *outcome.left_out)


def _group(one: Merging) -> GroupData:
    content = one.kept.content if one.content is None else one.content
    return GroupData(id=one.kept.id, content=escaped(content), ids=[memory.id for memory in (one.kept, *one.others)])


def _conflict(one: Lookalike) -> ConflictData:
    shown = ConflictData(differ=_differ(one), memories=[data.neighbour(memory) for memory in one.memories])
    if one.more:
        shown["more"] = one.more
    return shown


def _differ(one: Lookalike) -> list[str]:
    return [_DIFFER.get(kind, kind) for kind in one.differ]


def _suggestion(one: Suggestion) -> SuggestionData:
    return SuggestionData(
        id=one.memory.id, version=one.memory.version, content=escaped(one.memory.content), reason=one.why
    )

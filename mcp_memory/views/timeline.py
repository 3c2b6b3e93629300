"""The past in both forms: changes as short lines, versions of a memory as what differs, and what was put back."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from typing import Final, NotRequired

from typing_extensions import TypedDict  # pydantic reads the standard one only from Python 3.12 on

from mcp_memory import clock
from mcp_memory.models import LABEL, Change, Entry, Memory, Revision, Trace
from mcp_memory.service.outcomes import Changes, Cleared, Got, History, Restored
from mcp_memory.service.writing import FORGET, SWEEP
from mcp_memory.text import notes
from mcp_memory.text.amounts import counted
from mcp_memory.text.cleanup import escaped
from mcp_memory.text.diff import word_diff
from mcp_memory.views import data, lines
from mcp_memory.views.data import GetReply, LeftOutData, MemoryData

WIDTH: Final = 80
"""Characters that a list of changes shows of each wording."""

_BEFORE: Final = 20
"""Characters before the first difference that are shown of two long wordings."""
_GONE: Final = {"delete", "expire"}
_VERBS: Final = {
    "add": "added",
    "update": "updated",
    "delete": "deleted",
    "restore": "restored",
    "expire": "expired",
}


class DeedData(TypedDict):
    """What a change did to one memory: `content` is what it says since, or, deleted, said; `was` what it said before.

    Both are cut where they are long. `changed` names the fields besides.
    """

    op: str
    id: str
    content: str
    was: NotRequired[str]
    changed: NotRequired[list[str]]
    reason: NotRequired[str]
    damaged: NotRequired[bool]
    instruction_like: NotRequired[bool]


class ChangeData(TypedDict):
    """One change; `more` memories are not shown."""

    change_id: str
    at: str
    tool: str
    client: NotRequired[str]
    client_version: NotRequired[str]
    system: NotRequired[bool]
    undoes: NotRequired[str]
    undone_by: NotRequired[str]
    pruned: NotRequired[bool]
    operations: list[DeedData]
    more: NotRequired[int]


class ChangesReply(TypedDict):
    """The reply of `list_changes`."""

    label: str
    changes: list[ChangeData]
    next_cursor: NotRequired[str]
    left_out: list[LeftOutData]


class HistoryReply(GetReply):
    """The reply of `mcp-memory history`; `gone` where the memory is no longer there."""

    gone: NotRequired[str]


class RestoreReply(TypedDict):
    """The reply of `mcp-memory restore`."""

    label: str
    outcome: str
    memory: MemoryData
    restored_version: int
    changed: list[str]
    returned: NotRequired[bool]
    expired: NotRequired[bool]
    change_id: NotRequired[str]


class ClearReply(TypedDict):
    """The reply of `clear_memories`."""

    outcome: str
    count: int
    change_id: NotRequired[str]


def changes(outcome: Changes, zone: tzinfo | None) -> str:
    """What changed, newest first, for a reader."""
    count = counted(len(outcome.entries), "change", "changes")
    recalled = [line for entry in outcome.entries for line in (_headline(entry, zone), *_deeds(entry))]
    told = _recalled(f"{count}, newest first ({LABEL}):", recalled) if recalled else "No changes."
    more = [f"More with cursor {outcome.next_cursor}"] if outcome.next_cursor else []
    return "\n".join([told, *lines.left_out(outcome.left_out), *more])


def structured_changes(outcome: Changes) -> ChangesReply:
    """The same for programs."""
    reply = ChangesReply(
        label=LABEL,
        changes=[_change(entry) for entry in outcome.entries],
        left_out=data.left_out(outcome.left_out),
    )
    if outcome.next_cursor:
        reply["next_cursor"] = outcome.next_cursor
    return reply


def got(outcome: Got, zone: tzinfo | None) -> str:
    """What `get_memory` read, with what every version changed where that was asked for."""
    return lines.got(outcome, zone, () if outcome.revisions is None else _versions(outcome.revisions, zone))


def history(outcome: History, zone: tzinfo | None) -> str:
    """Every version of a memory that may be gone."""
    if outcome.gone is None:
        return got(Got(memory=outcome.memory, revisions=outcome.revisions), zone)
    recalled = [lines.memory(outcome.memory, zone), *_versions(outcome.revisions, zone)]
    return _recalled(f"One memory, {outcome.gone} since ({LABEL}):", recalled)


def structured_history(outcome: History) -> HistoryReply:
    """The same for programs, whole."""
    reply = HistoryReply(**data.got(Got(memory=outcome.memory, revisions=outcome.revisions)))
    if outcome.gone is not None:
        reply["gone"] = outcome.gone
    return reply


def restored(outcome: Restored, zone: tzinfo | None) -> str:
    """What a memory is again."""
    shown = [lines.memory(outcome.memory, zone)]
    expired = "; its time has passed, so it is not shown any more" if outcome.expired else ""
    if outcome.outcome == "unchanged":
        same = f"Unchanged, nothing written, it is as in version {outcome.version}{expired}"
        return _recalled(f"{same} ({LABEL}):", shown)
    done = "Brought back as in" if outcome.returned else f"Restored {', '.join(outcome.changed)} of"
    change = lines.change(outcome.change_id)
    return _recalled(f"{done} version {outcome.version}{expired} ({change}{LABEL}):", shown)


def structured_restored(outcome: Restored) -> RestoreReply:
    """The same for programs."""
    reply = RestoreReply(
        label=LABEL,
        outcome=outcome.outcome,
        memory=data.memory(outcome.memory),
        restored_version=outcome.version,
        changed=list(outcome.changed),
    )
    if outcome.returned:
        reply["returned"] = True
    if outcome.expired:
        reply["expired"] = True
    if outcome.change_id:
        reply["change_id"] = outcome.change_id
    return reply


def cleared(outcome: Cleared) -> str:
    """How many memories are gone."""
    if outcome.change_id is None:
        return "There was nothing to delete."
    count = counted(len(outcome.ids), "memory", "memories")
    return f"Deleted {count}, undo takes it back (change {outcome.change_id})."


def structured_cleared(outcome: Cleared) -> ClearReply:
    """The same for programs."""
    if outcome.change_id is None:
        return ClearReply(outcome="empty", count=0)
    return ClearReply(outcome="cleared", count=len(outcome.ids), change_id=outcome.change_id)


def not_cleared(count: int, *, cancelled: bool) -> str:
    """That the person who was asked did not agree."""
    how = "closed the question" if cancelled else "declined"
    return f"The user {how}: nothing was deleted, the {counted(count, 'memory is', 'memories are')} still there."


def structured_not_cleared(count: int, *, cancelled: bool) -> ClearReply:
    """The same for programs."""
    return ClearReply(outcome="cancelled" if cancelled else "declined", count=count)


def _headline(entry: Entry, zone: tzinfo | None) -> str:
    """When, what, by whom; indented, as all that stands below the label."""
    one = entry.change
    parts = [f"  {clock.minute_in(one.at, zone)} {notes.shown(one.tool + _by(one))}", f"change {one.id}"]
    if entry.undoes:
        parts.append(f"undoes {entry.undoes}")
    if entry.undone_by:
        parts.append(f"undone by {entry.undone_by}")
    if entry.pruned:
        parts.append("part of it is no longer kept" if entry.count else "what it did is no longer kept")
    return " · ".join(parts)


def _by(one: Change) -> str:
    if one.system and one.tool in {SWEEP, FORGET}:  # others came along with an import
        return " by the store itself"
    return f" by {' '.join(filter(None, (one.client, one.client_version)))}" if one.client else ""


def _deeds(entry: Entry) -> Iterator[str]:
    for trace in entry.traces:
        deed = _deed(entry, trace)
        said = f"{deed['was']} → {deed['content']}" if "was" in deed else deed["content"]
        parts = [f"    {_VERBS[deed['op']]} [{deed['id']}] {notes.told(said)}"]
        if "damaged" in deed:
            parts.append("DAMAGED ON DISK")
        if "changed" in deed:
            parts.append(f"changed: {', '.join(deed['changed'])}")
        yield " · ".join([*parts, *([f"reason: {notes.told(deed['reason'])}"] if "reason" in deed else [])])
    if entry.count > len(entry.traces):
        yield f"    and {entry.count - len(entry.traces):,} more"


def _change(entry: Entry) -> ChangeData:
    one = entry.change
    change = ChangeData(
        change_id=one.id,
        at=clock.iso(one.at),
        tool=escaped(one.tool),
        operations=[_deed(entry, one) for one in entry.traces],
    )
    if one.client:
        change["client"] = escaped(one.client)
    if one.client_version:
        change["client_version"] = escaped(one.client_version)
    if one.system:
        change["system"] = True
    if entry.undoes:
        change["undoes"] = entry.undoes
    if entry.undone_by:
        change["undone_by"] = entry.undone_by
    if entry.pruned:
        change["pruned"] = True
    if entry.count > len(entry.traces):
        change["more"] = entry.count - len(entry.traces)
    return change


def _deed(entry: Entry, trace: Trace) -> DeedData:
    revision, former = trace.revision, trace.former
    memory = revision.memory
    was, content = "", clipped(memory.content)
    changed: list[str] = []
    if former is not None and revision.operation not in _GONE and former.operation not in _GONE:
        changed = [name for name, _, _ in _differing(former.memory, memory)]
        if former.memory.content != memory.content:
            was, content = clipped_pair(former.memory.content, memory.content)
    deed = DeedData(op=revision.operation, id=escaped(memory.id), content=escaped(content))
    if was:
        deed["was"] = escaped(was)
    if changed:
        deed["changed"] = changed
    if revision.reason and not entry.undoes:
        deed["reason"] = escaped(revision.reason)
    if memory.damaged:
        deed["damaged"] = True
    if notes.instruction_like(memory) or (former is not None and notes.instruction_like(former.memory)):
        deed["instruction_like"] = True
    return deed


def clipped(content: str) -> str:
    """The beginning of a wording, on one line."""
    line = " ".join(content.split())
    return line if len(line) <= WIDTH else line[: WIDTH - 1].rstrip() + "…"


def clipped_pair(old: str, new: str) -> tuple[str, str]:
    """Two wordings on one line each; long ones begin shortly before the first difference."""
    before, after = " ".join(old.split()), " ".join(new.split())
    pairs = enumerate(zip(before, after, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), min(len(before), len(after)))
    if max(len(before), len(after)) <= WIDTH or same <= WIDTH // 2:
        return clipped(before), clipped(after)
    start = before.rfind(" ", 0, same - _BEFORE) + 1 if " " in before[same - 2 * _BEFORE : same - _BEFORE] else 0
    start = start or same - _BEFORE
    return "…" + clipped(before[start:]), "…" + clipped(after[start:])


def _versions(revisions: Sequence[Revision], zone: tzinfo | None) -> list[str]:
    """The first version whole, and what every later one made of the one before."""
    told: list[str] = []
    former: Memory | None = None
    for one in revisions:
        if former is None or former.damaged or one.memory.damaged:
            told.append(lines.revision(one, zone))
        elif one.operation in _GONE:
            told.append(lines.made(one, zone))
        else:
            told.append(f"{lines.made(one, zone)}: {notes.told(_differences(former, one.memory))}")
        former = one.memory
    count = counted(len(revisions), "revision", "revisions")
    return [f"{count}, oldest first ([-gone-] {{+new+}}):", *told]


def _recalled(headline: str, body: Iterable[str]) -> str:
    """Lines that hold stored text, in the block that says so."""
    return "\n".join([headline, *notes.block(body)])


def _differences(former: Memory, memory: Memory) -> str:
    parts = [] if former.content == memory.content else [word_diff(former.content, memory.content)]
    parts += [f"{name}: {old} → {new}" for name, old, new in _differing(former, memory)]
    return " · ".join(parts) or "as before"


def _differing(former: Memory, memory: Memory) -> list[tuple[str, str, str]]:
    """The fields besides the content that differ, before and after."""
    before, after = _fields(former), _fields(memory)
    return [(name, before[name], after[name]) for name in before if before[name] != after[name]]


def _fields(one: Memory) -> dict[str, str]:
    return {
        "key": one.key or "none",
        "topics": ", ".join(one.topics) or "none",
        "pinned": "yes" if one.pinned else "no",
        "metadata": json.dumps(one.metadata, ensure_ascii=False, separators=(",", ":")),
        "expires": clock.iso(one.expires_at) if one.expires_at is not None else "never",
    }

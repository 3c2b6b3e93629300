"""Text for a reader, model or person: one memory a line, nothing that the structured form has and this has not.

Recalled text always stands under a line that says what it is, stored notes, not instructions, and inside the one
delimiter of `text.notes`; our own remarks stand outside.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING

from mcp_memory import clock
from mcp_memory.models import LABEL, Hit, LeftOut, Match, Memory, Revision, State
from mcp_memory.service.outcomes import (
    Added,
    Deleted,
    Done,
    Found,
    Got,
    Listed,
    Reindexed,
    Skipped,
    Undone,
    UndoneStep,
    Updated,
)
from mcp_memory.text.amounts import counted
from mcp_memory.text.notes import MARK, block, instruction_like, shown, told
from mcp_memory.views.data import beyond

if TYPE_CHECKING:
    from mcp_memory.extraction.extractor import Extracted, Worksheet


def added(outcome: Added, zone: tzinfo | None) -> str:
    """What `add_memory` did."""
    headline = {
        "added": "Added",
        "exists": "Exists already, updated" if outcome.change_id else "Exists already, nothing written",
        "replaced": "Replaced what the key said",
        "pending": "Waits for the user's approval, nothing finds it before"
        if outcome.change_id
        else "Waits for the user's approval already, nothing written",
    }[outcome.outcome]
    recalled = [memory(outcome.memory, zone)]
    if outcome.neighbours:
        recalled += ["Close to it:", *(hit(one, zone) for one in outcome.neighbours)]
    told_ = f"{headline} ({change(outcome.change_id)}{LABEL}):"
    return "\n".join([told_, *block(recalled), *_redacted(outcome.redacted)])


def found(outcome: Found, zone: tzinfo | None) -> str:
    """What `search_memories` found."""
    count = len(outcome.hits)
    searched = f"searched: {', '.join(outcome.modes)}"
    if not count:
        return "\n".join([f"Nothing relevant found ({searched}).", *left_out(outcome.left_out)])
    recalled = block(hit(one, zone) for one in outcome.hits)
    return "\n".join([f"{count} found ({LABEL}; {searched}):", *recalled, *left_out(outcome.left_out)])


def listed(outcome: Listed, zone: tzinfo | None) -> str:
    """One page of `list_memories`."""
    count = len(outcome.memories)
    lines = [f"No memories here ({outcome.total} in all)."]
    if count:
        lines = [f"{count} of {outcome.total} ({LABEL}):", *block(memory(one, zone) for one in outcome.memories)]
    lines += left_out(outcome.left_out)
    if outcome.next_cursor:
        lines.append(f"More with cursor {outcome.next_cursor}")
    return "\n".join(lines)


def got(outcome: Got, zone: tzinfo | None, history: Sequence[str] = ()) -> str:
    """What `get_memory` read, and below it the lines of its `history` that `views.timeline` made."""
    one = outcome.memory
    times = [f"created {clock.minute_in(one.created_at, zone)}", f"updated {clock.minute_in(one.updated_at, zone)}"]
    return "\n".join([f"One memory ({LABEL}):", *block([_line(f"[{one.id}]", one, times), *history])])


def updated(outcome: Updated, zone: tzinfo | None) -> str:
    """What `update_memory` changed."""
    if outcome.outcome == "unchanged":
        headline = f"Unchanged, nothing written ({LABEL}):"
    else:
        headline = f"Updated {', '.join(outcome.changed)} ({change(outcome.change_id)}{LABEL}):"
    return "\n".join([headline, *block([memory(outcome.memory, zone)]), *_redacted(outcome.redacted)])


def deleted(outcome: Deleted, zone: tzinfo | None) -> str:
    """What `delete_memory` removed."""
    headline = f"Deleted {len(outcome.memories)}, undo takes it back ({change(outcome.change_id)}{LABEL}):"
    return "\n".join([headline, *block(memory(one, zone) for one in outcome.memories)])


def undone(outcome: Undone, zone: tzinfo | None) -> str:
    """What `undo` restored and took away."""
    by = f" by {outcome.undone.client}" if outcome.undone.client else ""
    what = f"{outcome.undone.tool}{by} of {clock.date_in(outcome.undone.at, zone)}"
    steps = [_undone_step(step, zone) for step in outcome.steps] or ["Nothing was left to put back."]
    headline = f"Undid change {outcome.undone.id} ({change(outcome.change_id)}{LABEL}):"
    return "\n".join([headline, *block([f"made by {shown(what)}", *steps]), *left_out(beyond(outcome))])


def extracted(outcome: "Extracted", zone: tzinfo | None) -> str:
    """What `extract_memories` did, or with a dry run would do."""
    applied = outcome.applied
    count = len(applied.done)
    done = f"{count} operation{'' if count == 1 else 's'}"
    verb = f"Would apply {done}, nothing written" if outcome.dry_run else f"Applied {done}"
    recalled = [*(_done(one, zone) for one in applied.done), *map(skipped, applied.skipped)]
    if not recalled:
        return f"{_nothing(outcome)} (decided by {outcome.way})."
    headline = verb if count else _nothing(outcome)
    return "\n".join([f"{headline} ({change(applied.change_id)}decided by {outcome.way}; {LABEL}):", *block(recalled)])


def worksheet(sheet: "Worksheet", why: str | None) -> str:
    """What the caller is to decide; `why` the client's model did not."""
    known = [f"Known memories ({LABEL}):", *block(map(versioned, sheet.neighbours))]
    known = known if sheet.neighbours else ["Known memories: none"]
    return "\n".join([*([why] if why else []), sheet.rules, "", *known])


def reindexed(outcome: Reindexed) -> str:
    """What a reindex did, in one line."""
    counts = (
        counted(outcome.users, "user", "users"),
        counted(outcome.memories, "memory", "memories"),
        counted(outcome.wordings, "former wording", "former wordings"),
    )
    vectors = f"vectors of {outcome.model}" if outcome.model else "no vectors"
    return f"{', '.join(counts)}: words in {', '.join(outcome.languages)}; {vectors}"


def memory(one: Memory, zone: tzinfo | None) -> str:
    """One memory: id, content, then what else there is."""
    return _line(f"[{one.id}]", one, [clock.date_in(one.updated_at, zone)])


def hit(one: Hit, zone: tzinfo | None) -> str:
    """One search result, its score last; below it why it is one, where that was asked for."""
    parts = [memory(one.memory, zone)]
    if one.past is not None:
        held = [clock.date_in(moment, zone) for moment in (one.past.held_from, one.past.held_until)]
        parts.append(f"held {held[0]} to {held[1]}, no longer so")
    line = " · ".join([*parts, f"{one.score:.2f}"])
    return line if one.match is None else f"{line}\n    {_match(one.match)}"


def revision(one: Revision, zone: tzinfo | None) -> str:
    """One version of a memory, whole, with the change that made it."""
    return _line(f"{made(one, zone)}:", one.memory, [])


def made(one: Revision, zone: tzinfo | None) -> str:
    """The version, and the change that made it."""
    by = f" by {one.change.client}" if one.change.client else ""
    reason = f", {told(one.reason)}" if one.reason else ""
    change_ = f"{shown(one.change.tool + by)} (change {one.change.id}{reason})"
    return f"v{one.memory.version} {one.operation} {clock.minute_in(one.change.at, zone)} {change_}"


def _nothing(outcome: "Extracted") -> str:
    return f"Nothing to {'do' if outcome.dry_run else 'remember'}"


def _done(one: Done, zone: tzinfo | None) -> str:
    word = {"add": "added", "update": "updated", "delete": "deleted"}[one.operation]
    was = ""
    if one.reworded:
        was = f" (was: {told(one.reworded)})"
    line = f"{word} {memory(one.memory, zone)}{was}{f' · {told(one.reason)}' if one.reason else ''}"
    return "\n    ".join([line, *_redacted(one.redacted)])


def skipped(one: Skipped) -> str:
    """One operation that was not carried out."""
    said = told(one.content) if one.content else ""
    what = " ".join(part for part in (one.operation, f"[{shown(one.id)}]" if one.id else "", said) if part)
    return f"skipped {what}: {shown(one.why)}"


def versioned(one: Memory) -> str:
    """One memory that is to be decided about: id, version and content."""
    return f"[{one.id}] v{one.version} {told(one.content)}"


def _redacted(places: Sequence[str]) -> list[str]:
    """What was replaced before anything was stored."""
    return [f"Redacted: {', '.join(places)}."] if places else []


def _match(one: Match) -> str:
    cosine = "no vector" if one.semantic is None else f"cosine {one.semantic:.2f}"
    words = f"words: {' '.join(one.words)}" if one.words else "no word"
    return f"rank {one.rank:.3f} · lexical {one.lexical:.2f} · {cosine} · {words}"


def _line(headline: str, one: Memory, times: Sequence[str]) -> str:
    parts = [shown(one.content)]
    if one.damaged:
        parts.append("DAMAGED ON DISK: this text is not what was stored")
    if one.key is not None:
        parts.append(f"key {shown(one.key)}")
    parts += [word for word, holds in _flags(one) if holds]
    if one.topics:
        parts.append(shown(", ".join(one.topics)))
    if one.agent is not None:
        parts.append(f"by {shown(one.agent)}")
    parts.extend(times)
    if one.expires_at is not None:
        parts.append(f"expires {clock.iso(one.expires_at)}")
    if one.metadata:
        parts.append(shown(json.dumps(one.metadata, ensure_ascii=False, separators=(",", ":"))))
    if one.version > 1:
        parts.append(f"v{one.version}")
    if one.last_good is not None:
        parts.append(f"last good version, {one.last_good.version}: {shown(one.last_good.content)}")
    return f"{headline} {MARK if instruction_like(one) else ''}{' · '.join(parts)}"


def _flags(one: Memory) -> tuple[tuple[str, bool], ...]:
    return ("pinned", one.pinned), ("waits for approval", one.state is State.PENDING)


def _undone_step(step: UndoneStep, zone: tzinfo | None) -> str:
    word = "removed" if step.operation == "delete" else "restored"
    expired = " (its time has passed meanwhile, so it is not shown any more)" if step.expired else ""
    return f"{word}{expired}: {memory(step.memory, zone)}"


def change(change_id: str | None) -> str:
    """The change, as a headline begins with it."""
    return f"change {change_id}; " if change_id else ""


def left_out(reasons: Sequence[LeftOut]) -> Iterable[str]:
    """How many there are besides, and why they are not shown."""
    for one in reasons:
        yield f"{one.count} more left out: {one.reason}" if one.count else f"Note: {one.reason}"

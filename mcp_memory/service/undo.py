"""How a change is taken back: exactly, or not at all."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from mcp_memory import guard
from mcp_memory.errors import NotFound, UndoRefused
from mcp_memory.models import Change, Memory, Origin, Revision, State, Step, fingerprint
from mcp_memory.service.damage import sound, with_last_good
from mcp_memory.service.outcomes import TOLD, Undone, UndoneStep
from mcp_memory.service.pending import Person, veiled
from mcp_memory.service.writing import FORGET, PORTION, SWEEP, Writing, lives, portions, removal
from mcp_memory.store.lineage import UNDO_OF
from mcp_memory.store.transaction import Transaction

_OWN: Final = {
    SWEEP: "the clean-up of expired memories and of what retention does not keep",
    FORGET: "the trace of what was forgotten for good",
}
"""What the store's own changes are, by their tool; the others came along with what was imported."""
_BROUGHT: Final = "older than the import that brought it here"
_NAMED: Final = 10
"""So many memories an error names."""


class _Plan(NamedTuple):
    """The steps that take a change back, and the expired or pending memories that must go before.

    `accepts`: what waits for approval would count from then on.
    """

    steps: list[Step]
    expired: list[Memory]
    accepts: bool = False


async def target(turn: Transaction, change_id: str | None) -> Change:
    """The change that an undo of `change_id` is about; without one, the latest that can be undone.

    Raises:
        NotFound: this user has no such change, or nothing is left to undo.
        UndoRefused: it is undone already, or the store's own.
    """
    if change_id is None:
        latest = await turn.latest_undoable()
        if latest is None:
            raise NotFound("Nothing is left to undo for this user. Redo an undo by giving its change_id.")
        return latest
    change = await turn.change(change_id)
    if change is None:
        raise NotFound(
            f"No change {guard.shown(change_id)} for this user. Every reply that wrote something names its change_id."
        )
    if change.undone_by is not None:
        raise UndoRefused(f"Change {change_id} is undone already. To redo it, undo the change that undid it.")
    if change.system:
        raise UndoRefused(f"Change {change_id} is {_OWN.get(change.tool, _BROUGHT)}, which cannot be undone.")
    return change


async def undo(turn: Transaction, writing: Writing, undone: Change, by: Change, origin: Origin) -> Undone:
    """Record `by`, which undoes the change `undone`, in the cheapest of the ways that there are.

    Raises:
        UndoRefused: something stands in the way; nothing was written.
    """
    if await turn.mere_deletions(undone):
        return await bring_back(turn, writing, undone, by)
    withdrawn = await withdraw(turn, undone, by) if await turn.mere_additions(undone) else None
    return withdrawn or await take_back(turn, writing, undone, by, origin)


async def take_back(turn: Transaction, writing: Writing, undone: Change, by: Change, origin: Origin) -> Undone:
    """Record `by`, which brings back what was there before the change `undone`.

    Raises:
        UndoRefused: a later standing change touched the same memories, their text or key belongs to another memory by
            now, or the revisions needed are gone; `ids` names the memories in the way. Or it would accept what waits
            for approval, and `origin` is no person.
    """
    steps, expired, accepts = await _plan(turn, undone, by.at)
    if accepts and not isinstance(origin, Person):
        raise UndoRefused(
            f"Change {undone.id} took back that memories were accepted; only the user accepts them: mcp-memory review."
        )
    await writing.sweep(turn, expired, by.at)
    await turn.record(by, steps)
    shown = sorted(steps, key=lambda step: (step.operation != "delete", step.memory.row))
    return _told(undone, by, shown, [step.memory.id for step in shown])


async def bring_back(turn: Transaction, writing: Writing, undone: Change, by: Change) -> Undone:
    """The same where `undone` has `mere_deletions`: the memories pass by in portions, however many there are.

    Raises:
        UndoRefused: their text or key belongs to another memory by now, or what is needed is gone or damaged.
    """
    _refuse_pruned(undone)
    ids: list[str] = []
    shown: list[Step] = []
    expired: list[Memory] = []
    after = 0
    while lost := await turn.lost(undone, after, PORTION):
        ids += [memory.id for memory in lost]
        back = [_back(undone, memory, memory.version, by.at) for memory in lost]
        expired += await _in_the_way(turn, undone, back, by.at)
        shown = sorted([*shown, *back], key=lambda step: step.memory.row)[:TOLD]
        after = lost[-1].seq
    await writing.sweep(turn, expired, by.at)
    await turn.bring_back(by, _reason(undone))
    return _told(undone, by, shown, ids)


async def withdraw(turn: Transaction, undone: Change, by: Change) -> Undone | None:
    """The same where `undone` has `mere_additions`: what it added goes, in portions; None where some is damaged.

    Raises:
        UndoRefused: what is needed is gone.
    """
    _refuse_pruned(undone)
    ids: list[str] = []
    shown: list[Step] = []
    after = 0
    while added := await turn.added(undone, after, PORTION):
        if any(memory.damaged for memory in added):
            return None
        ids += [memory.id for memory in added]
        shown += [removal("delete", memory, by.at) for memory in added[: TOLD - len(shown)]]
        after = added[-1].row
    await turn.withdraw(by, _reason(undone))
    return _told(undone, by, shown, ids)


def _told(undone: Change, by: Change, steps: Sequence[Step], ids: Sequence[str]) -> Undone:
    told = (
        UndoneStep(operation=step.operation, memory=veiled(step.memory), expired=step.memory.expired(by.at))
        for step in steps[:TOLD]
    )
    return Undone(undone=undone, steps=tuple(told), ids=tuple(ids), change_id=by.id)


def _refuse_pruned(change: Change) -> None:
    if change.pruned:
        raise UndoRefused(
            f"Change {change.id} cannot be undone: retention, or a forgetting, removed for good what that needs. "
            "Name an older change by its change_id to undo that one."
        )


async def _plan(turn: Transaction, change: Change, now: int) -> _Plan:
    """What brings back what was there before `change`: last written first, but deletions before all."""
    _refuse_pruned(change)
    revisions = await turn.revisions_of(change)
    if not revisions and change.undoes is not None:
        return _Plan([], [])  # an undo that found everything gone already
    if not revisions:
        raise UndoRefused(f"Change {change.id} cannot be undone: its revisions were pruned.")
    steps: list[Step] = []
    waited = False
    for part in portions(revisions[::-1]):  # backwards, as a text or key may have passed from one memory to another
        histories = await turn.aftermath([revision.memory.seq for revision in part])
        _refuse_later(change, [(revision, histories[revision.memory.row]) for revision in part])
        current = {memory.row: memory for memory in await turn.memories([revision.memory.id for revision in part])}
        for revision in part:
            row = revision.memory.row
            step = _step(change, revision, histories[row], current.get(row), now)
            steps += [step] if step is not None else []
            waited |= row in current and current[row].state is State.PENDING
    expired = await _in_the_way(turn, change, steps, now)
    counts = any(step.operation == "restore" and step.memory.state is State.ACTIVE for step in steps)
    accepts = change.undoes is not None and waited and counts
    return _Plan(sorted(steps, key=lambda step: step.operation != "delete"), expired, accepts)


def _refuse_later(change: Change, histories: Iterable[tuple[Revision, list[Revision]]]) -> None:
    later = {
        revision.memory.id: one.change.id
        for revision, history in histories
        for one in history
        if one.memory.seq > revision.memory.seq and _stands_on(one.change, change)
    }
    if later:
        named = [f"{memory_id} (changed by {change_id})" for memory_id, change_id in later.items()]
        raise UndoRefused(
            f"Change {change.id} cannot be undone: later changes stand on it: {_listed(named)}. Undo those first.",
            list(later),
        )


def _stands_on(later: Change, change: Change) -> bool:
    """Whether `later` is in force and not cancelled out by what came after `change`.

    A change that was undone and its undo cancel each other out; an undo that reached further back does not.
    """
    if later.undone_by is not None or later.system:
        return False
    return later.undoes is None or later.undoes < change.seq


def _step(change: Change, revision: Revision, history: list[Revision], current: Memory | None, now: int) -> Step | None:
    earlier = [one for one in history if one.memory.seq < revision.memory.seq]
    if not earlier and revision.operation != "add":
        raise UndoRefused(
            f"Change {change.id} cannot be undone: the earlier revisions of {revision.memory.id} were pruned.",
            [revision.memory.id],
        )
    version = history[-1].memory.version + 1
    # What a change added was not there before, even where versions from elsewhere came along.
    if earlier and revision.operation != "add" and earlier[-1].operation not in {"delete", "expire"}:
        return _back(change, earlier[-1].memory, version, now)
    if current is not None:
        fresh = {"version": version, "updated_at": now, "row": current.row}
        gone = sound(with_last_good(current, history)).replace(**fresh)
        return Step(operation="delete", memory=gone, reason=_reason(change))
    return None


def _back(change: Change, before: Memory, version: int, now: int) -> Step:
    """The step that puts back what was there `before` the change, as `version`."""
    if before.damaged:
        raise UndoRefused(f"Change {change.id} cannot be undone: what was there is damaged on disk.", [before.id])
    memory = before.replace(version=version, updated_at=now)
    return Step(operation="restore", memory=memory, reason=_reason(change))


def _reason(change: Change) -> str:
    return UNDO_OF + change.id


async def _in_the_way(turn: Transaction, change: Change, steps: Sequence[Step], now: int) -> list[Memory]:
    """The memories that hold a text or key which `steps` would bring back elsewhere; those that count refuse it."""
    own = {step.memory.row for step in steps}
    expired: list[Memory] = []
    for part in portions([step.memory for step in steps if step.operation != "delete"]):
        keys = [memory.key for memory in part if memory.key is not None and memory.state is State.ACTIVE]
        held = await turn.holders([fingerprint(memory.content) for memory in part], keys)
        others = [memory for memory in held if memory.row not in own]
        if taken := [memory.id for memory in others if lives(memory, now)]:
            raise UndoRefused(
                f"Change {change.id} cannot be undone: its text or key now belongs to {_listed(taken)}. "
                "Update or delete that first.",
                taken,
            )
        expired += others
    return list({memory.row: memory for memory in expired}.values())


def _listed(named: Sequence[str]) -> str:
    more = f" and {len(named) - _NAMED:,} more" if len(named) > _NAMED else ""
    return ", ".join(named[:_NAMED]) + more

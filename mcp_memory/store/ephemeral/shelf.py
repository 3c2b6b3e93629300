"""What the plain store holds of one user, and one user's turn to write."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from anyio.lowlevel import checkpoint

from mcp_memory.models import (
    Bounds,
    Change,
    Entry,
    Memory,
    Revision,
    State,
    Step,
    Trace,
    Vector,
    fingerprint,
)
from mcp_memory.store.lineage import Lineage, past_changes, superseded, undone_by

_MANY: Final = 500


@dataclass(frozen=True)
class Superseded:
    """A former wording, the change that superseded it (by seq) and when."""

    wording: Memory
    by: int
    until: int


@dataclass
class Shelf:
    """Everything of one user. A transaction works on a copy, which replaces the shelf when it commits."""

    last_seq: int = 0
    memories: dict[int, Memory] = field(default_factory=dict[int, Memory])
    changes: dict[int, Change] = field(default_factory=dict[int, Change])
    revisions: list[Revision] = field(default_factory=list[Revision])
    superseded: list[Superseded] = field(default_factory=list[Superseded])
    vectors: dict[int, Vector] = field(default_factory=dict[int, Vector])

    def copy(self) -> "Shelf":
        """A shelf of its own with the same things on it."""
        return Shelf(
            self.last_seq,
            dict(self.memories),
            dict(self.changes),
            list(self.revisions),
            list(self.superseded),
            dict(self.vectors),
        )

    def stands(self, change: int) -> bool:
        """Whether a change (by seq) has not been undone."""
        return self.changes[change].undone_by is None


class EphemeralTransaction:
    """One user's turn to write; see `store.base.Transaction`."""

    def __init__(self, shelf: Shelf, numbers: Iterable[int]) -> None:
        self._shelf = shelf
        self._numbers = iter(numbers)
        expiries = (memory.expires_at for memory in shelf.memories.values() if memory.expires_at is not None)
        self.first_expiry: int | None = min(expiries, default=None)

    async def memories(self, ids: Sequence[str]) -> list[Memory]:
        """Those of `ids` that exist, also expired ones."""
        return [memory for memory in self._shelf.memories.values() if memory.id in set(ids)]

    async def twins(self, text_fingerprint: bytes | None, key: str | None) -> list[Memory]:
        """The memories that hold this text or this key, also expired ones."""
        return [
            memory
            for memory in self._shelf.memories.values()
            if fingerprint(memory.content) == text_fingerprint or (key is not None and _held_key(memory) == key)
        ]

    async def holders(self, fingerprints: Sequence[bytes], keys: Sequence[str]) -> list[Memory]:
        """The memories that hold any of these texts or keys, also expired ones."""
        texts, names = set(fingerprints), set(keys)
        return [
            memory
            for memory in self._shelf.memories.values()
            if fingerprint(memory.content) in texts or _held_key(memory) in names
        ]

    async def expired(self, now: int, limit: int) -> list[Memory]:
        """At most `limit` memories whose time has passed."""
        gone = [memory for memory in self._shelf.memories.values() if memory.expired(now)]
        return sorted(gone, key=lambda memory: (memory.expires_at or 0, memory.row))[:limit]

    async def undecided(self, moment: int, limit: int) -> list[Memory]:
        """At most `limit` pending memories that were written at `moment` or before."""
        waiting = (memory for _, memory in sorted(self._shelf.memories.items()) if memory.state is State.PENDING)
        return [memory for memory in waiting if memory.created_at <= moment][:limit]

    async def record(self, change: Change, steps: Sequence[Step]) -> list[Memory]:
        """Write `steps` as one change."""
        seq = next(self._numbers)
        change = change.replace(seq=seq)
        self._shelf.changes[seq] = change
        if change.undoes is not None:
            self._flip(change.undoes, seq)
        written: list[Memory] = []
        for step in steps:
            if len(written) % _MANY == _MANY - 1:
                await checkpoint()  # others have their turn during a large change
            written.append(self._write(change, step))
        return written

    async def clear(self, change: Change) -> list[str]:
        """Write `change`, which deletes every living memory."""
        living = [memory for _, memory in sorted(self._shelf.memories.items()) if lives(memory, change.at)]
        later = {"updated_at": change.at, "damaged": False}
        gone = [memory.replace(**later | {"version": memory.version + 1}) for memory in living]
        await self.record(change, [Step(operation="delete", memory=memory) for memory in gone])
        return [memory.id for memory in living]

    async def mere_deletions(self, change: Change) -> int:
        """How many memories `change` deleted, if that is all it did and nothing was written to any of them since."""
        pairs = self._deletions(change)
        lasting = histories(self._shelf)
        mere = all(
            deletion.operation == "delete"
            and lasting[deletion.memory.row][-1] is deletion
            and former is not None
            and former.operation not in {"delete", "expire"}
            for deletion, former in pairs
        )
        return len(pairs) if mere else 0

    async def lost(self, change: Change, after: int, limit: int) -> list[Memory]:
        """At most `limit` memories that `change` took away, as they would come back."""
        later = [pair for pair in self._deletions(change) if pair[0].memory.seq > after]
        return [
            former.memory.replace(version=deletion.memory.version + 1, seq=deletion.memory.seq)
            for deletion, former in later[:limit]
            if former is not None
        ]

    async def bring_back(self, change: Change, reason: str) -> None:
        """Write `change`, which undoes one that has `mere_deletions`."""
        lost = await self.lost(self._shelf.changes[change.undoes or 0], 0, sys.maxsize)
        back = (memory.replace(updated_at=change.at) for memory in reversed(lost))
        await self.record(change, [Step(operation="restore", memory=memory, reason=reason) for memory in back])

    async def bring(self, change: Change, lineages: Sequence[Lineage], tell: Callable[[int], None]) -> None:
        """Write `change`, which adds memories from elsewhere together with their versions."""
        shelf = self._shelf
        seqs = {one.id: next(self._numbers) for one in past_changes(lineages)}
        own = next(self._numbers)
        undone = undone_by(lineages, seqs, own)
        for one in past_changes(lineages):
            told = {"seq": seqs[one.id], "system": True, "undoes": None, "undone_by": undone.get(seqs[one.id])}
            shelf.changes[seqs[one.id]] = one.replace(**told)
        shelf.changes[own] = change.replace(seq=own)
        for one in lineages:
            await checkpoint()
            arrival = Revision(memory=one.memory, operation="add", reason=None, change=shelf.changes[own])
            self._bring(one, (*one.revisions, arrival), seqs)
            tell(1)

    def _bring(self, lineage: Lineage, versions: Sequence[Revision], seqs: Mapping[str, int]) -> None:
        row = self._shelf.last_seq + 1
        changes = [self._shelf.changes[seqs.get(one.change.id, one.change.seq)] for one in versions]
        stored: list[Memory] = []
        for one, change in zip(versions, changes, strict=True):
            self._shelf.last_seq += 1
            stored.append(one.memory.replace(row=row, seq=self._shelf.last_seq))
            self._shelf.revisions.append(one.replace(memory=stored[-1], change=change))
        self._shelf.memories[row] = stored[-1]
        for former, later in superseded(lineage.revisions):
            past = Superseded(stored[former], changes[later].seq, stored[later].worded_at)
            self._shelf.superseded.append(past)

    async def mere_additions(self, change: Change) -> int:
        """How many memories `change` added, if that is all it did and nothing was written to any of them since."""
        wrote = [one for one in self._shelf.revisions if one.change.seq == change.seq]
        lasting = histories(self._shelf)
        mere = all(
            one.operation == "add" and one.memory.row in self._shelf.memories and lasting[one.memory.row][-1] is one
            for one in wrote
        )
        return len(wrote) if mere else 0

    async def added(self, change: Change, after: int, limit: int) -> list[Memory]:
        """At most `limit` memories that `change` added."""
        rows = sorted(one.memory.row for one in self._shelf.revisions if one.change.seq == change.seq)
        return [self._shelf.memories[row] for row in rows if row > after][:limit]

    async def withdraw(self, change: Change, reason: str) -> None:
        """Write `change`, which undoes one that has `mere_additions`."""
        added = await self.added(self._shelf.changes[change.undoes or 0], 0, sys.maxsize)
        gone = (one.replace(version=one.version + 1, updated_at=change.at, damaged=False) for one in reversed(added))
        await self.record(change, [Step(operation="delete", memory=memory, reason=reason) for memory in gone])

    async def changes(self, ids: Sequence[str]) -> list[Change]:
        """The changes of those of `ids` that exist."""
        return [change for change in self._shelf.changes.values() if change.id in set(ids)]

    async def change(self, change_id: str) -> Change | None:
        """The change of that id."""
        return next((change for change in self._shelf.changes.values() if change.id == change_id), None)

    async def latest_undoable(self) -> Change | None:
        """The newest change that is not undone, not an undo and not the system's own, if something of it is left."""
        left = {revision.change.seq for revision in self._shelf.revisions}
        standing = (one for one in self._shelf.changes.values() if not one.pruned or one.seq in left)
        return max(filter(_walks_back, standing), key=lambda change: change.seq, default=None)

    async def revisions_of(self, change: Change) -> list[Revision]:
        """What `change` wrote, in the order written."""
        return [current(self._shelf, one) for one in self._shelf.revisions if one.change.seq == change.seq]

    async def history(self, row: int) -> list[Revision]:
        """Every version of the memory at `row`, oldest first."""
        return [current(self._shelf, revision) for revision in self._shelf.revisions if revision.memory.row == row]

    async def aftermath(self, seqs: Sequence[int]) -> dict[int, list[Revision]]:
        """The versions of some memories from the one before these revisions on, by row, oldest first."""
        wanted = set(seqs)
        first = {one.memory.row: one.memory.seq for one in reversed(self._shelf.revisions) if one.memory.seq in wanted}
        found: dict[int, list[Revision]] = {row: [] for row in first}
        for one in self._shelf.revisions:
            row, seq = one.memory.row, one.memory.seq
            if row in first:
                earlier = found[row] if seq >= first[row] else []
                found[row] = [*earlier, current(self._shelf, one)]
        return found

    async def prune(self, seqs: Sequence[int], bounds: Bounds) -> int:
        """Remove for good those of these revisions that are obsolete."""
        gone = [one for one in obsolete(self._shelf, bounds) if one.memory.seq in set(seqs)]
        take_away(self._shelf, gone)
        return len(gone)

    def _deletions(self, change: Change) -> list[tuple[Revision, Revision | None]]:
        """What `change` wrote, in that order, each with the version before."""
        formers: dict[int, Revision] = {}
        pairs: list[tuple[Revision, Revision | None]] = []
        for one in self._shelf.revisions:
            if one.change.seq == change.seq:
                pairs.append((one, formers.get(one.memory.row)))
            formers[one.memory.row] = one
        return pairs

    def _write(self, change: Change, step: Step) -> Memory:
        self._shelf.last_seq += 1
        seq = self._shelf.last_seq
        memory = step.memory.replace(row=step.memory.row or seq, seq=seq)
        former = self._shelf.memories.pop(memory.row, None)
        if step.operation not in {"delete", "expire"}:
            self._shelf.memories[memory.row] = memory
        if step.vector is not None:
            self._shelf.vectors[memory.row] = step.vector
        elif former is None or former.content != memory.content or memory.row not in self._shelf.memories:
            self._shelf.vectors.pop(memory.row, None)
        revision = Revision(memory=memory, operation=step.operation, reason=step.reason, change=change)
        self._shelf.revisions.append(revision)
        if step.supersedes is not None:
            self._shelf.superseded.append(Superseded(step.supersedes, change.seq, memory.worded_at))
        return memory

    def _flip(self, undone: int, by: int) -> None:
        undoer: int | None = by
        target: int | None = undone
        while target is not None:
            change = self._shelf.changes[target]
            self._shelf.changes[target] = change.replace(undone_by=undoer)
            undoer = target if undoer is None else None
            target = change.undoes


def lives(memory: Memory, now: int) -> bool:
    """Whether a read shows it."""
    return memory.state is State.ACTIVE and not memory.expired(now)


def _held_key(memory: Memory) -> str | None:
    """The key that no other may have."""
    return memory.key if memory.state is State.ACTIVE else None


def differs(one: Memory, other: Memory) -> bool:
    """Whether two wordings say different things."""
    return fingerprint(one.content) != fingerprint(other.content)


def current(shelf: Shelf, revision: Revision) -> Revision:
    """`revision` with its change as it is marked now."""
    return revision.replace(change=shelf.changes[revision.change.seq])


def entry(shelf: Shelf, change: Change, traces: int) -> Entry:
    """The change as it is listed, with at most `traces` of what it did."""
    wrote = [one for one in shelf.revisions if one.change.seq == change.seq]
    others = [shelf.changes[seq].id if seq else None for seq in (change.undoes, change.undone_by)]
    return Entry(
        change=change,
        undoes=others[0],
        undone_by=others[1],
        count=len(wrote),
        traces=tuple(_trace(shelf, one) for one in wrote[:traces]),
        pruned=change.pruned or (not wrote and change.undoes is None and not change.system),
    )


def _trace(shelf: Shelf, revision: Revision) -> Trace:
    memory = revision.memory
    earlier = (one for one in reversed(shelf.revisions) if one.memory.row == memory.row and one.memory.seq < memory.seq)
    former = next(earlier, None)
    return Trace(revision=current(shelf, revision), former=former and current(shelf, former))


def obsolete(shelf: Shelf, bounds: Bounds) -> list[Revision]:
    """The revisions that were replaced, or whose memory was deleted, before these bounds."""
    found: list[Revision] = []
    for history in histories(shelf).values():
        last = history[-1]
        forgotten = last.operation in {"delete", "expire"} and last.change.seq < bounds.deleted
        replaced = sum(revision.change.seq < bounds.replaced for revision in history)
        found += history if forgotten else history[: max(replaced - 1, 0)]
    return found


def histories(shelf: Shelf) -> dict[int, list[Revision]]:
    """All revisions by the row of their memory, oldest first."""
    found: dict[int, list[Revision]] = {}
    for revision in shelf.revisions:
        found.setdefault(revision.memory.row, []).append(revision)
    return found


def take_away(shelf: Shelf, revisions: Sequence[Revision]) -> None:
    """Remove revisions for good, with their past wordings, and mark the changes that they leave incomplete."""
    gone = {revision.memory.seq for revision in revisions}
    rows = {revision.memory.row for revision in revisions}
    shelf.revisions = [one for one in shelf.revisions if one.memory.seq not in gone]
    shelf.superseded = [one for one in shelf.superseded if one.wording.seq not in gone]
    first = [history[0] for row, history in histories(shelf).items() if row in rows]
    for one in (*revisions, *(revision for revision in first if revision.operation != "add")):
        seq = one.change.seq
        shelf.changes[seq] = shelf.changes[seq].replace(pruned=True)


def _walks_back(change: Change) -> bool:
    return change.undone_by is None and change.undoes is None and not change.system

"""The plain store: dictionaries in this process, gone when it ends. The reference for what every verb means."""

import itertools
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from mcp_memory.models import (
    Candidate,
    Candidates,
    Change,
    Filter,
    Memory,
    Page,
    Past,
    Revision,
    State,
    Step,
    fingerprint,
)
from mcp_memory.store.base import index_terms


@dataclass(frozen=True)
class _Superseded:
    wording: Memory
    by: int
    until: int


@dataclass
class _Shelf:
    """Everything of one user. A transaction works on a copy, which replaces the shelf when it commits."""

    last_seq: int = 0
    memories: dict[int, Memory] = field(default_factory=dict[int, Memory])
    changes: dict[int, Change] = field(default_factory=dict[int, Change])
    revisions: list[Revision] = field(default_factory=list[Revision])
    superseded: list[_Superseded] = field(default_factory=list[_Superseded])

    def copy(self) -> "_Shelf":
        return _Shelf(
            self.last_seq, dict(self.memories), dict(self.changes), list(self.revisions), list(self.superseded)
        )

    def stands(self, change: int) -> bool:
        return self.changes[change].undone_by is None


class EphemeralTransaction:
    """One user's turn to write; see `store.base.Transaction`."""

    def __init__(self, shelf: _Shelf, numbers: Iterable[int]) -> None:
        self._shelf = shelf
        self._numbers = iter(numbers)

    async def memories(self, ids: Sequence[str]) -> list[Memory]:
        """Those of `ids` that exist, also expired ones."""
        return [memory for memory in self._shelf.memories.values() if memory.id in set(ids)]

    async def twins(self, text_fingerprint: bytes | None, key: str | None) -> list[Memory]:
        """The memories that hold this text or this key, also expired ones."""
        return [
            memory
            for memory in self._shelf.memories.values()
            if fingerprint(memory.content) == text_fingerprint or (key is not None and memory.key == key)
        ]

    async def expired(self, now: int, limit: int) -> list[Memory]:
        """At most `limit` memories whose time has passed."""
        return [memory for memory in self._shelf.memories.values() if memory.expired(now)][:limit]

    async def record(self, change: Change, steps: Sequence[Step]) -> list[Memory]:
        """Write `steps` as one change."""
        seq = next(self._numbers)
        change = change.model_copy(update={"seq": seq})
        self._shelf.changes[seq] = change
        if change.undoes is not None:
            self._flip(change.undoes, seq)
        return [self._write(change, step) for step in steps]

    async def change(self, change_id: str) -> Change | None:
        """The change of that id."""
        return next((change for change in self._shelf.changes.values() if change.id == change_id), None)

    async def latest_undoable(self) -> Change | None:
        """The newest change that is not undone, not an undo and not the system's own."""
        return max(filter(_walks_back, self._shelf.changes.values()), key=lambda change: change.seq, default=None)

    async def revisions_of(self, change: Change) -> list[Revision]:
        """What `change` wrote, in the order written."""
        return [_current(self._shelf, one) for one in self._shelf.revisions if one.change.seq == change.seq]

    async def history(self, row: int) -> list[Revision]:
        """Every version of the memory at `row`, oldest first."""
        return [_current(self._shelf, revision) for revision in self._shelf.revisions if revision.memory.row == row]

    def _write(self, change: Change, step: Step) -> Memory:
        self._shelf.last_seq += 1
        seq = self._shelf.last_seq
        memory = step.memory.model_copy(update={"row": step.memory.row or seq, "seq": seq})
        match step.operation:
            case "delete" | "expire":
                del self._shelf.memories[memory.row]
            case "add" | "update" | "restore":
                self._shelf.memories[memory.row] = memory
        revision = Revision(memory=memory, operation=step.operation, reason=step.reason, change=change)
        self._shelf.revisions.append(revision)
        if step.supersedes is not None:
            self._shelf.superseded.append(_Superseded(step.supersedes, change.seq, memory.worded_at))
        return memory

    def _flip(self, undone: int, by: int) -> None:
        undoer: int | None = by
        target: int | None = undone
        while target is not None:
            change = self._shelf.changes[target]
            self._shelf.changes[target] = change.model_copy(update={"undone_by": undoer})
            undoer = target if undoer is None else None
            target = change.undoes


class EphemeralStore:
    """Memories that last as long as this process; see `store.base.Store` for what each verb promises."""

    def __init__(self) -> None:
        self._shelves: dict[str, _Shelf] = {}
        self._lock = anyio.Lock()
        self._numbers = itertools.count(1)

    @asynccontextmanager
    async def transaction(self, user: str) -> AsyncGenerator[EphemeralTransaction]:
        """A turn to write for `user`."""
        async with self._lock:
            shelf = self._shelf(user).copy()
            yield EphemeralTransaction(shelf, self._numbers)
            self._shelves[user] = shelf

    async def memory(self, user: str, memory_id: str, now: int) -> Memory | None:
        """The living memory of that id."""
        return next((memory for memory in self._living(user, now) if memory.id == memory_id), None)

    async def memory_by_key(self, user: str, key: str, now: int) -> Memory | None:
        """The living memory of that key."""
        return next((memory for memory in self._living(user, now) if memory.key == key), None)

    async def page(self, user: str, scope: Filter, before: int | None, limit: int) -> Page:
        """At most `limit` memories, newest created first, and how many the scope has in all."""
        kept = sorted((m for m in self._living(user, scope.now) if _keeps(scope, m)), key=lambda memory: -memory.row)
        rest = [memory for memory in kept if before is None or memory.row < before]
        return Page(memories=tuple(rest[:limit]), total=len(kept), more=len(rest) > limit)

    async def candidates(self, user: str, terms: Sequence[str], scope: Filter, depth: int | None = None) -> Candidates:
        """The memories that hold any of `terms`, with this user's statistics."""
        rows = [
            _candidate(memory.row, index_terms(memory), terms, kept=_keeps(scope, memory))
            for memory in self._shelf(user).memories.values()
        ]
        living = {memory.row for memory in self._living(user, scope.now)}
        looked_at = _newest(rows, len(terms), depth) if depth else rows
        return self._counted(user, terms, [row for row in looked_at if row.row in living])

    async def past_candidates(self, user: str, terms: Sequence[str], scope: Filter) -> Candidates:
        """The superseded wordings that hold any of `terms`."""
        rows = [
            _candidate(past.wording.seq, index_terms(past.wording), terms, kept=_keeps(scope, memory))
            for past, memory in self._past(user, scope.now)
        ]
        return self._counted(user, terms, rows)

    async def living(self, user: str, at: Sequence[int], now: int) -> dict[int, Memory]:
        """The living memories at these rows, by row."""
        return {memory.row: memory for memory in self._living(user, now) if memory.row in set(at)}

    async def past(self, user: str, seqs: Sequence[int], now: int) -> dict[int, Past]:
        """The superseded wordings at these revisions, by their seq."""
        return {
            past.wording.seq: Past(
                wording=past.wording, held_from=past.wording.worded_at, held_until=past.until, memory=memory
            )
            for past, memory in self._past(user, now)
            if past.wording.seq in set(seqs)
        }

    async def revisions(self, user: str, memory_id: str) -> list[Revision]:
        """Every version of one memory, oldest first."""
        shelf = self._shelf(user)
        last = next((one.memory.row for one in reversed(shelf.revisions) if one.memory.id == memory_id), None)
        return [_current(shelf, revision) for revision in shelf.revisions if revision.memory.row == last]

    def _shelf(self, user: str) -> _Shelf:
        return self._shelves.get(user) or _Shelf()

    def _living(self, user: str, now: int) -> list[Memory]:
        memories = self._shelf(user).memories.values()
        return [memory for memory in memories if memory.state is State.ACTIVE and not memory.expired(now)]

    def _past(self, user: str, now: int) -> list[tuple[_Superseded, Memory]]:
        shelf = self._shelf(user)
        living = {memory.row: memory for memory in self._living(user, now)}
        return [
            (past, living[past.wording.row])
            for past in shelf.superseded
            if past.wording.row in living and shelf.stands(past.by) and _differs(past.wording, living[past.wording.row])
        ]

    def _counted(self, user: str, terms: Sequence[str], rows: list[Candidate]) -> Candidates:
        lengths = [len(index_terms(memory)) for memory in self._shelf(user).memories.values()]
        return Candidates(
            documents=len(lengths),
            mean_length=sum(lengths) / len(lengths) if lengths else 0.0,
            frequencies=tuple(sum(row.matched >> term & 1 for row in rows) for term in range(len(terms))),
            rows=tuple(row for row in rows if row.matched),
        )


def _differs(one: Memory, other: Memory) -> bool:
    return fingerprint(one.content) != fingerprint(other.content)


def _current(shelf: _Shelf, revision: Revision) -> Revision:
    """`revision` with its change as it is marked now."""
    return revision.model_copy(update={"change": shelf.changes[revision.change.seq]})


def _walks_back(change: Change) -> bool:
    return change.undone_by is None and change.undoes is None and not change.system


def _keeps(scope: Filter, memory: Memory) -> bool:
    return (
        (not scope.topics or bool(set(scope.topics) & set(memory.topics)))
        and (scope.agent is None or memory.agent == scope.agent)
        and (scope.since is None or memory.updated_at >= scope.since)
        and (scope.until is None or memory.updated_at < scope.until)
    )


def _newest(rows: Sequence[Candidate], terms: int, depth: int) -> list[Candidate]:
    """`rows` with only the `depth` newest of each term left."""
    newest = sorted(rows, reverse=True)
    seen = [0] * terms
    kept: list[Candidate] = []
    for one in newest:
        matched = 0
        for term in range(terms):
            if one.matched >> term & 1 and seen[term] < depth:
                seen[term] += 1
                matched |= 1 << term
        kept.append(one._replace(matched=matched))
    return kept


def _candidate(row: int, indexed: list[str], terms: Sequence[str], *, kept: bool) -> Candidate:
    held = set(indexed)
    matched = sum(1 << position for position, term in enumerate(terms) if term in held)
    return Candidate(row=row, matched=matched, length=len(indexed), kept=int(kept))

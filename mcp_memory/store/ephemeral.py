"""The plain store: dictionaries in this process, gone when it ends. The reference for what every verb means."""

import itertools
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio

from mcp_memory.models import (
    Candidates,
    Change,
    Filter,
    Memory,
    Page,
    Past,
    Postings,
    Revision,
    State,
    Step,
    Vector,
    fingerprint,
)
from mcp_memory.store.base import FileSettings, Holding, Unembedded, index_terms
from mcp_memory.text import Analyzer
from mcp_memory.text.near import Vocabulary


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
    vectors: dict[int, Vector] = field(default_factory=dict[int, Vector])

    def copy(self) -> "_Shelf":
        return _Shelf(
            self.last_seq,
            dict(self.memories),
            dict(self.changes),
            list(self.revisions),
            list(self.superseded),
            dict(self.vectors),
        )

    def stands(self, change: int) -> bool:
        return self.changes[change].undone_by is None


class EphemeralTransaction:
    """One user's turn to write; see `store.base.Transaction`."""

    def __init__(self, shelf: _Shelf, numbers: Iterable[int]) -> None:
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
            if fingerprint(memory.content) == text_fingerprint or (key is not None and memory.key == key)
        ]

    async def expired(self, now: int, limit: int) -> list[Memory]:
        """At most `limit` memories whose time has passed."""
        gone = [memory for memory in self._shelf.memories.values() if memory.expired(now)]
        return sorted(gone, key=lambda memory: (memory.expires_at or 0, memory.row))[:limit]

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

    def __init__(self, settings: FileSettings = FileSettings()) -> None:  # noqa: B008 - a frozen value
        self.settings = settings
        self._analyzer = Analyzer(settings.languages)
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
        """The user's memories, and which of `terms` they hold."""
        import numpy as np

        shelf = self._shelf(user)
        rows = [(row, self._terms(memory), memory) for row, memory in sorted(shelf.memories.items())]
        found = _arranged(rows, terms, scope, shelf.vectors, depth)
        living = np.array([_lives(memory, scope.now) for _, _, memory in rows], np.bool_)

        asked = found.postings
        alive = living[asked.places]
        return replace(
            found,
            documents=int(living.sum()),
            mean_length=float(found.lengths[living].mean()) if living.any() else 0.0,
            kept=found.kept & living,
            postings=Postings(asked.terms[alive], asked.places[alive], asked.repeated[alive]),
        )

    async def vocabulary(self, user: str) -> Vocabulary:
        """Every term of the user's memories."""
        return Vocabulary(term for memory in self._shelf(user).memories.values() for term in self._terms(memory))

    async def past_candidates(self, user: str, terms: Sequence[str], scope: Filter) -> Candidates:
        """The superseded wordings that hold any of `terms`."""
        past = [(one.wording.seq, self._terms(one.wording), memory) for one, memory in self._past(user, scope.now)]
        rows = sorted((row for row in past if set(terms) & set(row[1])), key=lambda row: row[0])
        return replace(_arranged(rows, terms, scope, {}), current=0)

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

    async def unembedded(self, user: str, limit: int, before: int | None = None) -> list[Unembedded]:
        """At most `limit` wordings that have no vector, newest first."""
        shelf = self._shelf(user)
        below = sorted((row for row in shelf.memories if before is None or row < before), reverse=True)
        found = [shelf.memories[row] for row in below if row not in shelf.vectors][:limit]
        return [Unembedded(row=memory.row, version=memory.version, content=memory.content) for memory in found]

    async def add_vectors(self, user: str, vectors: Sequence[tuple[Unembedded, Vector]]) -> None:
        """Keep vectors that were made up for."""
        async with self._lock:
            shelf = self._shelf(user)
            for wording, vector in vectors:
                memory = shelf.memories.get(wording.row)
                if memory is not None and memory.version == wording.version:
                    shelf.vectors[wording.row] = vector

    async def set_settings(self, settings: FileSettings) -> None:
        """Change what the store is indexed and embedded with. Terms are made anew for every search here anyway."""
        async with self._lock:
            if settings.model != self.settings.model:
                self._shelves = {user: replace(shelf, vectors={}) for user, shelf in self._shelves.items()}
            self.settings = settings
            self._analyzer = Analyzer(settings.languages)

    async def users(self) -> list[Holding]:
        """Everybody who ever wrote."""
        return [
            Holding(
                user=user,
                writes=shelf.last_seq,
                memories=len(shelf.memories),
                wordings=len(shelf.superseded),
                lacking=len(shelf.memories.keys() - shelf.vectors.keys()),
            )
            for user, shelf in self._shelves.items()
            if shelf.last_seq
        ]

    async def reindex(self, user: str, writes: range, dimensions: int) -> None:
        """Remove vectors of other dimensions: all else is done by `set_settings`."""
        async with self._lock:
            shelf = self._shelf(user)
            for row, vector in list(shelf.vectors.items()):
                if row in writes and len(vector.codes) != dimensions:
                    del shelf.vectors[row]

    def _shelf(self, user: str) -> _Shelf:
        return self._shelves.get(user) or _Shelf()

    def _living(self, user: str, now: int) -> list[Memory]:
        return [memory for memory in self._shelf(user).memories.values() if _lives(memory, now)]

    def _past(self, user: str, now: int) -> list[tuple[_Superseded, Memory]]:
        shelf = self._shelf(user)
        living = {memory.row: memory for memory in self._living(user, now)}
        return [
            (past, living[past.wording.row])
            for past in shelf.superseded
            if past.wording.row in living and shelf.stands(past.by) and _differs(past.wording, living[past.wording.row])
        ]

    def _terms(self, memory: Memory) -> list[str]:
        return index_terms(memory, self._analyzer)


def _arranged(
    rows: Sequence[tuple[int, list[str], Memory]],
    terms: Sequence[str],
    scope: Filter,
    vectors: Mapping[int, Vector],
    depth: int | None = None,
) -> Candidates:
    """Candidates of memories given as row, terms and what the filter is asked of; `row` ascends."""
    import numpy as np

    entries: list[tuple[int, int, bool]] = []
    for number, term in enumerate(terms):
        holding = [(n, held.count(term)) for n, (_, held, _) in enumerate(rows) if term in held]
        entries += [(number, place, count > 1 and not depth) for place, count in holding[-(depth or len(rows)) :]]
    found = [vectors.get(row) for row, _, _ in rows]
    dimensions = max((len(vector.codes) for vector in found if vector), default=0)
    codes = b"".join(vector.codes if vector else bytes(dimensions) for vector in found)
    return Candidates(
        documents=0,
        mean_length=0.0,
        rows=np.array([row for row, _, _ in rows], np.int64),
        lengths=np.array([len(held) for _, held, _ in rows], np.int64),
        kept=np.array([_keeps(scope, memory) for _, _, memory in rows], np.bool_),
        updated=np.array([memory.updated_at for _, _, memory in rows], np.int64),
        postings=Postings(
            terms=np.array([number for number, _, _ in entries], np.int64),
            places=np.array([place for _, place, _ in entries], np.int64),
            repeated=np.array([repeated for _, _, repeated in entries], np.bool_),
        ),
        codes=np.frombuffer(codes, np.int8).reshape(len(rows), dimensions) if dimensions else None,
        scales=np.array([vector.scale if vector else 0 for vector in found], np.float32),
        current=len(rows),
    )


def _lives(memory: Memory, now: int) -> bool:
    return memory.state is State.ACTIVE and not memory.expired(now)


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

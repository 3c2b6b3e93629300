"""The plain store itself."""

import itertools
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import assert_never

import anyio

from mcp_memory.models import (
    Bounds,
    Candidates,
    Change,
    Doomed,
    Entry,
    Filter,
    Memory,
    OneMemory,
    Page,
    Past,
    Postings,
    Receipt,
    Revision,
    State,
    Vector,
    WholeUser,
)
from mcp_memory.store.base import UNCHOSEN, Backups, Due, FileSettings, Holding, Unembedded, index_terms
from mcp_memory.store.census import Census
from mcp_memory.store.ephemeral.census import census
from mcp_memory.store.ephemeral.erase import erased_memory, erased_user
from mcp_memory.store.ephemeral.shelf import (
    EphemeralTransaction,
    Shelf,
    Superseded,
    current,
    differs,
    entry,
    histories,
    lives,
    obsolete,
)
from mcp_memory.store.importance import Foremost, rank
from mcp_memory.store.lineage import Lineage
from mcp_memory.text import Analyzer
from mcp_memory.text.near import Vocabulary


class EphemeralStore:
    """Memories that last as long as this process; see `store.base.Store` for what each verb promises."""

    def __init__(self, settings: FileSettings = UNCHOSEN) -> None:
        self.settings = settings
        self.written = anyio.Event()
        self.backups: Backups | None = None
        self._analyzer = Analyzer(settings.languages)
        self._shelves: dict[str, Shelf] = {}
        self._lock = anyio.Lock()
        self._numbers = itertools.count(1)

    @asynccontextmanager
    async def transaction(self, user: str) -> AsyncGenerator[EphemeralTransaction]:
        """A turn to write for `user`."""
        async with self._lock:
            shelf = self._shelf(user).copy()
            yield EphemeralTransaction(shelf, self._numbers)
            self._shelves[user] = shelf
        self.written.set()

    async def memory(self, user: str, memory_id: str, now: int) -> Memory | None:
        """The living memory of that id."""
        return next((memory for memory in self._living(user, now) if memory.id == memory_id), None)

    async def memory_by_key(self, user: str, key: str, now: int) -> Memory | None:
        """The living memory of that key."""
        return next((memory for memory in self._living(user, now) if memory.key == key), None)

    async def page(self, user: str, scope: Filter, before: int | None, limit: int) -> Page:
        """At most `limit` memories, newest created first, and how many the scope has in all."""
        return _page([m for m in self._living(user, scope.now) if _keeps(scope, m)], before, limit)

    async def pending(self, user: str, now: int, since: int, before: int | None, limit: int) -> Page:
        """The same of what nobody has decided about."""
        waiting = (memory for memory in self._shelf(user).memories.values() if memory.state is State.PENDING)
        return _page([m for m in waiting if m.created_at > since and not m.expired(now)], before, limit)

    async def gone(self, user: str, before: int | None, limit: int) -> list[Revision]:
        """At most `limit` deletions and expiries of memories that are still gone, the latest first."""
        shelf = self._shelf(user)
        last = [history[-1] for history in histories(shelf).values()]
        found = [one for one in last if one.operation in {"delete", "expire"} and one.memory.state is State.ACTIVE]
        below = [one for one in found if before is None or one.memory.seq < before]
        ordered = sorted(below, key=lambda one: one.memory.seq, reverse=True)
        return [current(shelf, one) for one in ordered[:limit]]

    async def candidates(self, user: str, terms: Sequence[str], scope: Filter, depth: int | None = None) -> Candidates:
        """The user's memories, and which of `terms` they hold."""
        import numpy as np

        shelf = self._shelf(user)
        rows = [(row, self._terms(memory), memory) for row, memory in sorted(shelf.memories.items())]
        found = _arranged(rows, terms, scope, shelf.vectors, depth)
        living = np.array([lives(memory, scope.now) for _, _, memory in rows], np.bool_)

        asked = found.postings
        alive = living[asked.places]
        return found.replace(
            documents=int(living.sum()),
            mean_length=float(found.lengths[living].mean()) if living.any() else 0.0,
            kept=found.kept & living,
            postings=Postings(terms=asked.terms[alive], places=asked.places[alive], repeated=asked.repeated[alive]),
        )

    async def vocabulary(self, user: str) -> Vocabulary:
        """Every term of the user's memories."""
        return Vocabulary(term for memory in self._shelf(user).memories.values() for term in self._terms(memory))

    async def past_candidates(self, user: str, terms: Sequence[str], scope: Filter) -> Candidates:
        """The superseded wordings that hold any of `terms`."""
        past = [(one.wording.seq, self._terms(one.wording), memory) for one, memory in self._past(user, scope.now)]
        rows = sorted((row for row in past if set(terms) & set(row[1])), key=lambda row: row[0])
        return _arranged(rows, terms, scope, {}).replace(current=0)

    async def living(self, user: str, at: Sequence[int], now: int) -> dict[int, Memory]:
        """The living memories at these rows, by row."""
        return {memory.row: memory for memory in self._living(user, now) if memory.row in set(at)}

    async def foremost(self, user: str, now: int, limit: int) -> Foremost:
        """The most important living memories."""
        living = sorted(self._living(user, now), key=rank, reverse=True)
        firm = sum(memory.pinned or memory.key is not None for memory in living[:limit])
        return Foremost(rows=tuple(memory.row for memory in living[:limit]), firm=firm, total=len(living))

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
        return [current(shelf, revision) for revision in shelf.revisions if revision.memory.row == last]

    async def change(self, user: str, change_id: str) -> Change | None:
        """The change of that id."""
        return next((change for change in self._shelf(user).changes.values() if change.id == change_id), None)

    async def changes(
        self, user: str, limit: int, traces: int, *, before: int | None = None, after: int = 0, since: int | None = None
    ) -> list[Entry]:
        """At most `limit` changes, newest first, each with at most `traces` of what it did."""
        shelf = self._shelf(user)
        kept = [
            change
            for seq, change in sorted(shelf.changes.items(), reverse=True)
            if after < seq and (before is None or seq < before) and (since is None or change.at >= since)
        ]
        return [entry(shelf, change, traces) for change in kept[:limit]]

    async def lineages(self, user: str, after: int, limit: int, now: int) -> list[Lineage]:
        """At most `limit` living memories with all their versions, oldest created first."""
        shelf = self._shelf(user)
        later = sorted((one for one in self._living(user, now) if one.row > after), key=lambda memory: memory.row)
        versions = histories(shelf)
        return [
            Lineage(memory=one, revisions=tuple(current(shelf, version) for version in versions[one.row]))
            for one in later[:limit]
        ]

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
                if memory is not None and (memory.version, memory.content) == (wording.version, wording.content):
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
                pending=sum(memory.state is State.PENDING for memory in shelf.memories.values()),
            )
            for user, shelf in self._shelves.items()
            if shelf.last_seq
        ]

    async def census(self, user: str, now: int) -> Census:
        """What there is of one user."""
        return census(self._living(user, now))

    async def rename(self, user: str, name: str) -> bool:
        """Give all that is the user's to another name."""
        async with self._lock:
            free = self._shelf(user).last_seq > 0 and not self._shelf(name).last_seq
            if free:
                self._shelves.pop(name, None)
                self._shelves = {name if one == user else one: shelf for one, shelf in self._shelves.items()}
            return free

    async def reindex(self, user: str, writes: range, dimensions: int) -> None:
        """Remove vectors of other dimensions: all else is done by `set_settings`."""
        async with self._lock:
            shelf = self._shelf(user)
            for row, vector in list(shelf.vectors.items()):
                if row in writes and len(vector.codes) != dimensions:
                    del shelf.vectors[row]

    async def erase(self, doomed: Doomed, wait: float) -> Receipt:
        """Erase something for good; there are no backups."""
        async with self._lock:
            match doomed:
                case WholeUser(user=user):
                    return Receipt(erased=erased_user(self._shelves.pop(user, Shelf())))
                case OneMemory(user=user):
                    shelf = self._shelf(user).copy()
                    erased = erased_memory(shelf, doomed, self._numbers)
                    self._shelves[user] = shelf
                    return Receipt(erased=erased)
                case _:
                    assert_never(doomed)

    async def first_change(self, user: str, moment: int) -> int:
        """The seq of the user's first change at `moment` or later."""
        seqs = (change.seq for change in self._shelf(user).changes.values() if change.at >= moment)
        return min(seqs, default=sys.maxsize)

    async def obsolete(self, user: str, writes: range, bounds: Bounds) -> list[int]:
        """The seqs of revisions in `writes` that retention may remove."""
        return sorted(one.memory.seq for one in obsolete(self._shelf(user), bounds) if one.memory.seq in writes)

    async def due(self) -> list[Due]:
        """Everybody who ever wrote, and from when on there is something expired."""
        return [
            Due(
                user=user,
                writes=shelf.last_seq,
                first_expiry=min(
                    (m.expires_at for m in shelf.memories.values() if m.expires_at is not None), default=None
                ),
                first_pending=min(
                    (m.created_at for m in shelf.memories.values() if m.state is State.PENDING), default=None
                ),
            )
            for user, shelf in self._shelves.items()
            if shelf.last_seq
        ]

    def _shelf(self, user: str) -> Shelf:
        return self._shelves.get(user) or Shelf()

    def _living(self, user: str, now: int) -> list[Memory]:
        return [memory for memory in self._shelf(user).memories.values() if lives(memory, now)]

    def _past(self, user: str, now: int) -> list[tuple[Superseded, Memory]]:
        shelf = self._shelf(user)
        living = {memory.row: memory for memory in self._living(user, now)}
        return [
            (past, living[past.wording.row])
            for past in shelf.superseded
            if past.wording.row in living and shelf.stands(past.by) and differs(past.wording, living[past.wording.row])
        ]

    def _terms(self, memory: Memory) -> list[str]:
        return index_terms(memory, self._analyzer)


def _page(memories: Sequence[Memory], before: int | None, limit: int) -> Page:
    """At most `limit` of `memories`, newest created first, out of all of them."""
    kept = sorted(memories, key=lambda memory: -memory.row)
    rest = [memory for memory in kept if before is None or memory.row < before]
    return Page(memories=tuple(rest[:limit]), total=len(kept), more=len(rest) > limit)


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


def _keeps(scope: Filter, memory: Memory) -> bool:
    return (
        (not scope.topics or bool(set(scope.topics) & set(memory.topics)))
        and (scope.agent is None or memory.agent == scope.agent)
        and (scope.since is None or memory.updated_at >= scope.since)
        and (scope.until is None or memory.updated_at < scope.until)
    )

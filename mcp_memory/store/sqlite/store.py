"""The SQLite store: a writer connection that takes turns, and a reader beside it."""

import json
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_memory.models import Candidates, Filter, Memory, Page, Past, Revision, Vector
from mcp_memory.store.base import FileSettings, Holding, Unembedded
from mcp_memory.store.sqlite import rows
from mcp_memory.store.sqlite.connection import (
    Connection,
    Turns,
    create_file,
    open_connection,
    prepare,
    warn_of_shared_folder,
)
from mcp_memory.store.sqlite.index import IndexCache, UserIndex
from mcp_memory.store.sqlite.migrate import check_turn, migrate, resettle, settle
from mcp_memory.store.sqlite.transaction import SqliteTransaction
from mcp_memory.text import Analyzer

if TYPE_CHECKING:
    from mcp_memory.models import Booleans, Integers


class SqliteStore:
    """Memories in one file; see `store.base.Store` for what each verb promises."""

    def __init__(self, turns: Turns, reader: Connection, settings: FileSettings, cache: IndexCache) -> None:
        self._turns = turns
        self._reader = reader
        self._cache = cache
        self._analyzer = Analyzer(settings.languages)
        self.settings = settings

    @asynccontextmanager
    async def transaction(self, user: str) -> AsyncGenerator[SqliteTransaction]:
        """A turn to write for `user`."""
        async with self._turn(user) as (turn, head):
            transaction = SqliteTransaction(turn, user, head, self.settings, self._analyzer)
            yield transaction
        if head["number"] is not None:
            self._cache.wrote(user, head, transaction.written)

    async def memory(self, user: str, memory_id: str, now: int) -> Memory | None:
        """The living memory of that id."""
        row = await self._reader.one("memory", {"user": user, "id": memory_id, "now": now})
        return rows.memory(row) if row else None

    async def memory_by_key(self, user: str, key: str, now: int) -> Memory | None:
        """The living memory of that key."""
        row = await self._reader.one("memory_by_key", {"user": user, "key": key, "now": now})
        return rows.memory(row) if row else None

    async def page(self, user: str, scope: Filter, before: int | None, limit: int) -> Page:
        """At most `limit` memories, newest created first, and how many the scope has in all."""
        parameters = _filter_parameters(user, scope)
        counted = await self._reader.single("count", parameters)
        found = await self._reader.all("page", parameters | {"before": _below(before), "limit": limit + 1})
        return Page(
            memories=tuple(rows.memory(row) for row in found[:limit]),
            total=counted["total"],
            more=len(found) > limit,
        )

    async def candidates(self, user: str, terms: Sequence[str], scope: Filter, depth: int | None = None) -> Candidates:
        """The user's memories, and which of `terms` they hold."""
        import numpy as np

        asked = json.dumps([*terms, *map(rows.repeated, terms)], ensure_ascii=False)
        found = await self._reader.all("postings", {"user": user, "terms": asked, "depth": depth or -1})
        if not found:
            return _nothing(len(terms))
        index = await self._cache.current(user, found[0])
        living = index.living(scope.now)
        kept = living & await self._kept(user, scope, index)
        postings = [_places(index, living, row["postings"]) for row in found]
        documents = int(np.count_nonzero(living))
        return Candidates(
            documents=documents,
            mean_length=float(index.lengths[living].mean()) if documents else 0.0,
            rows=index.rows,
            lengths=index.lengths,
            kept=kept,
            updated=index.updated,
            postings=tuple(postings[: len(terms)]),
            repeated=tuple(postings[len(terms) :]),
            codes=index.codes,
            scales=index.scales,
            current=len(index.rows),
            at_hand=index.at_hand,
        )

    async def vocabulary(self, user: str) -> list[str]:
        """Every term of the user's memories."""
        found = await self._reader.single("vocabulary", {"user": user})
        return json.loads(found["terms"])

    async def past_candidates(self, user: str, terms: Sequence[str], scope: Filter) -> Candidates:
        """The superseded wordings that hold any of `terms`."""
        import numpy as np

        asked = json.dumps([*terms, *map(rows.repeated, terms)], ensure_ascii=False)
        found = await self._reader.all("past_candidates", _filter_parameters(user, scope) | {"terms": asked})
        if not found:
            return _nothing(len(terms))
        known = {row["seq"]: row for row in found}
        seqs = np.array(sorted(known), np.int64)
        holders = [[row["seq"] for row in found if row["term"] == term] for term in range(2 * len(terms))]
        postings = [np.searchsorted(seqs, sorted(holding)) for holding in holders]
        return Candidates(
            documents=0,
            mean_length=0.0,
            rows=seqs,
            lengths=np.array([known[seq]["term_count"] for seq in seqs.tolist()], np.int64),
            kept=np.array([bool(known[seq]["kept"]) for seq in seqs.tolist()]),
            updated=np.array([known[seq]["updated_at"] for seq in seqs.tolist()], np.int64),
            postings=tuple(postings[: len(terms)]),
            repeated=tuple(postings[len(terms) :]),
            codes=None,
            scales=np.zeros(len(seqs), np.float32),
            current=0,
        )

    async def living(self, user: str, at: Sequence[int], now: int) -> dict[int, Memory]:
        """The living memories at these rows, by row."""
        index = self._cache.of(user)
        seq = index.seq if index else 0
        found = await self._reader.all("living", {"user": user, "rows": json.dumps(list(at)), "now": now})
        living = {memory.row: memory for memory in map(rows.memory, found)}
        if index:
            index.remember(living.values(), seq)
        return living

    async def past(self, user: str, seqs: Sequence[int], now: int) -> dict[int, Past]:
        """The superseded wordings at these revisions, by their seq."""
        found = await self._reader.all("past", {"user": user, "seqs": json.dumps(list(seqs))})
        wordings = [rows.revision(row).memory for row in found]
        living = await self.living(user, [wording.row for wording in wordings], now)
        return {
            wording.seq: Past(
                wording=wording, held_from=row["held_from"], held_until=row["held_until"], memory=living[wording.row]
            )
            for wording, row in zip(wordings, found, strict=True)
            if wording.row in living
        }

    async def revisions(self, user: str, memory_id: str) -> list[Revision]:
        """Every version of one memory, oldest first."""
        return [
            rows.revision(row) for row in await self._reader.all("revisions_by_id", {"user": user, "id": memory_id})
        ]

    async def unembedded(self, user: str, limit: int, before: int | None = None) -> list[Unembedded]:
        """At most `limit` wordings that have no vector of the file's model, newest first."""
        asked = {"user": user, "model": self.settings.model, "limit": limit, "before": _below(before)}
        found = await self._reader.all("unembedded", asked)
        return [Unembedded(row=row["row"], version=row["version"], content=row["content"]) for row in found]

    async def add_vectors(self, user: str, vectors: Sequence[tuple[Unembedded, Vector]]) -> None:
        """Keep vectors that were made up for."""
        async with self._turn(user) as (turn, head):
            counted = await turn.single("make_up", {"number": head["number"]})
            for wording, vector in vectors:
                place = {"number": head["number"], "row": wording.row, "version": wording.version}
                made = rows.vector_parameters(vector, self.settings.model) | {"made_up": counted["made_up"]}
                await turn.all("add_vector", place | made)

    async def set_settings(self, settings: FileSettings) -> None:
        """Change what the file is indexed and embedded with."""
        async with self._turn("") as (turn, _):
            await resettle(turn, settings)
        self.settings = settings
        self._analyzer = Analyzer(settings.languages)
        self._cache.restart(settings.model)

    async def users(self) -> list[Holding]:
        """Everybody who ever wrote."""
        found = await self._reader.all("holdings", {"model": self.settings.model})
        return [Holding(**{name: row[name] for name in Holding.model_fields}) for row in found]

    async def reindex(self, user: str, writes: range, dimensions: int) -> None:
        """Make anew what finds some memories and former wordings; read ahead of the turn, so that others wait less."""
        span = {"user": user, "first": writes.start, "last": writes.stop - 1}
        memories = await self._indexed("memories_written", span)
        wordings = await self._indexed("wordings_written", span)
        async with self._turn(user) as (turn, head):
            place = span | {"number": head["number"], "dimensions": dimensions, "model": self.settings.model}
            changed = await turn.all("remove_misfits", place)
            changed += await turn.all("reindex_memories", {"indexed": memories})
            changed += await turn.all("reindex_wordings", {"indexed": wordings})
            if changed:
                await turn.all("index_changed", place)

    @asynccontextmanager
    async def _turn(self, user: str) -> AsyncGenerator[tuple[Connection, sqlite3.Row]]:
        """A turn to write with these settings, and what there is to know before."""
        async with self._turns.turn() as turn:
            head = await turn.single("turn", {"user": user})
            check_turn(turn, head, self.settings)
            yield turn, head

    async def _indexed(self, name: str, span: dict[str, Any]) -> str:
        """What the index shall hold of the rows of a statement, as others take it."""
        found = await self._reader.all(name, span)
        return json.dumps([rows.reindexed(row, self._analyzer) for row in found], ensure_ascii=False)

    async def _kept(self, user: str, scope: Filter, index: UserIndex) -> "Booleans":
        """Which memories of the index the filter keeps."""
        import numpy as np

        if scope == Filter(now=scope.now):
            return np.ones(len(index.rows), np.bool_)
        found = await self._reader.all("filtered_rows", _filter_parameters(user, scope))
        kept = np.zeros(len(index.rows), np.bool_)
        kept[index.places(rows.postings(found[0]["found"])[::-1])] = True
        return kept


@asynccontextmanager
async def open_store(
    path: Path,
    now: int,
    lock_timeout: float,
    wanted: FileSettings = FileSettings(),  # noqa: B008 - a frozen value
    cache_bytes: int = 256 << 20,
) -> AsyncGenerator[SqliteStore]:
    """The store in the file at the absolute `path`, created or brought up to date where needed, and closed at the end.

    `lock_timeout` is how many seconds a write may wait for its turn, `wanted` what a new file starts with,
    `cache_bytes` what searches may keep in memory.

    Raises:
        StoreError: the file cannot be used; it is left as it was.
    """
    warn_of_shared_folder(path)
    create_file(path)
    async with open_connection(path, lock_timeout) as writer:
        turns = Turns(writer)
        await migrate(writer, turns, now)
        settings = await settle(writer, turns, wanted)
        async with open_connection(path, lock_timeout) as reader:
            await prepare(reader)
            yield SqliteStore(turns, reader, settings, IndexCache(reader, settings.model, cache_bytes))


def _places(index: UserIndex, living: "Booleans", packed: str) -> "Integers":
    """Where the living memories stand that a term's postings name."""
    places = index.places(rows.postings(packed))
    return places[living[places]]


def _nothing(terms: int) -> Candidates:
    import numpy as np

    none = np.empty(0, np.int64)
    return Candidates(
        documents=0,
        mean_length=0.0,
        rows=none,
        lengths=none,
        kept=none.astype(np.bool_),
        updated=none,
        postings=(none,) * terms,
        repeated=(none,) * terms,
        codes=None,
        scales=none.astype(np.float32),
        current=0,
    )


def _below(before: int | None) -> int:
    """The first row that a page does not reach; never beyond the user's own rows."""
    end = rows.SEQUENCE_MASK + 1
    return end if before is None else min(before, end)


def _filter_parameters(user: str, scope: Filter) -> dict[str, Any]:
    topics = json.dumps(scope.topics, ensure_ascii=False) if scope.topics else None
    return scope.model_dump() | {"user": user, "topics": topics}

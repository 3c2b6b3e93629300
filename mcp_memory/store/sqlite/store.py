"""The SQLite store: a writer connection that takes turns, and a reader beside it."""

import json
import sqlite3
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_memory.keys import Key
from mcp_memory.models import Candidates, Filter, Memory, Page, Past, Postings, Revision, Vector
from mcp_memory.store.base import FileSettings, Holding, Unembedded
from mcp_memory.store.sqlite import rows
from mcp_memory.store.sqlite.connection import (
    Connection,
    Turns,
    Watch,
    create_file,
    open_connection,
    open_watch,
    prepare,
    warn_of_shared_folder,
)
from mcp_memory.store.sqlite.index import Held, IndexCache, UserIndex
from mcp_memory.store.sqlite.migrate import check_turn, migrate, resettle, settle
from mcp_memory.store.sqlite.transaction import SqliteTransaction
from mcp_memory.text import Analyzer
from mcp_memory.text.near import Vocabulary

if TYPE_CHECKING:
    from mcp_memory.models import Booleans, Integers


class SqliteStore:
    """Memories in one file; see `store.base.Store` for what each verb promises."""

    def __init__(
        self, turns: Turns, reader: Connection, watch: Watch, settings: FileSettings, cache: IndexCache
    ) -> None:
        self._turns = turns
        self._reader = reader
        self._watch = watch
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

        filtered = await self._filtered(user, scope)
        index, held = await self._holding(user, terms, depth)
        if index is None:
            return _nothing()
        # No await from here on: another task may write to the index in between.
        living = index.living(scope.now)
        documents = int(np.count_nonzero(living))
        lengths = index.lengths if documents == len(living) else index.lengths[living]
        return Candidates(
            documents=documents,
            mean_length=float(lengths.mean()) if documents else 0.0,
            rows=index.rows,
            lengths=index.lengths,
            kept=living if filtered is None else living & _kept(index, filtered),
            updated=index.updated,
            postings=_of_living(held, living),
            codes=index.codes,
            scales=index.scales,
            current=len(index.rows),
            at_hand=index.at_hand,
        )

    async def vocabulary(self, user: str) -> Vocabulary:
        """Every term of the user's memories."""
        index = self._cache.of(user)
        if index is not None and index.vocabulary is not None:
            return index.vocabulary
        found = await self._reader.single("vocabulary", {"user": user})
        vocabulary = Vocabulary(json.loads(found["terms"]))
        if index is not None and index.seq == found["last_seq"]:
            index.vocabulary = vocabulary
        return vocabulary

    async def past_candidates(self, user: str, terms: Sequence[str], scope: Filter) -> Candidates:
        """The superseded wordings that hold any of `terms`."""
        import numpy as np

        asked = json.dumps([*terms, *map(rows.repeated, terms)], ensure_ascii=False)
        found = await self._reader.all("past_candidates", _filter_parameters(user, scope) | {"terms": asked})
        if not found:
            return _nothing()
        known = {row["seq"]: row for row in found}
        seqs = np.array(sorted(known), np.int64)
        again = {(row["term"] - len(terms), row["seq"]) for row in found if row["term"] >= len(terms)}
        pairs = sorted((row["term"], row["seq"]) for row in found if row["term"] < len(terms))
        return Candidates(
            documents=0,
            mean_length=0.0,
            rows=seqs,
            lengths=np.array([known[seq]["term_count"] for seq in seqs.tolist()], np.int64),
            kept=np.array([bool(known[seq]["kept"]) for seq in seqs.tolist()]),
            updated=np.array([known[seq]["updated_at"] for seq in seqs.tolist()], np.int64),
            postings=Postings(
                terms=np.array([term for term, _ in pairs], np.int64),
                places=np.searchsorted(seqs, [seq for _, seq in pairs]),
                repeated=np.array([pair in again for pair in pairs], np.bool_),
            ),
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

    async def _holding(self, user: str, terms: Sequence[str], depth: int | None) -> tuple[UserIndex | None, list[Held]]:
        """The user's index, up to date, and what it says of each term; no index where the user never wrote."""
        former = self._cache.of(user)
        known: Mapping[str, Held] = {} if former is None or depth else former.held
        missing = [term for term in terms if term not in known]
        if former is not None and not missing and self._untouched(former):
            return former, [known[term] for term in terms]
        index, read = await self._looked_up(user, missing, depth)
        if index is not None and index.held is not known and known:  # written to meanwhile
            known = {}
            index, read = await self._looked_up(user, terms, depth)
        held = {**known, **read}
        return index, [held[term] for term in terms] if index else []

    def _untouched(self, index: UserIndex) -> bool:
        """Whether nobody has committed anything since the index was held up to date."""
        return index.watched is not None and index.watched == self._watch.version()

    async def _looked_up(
        self, user: str, terms: Sequence[str], depth: int | None
    ) -> tuple[UserIndex | None, dict[str, Held]]:
        watched = self._watch.version()
        asked = json.dumps([*terms, *(() if depth else map(rows.repeated, terms))], ensure_ascii=False)
        found = await self._reader.all("postings", {"user": user, "terms": asked, "depth": depth or -1})
        if not found:
            return None, {}
        index = await self._cache.current(user, found[0])
        index.watched = watched
        packed = [row["postings"] for row in found] if terms else []
        read = dict(zip(terms, index.placed(packed[: len(terms)], packed[len(terms) :]), strict=True))
        if not depth:
            index.hold(read, found[0]["last_seq"])
        return index, read

    async def _filtered(self, user: str, scope: Filter) -> "Integers | None":
        """The rows that the filter keeps; None where it keeps all."""
        if scope == Filter(now=scope.now):
            return None
        found = await self._reader.all("filtered_rows", _filter_parameters(user, scope))
        return rows.postings([row["found"] for row in found])[0]


@asynccontextmanager
async def open_store(
    path: Path,
    now: int,
    lock_timeout: float,
    wanted: FileSettings = FileSettings(),  # noqa: B008 - a frozen value
    cache_bytes: int = 256 << 20,
    key: Key | None = None,
) -> AsyncGenerator[SqliteStore]:
    """The store in the file at the absolute `path`, created or brought up to date where needed, and closed at the end.

    `lock_timeout` is how many seconds a write may wait for its turn, `wanted` what a new file starts with,
    `cache_bytes` what searches may keep in memory; with a `key` the file is encrypted.

    Raises:
        StoreError: the file cannot be used; it is left as it was.
    """
    warn_of_shared_folder(path)
    create_file(path)
    async with open_connection(path, lock_timeout, key) as writer:
        turns = Turns(writer)
        await migrate(writer, turns, now)
        settings = await settle(writer, turns, wanted)
        async with open_connection(path, lock_timeout, key) as reader:
            await prepare(reader)
            with open_watch(path, key) as watch:
                yield SqliteStore(turns, reader, watch, settings, IndexCache(reader, settings.model, cache_bytes))


def _kept(index: UserIndex, filtered: "Integers") -> "Booleans":
    """Which memories of the index are among the rows that a filter keeps."""
    import numpy as np

    kept = np.zeros(len(index.rows), np.bool_)
    kept[index.places(filtered)] = True
    return kept


def _of_living(held: Sequence[Held], living: "Booleans") -> Postings:
    """The postings of each term in turn, without those of memories that are gone or expired."""
    import numpy as np

    none = np.empty(0, np.int64)
    places = np.concatenate([none, *(one.places for one in held)])
    terms = np.repeat(np.arange(len(held)), [len(one.places) for one in held])
    repeated = np.concatenate([none.astype(np.bool_), *(one.repeated for one in held)])
    if bool(living.all()):
        return Postings(terms=terms, places=places, repeated=repeated)
    alive = living[places]
    return Postings(terms=terms[alive], places=places[alive], repeated=repeated[alive])


def _nothing() -> Candidates:
    import numpy as np

    none = np.empty(0, np.int64)
    return Candidates(
        documents=0,
        mean_length=0.0,
        rows=none,
        lengths=none,
        kept=none.astype(np.bool_),
        updated=none,
        postings=Postings(terms=none, places=none, repeated=none.astype(np.bool_)),
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

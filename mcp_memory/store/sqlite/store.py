"""The SQLite store: a writer connection that takes turns, and a reader beside it."""

import json
import sqlite3
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from mcp_memory.errors import StoreCorrupt
from mcp_memory.keys import Key
from mcp_memory.models import (
    Candidates,
    Change,
    Doomed,
    Entry,
    Filter,
    Memory,
    Page,
    Past,
    Postings,
    Receipt,
    Revision,
    Vector,
)
from mcp_memory.store.base import UNCHOSEN, Backups, FileSettings, Holding, Unembedded
from mcp_memory.store.sqlite import overview, rows, salvage
from mcp_memory.store.sqlite.arrays import kept, nothing, of_living
from mcp_memory.store.sqlite.backup import SqliteBackups
from mcp_memory.store.sqlite.cache import IndexCache
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
from mcp_memory.store.sqlite.erase import Eraser
from mcp_memory.store.sqlite.errors import REMEDY
from mcp_memory.store.sqlite.index import Held, UserIndex
from mcp_memory.store.sqlite.looking import Looking
from mcp_memory.store.sqlite.migrate import check_head, check_turn, migrate, resettle, settle
from mcp_memory.store.sqlite.transaction import SqliteTransaction
from mcp_memory.text import Analyzer
from mcp_memory.text.near import Vocabulary

if TYPE_CHECKING:
    from mcp_memory.models import Integers


class SqliteStore(Looking):
    """Memories in one file; see `store.base.Store` for what each verb promises."""

    def __init__(
        self,
        turns: Turns,
        reader: Connection,
        watch: Watch,
        settings: FileSettings,
        cache: IndexCache,
        eraser: Eraser,
        backups: Backups,
    ) -> None:
        self._turns = turns
        super().__init__(reader)
        self._watch = watch
        self._cache = cache
        self._eraser = eraser
        self._analyzer = Analyzer(settings.languages)
        self.settings = settings
        self.written = anyio.Event()
        self.backups: Backups | None = backups

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
        return self._asked_for(rows.memory(row), memory_id, None) if row else None

    async def memory_by_key(self, user: str, key: str, now: int) -> Memory | None:
        """The living memory of that key."""
        row = await self._reader.one("memory_by_key", {"user": user, "key": key, "now": now})
        return self._asked_for(rows.memory(row), None, key) if row else None

    def _asked_for(self, found: Memory, memory_id: str | None, key: str | None) -> Memory:
        """`found`, unless a sound row is not what the index said it was."""
        if not found.damaged and (found.id if key is None else found.key) != (memory_id if key is None else key):
            raise StoreCorrupt(self._reader.path, f"an index in the file is damaged; {REMEDY}, nothing was changed")
        return found

    async def page(self, user: str, scope: Filter, before: int | None, limit: int) -> Page:
        """At most `limit` memories, newest created first, and how many the scope has in all."""
        parameters = _filter_parameters(user, scope)
        counted = await self._reader.single("count", parameters)
        found = await self._reader.all("page", parameters | {"before": _below(before), "limit": limit + 1})
        return rows.page(found, limit, counted["total"])

    async def pending(self, user: str, now: int, since: int, before: int | None, limit: int) -> Page:
        """The same of what nobody has decided about."""
        asked = {"user": user, "now": now, "since": since}
        counted = await self._reader.single("count_pending", asked)
        found = await self._reader.all("pending", asked | {"before": _below(before), "limit": limit + 1})
        return rows.page(found, limit, counted["total"])

    async def candidates(self, user: str, terms: Sequence[str], scope: Filter, depth: int | None = None) -> Candidates:
        """The user's memories, and which of `terms` they hold."""
        import numpy as np

        filtered = await self._filtered(user, scope)
        index, held = await self._holding(user, terms, depth)
        if index is None:
            return nothing()
        # No await from here on: another task may write to the index in between.
        living = index.living(scope.now)
        documents = int(np.count_nonzero(living))
        lengths = index.lengths if documents == len(living) else index.lengths[living]
        return Candidates(
            documents=documents,
            mean_length=float(lengths.mean()) if documents else 0.0,
            rows=index.rows,
            lengths=index.lengths,
            kept=living if filtered is None else living & kept(index, filtered),
            updated=index.updated,
            postings=of_living(held, living),
            codes=index.codes,
            scales=index.scales,
            current=len(index.rows),
            at_hand=index.at_hand,
            signs=index.signs,
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
            return nothing()
        known = {row["seq"]: row for row in found}
        seqs = np.array(sorted(known), np.int64)
        again = {(row["term"] - len(terms), row["seq"]) for row in found if row["term"] >= len(terms)}
        pairs = sorted((row["term"], row["seq"]) for row in found if row["term"] < len(terms))
        return Candidates(
            documents=0,
            mean_length=0.0,
            rows=seqs,
            lengths=np.array([salvage.whole(known[seq]["term_count"], 0, 1 << 20) for seq in seqs.tolist()], np.int64),
            kept=np.array([bool(known[seq]["kept"]) for seq in seqs.tolist()]),
            updated=np.array([salvage.moment(known[seq]["updated_at"]) for seq in seqs.tolist()], np.int64),
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
                wording=wording,
                held_from=salvage.moment(row["held_from"]),
                held_until=salvage.moment(row["held_until"]),
                memory=living[wording.row],
            )
            for wording, row in zip(wordings, found, strict=True)
            if wording.row in living and wording.id == living[wording.row].id
        }

    async def revisions(self, user: str, memory_id: str) -> list[Revision]:
        """Every version of one memory, oldest first."""
        return [
            rows.revision(row) for row in await self._reader.all("revisions_by_id", {"user": user, "id": memory_id})
        ]

    async def change(self, user: str, change_id: str) -> Change | None:
        """The change of that id."""
        row = await self._reader.one("change_of_user", {"user": user, "id": change_id})
        return rows.change(row) if row else None

    async def changes(
        self, user: str, limit: int, traces: int, *, before: int | None = None, after: int = 0, since: int | None = None
    ) -> list[Entry]:
        """At most `limit` changes, newest first, each with at most `traces` of what it did."""
        asked = {"user": user, "before": before, "after": after, "since": since, "limit": limit}
        found = await self._reader.all("changes", asked)
        seqs = json.dumps([row["change_seq"] for row in found])
        told = rows.traces(await self._reader.all("traces", {"user": user, "changes": seqs, "limit": traces}))
        return [rows.entry(row, told.get(row["change_seq"], ())) for row in found]

    async def unembedded(self, user: str, limit: int, before: int | None = None) -> list[Unembedded]:
        """At most `limit` wordings that have no vector of the file's model, newest first."""
        asked = {"user": user, "model": self.settings.model, "limit": limit, "before": _below(before)}
        found = await self._reader.all("unembedded", asked)
        return [
            Unembedded(row=row["row"], version=row["version"], content=row["content"])
            for row in found
            if isinstance(row["version"], int) and isinstance(row["content"], str)
        ]

    async def add_vectors(self, user: str, vectors: Sequence[tuple[Unembedded, Vector]]) -> None:
        """Keep vectors that were made up for."""
        async with self._turn(user) as (turn, head):
            if head["number"] is None:
                return  # erased meanwhile
            counted = await turn.single("make_up", {"number": head["number"]})
            common = {"number": head["number"], "made_up": counted["made_up"]}
            made = [
                common | wording.fields() | rows.vector_parameters(vector, self.settings.model)
                for wording, vector in vectors
            ]
            await turn.many("add_vector", made)

    async def set_settings(self, settings: FileSettings) -> None:
        """Change what the file is indexed and embedded with."""
        async with self._turn("") as (turn, _):
            await resettle(turn, settings)
        self.settings = settings
        self._analyzer = Analyzer(settings.languages)
        self._cache.restart(settings.model)

    async def users(self) -> list[Holding]:
        """Everybody who ever wrote."""
        return await overview.holdings(self._reader, self.settings.model)

    async def rename(self, user: str, name: str) -> bool:
        """Give all that is the user's to another name."""
        async with self._turn(user) as (turn, _):
            return await overview.renamed(turn, user, name)

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

    async def erase(self, doomed: Doomed, wait: float) -> Receipt:
        """Erase something for good, from the file and its backups."""
        return await self._eraser.erase(doomed, wait)

    @asynccontextmanager
    async def _turn(self, user: str) -> AsyncGenerator[tuple[Connection, sqlite3.Row]]:
        """A turn to write with these settings, and what there is to know before."""
        async with self._turns.turn() as turn:
            head = await turn.single("turn", {"user": user})
            check_turn(turn, head, self.settings)
            yield turn, head
        self.written.set()

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
            self._cache.drop(user)
            return None, {}
        check_head(self._reader.path, found[0])
        index = await self._cache.current(user, found[0])
        index.watched = watched
        packed = [row["postings"] for row in found] if terms else []
        read = dict(zip(terms, index.placed(packed[: len(terms)], packed[len(terms) :]), strict=True))
        if not depth:
            index.hold(read, found[0]["last_seq"])
        return index, read

    async def _filtered(self, user: str, scope: Filter) -> "Integers | None":
        """The rows that the filter keeps; None where it keeps all."""
        if scope.everything:
            return None
        found = await self._reader.all("filtered_rows", _filter_parameters(user, scope))
        return rows.postings([row["found"] for row in found])[0]


@asynccontextmanager
async def open_store(
    path: Path,
    now: int,
    lock_timeout: float,
    wanted: FileSettings = UNCHOSEN,
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
    opened = partial(open_connection, lock_timeout=lock_timeout)
    async with opened(path, key=key) as writer:
        turns = Turns(writer)
        await migrate(writer, turns, now)
        settings = await settle(writer, turns, wanted)
        async with opened(path, key=key) as reader:
            await prepare(reader)
            with open_watch(path, key) as watch:
                cache = IndexCache(reader, settings.model, cache_bytes)
                eraser, backups = Eraser(path, opened, key), SqliteBackups(path, key)
                yield SqliteStore(turns, reader, watch, settings, cache, eraser, backups)


def _below(before: int | None) -> int:
    """The first row that a page does not reach; never beyond the user's own rows."""
    end = rows.SEQUENCE_MASK + 1
    return end if before is None else min(before, end)


def _filter_parameters(user: str, scope: Filter) -> dict[str, Any]:
    topics = json.dumps(scope.topics, ensure_ascii=False) if scope.topics else None
    return scope.fields() | {"user": user, "topics": topics}

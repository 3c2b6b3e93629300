"""The SQLite store: a writer connection that takes turns, and a reader beside it."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp_memory.models import Candidates, Filter, Memory, Page, Past, Revision
from mcp_memory.store.sqlite import rows
from mcp_memory.store.sqlite.connection import (
    Connection,
    Turns,
    create_file,
    open_connection,
    prepare,
    warn_of_shared_folder,
)
from mcp_memory.store.sqlite.migrate import check_writer, migrate
from mcp_memory.store.sqlite.transaction import SqliteTransaction


class SqliteStore:
    """Memories in one file; see `store.base.Store` for what each verb promises."""

    def __init__(self, turns: Turns, reader: Connection) -> None:
        self._turns = turns
        self._reader = reader

    @asynccontextmanager
    async def transaction(self, user: str) -> AsyncGenerator[SqliteTransaction]:
        """A turn to write for `user`."""
        async with self._turns.turn() as turn:
            head = await turn.single("turn", {"user": user})
            check_writer(turn, head["min_writer"])
            yield SqliteTransaction(turn, user, head["number"], head["last_seq"] or 0)

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
        """The memories that hold any of `terms`, with this user's statistics."""
        query = "candidates_unfiltered" if scope == Filter(now=scope.now) else "candidates"
        return await self._candidates(query, user, terms, scope, depth)

    async def past_candidates(self, user: str, terms: Sequence[str], scope: Filter) -> Candidates:
        """The superseded wordings that hold any of `terms`."""
        return await self._candidates("past_candidates", user, terms, scope, None)

    async def living(self, user: str, at: Sequence[int], now: int) -> dict[int, Memory]:
        """The living memories at these rows, by row."""
        found = await self._reader.all("living", {"user": user, "rows": json.dumps(list(at)), "now": now})
        return {memory.row: memory for memory in map(rows.memory, found)}

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

    async def _candidates(
        self, query: str, user: str, terms: Sequence[str], scope: Filter, depth: int | None
    ) -> Candidates:
        limits = {"terms": json.dumps(list(terms), ensure_ascii=False), "depth": depth or -1}
        found = await self._reader.all(query, _filter_parameters(user, scope) | limits)
        documents: int = found[0]["memory_count"] if found else 0
        if not documents:
            return Candidates(documents=0, mean_length=0.0, frequencies=(0,) * len(terms), rows=())
        postings = [rows.postings(row["postings"]) for row in found]
        return Candidates(
            documents=documents,
            mean_length=found[0]["term_count"] / documents,
            frequencies=tuple(map(len, postings)),
            rows=rows.candidates(postings),
        )


@asynccontextmanager
async def open_store(path: Path, now: int, lock_timeout: float) -> AsyncGenerator[SqliteStore]:
    """The store in the file at the absolute `path`, created or brought up to date where needed, and closed at the end.

    `lock_timeout` is how many seconds a write may wait for its turn.

    Raises:
        StoreError: the file cannot be used; it is left as it was.
    """
    warn_of_shared_folder(path)
    create_file(path)
    async with open_connection(path, lock_timeout) as writer:
        turns = Turns(writer)
        await migrate(writer, turns, now)
        async with open_connection(path, lock_timeout) as reader:
            await prepare(reader)
            yield SqliteStore(turns, reader)


def _below(before: int | None) -> int:
    """The first row that a page does not reach; never beyond the user's own rows."""
    end = rows.SEQUENCE_MASK + 1
    return end if before is None else min(before, end)


def _filter_parameters(user: str, scope: Filter) -> dict[str, Any]:
    topics = json.dumps(scope.topics, ensure_ascii=False) if scope.topics else None
    return scope.model_dump() | {"user": user, "topics": topics}

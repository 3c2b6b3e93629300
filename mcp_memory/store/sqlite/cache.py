"""The array indexes of the users searched last, each brought up to date before it is used."""

import sqlite3
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import anyio

from mcp_memory.models import Memory, State, Step
from mcp_memory.store.sqlite.connection import Connection
from mcp_memory.store.sqlite.index import UserIndex
from mcp_memory.store.sqlite.rows import SEQUENCE_BITS, SEQUENCE_MASK

_PIECE: Final = 4_000
"""Rows read at once: other readers take their turn in between."""

_FEW: Final = 100
"""So many memories of one change are taken over as they were written."""


class IndexCache:
    """The array indexes of the users searched last, at most `limit` bytes of them, but always the one in use."""

    def __init__(self, reader: Connection, model: str, limit: int) -> None:
        self._reader = reader
        self._model = model
        self._limit = limit
        self._users: OrderedDict[str, UserIndex] = OrderedDict()
        self._lock = anyio.Lock()

    def of(self, user: str) -> UserIndex | None:
        """The index of `user` as it was used last, if it is still there."""
        return self._users.get(user)

    def drop(self, user: str) -> None:
        """Let go of what is held of a user who is not in the file any more."""
        self._users.pop(user, None)

    async def current(self, user: str, head: sqlite3.Row) -> UserIndex:
        """The index of `user`, whose row of `users` is `head`, with all that `head` knows of."""
        async with self._lock:
            index = self._users.get(user)
            if index is None or index.number != head["number"] or index.vector_seq != head["vector_seq"]:
                index = await self._load(head)
            elif index.seq < head["last_seq"] or index.made_up < head["made_up"]:
                index = await self._refreshed(index, head)
            self._users[user] = index
            self._users.move_to_end(user)
            self._evict()
            return index

    def wrote(self, user: str, head: sqlite3.Row, written: Sequence[tuple[Memory, Step, int]]) -> None:
        """Take over what this process has just written, if it only added memories to what is known here.

        `head` is the user's row as it was before. Everything else is read from the file before the next search.
        """
        index = self._users.get(user)
        if index is None or not index.dimensions or index.seq != head["last_seq"] or len(written) > _FEW:
            return
        if all(memory.row == memory.seq and step.operation == "add" for memory, step, _ in written):
            index.apply([_added(*one) for one in written])
            index.seq += len(written)

    async def _load(self, head: sqlite3.Row) -> UserIndex:
        first = head["number"] << SEQUENCE_BITS
        found: list[sqlite3.Row] = []
        index: UserIndex | None = None
        after = first - 1
        while index is None or len(found) == _PIECE:
            piece = {"model": self._model, "after": after, "end": first | SEQUENCE_MASK, "limit": _PIECE}
            found = await self._reader.all("indexed_rows", piece)
            index = index or UserIndex(head, _dimensions(found))
            if not index.dimensions and (dimensions := _dimensions(found)):
                index.widen(dimensions)
            if found:
                index.extend(found)
                after = max(after + 1, first | found[-1]["row"])  # rows ascend, unless they are damaged
        return index

    async def _refreshed(self, index: UserIndex, head: sqlite3.Row) -> UserIndex:
        if not index.dimensions or head["last_seq"] - index.seq > _PIECE:
            return await self._load(head)
        first = index.number << SEQUENCE_BITS
        since = {"after": first | index.seq, "end": first | head["last_seq"], "made_up": index.made_up}
        own = {"model": self._model, "first": first, "last": first | SEQUENCE_MASK}
        asked, written = since | own, head["last_seq"] - index.seq
        found, left = await self._reader.in_turn(("indexed_changes", asked), ("revisions_left", asked))
        if left[0]["count"] < written:
            return await self._load(head)  # retention has removed what told that a memory is gone
        index.apply(found)
        # Heads can arrive out of order: what a later one brought is known.
        index.seq = max(index.seq, head["last_seq"])
        index.made_up = max(index.made_up, head["made_up"])
        return await self._load(head) if index.mostly_gone else index

    def restart(self, model: str) -> None:
        """Begin anew, with the vectors of another model."""
        self._model = model
        self._users.clear()

    def _evict(self) -> None:
        total = sum(index.nbytes for index in self._users.values())
        while total > self._limit and len(self._users) > 1:
            _, index = self._users.popitem(last=False)
            total -= index.nbytes


def _dimensions(found: Sequence[sqlite3.Row]) -> int:
    """The length of most vectors: one that differs is damaged."""
    lengths = Counter(len(row["vector"]) for row in found if isinstance(row["vector"], bytes))
    return max(lengths, key=lengths.__getitem__, default=0)


def _added(memory: Memory, step: Step, term_count: int) -> dict[str, Any]:
    """A new memory as the queries `indexed_rows` and `indexed_changes` give it."""
    return {
        "row": memory.row,
        "present": memory.state is State.ACTIVE,
        "term_count": term_count,
        "updated_at": memory.updated_at,
        "expires_at": memory.expires_at,
        "scale": step.vector.scale if step.vector else 0.0,
        "vector": step.vector.codes if step.vector else None,
    }

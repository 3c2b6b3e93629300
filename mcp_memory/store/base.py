"""The contract of a store: few verbs, the user first in every one. A store remembers; `service` decides.

A store promises:

- what a `Transaction` applied is there, durably, once its `async with` block has ended without an error, or not at all;
- transactions of one store file never interleave, also across processes;
- no verb ever returns or changes anything of a user other than the one named;
- reads show no memory that is expired at the scope's `now`, or pending.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from mcp_memory import text
from mcp_memory.models import Candidates, Change, Filter, Memory, Page, Past, Revision, Step


def index_terms(memory: Memory) -> list[str]:
    """What every store finds a memory by: its text, topics and key."""
    return text.terms("\n".join((memory.content, *memory.topics, memory.key or "")))


class Transaction(Protocol):
    """One user's exclusive turn to write. Reads here see expired memories too: they can be in the way."""

    async def memories(self, ids: Sequence[str]) -> list[Memory]:
        """Those of `ids` that exist, in no particular order."""
        ...

    async def twins(self, text_fingerprint: bytes | None, key: str | None) -> list[Memory]:
        """The memories that hold this text or this key: none, one or two."""
        ...

    async def expired(self, now: int, limit: int) -> list[Memory]:
        """At most `limit` memories whose time has passed at `now`."""
        ...

    async def record(self, change: Change, steps: Sequence[Step]) -> list[Memory]:
        """Write `steps` as one change; the memories as stored, `row` and `seq` set.

        An `add` of a memory whose `row` is set puts it back where it was. A `change` that undoes another (by `seq`)
        marks it; the marks along the chain of undos before it flip with it.
        """
        ...

    async def change(self, change_id: str) -> Change | None:
        """The change of that id."""
        ...

    async def latest_undoable(self) -> Change | None:
        """The newest change that is not undone, not an undo and not the system's own."""
        ...

    async def revisions_of(self, change: Change) -> list[Revision]:
        """What `change` wrote, in the order written."""
        ...

    async def history(self, row: int) -> list[Revision]:
        """Every version of the memory at `row`, oldest first."""
        ...


class Store(Protocol):
    """A place that remembers. Opened by an async context manager of its own; closed when that ends."""

    def transaction(self, user: str) -> AbstractAsyncContextManager[Transaction]:
        """A turn to write for `user`; everything in it is committed at its end, or rolled back on any error.

        Raises:
            StoreBusy: no turn came before the deadline; nothing was written.
            StoreError: the store cannot write.
        """
        ...

    async def memory(self, user: str, memory_id: str, now: int) -> Memory | None:
        """The living memory of that id."""
        ...

    async def memory_by_key(self, user: str, key: str, now: int) -> Memory | None:
        """The living memory of that key."""
        ...

    async def page(self, user: str, scope: Filter, before: int | None, limit: int) -> Page:
        """At most `limit` memories, newest created first, those with `row` below `before` where it is given."""
        ...

    async def candidates(self, user: str, terms: Sequence[str], scope: Filter, depth: int | None = None) -> Candidates:
        """The memories that hold any of `terms`; with `depth`, of each term only that many newest are looked at."""
        ...

    async def past_candidates(self, user: str, terms: Sequence[str], scope: Filter) -> Candidates:
        """The same over superseded wordings of living memories, where they differ from the current one."""
        ...

    async def living(self, user: str, at: Sequence[int], now: int) -> dict[int, Memory]:
        """The living memories whose `row` is in `at`, by row."""
        ...

    async def past(self, user: str, seqs: Sequence[int], now: int) -> dict[int, Past]:
        """The superseded wordings at `seqs`, by seq."""
        ...

    async def revisions(self, user: str, memory_id: str) -> list[Revision]:
        """Every version of one memory, oldest first; also of a deleted one."""
        ...

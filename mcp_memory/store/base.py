"""The contract of a store: few verbs, the user first in every one. A store remembers; `service` decides.

A store promises:

- what a `Transaction` applied is there, durably, once its `async with` block has ended without an error, or not at all;
- transactions of one store file never interleave, also across processes;
- no verb ever returns or changes anything of a user other than the one named;
- reads show no memory that is expired at the scope's `now`, or pending.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, Protocol

import anyio

from mcp_memory.models import (
    Bounds,
    Candidates,
    Change,
    Doomed,
    Entry,
    Filter,
    Memory,
    Page,
    Past,
    Receipt,
    Revision,
    State,
    Vector,
)
from mcp_memory.store.census import Census
from mcp_memory.store.importance import Foremost
from mcp_memory.store.lineage import Lineage
from mcp_memory.store.transaction import Transaction
from mcp_memory.text import DEFAULT_LANGUAGES, Analyzer
from mcp_memory.text.near import Vocabulary
from mcp_memory.values import Value


class FileSettings(Value):
    """What belongs to a store and not to the process that has it open: every process must index and embed alike.

    `model` is the name of the embedder whose vectors the store keeps; empty as long as nobody has chosen one.
    `reindexing` says that not everything is indexed and embedded that way yet.
    """

    languages: tuple[str, ...] = DEFAULT_LANGUAGES
    model: str = ""
    reindexing: bool = False


class Unembedded(Value):
    """A wording that has no vector yet: that of `version` of the memory at `row`."""

    row: int
    version: int
    content: str


class Holding(Value):
    """How much of a store is one user's, expired and pending memories included.

    `writes` counts what was ever written, so that no `row` or `seq` is above it; `wordings` are former ones, also of
    memories that are deleted; `lacking` counts memories that have no vector of the store's model, and `pending` those
    that nobody has decided about.
    """

    user: str
    writes: int
    memories: int
    wordings: int
    lacking: int
    pending: int


class Backup(Value):
    """A copy of a store's file, made at `at` (microseconds since the epoch), `size` bytes long.

    `reason` is empty for one that was asked for, else "automatic", "before-restore" or "before-" and a migration's
    number. `memories` and `users` are None where the copy cannot be read.
    """

    path: Path
    at: int
    reason: str
    size: int
    memories: int | None
    users: int | None


class Backups(Protocol):
    """The automatic backups of a store that is a file."""

    def claimed(self, patience: float) -> AbstractAsyncContextManager[None]:
        """The sole right, among all processes, to make and remove them.

        Raises:
            StoreBusy: another has it for more than `patience` seconds.
            StoreError: there is no place for them.
        """
        ...

    async def times(self, reason: str | None = None) -> list[int]:
        """When those there are were made, oldest first; with `reason`, those of that reason."""
        ...

    async def begun(self) -> int | None:
        """When the first change was written that the file knows of."""
        ...

    async def make(self, reason: str, now: int) -> Backup:
        """Make one, under a claim.

        Raises:
            StoreError: it could not be made or is not sound; nothing of it is left.
        """
        ...

    async def keep(self, reason: str, number: int) -> None:
        """Remove all but the newest `number` of that reason, under a claim."""
        ...


class Due(Value):
    """How far one user's writes go, as in `Holding`, and when the first of the memories expires; None if none does.

    `first_pending` is when the first of those was written that nobody has decided about.
    """

    user: str
    writes: int
    first_expiry: int | None
    first_pending: int | None


UNCHOSEN: Final = FileSettings()
"""What a new store has where nothing else is wanted."""


def index_terms(memory: Memory, analyzer: Analyzer) -> list[str]:
    """What every store finds a memory by: its text, topics and key; nothing as long as it waits for approval."""
    if memory.state is State.PENDING:
        return []
    return analyzer.terms(indexed_text(memory.content, memory.topics, memory.key))


def indexed_text(content: str, topics: Sequence[str], key: str | None) -> str:
    """The text whose terms are those of a memory with these fields."""
    return "\n".join((content, *topics, key or ""))


class Store(Protocol):
    """A place that remembers. Opened by an async context manager of its own; closed when that ends."""

    settings: FileSettings
    written: anyio.Event
    """Set when a turn to write has been committed; whoever waits for it puts a new one in its place."""
    backups: Backups | None
    """None where there is no file to back up."""

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

    async def gone(self, user: str, before: int | None, limit: int) -> list[Revision]:
        """At most `limit` deletions and expiries of memories that are still gone, the latest first.

        Those with `seq` below `before` where it is given; what waited for approval is not among them.
        """
        ...

    async def pending(self, user: str, now: int, since: int, before: int | None, limit: int) -> Page:
        """As `page` of what nobody has decided about: written after `since`, and not expired at `now`.

        The only read that shows it, but for `revisions` and `changes`.
        """
        ...

    async def candidates(self, user: str, terms: Sequence[str], scope: Filter, depth: int | None = None) -> Candidates:
        """The user's memories, and which of `terms` they hold.

        With `depth` only the newest so many count for each term, and which hold it more than once is not told.
        Memories without any of the terms are there too: they can be close in meaning.
        """
        ...

    async def vocabulary(self, user: str) -> Vocabulary:
        """Every term of the user's memories."""
        ...

    async def past_candidates(self, user: str, terms: Sequence[str], scope: Filter) -> Candidates:
        """The superseded wordings of living memories that hold any of `terms` and differ from the current wording.

        They have no vectors and no statistics of their own.
        """
        ...

    async def living(self, user: str, at: Sequence[int], now: int) -> dict[int, Memory]:
        """The living memories whose `row` is in `at`, by row."""
        ...

    async def foremost(self, user: str, now: int, limit: int) -> Foremost:
        """At most `limit` living memories: pinned ones, then those with a key, then all others, each by `importance`.

        Of equally important ones the newest stands first.
        """
        ...

    async def past(self, user: str, seqs: Sequence[int], now: int) -> dict[int, Past]:
        """The superseded wordings at `seqs`, by seq."""
        ...

    async def revisions(self, user: str, memory_id: str) -> list[Revision]:
        """Every version of one memory, oldest first; also of a deleted one."""
        ...

    async def change(self, user: str, change_id: str) -> Change | None:
        """The change of that id."""
        ...

    async def changes(
        self, user: str, limit: int, traces: int, *, before: int | None = None, after: int = 0, since: int | None = None
    ) -> list[Entry]:
        """At most `limit` changes, newest first, each with at most `traces` of what it did, in the order written.

        Only those with `seq` below `before` and above `after`, made at `since` (by the clock of their time) or later.
        """
        ...

    async def lineages(self, user: str, after: int, limit: int, now: int) -> list[Lineage]:
        """At most `limit` living memories with `row` above `after`, oldest created first, with all their versions."""
        ...

    async def unembedded(self, user: str, limit: int, before: int | None = None) -> list[Unembedded]:
        """At most `limit` wordings without a vector of the store's model, newest first, with `row` below `before`.

        There are none once another process has given the store another model.
        """
        ...

    async def add_vectors(self, user: str, vectors: Sequence[tuple[Unembedded, Vector]]) -> None:
        """Keep vectors that were made up for; one whose memory has changed meanwhile is dropped."""
        ...

    async def set_settings(self, settings: FileSettings) -> None:
        """Change what the store is indexed and embedded with; what it holds follows only by `reindex`.

        From then on whoever has it open with other settings reads on as before, but can write no more.

        Raises:
            StoreError: the settings are not this process's any more; nothing was changed.
        """
        ...

    async def users(self) -> list[Holding]:
        """Everybody who ever wrote, in the order of their rows."""
        ...

    async def census(self, user: str, now: int) -> Census:
        """How the user's living memories are spread."""
        ...

    async def rename(self, user: str, name: str) -> bool:
        """Give all that is the user's, the past included, to `name`, who never wrote.

        False, and nothing is written, where the user never wrote or `name` did.
        """
        ...

    async def reindex(self, user: str, writes: range, dimensions: int) -> None:
        """Make anew what finds the memories with `row`, and the former wordings with `seq`, in `writes`.

        Their vectors of the store's model that are not of `dimensions` are removed; with 0, all of any model.

        Raises:
            StoreError: the settings are not this process's any more; nothing was changed.
        """
        ...

    async def erase(self, doomed: Doomed, wait: float) -> Receipt:
        """Erase something for good, so that no byte of it is left in what the store keeps, its backups included.

        `wait` is how many seconds readers may hold up the last step. Numbers of users and sequences are not used again.
        Killed half-way, or `unfinished`, the same call completes it.

        Raises:
            StoreError: the store cannot be written; nothing was erased.
        """
        ...

    async def first_change(self, user: str, moment: int) -> int:
        """The seq of the user's first change that was made at `moment` or later; above every seq if none was."""
        ...

    async def obsolete(self, user: str, writes: range, bounds: Bounds) -> list[int]:
        """The seqs of the revisions in `writes` that `bounds` no longer keep, ascending.

        Those are revisions that were replaced before `bounds.replaced`, and all of a memory that was deleted before
        `bounds.deleted`. The newest revision of a memory that is there never is among them.
        """
        ...

    async def due(self) -> list[Due]:
        """Everybody who ever wrote, and from when on there is something expired; quick also where `users` is not."""
        ...

"""The contract of a turn to write: what it may ask, and how it writes."""

from collections.abc import Callable, Sequence
from typing import Protocol

from mcp_memory.models import Bounds, Change, Memory, Revision, Step
from mcp_memory.store.lineage import Lineage


class Transaction(Protocol):
    """One user's exclusive turn to write. Reads here see expired and pending memories too: they can be in the way."""

    first_expiry: int | None
    """When, as the turn began, the first of the user's memories expires or did; None if none ever does."""

    async def memories(self, ids: Sequence[str]) -> list[Memory]:
        """Those of `ids` that exist, in no particular order."""
        ...

    async def twins(self, text_fingerprint: bytes | None, key: str | None) -> list[Memory]:
        """The memories that hold this text or this key: none, one or two. What is pending holds its text, no key."""
        ...

    async def holders(self, fingerprints: Sequence[bytes], keys: Sequence[str]) -> list[Memory]:
        """The memories that hold any of these texts (16 bytes each) or keys, each once, in no particular order.

        What is pending holds its text, but no key.
        """
        ...

    async def expired(self, now: int, limit: int) -> list[Memory]:
        """At most `limit` memories whose time has passed at `now`, those that expired first."""
        ...

    async def undecided(self, moment: int, limit: int) -> list[Memory]:
        """At most `limit` pending memories that were written at `moment` or before, oldest row first."""
        ...

    async def record(self, change: Change, steps: Sequence[Step]) -> list[Memory]:
        """Write `steps` as one change; the memories as stored, `row` and `seq` set.

        An `add` of a memory whose `row` is set puts it back where it was. A `change` that undoes another (by `seq`)
        marks it; the marks along the chain of undos before it flip with it.
        """
        ...

    async def clear(self, change: Change) -> list[str]:
        """Write `change`, which deletes every memory that reads show at its time; their ids, oldest created first."""
        ...

    async def mere_deletions(self, change: Change) -> int:
        """How many memories `change` deleted, if that is all it did and nothing was written to any of them since.

        It is 0 also where the version before is not kept of every one of them.
        """
        ...

    async def lost(self, change: Change, after: int, limit: int) -> list[Memory]:
        """At most `limit` memories that `change`, which has `mere_deletions`, took away, in the order of their `seq`.

        Each is as it was before, with the version that it would come back as, and the `seq` of its deletion, which is
        above `after`.
        """
        ...

    async def bring_back(self, change: Change, reason: str) -> None:
        """Write `change`, which undoes one that has `mere_deletions`: what that took away is back, last deleted first.

        It costs a few statements for every few hundred memories. None of them is damaged, and neither their texts nor
        their keys belong to others.
        """
        ...

    async def bring(self, change: Change, lineages: Sequence[Lineage], tell: Callable[[int], None]) -> None:
        """Write `change`, which adds memories from elsewhere together with their versions; rows ascend in this order.

        The changes of these versions, told apart by id, become `system` ones before it, oldest first. Of their numbers
        only counts that one is undone: by the change whose undo a later version is, else by this. After its versions
        each memory has an `add` of `change`, of the same version. `tell` gets how many more are in.
        """
        ...

    async def mere_additions(self, change: Change) -> int:
        """How many memories `change` added, if that is all it did and nothing was written to any of them since."""
        ...

    async def added(self, change: Change, after: int, limit: int) -> list[Memory]:
        """At most `limit` memories that `change`, which has `mere_additions`, added, with `row` above `after`."""
        ...

    async def withdraw(self, change: Change, reason: str) -> None:
        """Write `change`, which undoes one that has `mere_additions`: what that added is gone, in a few statements."""
        ...

    async def changes(self, ids: Sequence[str]) -> list[Change]:
        """The changes of those of `ids` that exist, in no particular order."""
        ...

    async def change(self, change_id: str) -> Change | None:
        """The change of that id."""
        ...

    async def latest_undoable(self) -> Change | None:
        """The newest change that is not undone, not an undo and not the system's own.

        One of which nothing is left, since all that it wrote was removed for good, is passed over.
        """
        ...

    async def revisions_of(self, change: Change) -> list[Revision]:
        """What `change` wrote, in the order written."""
        ...

    async def history(self, row: int) -> list[Revision]:
        """Every version of the memory at `row`, oldest first."""
        ...

    async def aftermath(self, seqs: Sequence[int]) -> dict[int, list[Revision]]:
        """Of the memories that the revisions `seqs` are of: the version before the first, if kept, and all from it on.

        By the row of the memory, oldest first.
        """
        ...

    async def prune(self, seqs: Sequence[int], bounds: Bounds) -> int:
        """Remove for good those of the revisions `seqs` that are `obsolete`; how many. Their changes are marked."""
        ...

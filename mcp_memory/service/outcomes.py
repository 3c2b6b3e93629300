"""What each use case answers, complete, before anybody words it."""

from typing import Final, Literal

from mcp_memory.models import Change, Deed, Entry, Hit, LeftOut, Memory, Revision
from mcp_memory.values import Value

TOLD: Final = 100
"""So many steps of an undo are told in full: all of a large one would take more room than the memories themselves."""


class Added(Value):
    """`exists`: the text was there already; `change_id` is None where nothing had to be written.

    `pending`: nothing finds the memory before a person has accepted it; without a `change_id` it waited already.
    `redacted` are the secrets that were replaced before anything was stored: `API key in content`.
    """

    outcome: Literal["added", "exists", "replaced", "pending"]
    memory: Memory
    change_id: str | None
    neighbours: tuple[Hit, ...] = ()
    redacted: tuple[str, ...] = ()


class Updated(Value):
    """`unchanged` wrote nothing; `changed` names the fields that did change, `redacted` is that of `Added`."""

    outcome: Literal["updated", "unchanged"]
    memory: Memory
    changed: tuple[str, ...]
    change_id: str | None
    redacted: tuple[str, ...] = ()


class Deleted(Value):
    """The memories as they were; undoing `change_id` brings them back."""

    memories: tuple[Memory, ...]
    change_id: str


class UndoneStep(Value):
    """One memory that an undo touched: put back as it was, or taken away; `expired` if its time has passed since."""

    operation: Deed
    memory: Memory
    expired: bool = False


class Undone(Value):
    """`undone` is the change that no longer stands; undoing `change_id` is the redo.

    Of the steps those that took a memory away stand first, each kind in the order in which the memories were created.
    There are at most `TOLD`; `ids` names every memory that the undo touched.
    """

    undone: Change
    steps: tuple[UndoneStep, ...]
    ids: tuple[str, ...]
    change_id: str


class Done(Value):
    """One operation that was carried out: the memory as it is now, or, deleted, as it was; `former` is what it said.

    `redacted` is that of `Added`.
    """

    operation: Literal["add", "update", "delete"]
    memory: Memory
    reason: str | None = None
    former: Memory | None = None
    redacted: tuple[str, ...] = ()

    @property
    def reworded(self) -> str | None:
        """What an updated memory said before, where that differs and is not damaged."""
        former = self.former if self.operation == "update" else None
        return former.content if former and not former.damaged and former.content != self.memory.content else None


class Skipped(Value):
    """One operation that was not carried out, and why; `id` and `content` as they were given."""

    operation: str
    why: str
    id: str | None = None
    content: str | None = None


class Applied(Value):
    """What became of operations; `change_id` is None where nothing was written, or was to be."""

    done: tuple[Done, ...]
    skipped: tuple[Skipped, ...]
    change_id: str | None


class Merging(Value):
    """Memories that become one: `kept` with `content` (None: its own), the others deleted. `why` is said of both."""

    kept: Memory
    others: tuple[Memory, ...]
    content: str | None = None
    why: str


class Lookalike(Value):
    """Memories that look alike, newest first and perhaps not all of them, and in what they differ: for others to judge.

    `more` are not among them.
    """

    memories: tuple[Memory, ...]
    differ: tuple[str, ...]
    more: int = 0


class Suggestion(Value):
    """A memory that may have served its time, and why."""

    memory: Memory
    why: str


class Optimized(Value):
    """What became of tidying up, or with `dry_run` would; `tokens_*` are estimates for the content of all memories.

    `merged` are those of `applied`. `way` is who worded what is merged; None where nothing is worded anew.
    """

    strategy: Literal["deduplicate", "summarize", "expire"]
    applied: Applied
    dry_run: bool
    tokens_before: int
    tokens_after: int
    merged: tuple[Merging, ...] = ()
    conflicts: tuple[Lookalike, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    way: Literal["model"] | None = None


class Found(Value):
    """Hits best first; `modes` are the arms of the search that really served."""

    hits: tuple[Hit, ...]
    modes: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()


class Reindexed(Value):
    """What a whole store holds, and the settings by which all of it is found; `model` is empty without vectors."""

    users: int
    memories: int
    wordings: int
    languages: tuple[str, ...]
    model: str


class Held(Value):
    """How much of a store is one user's: living, expired and pending memories, and all that was ever written."""

    memories: int
    writes: int


class Swept(Value):
    """How many expired memories and former revisions one sweep took away."""

    expired: int
    revisions: int


class Decided(Value):
    """What became of pending memories, as one change.

    `memories` are as they are now, or, refused, as they were. `replaced` are those that gave way to a later one with
    the same key, `left` the ids that wait no longer, or never did. `redacted` is that of `Added`.
    """

    outcome: Literal["accepted", "refused"]
    memories: tuple[Memory, ...]
    replaced: tuple[Memory, ...] = ()
    left: tuple[str, ...] = ()
    change_id: str
    redacted: tuple[str, ...] = ()


class Listed(Value):
    """One page; `next_cursor` is None on the last one."""

    memories: tuple[Memory, ...]
    total: int
    next_cursor: str | None
    left_out: tuple[LeftOut, ...] = ()


class Got(Value):
    """One memory, with its revisions (oldest first) where they were asked for."""

    memory: Memory
    revisions: tuple[Revision, ...] | None = None


class Changes(Value):
    """One page of the list of changes, newest first; `next_cursor` is None on the last one."""

    entries: tuple[Entry, ...]
    next_cursor: str | None
    left_out: tuple[LeftOut, ...] = ()


class History(Value):
    """All versions of one memory, oldest first. `memory` is what it is now, or, where it is `gone`, was last."""

    memory: Memory
    revisions: tuple[Revision, ...]
    gone: Literal["deleted", "expired"] | None


class Restored(Value):
    """A memory that is as it was at `version`; `unchanged` wrote nothing, and `changed` names the fields that differed.

    `returned` if it was deleted until now; `expired` if the time of that version has passed.
    """

    outcome: Literal["restored", "unchanged"]
    memory: Memory
    version: int
    changed: tuple[str, ...] = ()
    returned: bool = False
    expired: bool = False
    change_id: str | None


class Cleared(Value):
    """The memories that are gone, by id; undoing `change_id` brings them back. It is None where there were none."""

    ids: tuple[str, ...]
    change_id: str | None

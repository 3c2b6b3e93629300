"""What each use case answers, complete, before anybody words it."""

from typing import Literal

from mcp_memory.models import Change, Deed, Hit, LeftOut, Memory, Revision, Value


class Added(Value):
    """`exists`: the text was there already; `change_id` is None where nothing had to be written."""

    outcome: Literal["added", "exists", "replaced"]
    memory: Memory
    change_id: str | None
    neighbours: tuple[Hit, ...] = ()


class Updated(Value):
    """`unchanged` wrote nothing; `changed` names the fields that did change."""

    outcome: Literal["updated", "unchanged"]
    memory: Memory
    changed: tuple[str, ...]
    change_id: str | None


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
    """`undone` is the change that no longer stands; undoing `change_id` is the redo."""

    undone: Change
    steps: tuple[UndoneStep, ...]
    change_id: str


class Done(Value):
    """One operation that was carried out: the memory as it is now, or, deleted, as it was; `former` is what it said."""

    operation: Literal["add", "update", "delete"]
    memory: Memory
    reason: str | None = None
    former: Memory | None = None


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

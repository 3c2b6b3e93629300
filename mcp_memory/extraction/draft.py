"""What a conversation has come to so far: the decisions of several chunks, one for each memory.

Nothing is written before the last chunk, so a later chunk sees what earlier ones decided as if it were known already,
and corrects it in place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mcp_memory import guard
from mcp_memory.models import AddOperation, DeleteOperation, Memory, NoOperation, Operation, UpdateOperation
from mcp_memory.service.outcomes import Skipped

NEW: Final = "new "
"""What a memory that is only planned is called: `new 3` is the third one."""

_OF_UPDATES: Final = {"op", "id", "if_version"}
"""What an update has beyond the fields of a memory."""


class Known(NamedTuple):
    """A memory that a decision has in view; `name` is its id, or that of one that is only planned."""

    name: str
    content: str
    version: int | None
    key: str | None = None


@dataclass
class Draft:
    """Decisions in order; `skipped` has what was not to be, and why."""

    skipped: list[Skipped] = field(default_factory=list[Skipped])
    _planned: dict[str, Operation] = field(default_factory=dict[str, Operation])
    _added: int = 0

    def operations(self) -> tuple[Operation, ...]:
        """Everything decided."""
        return tuple(self._planned.values())

    def known(self, neighbours: Sequence[Memory], limit: int) -> list[Known]:
        """What the next decision has in view: the newest planned ones, then neighbours as they are planned to be."""
        added = [
            Known(name, one.content, None, one.key)
            for name, one in self._planned.items()
            if isinstance(one, AddOperation)
        ]
        stored = [known for memory in neighbours if (known := self._as_planned(memory)) is not None]
        return [*added[-limit:], *stored]

    def take(self, operations: Sequence[Operation]) -> None:
        """Add the decisions of a chunk to those before."""
        for one in operations:
            match one:
                case AddOperation():
                    self._added += 1
                    self._planned[f"{NEW}{self._added}"] = one
                case UpdateOperation():
                    self._planned[one.id] = _merged(self._planned.get(one.id), one)
                case DeleteOperation() if one.id.startswith(NEW):
                    self._planned.pop(one.id, None)
                case DeleteOperation():
                    self._planned[one.id] = one
                case NoOperation():
                    why = guard.told(one.reason or "") or "known already"
                    self.skipped.append(Skipped(operation="none", id=guard.told(one.id or ""), why=why))

    def _as_planned(self, memory: Memory) -> Known | None:
        match self._planned.get(memory.id):
            case UpdateOperation() as update:
                return Known(memory.id, update.content or memory.content, memory.version, update.key or memory.key)
            case DeleteOperation():
                return None
            case _:
                return Known(memory.id, memory.content, memory.version, memory.key)


def _merged(former: Operation | None, update: UpdateOperation) -> Operation:
    """`update` on top of what was planned for the same memory."""
    given = {name: value for name, value in update.fields().items() if value is not None and name not in _OF_UPDATES}
    match former:
        case AddOperation() | UpdateOperation():
            return former.replace(**given)
        case _:
            return update

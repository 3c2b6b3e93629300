"""What makes one memory more important than another, alike in every store."""

from typing import Final

from mcp_memory.models import Memory
from mcp_memory.values import Value

VERSION_WORTH: Final = 90 * 86_400_000_000
MOST_VERSIONS: Final = 4
"""Each version after the first, up to so many, counts as if the memory were so many microseconds newer: who comes back
to a fact, to correct or to confirm it, needs it. Reading counts for nothing, as it writes nothing."""


class Foremost(Value):
    """The rows of a user's most important memories, in that order; the first `firm` are pinned or have a key.

    `total` counts all that live.
    """

    rows: tuple[int, ...]
    firm: int
    total: int


def importance(memory: Memory) -> int:
    """What orders memories by importance, as a moment in microseconds: its last change, later for every one before."""
    return memory.updated_at + VERSION_WORTH * min(memory.version - 1, MOST_VERSIONS)


def rank(memory: Memory) -> tuple[bool, bool, int, int]:
    """The place of a memory among those of its user, the largest first."""
    return memory.pinned, memory.key is not None, importance(memory), memory.row

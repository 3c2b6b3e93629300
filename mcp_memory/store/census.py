"""What a store counts for a person who looks through it."""

from typing import Final

from mcp_memory.values import Value

QUARTER: Final = 900_000_000
"""Microseconds in a quarter of an hour."""


class Census(Value):
    """How one user's living memories are spread; `topics` and `agents` are names with counts, the most frequent first.

    `created` counts memories by quarters of an hour, each by its beginning in microseconds, oldest first: days begin at
    one in every time zone.
    """

    total: int = 0
    pinned: int = 0
    keyed: int = 0
    expiring: int = 0
    topics: tuple[tuple[str, int], ...] = ()
    agents: tuple[tuple[str, int], ...] = ()
    created: tuple[tuple[int, int], ...] = ()

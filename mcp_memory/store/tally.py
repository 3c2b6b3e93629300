"""What a store counts for a person who looks through it."""

from typing import Final

from mcp_memory.models import Value

QUARTER: Final = 900_000_000
"""Microseconds in a quarter of an hour."""


class Tally(Value):
    """How many living memories a user has: in all, of each topic and by each agent, most first, and when created.

    `created` counts them by quarters of an hour, each by its beginning in microseconds, oldest first: days begin at one
    in every time zone.
    """

    total: int = 0
    topics: tuple[tuple[str, int], ...] = ()
    agents: tuple[tuple[str, int], ...] = ()
    created: tuple[tuple[int, int], ...] = ()

"""What retention must know of a file, read in pieces: other readers take their turn in between."""

import sys
from typing import Final

from mcp_memory.store.base import Due
from mcp_memory.store.sqlite import salvage
from mcp_memory.store.sqlite.connection import Connection

_USERS: Final = 2_000
_CHANGES: Final = 10_000


async def first_change(reader: Connection, user: str, moment: int) -> int:
    """The seq of the user's first change at `moment` or later; above every seq if there is none."""
    after = 0
    while True:
        asked = {"user": user, "moment": moment, "after": after, "limit": _CHANGES}
        piece = await reader.single("first_change_since", asked)
        if piece["first"] is not None:
            return piece["first"]
        if piece["last"] is None:
            return sys.maxsize
        after = piece["last"]


async def due(reader: Connection) -> list[Due]:
    """Everybody who ever wrote."""
    found: list[Due] = []
    after = 0
    while True:
        piece = await reader.all("due", {"after": after, "limit": _USERS})
        found += [
            Due(
                user=salvage.text(row["name"]),
                writes=row["last_seq"],
                first_expiry=row["first_expiry"],
                first_pending=row["first_pending"],
            )
            for row in piece
        ]
        if len(piece) < _USERS:
            return found
        after = piece[-1]["number"]

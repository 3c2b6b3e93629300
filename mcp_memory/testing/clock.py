"""A clock that stands still until it is told to move."""

from datetime import UTC, datetime
from typing import Final

import anyio

from mcp_memory.clock import ID_ALPHABET, ID_LENGTH

_START: Final = round(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000


class FakeClock:
    """Time moves by `advance` only; ids count up."""

    def __init__(self, start: int = _START) -> None:
        self._now = start
        self._ids = 0

    def now(self) -> int:
        """Microseconds since the epoch."""
        return self._now

    def new_id(self) -> str:
        """The next id; its last characters are a counter."""
        self._ids += 1
        digits, rest = "", self._ids
        while rest:
            rest, digit = divmod(rest, len(ID_ALPHABET))
            digits = ID_ALPHABET[digit] + digits
        return digits.rjust(ID_LENGTH, "0")

    async def pause(self, seconds: float) -> None:
        """For ever: what is done now and then in the background is not done by chance in the middle of a test."""
        del seconds
        await anyio.sleep_forever()

    def advance(self, *, days: float = 0, hours: float = 0, seconds: float = 0) -> None:
        """Move on by that much; a negative length is a clock that was set back."""
        self._now += round((days * 86_400 + hours * 3_600 + seconds) * 1_000_000)

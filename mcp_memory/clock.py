"""The only reader of time and randomness."""

import os
import time
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, Protocol
from zoneinfo import ZoneInfo

import anyio

ID_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in lower case: no i, l, o or u, so that a model or a person copies it right."""

ID_LENGTH: Final = 12
DAY: Final = 86_400_000_000
"""Microseconds."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """What the rest of the package may know of the outside world's time and chance."""

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        ...

    def new_id(self) -> str:
        """A random id of 12 characters (60 bits)."""
        ...

    async def pause(self, seconds: float) -> None:
        """Let that much time pass, before something is done that nobody waits for."""
        ...


class SystemClock:
    """The machine's own clock and random source."""

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC; may jump when the machine's clock is set."""
        return time.time_ns() // 1000

    def new_id(self) -> str:
        """A random id from the operating system's random source."""
        return "".join(ID_ALPHABET[byte % 32] for byte in os.urandom(ID_LENGTH))

    async def pause(self, seconds: float) -> None:
        """Sleep, by a clock that does not jump."""
        await anyio.sleep(seconds)


def jitter(least: float, most: float) -> float:
    """A length of time by chance, so that processes that wait for the same thing do not ask for it together."""
    return least + (most - least) * int.from_bytes(os.urandom(4)) / 2**32


@lru_cache(4_096)
def iso(micros: int) -> str:
    """`micros` since the epoch as ISO 8601 in UTC, to the millisecond (rounded down)."""
    moment = _EPOCH + timedelta(microseconds=micros)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


@lru_cache(4_096)
def date_in(micros: int, zone: tzinfo | None) -> str:
    """The calendar date of `micros` in `zone`; None is the system's zone."""
    return datetime.fromtimestamp(micros // 1_000_000, UTC).astimezone(zone).date().isoformat()


def minute_in(micros: int, zone: tzinfo | None) -> str:
    """`micros` to the minute in `zone` (None: the system's), with its offset from UTC."""
    return datetime.fromtimestamp(micros // 1_000_000, UTC).astimezone(zone).isoformat(" ", "minutes")


def zone_named(name: str) -> tzinfo | None:
    """The zone of an IANA name; the empty name is the system's zone, as None.

    Raises:
        zoneinfo.ZoneInfoNotFoundError: no such zone is known on this machine.
        ValueError: `name` is no zone name at all.
    """
    return ZoneInfo(name) if name else None

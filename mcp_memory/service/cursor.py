"""The pages of lists: how long one may be, and the opaque place where the next begins.

A place is bound to the user and to what the list was asked for.
"""

import base64
import binascii
import hashlib
from typing import Final

from msgspec import json

from mcp_memory.errors import InvalidInput
from mcp_memory.models import Filter, LeftOut

MAX_LIMIT: Final = 100
_SEAL: Final = 8
FOREIGN: Final = "cursor does not belong to this list; start again without it"


def page_size(limit: int) -> tuple[int, tuple[LeftOut, ...]]:
    """`limit` within 1 to 100; a higher one is lowered, and said.

    Raises:
        InvalidInput: it is below 1.
    """
    if limit < 1:
        raise InvalidInput(f"limit must be 1 to {MAX_LIMIT}, not {limit}")
    if limit > MAX_LIMIT:
        return MAX_LIMIT, (LeftOut(count=0, reason=f"limit {limit} was lowered to {MAX_LIMIT}"),)
    return limit, ()


def encode(user: str, scope: Filter, row: int) -> str:
    """The cursor of everything older than `row`."""
    return seal(user, _bound(scope), row.to_bytes(4, "big"))


def decode(user: str, scope: Filter, cursor: str) -> int:
    """The row that `cursor` stands at.

    Raises:
        InvalidInput: it was made for another user or filter, or not by us.
    """
    return int.from_bytes(unseal(user, _bound(scope), cursor), "big")


def seal(user: str, bound: str, place: bytes) -> str:
    """The cursor of `place` in the list that `bound` describes: what must stay the same from page to page."""
    return base64.urlsafe_b64encode(place + _mark(user, bound, place)).decode()


def unseal(user: str, bound: str, cursor: str) -> bytes:
    """The place that `cursor` stands at.

    Raises:
        InvalidInput: it was made for another user or list, or not by us.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor.strip().encode("ascii"))
    except (ValueError, binascii.Error) as error:
        raise InvalidInput(FOREIGN) from error
    place, mark = raw[:-_SEAL], raw[-_SEAL:]
    if mark != _mark(user, bound, place):
        raise InvalidInput(FOREIGN)
    return place


def _bound(scope: Filter) -> str:
    """The filter; `now` moves on by itself."""
    return json.encode(scope.replace(now=0)).decode()


def _mark(user: str, bound: str, place: bytes) -> bytes:
    return hashlib.blake2b(f"{user}\n{bound}\n".encode() + place, digest_size=_SEAL).digest()

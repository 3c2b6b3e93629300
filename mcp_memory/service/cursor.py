"""The opaque place in a list: bound to the user and the filter it was made for."""

import base64
import binascii
import hashlib
from typing import Final

from mcp_memory.errors import InvalidInput
from mcp_memory.models import Filter

_FOREIGN: Final = "cursor does not belong to this list; start again without it"


def encode(user: str, scope: Filter, row: int) -> str:
    """The cursor of everything older than `row`."""
    place = row.to_bytes(4, "big")
    return base64.urlsafe_b64encode(place + _seal(user, scope, place)).decode()


def decode(user: str, scope: Filter, cursor: str) -> int:
    """The row that `cursor` stands at.

    Raises:
        InvalidInput: it was made for another user or filter, or not by us.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor.strip().encode("ascii"))
    except (ValueError, binascii.Error) as error:
        raise InvalidInput(_FOREIGN) from error
    place, seal = raw[:4], raw[4:]
    if seal != _seal(user, scope, place):
        raise InvalidInput(_FOREIGN)
    return int.from_bytes(place, "big")


def _seal(user: str, scope: Filter, place: bytes) -> bytes:
    """Eight bytes over all that must stay the same from page to page; `now` moves on by itself."""
    bound = scope.model_copy(update={"now": 0}).model_dump_json()
    return hashlib.blake2b(f"{user}\n{bound}\n".encode() + place, digest_size=8).digest()

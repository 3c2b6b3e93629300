"""What mem0's `get_all` gives, as JSON: `{"results": [...]}`, or the list alone, as older versions give it."""

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from typing import Any, Final

from mcp_memory.errors import InvalidInput
from mcp_memory.service.records import Bad
from mcp_memory.transfer.base import Owned, foreign, moment, objects, owner, texts

NAME: Final = "a get_all of mem0"
SOURCE: Final = "mem0"


def is_item(told: Mapping[str, Any]) -> bool:
    """Whether an object is one of its memories."""
    return isinstance(told.get("memory"), str) and "memory_id" not in told


def read(told: object, zone: tzinfo | None) -> Iterator[Owned]:
    """The memories of a list."""
    for number, one in objects(told):
        place = f"memory {number:,}"
        if one is None:
            yield Owned(None, Bad(place=place, why="it is no JSON object"))
            continue
        try:
            yield Owned(
                owner(one.get("user_id")),
                foreign(place, one.get("memory"), _said(one, zone), texts(one.get("categories"))),
            )
        except InvalidInput as error:
            yield Owned(owner(one.get("user_id")), Bad(place=place, why=str(error)))


def _said(one: Mapping[str, Any], zone: tzinfo | None) -> dict[str, Any]:
    return {
        "source": SOURCE,
        "agent": one.get("agent_id"),
        "session_id": one.get("run_id"),
        "metadata": one.get("metadata"),
        "created_at": moment(one.get("created_at"), zone),
        "updated_at": moment(one.get("updated_at"), zone),
        "expires_at": moment(one.get("expiration_date"), zone),
    }

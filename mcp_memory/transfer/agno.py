"""Agno's table of memories, out of its SQLite file or its PostgreSQL database."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import tzinfo
from typing import Any, Final

from mcp_memory.errors import InvalidInput
from mcp_memory.service.records import Bad
from mcp_memory.transfer.base import Owned, as_object, foreign, moment, owner, texts

NAME: Final = "Agno's memories"
SOURCE: Final = "agno"
COLUMNS: Final = frozenset({"memory_id", "memory", "user_id", "topics"})
"""What its table has at least."""


def read(rows: Iterable[Mapping[str, Any]], zone: tzinfo | None) -> Iterator[Owned]:
    """The memories of the rows of the table."""
    for number, row in enumerate(rows, 1):
        place = f"row {number:,}"
        try:
            said = {
                "source": SOURCE,
                "agent": row.get("agent_id"),
                "team": row.get("team_id"),
                "created_at": moment(row.get("created_at"), zone),
                "updated_at": moment(row.get("updated_at"), zone),
            }
            record = foreign(place, _text(_json(row.get("memory"))), said, texts(_json(row.get("topics"))))
        except InvalidInput as error:
            record = Bad(place=place, why=str(error))
        yield Owned(owner(row.get("user_id")), record)


def _json(value: object) -> object:
    """The JSON value of a column, which SQLite has as text."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _text(memory: object) -> object:
    """The text of a memory: older versions of Agno keep an object."""
    return as_object(memory).get("memory", memory)

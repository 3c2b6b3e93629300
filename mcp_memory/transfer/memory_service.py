"""mcp-memory-service: its SQLite file, and the JSON that it exports."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import tzinfo
from typing import Any, Final

from mcp_memory.errors import InvalidInput
from mcp_memory.service.records import Bad, Record
from mcp_memory.transfer.base import as_object, foreign, moment, texts

NAME: Final = "mcp-memory-service's memories"
SOURCE: Final = "mcp-memory-service"
COLUMNS: Final = frozenset({"content_hash", "content", "tags", "memory_type"})
"""What its table and the objects of its JSON have at least."""

_NO_TAG: Final = "untagged"


def read(what: str, rows: Iterable[Mapping[str, Any]], zone: tzinfo | None) -> Iterator[Record | Bad]:
    """The memories of rows of the table or of objects, which are called `what`; deleted ones are left out."""
    for number, row in enumerate(rows, 1):
        place = f"{what} {number:,}"
        if row.get("deleted_at") is not None:
            continue
        try:
            yield foreign(
                place, row.get("content"), _said(row, zone), [t for t in texts(row.get("tags")) if t != _NO_TAG]
            )
        except InvalidInput as error:
            yield Bad(place=place, why=str(error))


def _said(row: Mapping[str, Any], zone: tzinfo | None) -> dict[str, Any]:
    kept = row.get("metadata")
    try:
        metadata = dict(as_object(json.loads(kept) if isinstance(kept, str) else kept))
    except ValueError:
        metadata = {}
    kind = {"memory_type": row["memory_type"]} if row.get("memory_type") else {}
    return {
        "source": SOURCE,
        "metadata": metadata | kind,
        "created_at": moment(row.get("created_at"), zone),
        "updated_at": moment(row.get("updated_at"), zone),
    }

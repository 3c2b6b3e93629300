"""Our own JSON: one object with the header's fields and `memories`, each as in our JSON Lines."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mcp_memory.service.records import Bad, Record
from mcp_memory.store.lineage import Lineage
from mcp_memory.transfer import fields, jsonl
from mcp_memory.transfer.base import objects

NAME: Final = "mcp-memory's own JSON"
BETWEEN: Final = ",\n"
END: Final = "\n]}\n"


def begin(*, history: bool) -> str:
    """What stands before the memories."""
    return jsonl.dumped(fields.header(history=history)).removesuffix("}") + ',"memories":[\n'


def line(one: Lineage, *, history: bool) -> str:
    """One memory."""
    return jsonl.dumped(fields.lineage(one, history=history))


def read(told: Mapping[str, Any]) -> Iterator[Record | Bad]:
    """The memories of a document.

    Raises:
        InvalidInput: it is of a version that is not known here.
    """
    fields.check_header(told)
    for number, memory in objects(told.get("memories")):
        yield fields.decoded(f"memory {number:,}", memory)

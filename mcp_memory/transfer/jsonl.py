"""Our own JSON Lines: a header, then one memory a line. Read and written again, it is the same to the byte.

The header is `{"format": "mcp-memory", "version": 1}`, with `"history": true` where versions are there. A memory is an
object of its fields by the names of the tools' replies; `content` alone is required. Besides these, `updated_at`,
`worded_at` (where that differs), `version`, and `revisions`, oldest first: `operation`, `reason`, `change` (`id`, `at`,
`tool`, `client`, `client_version`, `summary`, and `undone` where it is) and `memory` as it was, unless it is as now.
Times are ISO 8601 with an offset.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeGuard, cast

from mcp_memory.service.records import Bad, Record
from mcp_memory.store.lineage import Lineage
from mcp_memory.transfer import fields

NAME: Final = "mcp-memory's own JSON Lines"


def begin(*, history: bool) -> str:
    """What stands before the memories."""
    return dumped(fields.header(history=history)) + "\n"


def line(one: Lineage, *, history: bool) -> str:
    """One memory."""
    return dumped(fields.lineage(one, history=history)) + "\n"


def read(lines: Sequence[str]) -> Iterator[Record | Bad]:
    """The memories of a file, line for line.

    Raises:
        InvalidInput: the header is of a version that is not known here.
    """
    for number, text in enumerate(lines, 1):
        place = f"line {number:,}"
        if not text.strip():
            continue
        try:
            told = json.loads(text)
        except (ValueError, RecursionError):
            yield Bad(place=place, why="it is no JSON")
            continue
        if is_header(told):
            fields.check_header(told)
        else:
            yield fields.decoded(place, told)


def is_header(told: object) -> TypeGuard[Mapping[str, object]]:
    """Whether a JSON value is the header of a file of ours."""
    if not isinstance(told, dict):
        return False
    found = cast("Mapping[str, object]", told)
    return found.get("format") == fields.FORMAT and "content" not in found


def dumped(value: object) -> str:
    """Compact JSON, any script as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

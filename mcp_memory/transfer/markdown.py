"""Our own Markdown: a list for people, each memory with a comment that nobody sees and that has all its fields.

What a person adds as a further item of the list is read as well, and an item's text may be changed.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from mcp_memory.service.records import Bad, Record, Said
from mcp_memory.store.lineage import Lineage
from mcp_memory.transfer import fields, jsonl

NAME: Final = "mcp-memory's own Markdown"

_COMMENT: Final = re.compile(r"\s*<!-- (\{.*\}) -->\s*")
_LIKE_A_COMMENT: Final = re.compile(r"\\*<!-- ")
_ITEM: Final = "- "


def begin() -> str:
    """What stands before the memories."""
    return f"# Memories\n\n<!-- {jsonl.dumped(fields.header(history=False))} -->\n"


def item(lineage: Lineage) -> str:
    """One memory."""
    told = fields.lineage(lineage, history=False)
    content: str = told.pop("content")
    hidden = jsonl.dumped(told).replace(">", "\\u003e")
    lines = [*map(_plain, content.split("\n")), _details(told), f"<!-- {hidden} -->"]
    indented = "\n".join(f"  {line}".rstrip() for line in lines)
    return f"\n{_ITEM}{indented[2:]}\n"


def is_header(line: str) -> bool:
    """Whether a line is the comment that our files have on top."""
    return jsonl.is_header(_commented(line))


def read(lines: Sequence[str]) -> Iterator[Record | Bad]:
    """The items of a list.

    Raises:
        InvalidInput: the file is of a version that is not known here.
    """
    place = ""
    item: list[str] = []
    for number, line in enumerate(lines, 1):
        told = _commented(line)
        if jsonl.is_header(told):
            fields.check_header(told)
        elif line.startswith((_ITEM, "#")):
            yield from _by_hand(place, item)
            place, item = f"line {number:,}", [line.removeprefix(_ITEM)] if line.startswith(_ITEM) else []
        elif item and isinstance(told, dict):
            known = cast("dict[str, Any]", told)
            yield fields.decoded(place, {**known, "content": _content(item, known)})
            item = []
        elif item and _COMMENT.fullmatch(line):
            yield Bad(place=place, why="the comment below it is no JSON")
            item = []
        elif item:
            item.append(line.strip())
    yield from _by_hand(place, item)


def _details(told: Mapping[str, Any]) -> str:
    parts = [
        ", ".join(told.get("topics", ())),
        told.get("key") and f"key {told['key']}",
        told.get("pinned") and "pinned",
    ]
    day = str(told.get("created_at", ""))[:10]
    expires = told.get("expires_at") and f"until {told['expires_at'][:10]}"
    return f"*{' · '.join(filter(None, [*parts, day, expires]))}*"


def _content(item: Sequence[str], told: Mapping[str, Any]) -> str:
    detailed = len(item) > 1 and item[-1] == _details(told)
    return "\n".join(map(_as_it_was, item[:-1] if detailed else item))


def _plain(line: str) -> str:
    """A line of a memory, which must not look like the comment below it; Markdown does not show the backslash."""
    return f"\\{line}" if _LIKE_A_COMMENT.match(line) else line


def _as_it_was(line: str) -> str:
    return line[1:] if line.startswith("\\") and _LIKE_A_COMMENT.match(line) else line


def _by_hand(place: str, item: Sequence[str]) -> Iterator[Record]:
    if content := "\n".join(item).strip():
        yield Record(place=place, said=Said(content=content))


def _commented(line: str) -> object:
    match = _COMMENT.fullmatch(line)
    try:
        return json.loads(match[1]) if match else None
    except (ValueError, RecursionError):
        return None

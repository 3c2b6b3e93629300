"""Lists as people paste them, and as ChatGPT and Claude write their memories out: a memory an item or a line.

Items begin with a bullet or a number, and lines that are indented below one belong to it. Any other line is a memory by
itself. A date in front is when it was remembered; a heading is the topic of what stands below it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final, cast

from mcp_memory import guard, text
from mcp_memory.service.records import Bad, Record
from mcp_memory.transfer.base import Owned, as_object, foreign, objects, owner

NAME: Final = "a list"
CLAUDE: Final = "Claude's memories.json"

_ITEM: Final = re.compile(r"(\s*)(?:[-*•–]|\d{1,5}[.)])\s+(.*)")
_HEADING: Final = re.compile(r"#{1,6}\s+(.+?)\s*#*|\*\*([^*]+?):?\*\*:?|__([^_]+?):?__:?")
_DATED: Final = re.compile(r"\[([^\]]{4,40})\]\s*[-–—:.]?\s*|(\d{4}-\d\d-\d\d)\s*[-–—:.]\s+")
_FENCE: Final = re.compile(r"\s*(?:```|~~~)")
_UNKNOWN: Final = {"unknown", "date unknown", "unknown date", "no date"}


def read(lines: Sequence[str], source: str, zone: tzinfo | None, where: str = "") -> Iterator[Record | Bad]:
    """The memories of a text; `where` is put before the places."""
    topic = ""
    place = ""
    item: list[str] = []
    for number, line in enumerate(lines, 1):
        bullet, heading = _ITEM.fullmatch(line), _HEADING.fullmatch(line.strip())
        if item and line[:1].isspace() and line.strip() and bullet is None:
            item.append(line.strip())
            continue
        if item:
            yield _record(place, "\n".join(item), topic, source, zone)
        place, item = f"{where}line {number:,}", []
        if heading is not None:
            topic = next(filter(None, heading.groups()))
        elif bullet is not None:
            item = [bullet[2].strip()]
        elif line.strip() and not _FENCE.match(line):
            yield _record(place, line.strip(), topic, source, zone)
    if item:
        yield _record(place, "\n".join(item), topic, source, zone)


def is_claude(told: object) -> bool:
    """Whether a JSON value is the memories.json of an export of Claude: an object, or a list of them."""
    return any(one is not None and "conversations_memory" in one for _, one in objects(_listed(told)))


def of_claude(told: object, zone: tzinfo | None) -> Iterator[Owned]:
    """The memories of an export of Claude: of all conversations, and of each project."""
    for number, one in objects(_listed(told)):
        account = f"account {number}, " if number > 1 else ""
        for what, said in _parts(as_object(one)):
            for record in read(said.splitlines(), "claude", zone, f"{account}{what}, "):
                yield Owned(owner(as_object(one).get("account_uuid")), record)


def _parts(one: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if isinstance(said := one.get("conversations_memory"), str):
        yield "conversations", said
    for project, said in as_object(one.get("project_memories")).items():
        if isinstance(said, str):
            yield f"project {project[: guard.MAX_SHOWN]}", said


def _listed(told: object) -> list[object]:
    return cast("list[object]", told) if isinstance(told, list) else [told]


def _record(place: str, said: str, topic: str, source: str, zone: tzinfo | None) -> Record | Bad:
    created = None
    if (dated := _DATED.match(said)) is not None:
        day = dated[1] or dated[2]
        created = text.parse_moment(day, zone)
        known = created is not None or day.lower() in _UNKNOWN
        said = said[dated.end() :] if known else said
    return foreign(place, said, {"source": source, "created_at": created}, [topic])

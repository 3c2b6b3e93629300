"""The `memory.json` of the reference server, JSON Lines: entities with observations, and relations between them.

Each observation and each relation becomes a memory of its own, which names what it is about.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from mcp_memory.service.records import Bad, Record
from mcp_memory.transfer.base import as_object, foreign

NAME: Final = "the reference server's memory.json"
SOURCE: Final = "server-memory"


def is_line(told: Mapping[str, Any]) -> bool:
    """Whether an object is a line of such a file."""
    match told.get("type"):
        case "entity":
            return {"name", "observations"} <= told.keys()
        case "relation":
            return {"from", "to", "relationType"} <= told.keys()
        case _:
            return False


def read(lines: Sequence[str]) -> Iterator[Record | Bad]:
    """The memories of a file, line for line."""
    for number, line in enumerate(lines, 1):
        place = f"line {number:,}"
        if not line.strip():
            continue
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            yield Bad(place=place, why="it is no JSON")
            continue
        told = as_object(told)
        if not is_line(told):
            yield Bad(place=place, why="it is neither an entity nor a relation")
        elif told["type"] == "entity":
            yield from _entity(place, told)
        else:
            names = (str(told["from"]), str(told["relationType"]).replace("_", " "), str(told["to"]))
            yield foreign(place, " ".join(names), {"source": SOURCE, "metadata": {"entity": names[0]}})


def _entity(place: str, told: Mapping[str, Any]) -> Iterator[Record | Bad]:
    name, kind = str(told["name"]), str(told.get("entityType") or "")
    said = {"source": SOURCE, "metadata": {"entity": name}}
    observations = told["observations"]
    if not isinstance(observations, list):
        yield Bad(place=place, why="its observations are no list")
        return
    for observation in cast("list[object]", observations):
        known = isinstance(observation, str) and name.casefold() in observation.casefold()
        content = f"{name}: {observation}" if isinstance(observation, str) and not known else observation
        yield foreign(place, content, said, [kind])
    if not observations:
        yield foreign(place, f"{name} ({kind})" if kind else name, said, [kind])

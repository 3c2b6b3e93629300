"""basic-memory's folder of Markdown notes: `- [category] text #tag (context)` and `- relation [[Other note]]`.

Each observation and each relation becomes a memory, which names its note. Prose is left out: a note is no memory.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Any, Final, NamedTuple

from mcp_memory.errors import InvalidInput
from mcp_memory.service.records import Bad, Record
from mcp_memory.transfer.base import foreign, moment, texts

NAME: Final = "basic-memory's notes"
SOURCE: Final = "basic-memory"

_OBSERVATION: Final = re.compile(r"\s*[-*]\s+\[([^\[\]()]{1,100})\]\s+(.+)")
_RELATION: Final = re.compile(r"\s*[-*]\s+(.*?)\s*\[\[([^\[\]]+)\]\](.*)")
_TAG: Final = re.compile(r"(?<!\S)#([^\s#()]+)")
_CONTEXT: Final = re.compile(r"\s\(([^()]*)\)\s*$")
_TASKS: Final = {" ", "x", "X", "-"}
"""What stands in the brackets of a task list."""
_FIELD: Final = re.compile(r"([A-Za-z_][\w-]*):\s*(.*)")


class _Note(NamedTuple):
    """A note: where it lies, its front matter, and the number and text of each line below."""

    name: str
    front: dict[str, Any]
    lines: list[tuple[int, str]]


def is_note(lines: Sequence[str]) -> bool:
    """Whether a text is a note: front matter, and an observation or a relation."""
    note = _parsed("", lines)
    return bool(note.front) and any(_OBSERVATION.fullmatch(line) or _RELATION.fullmatch(line) for _, line in note.lines)


def files(folder: Path) -> list[Path]:
    """The notes of a folder, also in folders inside, by name."""
    found = sorted(path for path in folder.rglob("*.md") if path.is_file())
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def read(name: str, lines: Sequence[str], zone: tzinfo | None) -> Iterator[Record | Bad]:
    """The memories of one note; `name` is its path inside the folder."""
    note = _parsed(name, lines)
    try:
        created = moment(note.front.get("created") or note.front.get("date"), zone)
        updated = moment(note.front.get("modified") or note.front.get("updated"), zone)
    except InvalidInput:
        created = updated = None
    title = str(note.front.get("title") or Path(name).stem)
    said = {"source": SOURCE, "created_at": created, "updated_at": max(created or 0, updated or 0) or None}
    metadata = {"note": str(note.front.get("permalink") or name)}
    general = texts(note.front.get("tags"))
    for number, line in note.lines:
        place = f"{name}, line {number:,}" if name else f"line {number:,}"
        if (relation := _RELATION.fullmatch(line)) is not None and not _observed(line):
            content = f"{title} {(relation[1] or 'relates to').replace('_', ' ')} {relation[2]}"
            yield foreign(place, content, said | {"metadata": metadata}, general)
        elif _observed(line) and (found := _OBSERVATION.fullmatch(line)) is not None:
            text, context = _without_context(found[2])
            about = metadata | ({"context": context} if context else {})
            tags = [found[1], *_TAG.findall(text), *general]
            content = re.sub(r"(\s+#[^\s#()]+)+\s*$", "", text).strip()
            named = content if title.casefold() in content.casefold() else f"{title}: {content}"
            yield foreign(place, named, said | {"metadata": about}, tags)


def prose(lines: Iterable[str]) -> bool:
    """Whether a note says something besides its title, observations and relations."""
    note = _parsed("", list(lines))
    plain = (line for _, line in note.lines if line.strip() and not line.startswith("#"))
    return any(not _OBSERVATION.fullmatch(line) and not _RELATION.fullmatch(line) for line in plain)


def _observed(line: str) -> bool:
    found = _OBSERVATION.fullmatch(line)
    return found is not None and found[1] not in _TASKS


def _without_context(text: str) -> tuple[str, str]:
    found = _CONTEXT.search(text)
    return (text[: found.start()], found[1]) if found else (text, "")


def _parsed(name: str, lines: Sequence[str]) -> _Note:
    numbered = list(enumerate(lines, 1))
    if not lines or lines[0].strip() != "---":
        return _Note(name, {}, numbered)
    end = next((at for at, line in numbered[1:] if line.strip() == "---"), 1)
    return _Note(name, _front(lines[1 : end - 1]), numbered[end:])


def _front(lines: Sequence[str]) -> dict[str, Any]:
    """The plain fields of front matter: texts, and lists in either of the two ways to write them."""
    front: dict[str, Any] = {}
    name = ""
    for line in lines:
        if (found := _FIELD.fullmatch(line)) is not None:
            name, value = found[1], found[2].strip()
            listed = value.startswith("[") and value.endswith("]")
            front[name] = [_bare(one) for one in value[1:-1].split(",")] if listed else _bare(value)
        elif name and line.strip().startswith("- "):
            front[name] = [*texts(front[name]), _bare(line.strip()[2:])]
    return front


def _bare(value: str) -> str:
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value

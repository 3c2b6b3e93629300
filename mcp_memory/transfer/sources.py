"""What is imported: which format it is shows in the data, not in its name alone."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from mcp_memory.errors import InvalidInput
from mcp_memory.service.records import Bad, Record
from mcp_memory.text.amounts import counted
from mcp_memory.transfer import (
    agno,
    basic_memory,
    databases,
    document,
    jsonl,
    lists,
    markdown,
    mem0,
    memory_service,
    reference,
    table,
)
from mcp_memory.transfer.base import Owned, as_object, chosen, in_order, objects
from mcp_memory.values import Value

Own = Literal["jsonl", "json", "markdown", "csv"]
Format = Literal[
    "auto", Own, "reference", "mem0", "agno", "claude", "chatgpt", "list", "basic-memory", "mcp-memory-service"
]

_SQLITE: Final = b"SQLite format 3\0"
_ZIP: Final = b"PK\x03\x04"
STDIN: Final = "-"
"""The source that is standard input."""


class Wish(Value):
    """What is to be read, and how: `mapping` is from columns to fields, `owner` a user of the other system."""

    source: str
    format: Format = "auto"
    mapping: Mapping[str, str] = {}
    owner: str | None = None


class Opened(NamedTuple):
    """A source: what it was taken for, its records (about `total` of them), and lines on what was left out."""

    what: str
    total: int
    records: Iterable[Record | Bad]
    left_out: tuple[str, ...] = ()


def opened(wish: Wish, zone: tzinfo | None) -> Opened:
    """The records of a file, a folder or a database. Blocks.

    Raises:
        InvalidInput: it cannot be read, or is not of a format that is known.
    """
    if wish.source.startswith(databases.SCHEMES):
        return _table(databases.of_postgres(wish.source), wish, zone)
    if wish.source == STDIN:
        return _text(_decoded(Path("standard input"), sys.stdin.buffer.read()), wish, zone)
    path = Path(wish.source).absolute()
    try:
        if path.is_dir():
            return _folder(path, wish, zone)
        with path.open("rb") as file:
            start = file.read(len(_SQLITE))
            data = b"" if start == _SQLITE else start + file.read()
        if start == _SQLITE:
            return _table(databases.of_sqlite(path), wish, zone)
        return _text(_decoded(path, data), wish, zone)
    except OSError as error:
        raise InvalidInput(
            f"{wish.source} cannot be read ({error.strerror}); name a file, a folder or a database"
        ) from error


def named(source: str) -> str:
    """What a source is called: never by a connection string, which may have a password."""
    if source == STDIN:
        return "Standard input"
    return "the PostgreSQL database" if source.startswith(databases.SCHEMES) else source


def _decoded(path: Path, data: bytes) -> str:
    if data.startswith(_ZIP):
        raise InvalidInput(f"{path} is a ZIP archive; unpack it and import the file with the memories in it")
    try:
        return data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is no UTF-8 text (byte {error.start:,}); convert it first") from error


def _folder(path: Path, wish: Wish, zone: tzinfo | None) -> Opened:
    _only(wish, "basic-memory", basic_memory.NAME)
    records: list[Record | Bad] = []
    left = 0
    for file in basic_memory.files(path):
        lines = _lines(_decoded(file, file.read_bytes()))
        records += basic_memory.read(file.relative_to(path).as_posix(), lines, zone)
        left += basic_memory.prose(lines)
    if not records and not left:
        raise InvalidInput(f"{wish.source} holds no notes of basic-memory, which are Markdown files")
    prose = (
        (f"the prose of {counted(left, 'note', 'notes')}; only observations and relations are memories",)
        if left
        else ()
    )
    return Opened(basic_memory.NAME, len(records), records, prose)


def _table(found: databases.Table, wish: Wish, zone: tzinfo | None) -> Opened:
    if found.kind == "agno":
        _only(wish, "agno", agno.NAME)
        return _owned(agno.NAME, agno.read(found.rows, zone), wish)
    _only(wish, "mcp-memory-service", memory_service.NAME)
    return _listed(memory_service.NAME, memory_service.read("row", found.rows, zone))


def _text(data: str, wish: Wish, zone: tzinfo | None) -> Opened:
    form = _recognised(data) if wish.format == "auto" else wish.format
    lines = _lines(data)
    match form:
        case "jsonl":
            found = Opened(jsonl.NAME, len(lines), jsonl.read(lines))
        case "reference":
            found = Opened(reference.NAME, len(lines), reference.read(lines))
        case "markdown":
            found = _listed(markdown.NAME, markdown.read(lines))
        case "basic-memory":
            found = _listed(basic_memory.NAME, basic_memory.read("", lines, zone))
        case "csv" if wish.mapping or not table.is_own(data):
            found = _listed(table.FOREIGN, in_order(table.read_foreign(data, wish.mapping, zone)))
        case "csv":
            found = Opened(table.NAME, len(lines), table.read(data))
        case "list" | "chatgpt":
            found = _listed(lists.NAME, lists.read(lines, form, zone))
        case _:
            found = _json(_loaded(data), form, wish, zone)
    return found


def _json(told: object, form: str, wish: Wish, zone: tzinfo | None) -> Opened:
    match form:
        case "json":
            return _listed(document.NAME, document.read(as_object(told)))
        case "mem0":
            return _owned(mem0.NAME, mem0.read(as_object(told).get("results", told), zone), wish)
        case "agno":
            return _owned(agno.NAME, agno.read([one or {} for _, one in objects(told)], zone), wish)
        case "claude":
            return _owned(lists.CLAUDE, lists.of_claude(told, zone), wish)
        case _:
            rows = [one or {} for _, one in objects(as_object(told).get("memories", told))]
            return _listed(memory_service.NAME, memory_service.read("memory", rows, zone))


def _owned(what: str, found: Iterable[Owned], wish: Wish) -> Opened:
    return _listed(what, in_order(chosen(found, wish.owner)))


def _listed(what: str, records: Iterable[Record | Bad]) -> Opened:
    found = list(records)
    return Opened(what, len(found), found)


def _only(wish: Wish, form: Format, what: str) -> None:
    if wish.format not in {"auto", form}:
        raise InvalidInput(f"{named(wish.source)} is {what}, not {wish.format}; leave --format out")


def _recognised(data: str) -> Format:
    """The format of a text, by what is in it.

    Raises:
        InvalidInput: it is empty, or JSON of a kind that is not known.
    """
    lines = [line for line in _lines(data) if line.strip()]
    if not lines:
        raise InvalidInput("the file is empty; there is nothing to import")
    first = as_object(_value(lines[0]))
    if first and (len(lines) > 1 or jsonl.is_header(first) or "content" in first):
        return _of_line(first)
    if data.lstrip()[:1] in {"{", "["} and (told := _value(data)) is not None:
        return _of_json(told)
    if data.lstrip().startswith(("{", "[{", "[\n", "[\r")):
        raise InvalidInput("it begins as JSON but is broken; repair it, or say with --format what it is")
    if any(markdown.is_header(line) for line in lines[:10]):
        return "markdown"
    if basic_memory.is_note(_lines(data)):
        return "basic-memory"
    if table.is_table(data):
        return "csv"
    return "list"


def _of_line(first: Mapping[str, Any]) -> Format:
    if reference.is_line(first):
        return "reference"
    if jsonl.is_header(first) or "content" in first:
        return "jsonl"
    raise _unknown()


def _of_json(told: object) -> Format:
    if jsonl.is_header(told):
        return "json"
    if lists.is_claude(told):
        return "claude"
    inner = as_object(told)
    listed = next((inner[name] for name in ("results", "memories") if name in inner), told)
    first = as_object(next((one for _, one in objects(listed) if one is not None), None))
    if reference.is_line(inner):
        return "reference"
    if mem0.is_item(first):
        return "mem0"
    if first.keys() >= agno.COLUMNS - {"topics"}:
        return "agno"
    if "content" in first and ("export_metadata" in inner or "content_hash" in first):
        return "mcp-memory-service"
    raise _unknown()


def _unknown() -> InvalidInput:
    return InvalidInput(
        "this JSON is of no kind that is known here; say which with --format, or convert it to JSON Lines"
    )


def _loaded(data: str) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the file is no JSON ({error}); say what it is with --format") from error


def _value(data: str) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _lines(data: str) -> Sequence[str]:
    """The lines of a text as editors number them: other line breaks may stand inside a JSON text."""
    return data.replace("\r\n", "\n").split("\n")

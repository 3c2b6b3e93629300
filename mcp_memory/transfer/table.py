"""CSV: our own, for spreadsheets, and tables from elsewhere by a mapping of their columns.

A cell that a spreadsheet would take for a formula has an apostrophe before it, which goes when our own file is read.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final

from mcp_memory.errors import InvalidInput
from mcp_memory.service.records import Bad, Record
from mcp_memory.store.lineage import Lineage
from mcp_memory.transfer import fields, jsonl
from mcp_memory.transfer.base import foreign, moment, texts

NAME: Final = "mcp-memory's own CSV"
FOREIGN: Final = "a CSV table"

COLUMNS: Final = (
    *("id", "content", "key", "topics", "pinned", "metadata", "agent", "team", "session_id", "source"),
    *fields.TIMES,
    "version",
)
MAPPED: Final = ("content", "key", "topics", "pinned", "agent", "team", "session_id", "source", *fields.TIMES)
"""The fields that a column of a table from elsewhere can be."""

_BOM: Final = "\ufeff"
_FORMULA: Final = tuple("=+-@'\t")
_USUAL: Final = {
    **dict.fromkeys(("content", "memory", "text", "note", "fact"), "content"),
    **dict.fromkeys(("topics", "tags", "topic", "category", "categories"), "topics"),
    **dict.fromkeys(("created_at", "created", "date"), "created_at"),
    "updated_at": "updated_at",
    "key": "key",
}
"""What columns mean whose names say it."""
_TRUE: Final = {"true", "1", "yes"}


def begin() -> str:
    """The names of the columns; spreadsheets know by the mark before them that the file is UTF-8."""
    return _BOM + _row(COLUMNS)


def line(lineage: Lineage) -> str:
    """One memory."""
    told = fields.lineage(lineage, history=False)
    return _row([_cell(told.get(name)) for name in COLUMNS])


def is_own(data: str) -> bool:
    """Whether a table has our columns."""
    names = _names(data, ",")
    return "content" in names and "version" in names and set(names) <= set(COLUMNS)


def is_table(data: str) -> bool:
    """Whether a text is a table: its first line has columns, one of which is known."""
    divided = delimiter(data)
    return divided is not None and any(name.strip().lower() in _USUAL for name in _names(data, divided))


def _names(data: str, divided: str) -> list[str]:
    """The cells of the first line; none where it cannot be the first of a table."""
    try:
        return next(csv.reader(io.StringIO(data), delimiter=divided), list[str]())
    except csv.Error:
        return []


def delimiter(data: str) -> str | None:
    """What divides the columns of the first line; None where it has one column only."""
    first = data.split("\n", 1)[0]
    found = max(",;\t", key=first.count)
    return found if first.count(found) else None


def read(data: str) -> Iterator[Record | Bad]:
    """The memories of a file of ours."""
    for place, row in _rows(csv.DictReader(io.StringIO(data, newline=""))):
        yield _own(place, row)


def read_foreign(data: str, mapping: Mapping[str, str], zone: tzinfo | None) -> Iterator[Record | Bad]:
    """The memories of a table from elsewhere. Columns that are no field become metadata, under their names.

    Raises:
        InvalidInput: there is no such column, no such field, or no column for the content.
    """
    rows = csv.DictReader(io.StringIO(data, newline=""), delimiter=delimiter(data) or ",")
    names = _names(data, delimiter(data) or ",")
    meant = _meant(names, mapping)
    for place, row in _rows(rows):
        try:
            yield _foreign(place, row, meant, zone)
        except InvalidInput as error:
            yield Bad(place=place, why=str(error))


def _rows(rows: "csv.DictReader[str]") -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """The rows below the first with their places.

    Raises:
        InvalidInput: from some line on it is no table.
    """
    try:
        for row in rows:
            yield f"line {rows.line_num:,}", row
    except csv.Error as error:
        raise InvalidInput(f"line {rows.line_num + 1:,} is no line of a CSV table ({error})") from error


def _meant(names: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    unknown = [column for column in mapping if column not in names]
    if unknown:
        raise InvalidInput(f"the table has no column {unknown[0]!r}; it has {', '.join(names)}")
    wrong = [field for field in mapping.values() if field not in MAPPED]
    if wrong:
        raise InvalidInput(f"--map knows no field {wrong[0]!r}; it knows {', '.join(MAPPED)}")
    usual = {name: _USUAL[name.strip().lower()] for name in names if name.strip().lower() in _USUAL}
    taken = set(mapping.values())
    meant = {name: field for name, field in usual.items() if field not in taken} | dict(mapping)
    if "content" not in meant.values():
        raise InvalidInput(f"no column is the content; say which: --map COLUMN=content (it has {', '.join(names)})")
    return meant


def _foreign(place: str, row: Mapping[Any, Any], meant: Mapping[str, str], zone: tzinfo | None) -> Record | Bad:
    if None in row:
        return Bad(place=place, why="it has more cells than there are columns")
    said: dict[str, Any] = {meant[name]: cell for name, cell in row.items() if name in meant and cell}
    said["metadata"] = {name: cell for name, cell in row.items() if name not in meant and cell}
    said |= {name: moment(said[name], zone) for name in fields.TIMES if name in said}
    if "pinned" in said:
        said["pinned"] = str(said["pinned"]).lower() in _TRUE
    tags = texts(str(said.pop("topics", "")).replace(";", ","))
    return foreign(place, said.pop("content", None), said, tags)


def _own(place: str, row: Mapping[Any, Any]) -> Record | Bad:
    if None in row:
        return Bad(place=place, why="it has more cells than there are columns")
    told: dict[str, Any] = {name: cell.removeprefix("'") for name, cell in row.items() if cell}
    try:
        told |= {name: json.loads(told[name]) for name in ("topics", "metadata", "pinned", "version") if name in told}
    except (ValueError, RecursionError):
        return Bad(place=place, why="topics, metadata, pinned or version is not as it was exported")
    return fields.decoded(place, told)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return f"'{value}" if value.startswith(_FORMULA) else value
        case _:
            return jsonl.dumped(value)


def _row(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()

"""Tables of other systems' databases, read and never written: SQLite files, and PostgreSQL by connection string."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple

from mcp_memory.errors import InvalidInput
from mcp_memory.store.sqlite.errors import database_errors
from mcp_memory.store.sqlite.opening import connect
from mcp_memory.store.sqlite.sql import QUERIES
from mcp_memory.transfer import agno, memory_service

SCHEMES: Final = ("postgresql://", "postgres://")

_PATIENCE: Final = 5.0
"""Seconds to wait for a writer to let go of the file."""
_OWN: Final = frozenset({"fingerprint", "term_count", "worded_at"})
_KNOWN: Final = {"agno": agno.COLUMNS, "mcp-memory-service": memory_service.COLUMNS}


class Table(NamedTuple):
    """The rows of a table that is known, and of which system it is."""

    kind: str
    rows: list[Mapping[str, Any]]


def of_sqlite(path: Path) -> Table:
    """The table of memories in a SQLite file.

    Raises:
        InvalidInput: it cannot be read, or has none that is known.
    """
    try:
        with closing(_opened(path)) as raw:
            return _found(path, raw)
    except database_errors() as error:
        raise InvalidInput(f"{path} cannot be read ({error}); close what uses it, or import a copy") from error


def of_postgres(url: str) -> Table:
    """Agno's table in a PostgreSQL database.

    Raises:
        InvalidInput: psycopg is not installed, the database cannot be read, or has no such table.
    """
    try:
        import psycopg  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InvalidInput("a PostgreSQL database needs a package: pip install 'mcp-memory[postgres]'") from error
    driver: Any = psycopg
    queries = files("mcp_memory.transfer").joinpath("postgres.sql").read_text(encoding="utf-8").split(";")
    try:
        with driver.connect(url, row_factory=driver.rows.dict_row, connect_timeout=10) as connection:
            connection.read_only = True
            tables = connection.execute(queries[0], {"columns": sorted(agno.COLUMNS)}).fetchall()
            if not tables:
                raise InvalidInput("the PostgreSQL database has no table of Agno's memories; is it the right one?")
            named = driver.sql.Identifier(tables[0]["schema"], tables[0]["name"])
            rows = connection.execute(driver.sql.SQL(queries[1]).format(table=named)).fetchall()
    except driver.Error as error:
        said = str(error).strip().split("\n")[0]
        raise InvalidInput(f"the PostgreSQL database cannot be read ({said}); check the connection string") from error
    return Table("agno", rows)


def _opened(path: Path) -> sqlite3.Connection:
    """A connection that only reads; of a file in a folder that nothing may be made in, as it stands on the disk."""
    raw = connect(path, None, _PATIENCE, "ro")
    try:
        raw.execute(QUERIES["objects"]).fetchall()
    except database_errors():
        raw.close()
        return connect(path, None, _PATIENCE, "immutable")
    return raw


def _found(path: Path, raw: sqlite3.Connection) -> Table:
    for name, columns in _tables(raw):
        if columns >= _OWN:
            raise InvalidInput(
                f"{path} is a database of mcp-memory itself; export from it first: mcp-memory export --database {path}"
            )
        kind = next((kind for kind, known in _KNOWN.items() if columns >= known), None)
        if kind is not None:
            return Table(kind, [dict(row) for row in raw.execute(_every_row(name))])
    raise InvalidInput(
        f"{path} is a SQLite file without a table that is known here; Agno's and mcp-memory-service's are"
    )


def _tables(raw: sqlite3.Connection) -> Iterator[tuple[str, frozenset[str]]]:
    for kind, name in raw.execute(QUERIES["objects"]).fetchall():
        if kind == "table":
            try:
                described = raw.execute(_every_row(name)).description
            except database_errors():
                continue  # a virtual table of a module that is not here
            yield name, frozenset(column[0] for column in described)


def _every_row(table: str) -> str:
    return QUERIES["every_row"].replace(":table", '"' + table.replace('"', '""') + '"')

"""Brings a file to the schema of this version: each migration and its ledger row commit together, or neither does."""

import sqlite3
from typing import Final

from mcp_memory.errors import StoreCorrupt, StoreTooNew, StoreUnavailable
from mcp_memory.store.base import FileSettings
from mcp_memory.store.sqlite.connection import Connection, Turns, prepare
from mcp_memory.store.sqlite.sql import MIGRATIONS, Migration

APPLICATION_ID: Final = 0x4D656D31
"""Written into the file's header, so that another program's database is never taken for ours ("Mem1")."""

WRITER: Final = 1
"""What this version understands; a file that asks for more is not written."""

_INDEX_VERSION: Final = "1"
_REINDEXING: Final = "0"
"""What the setting `index_version` says until everything is indexed as the other settings say."""

_LEDGER: Final = """CREATE TABLE IF NOT EXISTS schema_migrations (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, at INTEGER NOT NULL
) STRICT"""


async def migrate(connection: Connection, turns: Turns, now: int) -> None:
    """Make an empty file ours, or bring a file of ours up to date. A file of another program is left as it is.

    Raises:
        StoreTooNew: the file belongs to another program, or to a version whose files this one must not write.
        StoreError: the file cannot be read or written.
    """
    applied = await _applied(connection)
    await prepare(connection)
    if applied >= len(MIGRATIONS):
        return
    async with turns.turn() as turn:
        applied = await _applied(turn)
        if applied == 0:
            await turn.script(f"PRAGMA application_id = {APPLICATION_ID}")
            await turn.script(_LEDGER)
        for migration in MIGRATIONS[applied:]:
            await _apply(turn, migration, now)


async def schema_of(connection: Connection) -> int:
    """How many migrations a file has that this version may write; 0 for an empty one.

    Raises:
        StoreTooNew: it belongs to another program, or to a version whose files this one must not write.
        StoreError: the file cannot be read.
    """
    return await _applied(connection)


async def settle(connection: Connection, turns: Turns, wanted: FileSettings) -> FileSettings:
    """What the file is indexed and embedded with. What nobody has chosen yet, `wanted` chooses for every process."""
    stored = await _stored(connection)
    if _filled(stored, wanted) == stored:
        return stored
    async with turns.turn() as turn:
        chosen = _filled(await _stored(turn), wanted)
        await _put(turn, chosen)
    return chosen


async def resettle(turn: Connection, settings: FileSettings) -> None:
    """Change what the file is indexed and embedded with, and whether that is under way."""
    await _put(turn, settings)
    version = _REINDEXING if settings.reindexing else _INDEX_VERSION
    await turn.all("set_setting", {"name": "index_version", "value": version})


def _filled(stored: FileSettings, wanted: FileSettings) -> FileSettings:
    chosen = {"model": stored.model or wanted.model, "languages": stored.languages or wanted.languages}
    return stored.model_copy(update=chosen)


async def _put(turn: Connection, settings: FileSettings) -> None:
    await turn.all("set_setting", {"name": "embedding_model", "value": settings.model})
    await turn.all("set_setting", {"name": "search_languages", "value": ",".join(settings.languages)})


async def _stored(connection: Connection) -> FileSettings:
    values: dict[str, str] = {row["name"]: row["value"] for row in await connection.all("settings")}
    try:
        return FileSettings(
            model=values["embedding_model"],
            languages=tuple(filter(None, values["search_languages"].split(","))),
            reindexing=values["index_version"] == _REINDEXING,
        )
    except KeyError as error:
        raise StoreCorrupt(
            connection.path, f"the setting {error} in the file is lost; move it away or restore a copy"
        ) from error


async def _applied(connection: Connection) -> int:
    """How many migrations the file has; 0 for an empty file."""
    # Objects first: whoever makes the file ours meanwhile commits its id together with the first of them.
    objects = (await connection.script("SELECT count(*) FROM sqlite_master"))[0][0]
    application = (await connection.script("PRAGMA application_id"))[0][0]
    if objects == 0 and application in {0, APPLICATION_ID}:
        return 0
    if application != APPLICATION_ID:
        raise StoreTooNew(
            connection.path, "this database belongs to another program; name another file with --database"
        )
    applied: int = (await connection.script("SELECT coalesce(max(number), 0) FROM schema_migrations"))[0][0]
    if applied:
        asked = await connection.script("SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'min_writer'")
        check_writer(connection, asked[0][0] if asked else None)
    return applied


def check_turn(connection: Connection, head: sqlite3.Row, settings: FileSettings) -> None:
    """Refuse to write what this process, which has the file open with `settings`, would index or embed differently.

    A process without a model writes no vectors, and so none that could be wrong.

    Raises:
        StoreTooNew: a newer version has taken the file over.
        StoreUnavailable: a reindex has changed its settings.
        StoreCorrupt: the file does not say.
    """
    known = head["min_writer"] if None not in {head["languages"], head["model"]} else None
    check_writer(connection, known)
    if head["languages"] != ",".join(settings.languages) or settings.model not in {head["model"], ""}:
        raise StoreUnavailable(
            connection.path,
            "the search settings of this file were changed by mcp-memory reindex; restart this client",
        )


def check_writer(connection: Connection, min_writer: int | None) -> None:
    """Refuse a file that a newer version has changed in a way this one would damage.

    Raises:
        StoreTooNew: `min_writer` is above what this version understands.
        StoreCorrupt: `min_writer` is None: the file does not say.
    """
    if min_writer is None:
        raise StoreCorrupt(
            connection.path,
            "settings in the file are lost; move it away or restore a copy, nothing was changed",
        )
    if min_writer > WRITER:
        raise StoreTooNew(
            connection.path, "a newer mcp-memory uses this file; upgrade mcp-memory, then restart this client"
        )


async def _apply(turn: Connection, migration: Migration, now: int) -> None:
    for statement in migration.statements():
        await turn.script(statement)
    await turn.script(
        "INSERT INTO schema_migrations (number, name, at) VALUES (?, ?, ?)", (migration.number, migration.name, now)
    )

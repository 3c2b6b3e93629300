"""Brings a file to the schema of this version: all that it lacks in one transaction, after a backup where it is in use.

A migration that only adds leaves `min_writer` as it is: older processes that have the file open go on writing.
"""

import sqlite3
from pathlib import Path
from typing import Final

from mcp_memory.errors import StoreCorrupt, StoreError, StoreTooNew, StoreUnavailable
from mcp_memory.store.base import FileSettings
from mcp_memory.store.sqlite import salvage
from mcp_memory.store.sqlite.backup import back_up, claimed, folder_of, holds, keep_newest
from mcp_memory.store.sqlite.connection import Connection, Turns, prepare
from mcp_memory.store.sqlite.errors import REMEDY
from mcp_memory.store.sqlite.rows import SEQUENCE_BITS
from mcp_memory.store.sqlite.sql import MIGRATIONS, Migration
from mcp_memory.text import LANGUAGES

APPLICATION_ID: Final = 0x4D656D31
"""Written into the file's header, so that another program's database is never taken for ours ("Mem1")."""

WRITER: Final = 1
"""What this version understands; a file that asks for more is not written."""

_MOST: Final = 1 << SEQUENCE_BITS
_INDEX_VERSION: Final = "1"
_REINDEXING: Final = "0"
"""What the setting `index_version` says until everything is indexed as the other settings say."""

_LEDGER: Final = """CREATE TABLE IF NOT EXISTS schema_migrations (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, at INTEGER NOT NULL
) STRICT"""


async def migrate(connection: Connection, turns: Turns, now: int) -> None:
    """Make an empty file ours, or bring a file of ours up to date. A file of another program is left as it is.

    A file that holds something is backed up first. One process at a time does so; the others wait for it.

    Raises:
        StoreTooNew: the file belongs to another program, or to a version whose files this one must not write.
        StoreBusy: another process is bringing it up to date for longer than a statement may wait.
        StoreError: the file cannot be read, backed up or written; it is as it was.
    """
    applied = await _applied(connection)
    await prepare(connection)
    if applied == 0:
        await _advance(turns, 0, now)
        applied = await _applied(connection)
    if applied < len(MIGRATIONS):
        path, folder = connection.path, folder_of(connection.path)
        async with claimed(path, folder, connection.lock_timeout):
            if (applied := await _applied(connection)) < len(MIGRATIONS):
                await _keep(connection, applied, now)
                await _advance(turns, applied, now)


async def migrate_copy(connection: Connection, turns: Turns, now: int) -> None:
    """Bring a copy up to date that nobody else knows of; what it was made from is its backup.

    Raises:
        StoreError: it cannot be done.
    """
    applied = await _applied(connection)
    await prepare(connection)
    if applied < len(MIGRATIONS):
        await _advance(turns, applied, now)


async def _keep(connection: Connection, applied: int, now: int) -> None:
    """Back the file up, unless the backup that an earlier try has made still says the same."""
    path, reason = connection.path, f"before-{MIGRATIONS[applied].number:04}"
    last = (await connection.single("last_change", {}))["seq"]
    if not await holds(path, connection.key, reason, last):
        try:
            await back_up(path, connection.key, folder_of(path), reason, now)
        except StoreError as error:
            raise type(error)(path, f"a newer schema waits for a backup, which failed: {error}") from error
        await keep_newest(path, connection.key, folder_of(path), reason, 1)


async def _advance(turns: Turns, applied: int, now: int) -> None:
    """Apply all that follow the first `applied` migrations, unless another process has done something about it."""
    async with turns.turn() as turn:
        if await _applied(turn) != applied:
            return
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
    return stored.replace(**chosen)


async def _put(turn: Connection, settings: FileSettings) -> None:
    await turn.all("set_setting", {"name": "embedding_model", "value": settings.model})
    await turn.all("set_setting", {"name": "search_languages", "value": ",".join(settings.languages)})


async def _stored(connection: Connection) -> FileSettings:
    values: dict[str, str] = {row["name"]: salvage.text(row["value"]) for row in await connection.all("settings")}
    try:
        settings = FileSettings(
            model=values["embedding_model"],
            languages=tuple(filter(None, values["search_languages"].split(","))),
            reindexing=values["index_version"] == _REINDEXING,
        )
    except KeyError as error:
        raise StoreCorrupt(connection.path, f"the setting {error} in the file is lost; {REMEDY}") from error
    if unknown := set(settings.languages) - set(LANGUAGES):
        raise StoreCorrupt(connection.path, f"the search language {min(unknown)!r} in the file is none; {REMEDY}")
    return settings


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
        check_writer(connection.path, asked[0][0] if asked else None)
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
    check_writer(connection.path, known)
    check_head(connection.path, head)
    if head["languages"] != ",".join(settings.languages) or settings.model not in {head["model"], ""}:
        raise StoreUnavailable(
            connection.path,
            "the search settings of this file were changed by mcp-memory reindex; restart this client",
        )


def check_head(path: Path, head: sqlite3.Row) -> None:
    """Refuse a user's row whose numbers are none, or would lead into the rows of other users.

    Raises:
        StoreCorrupt: the row is damaged.
    """
    number, last = head["number"], head["last_seq"]
    if number is None and last is None:  # never wrote
        return
    if not (isinstance(number, int) and 0 < number < _MOST and isinstance(last, int) and 0 <= last < _MOST):
        raise StoreCorrupt(path, f"a user's row in the file is damaged; {REMEDY}, nothing was changed")


def check_writer(path: Path, min_writer: int | None) -> None:
    """Refuse a file that a newer version has changed in a way this one would damage.

    Raises:
        StoreTooNew: `min_writer` is above what this version understands.
        StoreCorrupt: `min_writer` is None: the file does not say.
    """
    if min_writer is None:
        raise StoreCorrupt(
            path,
            f"settings in the file are lost; {REMEDY}, nothing was changed",
        )
    if min_writer > WRITER:
        raise StoreTooNew(path, "a newer mcp-memory uses this file; upgrade mcp-memory, then restart this client")


async def _apply(turn: Connection, migration: Migration, now: int) -> None:
    try:
        for statement in migration.statements():
            await turn.script(statement)
    except StoreError as error:
        said = str(error).removeprefix(f"{turn.path}: ")
        raise type(error)(turn.path, f"migration {migration.name} failed, the file is as it was: {said}") from error
    await turn.script(
        "INSERT INTO schema_migrations (number, name, at) VALUES (?, ?, ?)", (migration.number, migration.name, now)
    )

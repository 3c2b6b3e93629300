"""Brings a file to the schema of this version: each migration and its ledger row commit together, or neither does."""

from typing import Final

from mcp_memory.errors import StoreTooNew
from mcp_memory.store.sqlite.connection import Connection, Turns, prepare
from mcp_memory.store.sqlite.sql import MIGRATIONS, Migration

APPLICATION_ID: Final = 0x4D656D31
"""Written into the file's header, so that another program's database is never taken for ours ("Mem1")."""

WRITER: Final = 1
"""What this version understands; a file that asks for more is not written."""

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
        check_writer(
            connection,
            (await connection.script("SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'min_writer'"))[0][0],
        )
    return applied


def check_writer(connection: Connection, min_writer: int) -> None:
    """Refuse a file that a newer version has changed in a way this one would damage.

    Raises:
        StoreTooNew: `min_writer` is above what this version understands.
    """
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

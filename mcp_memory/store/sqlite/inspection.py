"""What can be told of a database from inside: whether it is ours, sound, and found by what it holds.

Reads only. It takes the write lock for the moment in which FTS5 compares its indexes with the tables, and a large
write-ahead log is written back as far as readers allow, as any commit would.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio

from mcp_memory.checks import Check, fail, ok, some, warn
from mcp_memory.errors import McpMemoryError, StoreBusy, StoreCorrupt, StoreUnreadable, WrongKey
from mcp_memory.keys import Key
from mcp_memory.store.base import FileSettings
from mcp_memory.store.sqlite import health
from mcp_memory.store.sqlite.connection import Connection, open_connection
from mcp_memory.store.sqlite.migrate import APPLICATION_ID, WRITER
from mcp_memory.store.sqlite.opening import is_plain
from mcp_memory.store.sqlite.sql import MIGRATIONS
from mcp_memory.store.sqlite.wordings import looked_through
from mcp_memory.text import LANGUAGES
from mcp_memory.text.amounts import counted, size

REPAIR: Final = "mcp-memory doctor --repair"
RESTORE: Final = "mcp-memory restore-backup"
REINDEX: Final = "mcp-memory reindex"

_PATIENCE: Final = 2.0
"""Seconds that a check waits for the write lock; a write takes milliseconds."""

_LARGE_LOG: Final = 16 << 20
_INDEXES: Final = ("memory_index", "past_index")
_SETTINGS: Final = ("min_writer", "index_version", "search_languages", "embedding_model")
_OBJECTS: Final = frozenset(
    {"users", "settings", "changes", "memories", "revisions", "past_wordings", "vectors", "schema_migrations"}
)

Tell = Callable[[Check], None]


@asynccontextmanager
async def opened(path: Path, key: Key | None, patience: float = _PATIENCE) -> AsyncGenerator[Connection]:
    """The one way in which a file is opened to be looked at or repaired; it is not prepared, and so not changed."""
    async with open_connection(path, patience, key) as connection:
        yield connection


async def inspect(
    path: Path, key: Key | None, wanted: FileSettings, dimensions: int | None, now: int, tell: Tell
) -> bool:
    """Tell of every check of the file at the absolute `path`; whether it is one that this version can work with.

    `wanted` is what this process is configured for, and `dimensions` the length of its model's vectors, if known. `now`
    is in microseconds. A file that is not there is not made, and an older one not migrated.
    """
    tell(found := health.place(path))
    if path.parent.is_dir():
        tell(await _guarded("folder", _later(health.folder, path)))
    if found.outcome != "ok":
        return False
    tell(await _guarded("permissions", _later(health.permissions, path)))
    tell(await _guarded("disk", _later(health.space, path)))
    if (refused := await anyio.to_thread.run_sync(_form, path, key)) is not None:
        tell(refused)
        return False
    logged = health.log_size(path)
    try:
        async with opened(path, key) as connection:
            tell(whose := await identity(connection))
            if whose.outcome == "fail" or not await _filled(connection):
                return False
            await _inside(connection, wanted, dimensions, tell)
            tell(await _guarded("write-ahead log", lambda: _log(connection, logged)))
            tell(await _guarded("backups", lambda: _backups(connection, now)))
    except McpMemoryError as error:
        tell(_told("database", error))
        return False
    return True


def _form(path: Path, key: Key | None) -> Check | None:
    """What is to be said of a file that is empty, or whose first bytes do not go with `key`; it is not open here."""
    name = "database"
    if not path.stat().st_size:
        return warn(name, "the file is empty", "the first start of a client fills it")
    plain = is_plain(path)
    if plain and key is not None:
        said = "the file is not encrypted, but a key is configured; nothing was changed"
        return fail(name, said, "mcp-memory encrypt, or take [encryption] out of the settings")
    if not plain and key is None:
        said = "the file is encrypted, damaged or no database; nothing was changed"
        return fail(name, said, f"if it is encrypted, name its key under [encryption] in the settings; else {RESTORE}")
    return None


async def current(path: Path, key: Key | None) -> bool:
    """Whether a start of this version would leave the file at `path` as it is: nothing to make, nothing to migrate."""
    if health.place(path).outcome != "ok":
        return False
    try:
        async with opened(path, key) as connection:
            if not await _filled(connection):
                return False
            last = await connection.one("last_migration")
            return last is None or last["number"] >= len(MIGRATIONS)
    except McpMemoryError:
        return True  # not ours, or broken: a start refuses it


async def identity(connection: Connection) -> Check:
    """Whether the file is ours and of a version that this one can write."""
    name = "database"
    try:
        objects = {str(row["name"]) for row in await connection.all("objects")}
        application = (await connection.script("PRAGMA application_id"))[0][0]
        if not objects and application in {0, APPLICATION_ID}:
            return warn(name, "the file is empty", "the first start of a client fills it")
        if application != APPLICATION_ID:
            said = "this database belongs to another program; nothing was changed"
            return fail(name, said, "name another file with --database")
        return _whose(name, *(await _writer(connection, objects)))
    except McpMemoryError as error:
        return _told(name, error)


async def _writer(connection: Connection, objects: set[str]) -> tuple[str, int]:
    """Which writer the file asks for, empty where it does not say, and its last migration.

    Raises:
        StoreCorrupt: not even the tables are there that say so.
    """
    if lost := _OBJECTS - objects:
        raise StoreCorrupt(connection.path, f"tables are lost: {some(sorted(lost))}")
    last: int = (await connection.all("last_migration"))[0]["number"]
    return (await _stored(connection)).get("min_writer", ""), last


def _whose(name: str, asked: str, last: int) -> Check:
    if asked.isdecimal() and int(asked) > WRITER:
        said = f"a newer mcp-memory uses this file (it asks for writer {asked}, this is {WRITER})"
        return fail(name, said, "upgrade mcp-memory, then restart the clients")
    if last < len(MIGRATIONS):
        return warn(name, f"schema {last}, older than {len(MIGRATIONS)}", "the next start of a client migrates it")
    return ok(name, f"ours, schema {last}, writer {asked or 'unknown'}")


async def _stored(connection: Connection) -> dict[str, str]:
    return {str(row["name"]): str(row["value"]) for row in await connection.all("settings")}


async def _filled(connection: Connection) -> bool:
    return bool(await connection.all("objects"))


async def _inside(connection: Connection, wanted: FileSettings, dimensions: int | None, tell: Tell) -> None:
    tell(await _guarded("integrity", lambda: _integrity(connection)))
    tell(await _guarded("foreign keys", lambda: _foreign_keys(connection)))
    settings = await _guarded("settings", lambda: _settings(connection, wanted))
    tell(settings)
    await _index(connection, tell)
    if settings.outcome != "fail":
        try:
            for one in await looked_through(connection, await languages(connection)):
                tell(one)
        except McpMemoryError as error:
            tell(_told("memories", error))
        tell(await _guarded("vectors", lambda: _vectors(connection, wanted, dimensions)))
    tell(await _guarded("duplicates", lambda: _duplicates(connection)))
    tell(await _guarded("sequence", lambda: _sequence(connection)))


async def languages(connection: Connection) -> tuple[str, ...]:
    """The languages in which the words of the file are indexed."""
    stored = await _stored(connection)
    return tuple(filter(None, stored.get("search_languages", "").split(",")))


async def _integrity(connection: Connection) -> Check:
    name = "integrity"
    found = [str(row[0]) for row in await connection.script("PRAGMA integrity_check(20)")]
    if found == ["ok"]:
        return ok(name, "every page and index is sound")
    faults = [" ".join(one.split()) for one in found]
    in_indexes = all("index" in one for one in faults)
    return fail(name, some(faults, 2), REPAIR if in_indexes else f"the file is damaged: {RESTORE}")


async def _foreign_keys(connection: Connection) -> Check:
    name = "foreign keys"
    found = await connection.script("PRAGMA foreign_key_check")
    if not found:
        return ok(name, "every row belongs to something")
    tables = sorted({str(row[0]) for row in found})
    return fail(name, f"{counted(len(found), 'row', 'rows')} of {some(tables)} belong to nothing", RESTORE)


async def _settings(connection: Connection, wanted: FileSettings) -> Check:
    name = "settings"
    stored = await _stored(connection)
    if lost := [one for one in _SETTINGS if one not in stored]:
        return fail(name, f"{some(lost)} lost", RESTORE)
    tongues = tuple(filter(None, stored["search_languages"].split(",")))
    if unknown := [one for one in tongues if one not in LANGUAGES]:
        return fail(name, f"search languages that are unknown here: {some(unknown)}", "upgrade mcp-memory")
    model = stored["embedding_model"]
    if stored["index_version"] == "0":
        return warn(name, "a reindex is under way, or was not finished", REINDEX)
    if tongues and tongues != wanted.languages:
        return warn(
            name,
            f"the file has the search languages {some([*tongues])}, the configuration {some([*wanted.languages])}",
            f"the file's are used; {REINDEX} changes them",
        )
    if model and wanted.model and model != wanted.model:
        return warn(
            name,
            f"the file has the embedding model {model}, the configuration {wanted.model}",
            f"the file's is used; {REINDEX} changes it",
        )
    return ok(name, f"languages {some([*tongues]) or 'not chosen yet'}; vectors {model or 'not chosen yet'}")


async def _index(connection: Connection, tell: Tell) -> None:
    """Whether the file can be written, and both word indexes hold what their tables do."""
    try:
        await connection.begin(anyio.current_time() + _PATIENCE)
    except StoreBusy:
        said = f"another process has kept the write lock for {_PATIENCE:g} s; the word indexes were not compared"
        tell(warn("write lock", said, "wait until it has finished, or restart the clients; then run this again"))
        return
    except McpMemoryError as error:
        tell(_told("write lock", error))
        return
    try:
        tell(ok("write lock", "free"))
        for index in _INDEXES:
            tell(await _guarded(index.replace("_", " "), lambda index=index: _compared(connection, index)))
    finally:
        with anyio.CancelScope(shield=True):
            await connection.rollback()


async def _compared(connection: Connection, index: str) -> Check:
    name = index.replace("_", " ")
    try:
        await connection.all(f"check_{index}")
    except StoreCorrupt:
        return fail(name, await _difference(connection, index), REPAIR)
    return ok(name, "holds exactly what its table does")


async def _difference(connection: Connection, index: str) -> str:
    try:
        await connection.all(f"list_{index}")
        found = (await connection.all(f"compare_{index}"))[0]
    except McpMemoryError:
        return "the index is damaged: searches miss some words"
    missing, extra = found["missing"], found["extra"]
    told = [
        f"{counted(missing, 'row is', 'rows are')} not found by any word" if missing else "",
        f"{counted(extra, 'row', 'rows')} in it that the table does not have" if extra else "",
    ]
    return "; ".join(filter(None, told)) or "some rows are found by other words than they have"


async def _vectors(connection: Connection, wanted: FileSettings, dimensions: int | None) -> Check:
    name = "vectors"
    stored = await _stored(connection)
    model = stored.get("embedding_model", "")
    if not model:
        return ok(name, "no embedding model is chosen")
    length = dimensions if model == wanted.model else None
    row = (await connection.all("vector_health", {"model": model, "dimensions": length}))[0]
    told = [
        f"{counted(row['lacking'], 'memory has', 'memories have')} no vector of {model}" if row["lacking"] else "",
        f"{counted(row['others'], 'vector', 'vectors')} of another model" if row["others"] else "",
        f"{counted(row['misfits'], 'vector', 'vectors')} of a wrong length" if row["misfits"] else "",
    ]
    if not any(told):
        return ok(name, f"every memory has one of {model}")
    remedy = f"{REINDEX} makes them now"
    if not row["misfits"]:
        remedy = f"a client's next searches make them up in the background; {remedy}"
    return warn(name, "; ".join(filter(None, told)), remedy)


async def _duplicates(connection: Connection) -> Check:
    name = "duplicates"
    found = [f"{row['ids']} ({row['what']})" for row in await connection.all("duplicates")]
    if not found:
        return ok(name, "no text, key or id stands twice")
    return fail(name, f"the same for several memories: {some(found)}", "delete_memory for all but one of each")


async def _sequence(connection: Connection) -> Check:
    name = "sequence"
    behind = [str(row["name"]) for row in await connection.all("sequences_behind")]
    if not behind:
        return ok(name, "the next write of every user has a number of its own")
    return fail(name, f"the count of writes is behind for {some(behind)}: their next write would fail", REPAIR)


async def _log(connection: Connection, logged: int) -> Check:
    name = "write-ahead log"
    pages, free = [int((await connection.script(f"PRAGMA {one}"))[0][0]) for one in ("page_count", "freelist_count")]
    unused = f"{100 * free // max(pages, 1)} % of the file's pages are free for later writes"
    if logged < _LARGE_LOG:
        return ok(name, f"{size(logged)}; {unused}")
    _, frames, done = (await connection.script("PRAGMA wal_checkpoint(PASSIVE)"))[0]
    if done < frames:
        said = f"{size(logged)}, and a process that keeps reading an old state holds it"
        return warn(name, said, f"restart the clients, then {REPAIR}")
    return ok(name, f"{size(logged)}, all of it written back; it goes when the last client ends; {unused}")


async def _backups(connection: Connection, now: int) -> Check:
    known = {row["name"] for row in await connection.all("objects")}
    folders = await connection.all("backup_folders") if "backup_folders" in known else []
    return health.backups(connection.path, [str(row["path"]) for row in folders], now)


def _later(check: Callable[[Path], Check], path: Path) -> Callable[[], Awaitable[Check]]:
    async def looked() -> Check:
        return await anyio.to_thread.run_sync(check, path)

    return looked


async def _guarded(name: str, check: Callable[[], Awaitable[Check]]) -> Check:
    """The check, or that it could not be made: it hides no other."""
    try:
        return await check()
    except (McpMemoryError, OSError) as error:
        return _told(name, error)


def _told(name: str, error: McpMemoryError | OSError) -> Check:
    match error:
        case StoreBusy():
            return warn(name, f"could not be checked: {error}", "wait until the other process has finished, run again")
        case StoreUnreadable():
            return fail(name, str(error), f"name its key under [encryption] if it has one, else {RESTORE}")
        case WrongKey():
            remedy = f"name the file's own key under [encryption] in the settings; if it is that one, {RESTORE}"
            return fail(name, str(error), remedy)
        case StoreCorrupt():
            return fail(name, str(error), RESTORE)
        case _:
            return fail(name, f"could not be checked: {error}", "see what it says, then run this again")

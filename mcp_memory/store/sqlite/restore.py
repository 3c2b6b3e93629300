"""Backups that a person asks for, and the way back from one.

A restore builds the new file beside the old one, checks it and brings it up to date; then, under SQLite's exclusive
lock on the old one, keeps a copy of that and renames the new one over it. A process that waited for the old file
meanwhile is refused by SQLite, which sees that the name belongs to another file now.
"""

import os
import shutil
import sqlite3
import sys
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import anyio
import anyio.to_thread

from mcp_memory import text
from mcp_memory.errors import (
    ConfigError,
    InvalidInput,
    NotFound,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreTooNew,
    StoreUnavailable,
    WrongKey,
)
from mcp_memory.keys import Key
from mcp_memory.store.base import Backup
from mcp_memory.store.sqlite.backup import (
    back_up,
    claimed,
    described,
    flush,
    flush_folder,
    folder_of,
    ids_of,
    of_another_key,
    on_disk,
    own_copies,
    part_of,
    place,
    recorded,
    unfinished,
    write_copy,
)
from mcp_memory.store.sqlite.connection import Turns, create_file, open_connection
from mcp_memory.store.sqlite.errors import translated
from mcp_memory.store.sqlite.migrate import APPLICATION_ID, check_writer, migrate, migrate_copy
from mcp_memory.store.sqlite.opening import connect, is_plain
from mcp_memory.store.sqlite.sql import QUERIES

if sys.platform != "win32":
    import fcntl

REPLACED: Final = "before-restore"

_LOCK_TIMEOUT: Final = 1.0
"""Seconds until a file counts as in use: longer than any client takes to close it."""
_SHARED_FIRST: Final = 0x40000002
"""Where in a file SQLite's locks begin, and how many bytes they cover; sqlite.org/src/file/src/os_unix.c."""
_SHARED_SIZE: Final = 510


class Restored(NamedTuple):
    """What a restore did: `kept` is the backup of what was there before; None where there was nothing to keep."""

    backup: Backup
    kept: Backup | None


class Archive:
    """The backups of the database at `path`, as a person deals with them; nothing else has it open here.

    `key` opens the file and its backups.
    """

    def __init__(self, path: Path, lock_timeout: float, key: Key | None) -> None:
        self._path = path
        self._key = key
        self._lock_timeout = lock_timeout

    async def make(self, folder: Path | None, now: int) -> Backup:
        """Back the file up, into its usual folder unless `folder` is given.

        Another folder is recorded in the file first, so that what is forgotten later is forgotten there too.

        Raises:
            StoreError: the file cannot be read, or the folder not written; nothing of the backup is left.
        """
        usual = folder_of(self._path)
        where = usual if folder is None else await anyio.to_thread.run_sync(_resolved, folder)
        async with claimed(self._path, where, self._lock_timeout):
            if where != await anyio.to_thread.run_sync(_resolved, usual):
                await self._record(where, now)
            await anyio.to_thread.run_sync(_refuse_foreign, self._path, self._key)
            return await back_up(self._path, self._key, where, "", now)

    async def found(self) -> list[Backup]:
        """Every backup in the usual folder and those that the file names, oldest first."""
        return await anyio.to_thread.run_sync(self._found)

    async def named(self, name: str) -> Backup:
        """The backup that a path, a file's name or "latest" names; the latest is none that a restore has kept.

        Raises:
            NotFound: there is no such backup.
            StoreError: it is damaged, no backup of ours, or of a newer version.
        """
        found = await self.found()
        if name == "latest":
            chosen = next((one for one in reversed(found) if one.reason != REPLACED), None)
            if chosen is None:
                raise NotFound(f"{folder_of(self._path)}: no backup of {self._path.name} here; name a file")
        else:
            chosen = next((one for one in found if one.path.name == name), None)
            if chosen is None:
                chosen = await anyio.to_thread.run_sync(_outside, self._path, self._key, name)
        await anyio.to_thread.run_sync(_sound, chosen.path, self._key)
        return chosen

    async def restore(self, backup: Backup, now: int) -> Restored:
        """Put a backup in the place of the file, of which a copy is kept.

        Raises:
            StoreUnavailable: a process has the file open.
            StoreError: the backup, the file or its folder cannot be used; the file is as it was.
        """
        real = self._path.resolve()
        async with claimed(self._path, folder_of(self._path), self._lock_timeout):
            part = part_of(self._path, real.parent)
            try:
                await anyio.to_thread.run_sync(self._prepared, backup.path, part)
                async with open_connection(part, self._lock_timeout, self._key) as connection:
                    await migrate_copy(connection, Turns(connection), now)
                kept = await anyio.to_thread.run_sync(self._swap, part, real, now)
            finally:
                self._tidy(real.parent)
        return Restored(backup, kept)

    async def _record(self, folder: Path, now: int) -> None:
        if text.lone_surrogate(str(folder)):
            raise InvalidInput(f"{str(folder)!r} is a name that cannot be written down; name another folder")
        async with open_connection(self._path, self._lock_timeout, self._key) as connection:
            turns = Turns(connection)
            await migrate(connection, turns, now)
            async with turns.turn() as turn:
                await turn.all("add_backup_folder", {"path": str(folder)})

    def _found(self) -> list[Backup]:
        folders = dict.fromkeys(_resolved(one) for one in (folder_of(self._path), *self._recorded()))
        found = [described(self._path, one, self._key) for one in own_copies(self._path, self._key, folders)]
        return sorted(found, key=lambda one: one.at)

    def _recorded(self) -> list[Path]:
        """The other folders that the file names; none where it cannot be read."""
        try:
            with translated(self._path), closing(connect(self._path, self._key, _LOCK_TIMEOUT)) as raw:
                return recorded(raw)
        except (ConfigError, StoreError):
            return []

    def _prepared(self, backup: Path, part: Path) -> None:
        self._tidy(part.parent)
        with translated(backup), closing(connect(backup, self._key, 0, "immutable")) as source:
            write_copy(source, backup, self._key, part)

    def _tidy(self, folder: Path) -> None:
        with on_disk(folder):
            for one in unfinished(self._path, [folder]):
                one.unlink(missing_ok=True)

    def _swap(self, part: Path, real: Path, now: int) -> Backup | None:
        create_file(real)
        try:
            with _exclusive(real, self._key) as live:
                kept = self._kept(live, real, now)
                self._carry_over(live, part)
                if sys.platform == "win32":
                    live.close()  # no open file can be replaced there, which also keeps everybody else's safe
                _replace(part, real)
        except (StoreCorrupt, WrongKey):  # a file whose key was lost is kept as well
            with _alone(real) as damaged:
                kept = self._kept_as_it_is(damaged, real, now)
                flush(part)
                _replace(part, real)
        return kept

    def _kept(self, live: sqlite3.Connection, real: Path, now: int) -> Backup | None:
        if live.execute(QUERIES["count_objects"]).fetchone()[0] == 0:
            return None
        folder = folder_of(self._path)
        part = folder / f"{part_of(self._path, folder).name}-{REPLACED}"
        part.unlink(missing_ok=True)
        write_copy(live, real, self._key, part)
        return described(self._path, place(part, self._path, folder, REPLACED, now), self._key)

    def _kept_as_it_is(self, damaged: BinaryIO, real: Path, now: int) -> Backup:
        """Keep the bytes of a file that SQLite cannot read; what was in its log stays beside the copy."""
        folder = folder_of(self._path)
        part = folder / f"{part_of(self._path, folder).name}-{REPLACED}"
        try:
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as copy:
                shutil.copyfileobj(damaged, copy)
            flush(part)
            final = place(part, self._path, folder, REPLACED, now)
            log = real.with_name(f"{real.name}-wal")
            if log.exists():
                beside = final.with_name(f"{final.name}-wal")
                shutil.copyfile(log, beside)
                flush(beside)
            for suffix in ("-wal", "-shm", "-journal"):  # SQLite would take them for the new file's
                real.with_name(real.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            raise StoreUnavailable(folder, f"the damaged file cannot be kept here ({error.strerror})") from error
        return described(self._path, final, self._key)

    def _carry_over(self, live: sqlite3.Connection, part: Path) -> None:
        """Let the restored file know of every folder that has backups of it."""
        known, ids = recorded(live), _ids(live)
        with translated(part), closing(connect(part, self._key, _LOCK_TIMEOUT)) as raw:
            for folder in known:
                raw.execute(QUERIES["add_backup_folder"], {"path": str(folder)})
            raw.execute(QUERIES["set_file_ids"], {"value": ",".join(sorted(ids | _ids(raw)))})
        flush(part)


def _resolved(folder: Path) -> Path:
    try:
        return folder.expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise StoreUnavailable(folder, f"this is no folder ({error}); name another") from error


def _ids(raw: sqlite3.Connection) -> frozenset[str]:
    """The ids of a file that may be empty yet."""
    return (
        ids_of(raw.execute(QUERIES["file_ids"])) if raw.execute(QUERIES["count_objects"]).fetchone()[0] else frozenset()
    )


def _outside(path: Path, key: Key | None, name: str) -> Backup:
    given = Path(name).absolute()
    if not given.is_file():
        raise NotFound(f"{given}: no such backup; mcp-memory restore-backup --list shows what there is")
    if given.resolve() == path.resolve():
        raise InvalidInput(f"{given}: this is the file itself; name a backup of it")
    return described(path, given, key)


def _sound(backup: Path, key: Key | None) -> None:
    """Refuse what would not be a whole file of ours."""
    log = backup.with_name(f"{backup.name}-wal")
    if log.exists() and log.stat().st_size:
        raise StoreUnavailable(backup, "it is in use, or was not closed: part of it stands in its -wal file")
    if backup.stat().st_size:
        _refuse_other_form(backup, key)
    with translated(backup), closing(connect(backup, key, 0, "immutable")) as raw:
        if raw.execute(QUERIES["application"]).fetchone()[0] != APPLICATION_ID:
            raise StoreTooNew(backup, "this is no backup of mcp-memory")
        found: str = raw.execute(QUERIES["integrity"]).fetchone()[0]
        if found != "ok":
            raise StoreCorrupt(backup, f"this backup is damaged ({' '.join(found.split())}); choose another")
        row = raw.execute(QUERIES["min_writer"]).fetchone()
    check_writer(backup, row[0] if row else None)


def _refuse_other_form(backup: Path, key: Key | None) -> None:
    """Refuse what `key` does not open, and say how it comes to be opened by it."""
    if is_plain(backup):
        if key is not None:
            raise StoreUnavailable(
                backup, f'this backup is not encrypted; mcp-memory encrypt --database "{backup}", then run this again'
            )
        return
    if key is None:
        raise of_another_key(backup, key)
    try:
        with translated(backup):
            connect(backup, key, 0, "immutable").close()
    except WrongKey as error:
        raise of_another_key(backup, key) from error


def _refuse_foreign(path: Path, key: Key | None) -> None:
    with translated(path), closing(connect(path, key, _LOCK_TIMEOUT)) as raw:
        _refuse(raw, path)


def _refuse(raw: sqlite3.Connection, path: Path) -> None:
    objects, application = (raw.execute(QUERIES[name]).fetchone()[0] for name in ("count_objects", "application"))
    if objects and application != APPLICATION_ID:
        raise StoreTooNew(path, "this database belongs to another program; name another file with --database")


@contextmanager
def _exclusive(real: Path, key: Key | None) -> Generator[sqlite3.Connection]:
    """A connection that nobody else has beside it, to a file without a log; others wait as long as it is open."""
    with ExitStack() as stack:
        try:
            with translated(real):
                raw = stack.enter_context(closing(connect(real, key, _LOCK_TIMEOUT)))
                raw.execute(QUERIES["lock_exclusively"])
                _refuse(raw, real)
                for name in ("without_log", "begin_alone", "commit"):
                    raw.execute(QUERIES[name]).fetchall()
        except StoreBusy as error:
            raise _in_use(real) from error
        with translated(real):
            yield raw


@contextmanager
def _alone(real: Path) -> Generator[BinaryIO]:
    """The bytes of a file that SQLite cannot read, while nobody else has it; opened once: closing drops the lock.

    On Windows nothing is locked: there, no file that is open can be replaced anyway.
    """
    with real.open("rb+") as file:
        if sys.platform != "win32":
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_SIZE, _SHARED_FIRST)
            except OSError as error:
                raise _in_use(real) from error
        yield file


def _replace(part: Path, real: Path) -> None:
    try:
        part.replace(real)
    except PermissionError as error:
        raise _in_use(real) from error
    except OSError as error:
        raise StoreUnavailable(real, f"cannot be replaced ({error.strerror}); it is as it was") from error
    flush_folder(real.parent)


def _in_use(real: Path) -> StoreUnavailable:
    return StoreUnavailable(
        real, "other processes use this file; close the clients whose memory it is, then run this again"
    )

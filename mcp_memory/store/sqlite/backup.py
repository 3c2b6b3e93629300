"""Backups of the file: where they lie, what they are called, and how one is made while clients write.

A backup is copied from one snapshot: a read transaction that is held for the whole copy, so that writers go on and the
copy never starts anew, step by step, so that it can be cancelled. It gets its final name once it has been checked and
flushed. Who makes one holds a lock of SQLite's on an empty file beside it: it ends with the process that held it.
"""

import glob
import os
import sqlite3
import sys
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

import anyio
import anyio.to_thread
from anyio import from_thread

from mcp_memory.errors import ConfigError, StoreBusy, StoreCorrupt, StoreError, StoreUnavailable, WrongKey
from mcp_memory.keys import Key
from mcp_memory.store.base import Backup
from mcp_memory.store.sqlite.errors import database_errors, translate, translated
from mcp_memory.store.sqlite.opening import Mode, connect, is_plain
from mcp_memory.store.sqlite.sql import QUERIES
from mcp_memory.text.patterns import Pattern

if sys.platform == "darwin":
    import fcntl

_PAGES: Final = 512
"""Pages copied in one step, 2 MB: about as long as a cancellation waits."""
_INSTRUCTIONS: Final = 100_000
"""Instructions of SQLite's machine between two looks whether a check is to be cancelled; about a millisecond."""
_SOURCE_TIMEOUT: Final = 1.0
"""Seconds that a copy waits for a process which recovers the file, and for a lock on the copy, which nobody has."""
_PAUSE: Final = 0.02
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAME: Final = Pattern(r"-(\d{8}T\d{6})Z(?:-([a-z0-9-]+))?\.db")


class Counts(NamedTuple):
    """How many rows a file has of what a backup must not lose."""

    memories: int
    users: int
    revisions: int
    changes: int
    vectors: int


def folder_of(path: Path) -> Path:
    """Where the backups of the database at `path` are kept unless another folder is named."""
    return path.parent / "backups"


def copies(path: Path, folders: Iterable[Path]) -> list[Path]:
    """The backups of the database at `path` that lie in `folders`, oldest first.

    Their names are the file's stem, the moment in UTC, and why where it was not asked for:
    `memory-20261121T183000Z.db`, `memory-20261121T183000Z-before-0002.db`.
    """
    pattern = f"{glob.escape(path.stem)}-[0-9]*T[0-9]*Z*.db"
    found = [one for folder in folders for one in folder.glob(pattern) if _parsed(path, one)]
    return sorted(found, key=lambda one: one.name)


def unfinished(path: Path, folders: Iterable[Path]) -> list[Path]:
    """What processes that were killed while they copied the database at `path` have left in `folders`."""
    return [one for folder in folders for one in folder.glob(f".{glob.escape(path.stem)}.part*")]


def recorded(raw: sqlite3.Connection) -> list[Path]:
    """The folders besides the usual one that a file names; a file of the first schema names none."""
    if not raw.execute(QUERIES["has_backup_folders"]).fetchone()[0]:
        return []
    return [Path(os.fsdecode(row[0])) for row in raw.execute(QUERIES["backup_folders"])]


def ids_of(rows: Iterable[sqlite3.Row]) -> frozenset[str]:
    """The ids in the rows of the query `file_ids`; a file of the first schema has none."""
    return frozenset(one for row in rows for one in str(row[0]).split(","))


def of_another(ids: frozenset[str], theirs: frozenset[str]) -> bool:
    """Whether a copy with the ids `theirs` is of another file than the one with `ids`, which has the same name."""
    return bool(ids and theirs) and ids.isdisjoint(theirs)


def own_copies(path: Path, key: Key | None, folders: Iterable[Path]) -> list[Path]:
    """The same as `copies` without those of another file of that name; what cannot be read counts as its own."""
    ids = _ids(path, key, "rw")
    return [one for one in copies(path, folders) if not of_another(ids, _ids(one, key, "immutable"))]


@contextmanager
def on_disk(folder: Path) -> Generator[None]:
    """Turns the system's errors about files in `folder` into ours: who makes backups in the background expects those.

    Raises:
        StoreUnavailable: a file cannot be made, named or removed.
    """
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(
            folder, f"its files cannot be changed ({error.strerror}: {error.filename}); check its owner and permissions"
        ) from error


def part_of(path: Path, folder: Path) -> Path:
    """The name, in `folder`, of a copy of the database at `path` that is not finished."""
    return folder / f".{path.stem}.part"


def described(path: Path, copy: Path, key: Key | None) -> Backup:
    """What the name and the contents of a backup of the database at `path` say. One that is plain needs no key."""
    at, reason = _parsed(path, copy) or (0, "")
    try:
        with translated(copy), closing(connect(copy, None if is_plain(copy) else key, 0, "immutable")) as raw:
            memories, users = raw.execute(QUERIES["contents"]).fetchone()
    except (ConfigError, StoreError):
        memories, users = None, None
    return Backup(path=copy, at=at, reason=reason, size=copy.stat().st_size, memories=memories, users=users)


def of_another_key(copy: Path, key: Key | None) -> WrongKey:
    """What is to be said of a backup that is not plain and that `key` does not open."""
    made_with, command = ("a key", "decrypt") if key is None else ("another key", "rekey")
    return WrongKey(
        copy,
        f"this backup is encrypted with {made_with}, damaged or no database; if it is encrypted, let [encryption] name "
        f'its key for mcp-memory {command} --database "{copy}", then run this again',
    )


@asynccontextmanager
async def claimed(path: Path, folder: Path, patience: float) -> AsyncGenerator[None]:
    """The sole right to put copies of the database at `path` into `folder`, which is made where it is missing.

    Raises:
        StoreBusy: another process has it for more than `patience` seconds.
        StoreUnavailable: the folder cannot be made or written.
    """
    deadline = anyio.current_time() + patience
    lock = _lockable(path, folder)
    with translated(lock), closing(sqlite3.connect(lock, isolation_level=None, timeout=0)) as raw:
        while not _taken(raw):
            if anyio.current_time() >= deadline:
                raise StoreBusy(folder, "another process is making a backup here; try again")
            await anyio.sleep(_PAUSE)
        yield


async def back_up(path: Path, key: Key | None, folder: Path, reason: str, now: int) -> Backup:
    """A checked copy of the database at `path`, which `key` opens, made in `folder` under a claim.

    Raises:
        StoreCorrupt: the database is damaged.
        StoreError: it cannot be read, or the copy cannot be written; nothing of it is left.
    """
    return await anyio.to_thread.run_sync(_backed_up, path, key, folder, reason, now)


async def keep_newest(path: Path, key: Key | None, folder: Path, reason: str, number: int) -> None:
    """Remove all but the newest `number` backups of that reason from `folder`, under a claim."""

    def remove() -> None:
        found = [one for one in own_copies(path, key, [folder]) if (_parsed(path, one) or (0, ""))[1] == reason]
        for one in found[: max(0, len(found) - number)]:
            with on_disk(folder):
                one.unlink(missing_ok=True)

    await anyio.to_thread.run_sync(remove)


async def holds(path: Path, key: Key | None, reason: str, last_change: int) -> bool:
    """Whether the newest backup of that reason in the usual folder ends with that change."""

    def compare() -> bool:
        found = [one for one in copies(path, [folder_of(path)]) if (_parsed(path, one) or (0, ""))[1] == reason]
        try:
            with translated(path), closing(connect(found[-1], key, 0, "immutable")) as raw:
                return raw.execute(QUERIES["last_change"]).fetchone()[0] == last_change
        except (IndexError, StoreError):
            return False

    return await anyio.to_thread.run_sync(compare)


class SqliteBackups:
    """The backups of the database at `path` in their usual folder; see `store.base.Backups`."""

    def __init__(self, path: Path, key: Key | None) -> None:
        self._path = path
        self._key = key
        self._folder = folder_of(path)

    @asynccontextmanager
    async def claimed(self, patience: float) -> AsyncGenerator[None]:
        """The sole right to make and remove them."""
        async with claimed(self._path, self._folder, patience):
            yield

    async def times(self, reason: str | None = None) -> list[int]:
        """When those there are were made, oldest first."""
        found = await anyio.to_thread.run_sync(copies, self._path, [self._folder])
        named = [named for one in found if (named := _parsed(self._path, one))]
        return [at for at, why in named if reason in {None, why}]

    async def begun(self) -> int | None:
        """When the first change was written that the file knows of."""
        return await anyio.to_thread.run_sync(self._begun)

    async def make(self, reason: str, now: int) -> Backup:
        """Make one, under a claim."""
        return await back_up(self._path, self._key, self._folder, reason, now)

    async def keep(self, reason: str, number: int) -> None:
        """Remove all but the newest `number` of that reason, under a claim."""
        await keep_newest(self._path, self._key, self._folder, reason, number)

    def _begun(self) -> int | None:
        with translated(self._path), closing(connect(self._path, self._key, _SOURCE_TIMEOUT)) as raw:
            row = raw.execute(QUERIES["first_change"]).fetchone()
            return row[0] if row else None


def write_copy(source: sqlite3.Connection, path: Path, key: Key | None, target: Path) -> Counts:
    """Copy what `source`, a connection to the database at `path`, has now into a new file, checked and flushed.

    Runs in a worker thread, and ends early when the task that waits for it is cancelled. Whatever goes wrong, `target`
    is gone then.

    Raises:
        StoreCorrupt: the database is damaged.
        StoreError: it cannot be read, or `target` cannot be written.
    """
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreUnavailable(target, f"cannot be written ({error.strerror}); free or name another place") from error
    try:
        counts = _copied(source, path, key, target)
        check(target, path, key, counts)
        flush(target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return counts


def check(copy: Path, path: Path, key: Key | None, expected: Counts) -> None:
    """Hold a copy of the database at `path` against what was counted there.

    Raises:
        StoreCorrupt: the copy is not sound or lacks something.
    """
    with translated(copy), closing(connect(copy, key, 0, "immutable")) as raw:
        raw.set_progress_handler(from_thread.check_cancelled, _INSTRUCTIONS)  # what it raises ends the statement
        try:
            found: str = raw.execute("PRAGMA quick_check(1)").fetchone()[0]
            counted = Counts(*raw.execute(QUERIES["counts"]).fetchone())
        except database_errors():
            from_thread.check_cancelled()
            raise
    if found != "ok" or counted != expected:
        said = " ".join(found.split()) if found != "ok" else f"{counted} instead of {expected}"
        raise StoreCorrupt(path, f"the file is damaged ({said}), so no backup was made; mcp-memory doctor says more")


def flush(path: Path) -> None:
    """Have a file that no connection has open, and its place in its folder, on disk.

    Raises:
        StoreUnavailable: the device failed.
    """
    try:
        with path.open("rb+") as file:
            if sys.platform == "darwin":
                fcntl.fcntl(file, fcntl.F_FULLFSYNC)
            os.fsync(file)
        flush_folder(path.parent)
    except OSError as error:
        raise StoreUnavailable(path, f"cannot be flushed to disk ({error.strerror})") from error


def flush_folder(folder: Path) -> None:
    """Have the names in a folder on disk; Windows does that by itself."""
    if sys.platform != "win32":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def place(part: Path, path: Path, folder: Path, reason: str, now: int) -> Path:
    """Give a finished copy its final name, under a claim: that of the first second from `now` on that is free."""
    stamps = ((_EPOCH + timedelta(microseconds=now, seconds=second)).strftime("%Y%m%dT%H%M%SZ") for second in count())
    stamp = next(one for one in stamps if not any(folder.glob(f"{glob.escape(path.stem)}-{one}*")))
    final = folder / f"{path.stem}-{stamp}{f'-{reason}' if reason else ''}.db"
    part.rename(final)
    flush_folder(folder)
    return final


def _backed_up(path: Path, key: Key | None, folder: Path, reason: str, now: int) -> Backup:
    with on_disk(folder):
        for left in unfinished(path, [folder]):
            left.unlink(missing_ok=True)
        with translated(path), closing(connect(path, key, _SOURCE_TIMEOUT)) as source:
            write_copy(source, path, key, part_of(path, folder))
        return described(path, place(part_of(path, folder), path, folder, reason, now), key)


def _copied(source: sqlite3.Connection, path: Path, key: Key | None, target: Path) -> Counts:
    deadline = monotonic() + _SOURCE_TIMEOUT

    def look(status: int, _remaining: int, _total: int) -> None:
        from_thread.check_cancelled()
        if status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED} and monotonic() > deadline:
            raise StoreBusy(target, "another process has the copy open; try again")

    with translated(path):
        source.execute("BEGIN")
        counts = Counts(*source.execute(QUERIES["counts"]).fetchone())
    try:
        with closing(connect(target, key, 0)) as copy:
            copy.execute("PRAGMA journal_mode = OFF")  # a copy that is not finished is thrown away
            copy.execute("PRAGMA synchronous = OFF")  # flushed once, at the end
            source.backup(copy, pages=_PAGES, progress=look, sleep=_PAUSE)
    except database_errors() as error:
        ours = translate(error, path)
        raise (ours if isinstance(ours, StoreCorrupt) else translate(error, target)) from error
    finally:
        source.execute("ROLLBACK")
    return counts


def _ids(path: Path, key: Key | None, mode: Mode) -> frozenset[str]:
    try:
        with translated(path), closing(connect(path, key, _SOURCE_TIMEOUT, mode)) as raw:
            return ids_of(raw.execute(QUERIES["file_ids"]))
    except (ConfigError, StoreError):
        return frozenset()


def _lockable(path: Path, folder: Path) -> Path:
    lock = folder / f".{path.stem}.lock"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(lock, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreUnavailable(
            folder, f"no backups can be kept here ({error.strerror}); name another folder"
        ) from error
    return lock


def _taken(lock: sqlite3.Connection) -> bool:
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if not isinstance(translate(error, Path()), StoreBusy):
            raise
        return False
    return True


def _parsed(path: Path, copy: Path) -> tuple[int, str] | None:
    """When a backup was made and why, as its name says; None where it is no name of a backup of `path`."""
    match = _NAME.fullmatch(copy.name.removeprefix(path.stem))
    if match is None:
        return None
    try:
        at = datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return round((at - _EPOCH).total_seconds()) * 1_000_000, match[2] or ""

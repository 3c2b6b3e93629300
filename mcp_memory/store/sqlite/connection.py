"""Connections to the file, and the one way to hold a write transaction.

A connection is one transaction for everybody who uses it, so the writer is one connection held under a lock for a whole
transaction, and reads use another. Cancelling an await does not cancel the statement behind it, so a transaction always
ends in COMMIT or ROLLBACK inside a shield. aiosqlite's thread is no daemon: an open connection would keep the process
alive, so `open_connection` closes it on every path.
"""

import asyncio
import logging
import os
import sqlite3
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite
import anyio
from anyio.lowlevel import checkpoint

from mcp_memory.clock import jitter
from mcp_memory.errors import McpMemoryError, StoreBusy, StoreUnavailable
from mcp_memory.keys import Key
from mcp_memory.store.sqlite.errors import database_errors, translated
from mcp_memory.store.sqlite.opening import connect
from mcp_memory.store.sqlite.sql import QUERIES

_Result = TypeVar("_Result")

_SYNCED: Final = ("Dropbox", "OneDrive", "Google Drive", "GoogleDrive", "iCloud", "Mobile Documents", "Nextcloud")

_log = logging.getLogger(__name__)

_STEP_MS: Final = 50
"""How long SQLite itself waits for a lock; short, so that a waiting thread never holds up the end of the process."""


_WAL_LIMIT: Final = 8 << 20
"""Bytes to which a write-ahead log is cut that grew while a reader stood in the way; twice what it has otherwise."""


class Connection:
    """One aiosqlite connection that runs named statements, waits for other processes and raises our errors.

    `lock_timeout` is how many seconds a statement may wait for a lock: a write for its turn, a read while another
    process recovers or converts the file. `key` is what opens
    the file, `file` the identity of what stood at `path` just before it was opened.
    """

    def __init__(
        self,
        raw: aiosqlite.Connection,
        path: Path,
        lock_timeout: float,
        key: Key | None = None,
        file: tuple[int, int] | None = None,
    ) -> None:
        self._raw = raw
        self.lock_timeout = lock_timeout
        self.path = path
        self.key = key
        self.file = file or _identity(path)

    async def all(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[sqlite3.Row]:
        """Every row of the statement called `name`."""
        return await self.script(QUERIES[name], parameters or {})

    async def one(self, name: str, parameters: Mapping[str, Any] | None = None) -> sqlite3.Row | None:
        """The first row of the statement called `name`, if there is one."""
        rows = await self.all(name, parameters)
        return rows[0] if rows else None

    async def single(self, name: str, parameters: Mapping[str, Any]) -> sqlite3.Row:
        """The one row that the statement called `name` always gives."""
        return (await self.all(name, parameters))[0]

    async def in_turn(self, *statements: tuple[str, Mapping[str, Any]]) -> list[list[sqlite3.Row]]:
        """Every row of several statements, run one right after another.

        Each way to the connection's thread and back takes longer than most statements, so all are handed over at once.
        When one fails the others have still run: this is for reads, and for writes inside a transaction, which the
        error then rolls back. Where SQLite itself has rolled back they would stand alone, so each must then fail by
        itself, as a step does without the change that it belongs to.
        """
        running = [asyncio.ensure_future(self.all(name, parameters)) for name, parameters in statements]
        try:
            return [await one for one in running]
        finally:
            for one in running:
                one.cancel()

    async def many(self, name: str, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Run the statement called `name`, which gives no rows, for each of `parameters`; the first error ends it."""
        with translated(self.path):
            async with self._raw.executemany(QUERIES[name], parameters):
                pass

    async def script(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Every row of a statement that has no name: a pragma, or a step of a migration."""
        return await _patiently(partial(self._run, statement, parameters), self.deadline())

    def deadline(self) -> float:
        """When, on anyio's clock, a statement that starts to wait now has waited long enough."""
        return anyio.current_time() + self.lock_timeout

    async def begin(self, deadline: float) -> None:
        """Open a write transaction, waiting for other processes until `deadline`.

        Raises:
            StoreBusy: the lock was not free in time.
        """
        await _patiently(self._begin, deadline)
        await checkpoint()

    async def commit(self) -> None:
        """Make the open transaction durable."""
        with translated(self.path):
            await self._raw.commit()

    async def rollback(self) -> None:
        """Undo the open transaction; that an error has already ended it is no error here."""
        with translated(self.path):
            await self._raw.rollback()

    async def _begin(self) -> None:
        # A statement that has been handed over runs, whoever still waits for it: see it through.
        with anyio.CancelScope(shield=True):
            await self._run(QUERIES["begin"])

    async def _run(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[sqlite3.Row]:
        with translated(self.path):
            return list(await self._raw.execute_fetchall(statement, parameters))


class Watch:
    """Tells whether anything was committed to the file since it was asked before.

    It asks on a connection of its own and in the caller's thread: the answer is in memory that SQLite shares between
    processes and takes microseconds, the way to another thread and back many times that.
    """

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def version(self) -> int | None:
        """A number that stays the same until somebody commits; None where it cannot be told at the moment."""
        try:
            return self._raw.execute("PRAGMA data_version").fetchone()[0]
        except database_errors():
            return None


class Turns:
    """Hands out write transactions on one connection, one at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._file = connection.file
        self._lock = anyio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[Connection]:
        """A write transaction: committed at the end of the block, rolled back on any error or cancellation."""
        deadline = self._connection.deadline()
        async with self._lock:
            try:
                await self._connection.begin(deadline)
                self._refuse_another_file()
                yield self._connection
                with anyio.CancelScope(shield=True):
                    await self._connection.commit()
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await self._connection.rollback()
                raise

    def _refuse_another_file(self) -> None:
        path = self._connection.path
        if _identity(path) != self._file:
            raise StoreUnavailable(path, "the file was moved or removed while in use; restart this client")


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file stands at `path`; by its metadata alone, since closing the file itself would drop SQLite's locks."""
    try:
        found = path.stat()  # takes microseconds, and a thread takes longer
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnavailable(
            path, f"cannot be looked at ({error.strerror}); check its folder's permissions"
        ) from error
    return found.st_dev, found.st_ino


@asynccontextmanager
async def open_connection(path: Path, lock_timeout: float, key: Key | None = None) -> AsyncGenerator[Connection]:
    """A connection to the existing file at the absolute `path`, closed at the end; see `opening.connect`."""
    logging.getLogger("aiosqlite").setLevel(logging.INFO)  # below that it logs every statement with what it stores
    # Taken before: if the file is exchanged meanwhile, the connection must not pass for one to its successor.
    file = _identity(path)
    raw = await _patiently(partial(_opened, path, key), anyio.current_time() + lock_timeout)
    try:
        await checkpoint()
        yield Connection(raw, path, lock_timeout, key, file)
    finally:
        with anyio.CancelScope(shield=True):
            await raw.close()


@contextmanager
def open_watch(path: Path, key: Key | None = None) -> Generator[Watch]:
    """A watch over the existing file at the absolute `path`; closed at the end."""
    with translated(path):
        raw = connect(path, key, 0)
    with closing(raw):
        yield Watch(raw)


async def _opened(path: Path, key: Key | None) -> aiosqlite.Connection:
    failed: list[Exception] = []

    def connected() -> sqlite3.Connection:
        # It must not raise: aiosqlite's thread would tell of its end a loop that may be closed by then.
        try:
            return connect(path, key, _STEP_MS / 1000)
        except (McpMemoryError, *database_errors()) as error:
            failed.append(error)
            return sqlite3.connect(":memory:")

    raw = aiosqlite.Connection(connected, iter_chunk_size=64)
    with anyio.CancelScope(shield=True):
        await raw
        if failed:
            await raw.close()
            with translated(path):
                raise failed[0]
    return raw


async def _patiently(attempt: Callable[[], Awaitable[_Result]], deadline: float) -> _Result:
    """The result of `attempt`, which is repeated until `deadline` while another process has the lock."""
    while True:
        try:
            return await attempt()
        except StoreBusy:
            if anyio.current_time() >= deadline:
                raise
            await anyio.sleep(jitter(0.001, 0.02))


async def prepare(connection: Connection) -> None:
    """The pragmas that every connection to a file of ours has.

    Raises:
        StoreUnavailable: the file cannot have a write-ahead log where it is.
    """
    mode: str = (await connection.script("PRAGMA journal_mode = WAL"))[0][0]
    if mode != "wal":  # SQLite answers with the mode that stays, and raises nothing
        raise StoreUnavailable(
            connection.path,
            f"its folder cannot hold a write-ahead log (journal mode stays {mode!r}), as on a network file system; "
            "name a file on a local disk with --database",
        )
    await connection.script("PRAGMA synchronous = FULL")
    await connection.script("PRAGMA foreign_keys = ON")
    await connection.script("PRAGMA secure_delete = ON")
    await connection.script(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
    if sys.platform == "darwin":
        await connection.script("PRAGMA fullfsync = ON")


def is_shared(path: Path) -> bool:
    """Whether the path of a file tells that other machines write to its folder."""
    return any(part.startswith(_SYNCED) for part in path.parts) or str(path).startswith("\\\\")


def warn_of_shared_folder(path: Path) -> None:
    """Say so when `path` lies where SQLite's locks do not hold, or where half-written files are copied."""
    if is_shared(path):
        _log.warning("%s is in a synchronised or network folder, where databases get damaged; use a local one", path)


def create_file(path: Path) -> None:
    """An empty file that only its owner can read, in a folder of the same kind, unless it is there already.

    Raises:
        StoreUnavailable: the folder or the file cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if not path.is_file():
            raise StoreUnavailable(path, "this is no file; name a file with --database") from None
    except OSError as error:
        raise StoreUnavailable(
            path, f"cannot be created ({error.strerror}); name another file with --database"
        ) from error

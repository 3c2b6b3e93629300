"""Makes an encrypted file of a plain one, a plain one of an encrypted one, or gives it another key.

Copy, verify, exchange: a new file is written beside the old one, every row of it is compared, and only then takes it
the other's place, in one step. Until that step the old file is as it was; a process killed at any moment leaves one
of the two whole, and at most a copy (`copy_of`) that the next run removes.

Nobody else may have the file open meanwhile, so that no write is lost. A process that opens it at the moment of the
exchange has the old file in its hands: its bytes are overwritten before the lock is let go, so that it finds no
database there, and writes nothing beside the new one.
"""

import os
import sqlite3
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import zip_longest
from pathlib import Path
from typing import Final

from mcp_memory.errors import StoreBusy, StoreCorrupt, StoreUnavailable
from mcp_memory.keys import Key
from mcp_memory.models import Rewritten
from mcp_memory.store.sqlite.backup import copies, folder_of
from mcp_memory.store.sqlite.errors import translated
from mcp_memory.store.sqlite.migrate import APPLICATION_ID
from mcp_memory.store.sqlite.opening import HEADER, SIDES, beginning, connect_cipher, copy_of, is_plain, specification
from mcp_memory.store.sqlite.sql import QUERIES

if sys.platform == "darwin":
    import fcntl

_PATIENCE: Final = 2.0
"""Seconds to wait for a process that is about to end."""

_PIECE: Final = 1 << 20

_ENDED: Final = object()


def rewrite(path: Path, old: Key | None, new: Key | None) -> Rewritten:
    """Give the file at the absolute `path`, which `old` opens, the key `new`; None is a file that is not encrypted.

    Raises:
        ConfigError: SQLCipher is not installed.
        StoreError: the file is in use, cannot be opened with `old`, or cannot be copied; it is as it was.
    """
    path = path.resolve()  # a link stays one
    try:
        with translated(path):
            return _rewritten(path, old, new)
    except OSError as error:
        raise StoreUnavailable(path, f"cannot be copied ({error.strerror}); nothing was changed") from error


def _rewritten(path: Path, old: Key | None, new: Key | None) -> Rewritten:
    if not path.stat().st_size:
        raise _no_memories(path)
    if old is None and beginning(path) != HEADER:
        raise StoreUnavailable(
            path, "the file is encrypted already, or no database; mcp-memory rekey gives it another key"
        )
    copy = copy_of(path)
    with _alone(path, old) as source:
        try:
            _write(copy, source, new)
            _compare(path, source, copy, new)
            done = _counted(path, source)
            _exchange(path, copy, source)
        finally:
            _remove(copy)
    return done


@contextmanager
def _alone(path: Path, key: Key | None) -> Generator[sqlite3.Connection]:
    """A connection to the file, which nobody else has open or can use meanwhile, and which has no log beside it."""
    try:
        with translated(path):
            source = _taken(path, key)
    except StoreBusy as error:
        raise StoreBusy(
            path, "another process has the file open; close every client that uses it, then try again"
        ) from error
    with closing(source):
        source.set_progress_handler(lambda: 0, 100_000)  # so that Ctrl-C is noticed
        yield source


def _no_memories(path: Path) -> StoreUnavailable:
    return StoreUnavailable(path, "there are no memories in this file; name another one with --database")


def _taken(path: Path, key: Key | None) -> sqlite3.Connection:
    with ExitStack() as failed:
        source = failed.enter_context(closing(connect_cipher(path, key, _PATIENCE)))
        source.row_factory, source.text_factory = None, bytes
        if source.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise _no_memories(path)
        source.execute("PRAGMA locking_mode = EXCLUSIVE")
        mode = source.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        if mode != b"delete":
            raise StoreUnavailable(path, f"its journal stays in mode {mode.decode()}; nothing was changed")
        source.execute("BEGIN EXCLUSIVE")
        source.execute("COMMIT")
        failed.pop_all()
    return source


def _write(copy: Path, source: sqlite3.Connection, key: Key | None) -> None:
    """Put everything in `source` into a new file at `copy`, and that on disk."""
    _remove(copy)
    os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    specified = "" if key is None else specification(copy, key)
    source.execute(QUERIES["attach_copy"], {"uri": f"{copy.as_uri()}?mode=rw", "key": specified})
    source.execute("PRAGMA copy.journal_mode = OFF")  # it is not kept if anything goes wrong
    source.execute("PRAGMA copy.synchronous = OFF")
    source.execute(QUERIES["export_copy"]).fetchall()
    for name in ("application_id", "user_version"):
        source.execute(f"PRAGMA copy.{name} = {source.execute(f'PRAGMA main.{name}').fetchone()[0]}")
    source.execute("DETACH copy")
    _sync(copy)


def _compare(path: Path, source: sqlite3.Connection, copy: Path, key: Key | None) -> None:
    """Read the copy as the next process will, and hold every row of it against the original.

    Raises:
        StoreCorrupt: they differ.
    """
    with closing(connect_cipher(copy, key, _PATIENCE)) as made:
        made.row_factory = None
        made.text_factory = bytes
        sound = made.execute("PRAGMA integrity_check").fetchall() == [(b"ok",)]
        if not sound or (beginning(copy) == HEADER) != (key is None):
            raise StoreCorrupt(path, "the copy is damaged; check the disk, the file is as it was")
        for statement in _everything(source):
            pairs = zip_longest(source.execute(statement), made.execute(statement), fillvalue=_ENDED)
            if any(one != other for one, other in pairs):
                raise StoreCorrupt(path, "the copy differs from the file; check the disk, the file is as it was")


def _everything(source: sqlite3.Connection) -> Iterator[str]:
    """Statements that read all there is in a file: what is defined, and every row of every table."""
    yield QUERIES["definitions"]
    yield "PRAGMA application_id"
    yield "PRAGMA user_version"
    for (name,) in source.execute(QUERIES["stored_tables"]).fetchall():
        yield QUERIES["every_row"].replace(":table", '"' + name.decode().replace('"', '""') + '"')


def _counted(path: Path, source: sqlite3.Connection) -> Rewritten:
    users, memories, revisions = source.execute(QUERIES["everything_counted"]).fetchone()
    known = source.execute(QUERIES["has_backup_folders"]).fetchone()[0]  # a file of the first schema names none
    rows = source.execute(QUERIES["backup_folders"]).fetchall() if known else []
    named = [Path(os.fsdecode(folder)) for (folder,) in rows]
    kept = copies(path, dict.fromkeys([folder_of(path), *named]))
    plain = tuple(one for one in kept if is_plain(one))
    return Rewritten(
        users=users,
        memories=memories,
        revisions=revisions,
        plain_backups=plain,
        encrypted_backups=tuple(one for one in kept if one not in plain),
    )


def _exchange(path: Path, copy: Path, source: sqlite3.Connection) -> None:
    """Put the copy into the file's place, and let go of the old file."""
    if sys.platform == "win32":
        # Windows exchanges no file that anybody has open: the lock must go first, and whoever comes in between is
        # noticed by the exchange, or by what it wrote.
        known = _state(path)
        source.close()
        if _state(path) != known:
            raise StoreBusy(path, "another process has written meanwhile; close the clients, then try again")
        copy.replace(path)
        return
    old = os.open(path, os.O_RDWR)
    try:
        copy.replace(path)
        _sync(path.parent)
        _overwrite(path, old)
        source.close()
    finally:
        os.close(old)  # drops this process's locks on the old file, so not before it is no database any more


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _overwrite(path: Path, file: int) -> None:
    left = os.fstat(file).st_size
    try:
        while left:
            left -= os.write(file, bytes(min(left, _PIECE)))
        os.fsync(file)
    except OSError as error:
        raise StoreUnavailable(
            path, f"the new file is in place, but the old one's bytes could not be overwritten ({error.strerror})"
        ) from error


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(file)
        if sys.platform == "darwin":
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
    finally:
        os.close(file)


def _remove(copy: Path) -> None:
    for side in SIDES:
        with suppress(FileNotFoundError):
            copy.with_name(copy.name + side).unlink()

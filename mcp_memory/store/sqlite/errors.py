"""The one place where SQLite's and SQLCipher's errors become ours."""

import sqlite3
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mcp_memory.errors import (
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StoreUnreadable,
)

REMEDY: Final = "run mcp-memory doctor, or mcp-memory restore-backup"
"""What helps against damage."""

_BUSY = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"}
_FULL = {"SQLITE_FULL"}
_NO_ROOM = {"SQLITE_IOERR_WRITE", "SQLITE_IOERR_TRUNCATE", "SQLITE_IOERR_SHMSIZE"}
"""What a quota or a limit on file sizes comes to: SQLite knows only ENOSPC, and for -shm not even that."""
_CORRUPT = {"SQLITE_CORRUPT", "SQLITE_FORMAT"}
_CONTRADICTION = {"SQLITE_CONSTRAINT", "SQLITE_MISMATCH"}
_UNAVAILABLE = {"SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_IOERR", "SQLITE_AUTH", "SQLITE_NOLFS"}


def database_errors() -> tuple[type[Exception], ...]:
    """What a connection raises: SQLCipher, once it has been loaded, has classes of its own."""
    cipher = sys.modules.get("sqlcipher3.dbapi2")
    return (sqlite3.Error,) if cipher is None else (sqlite3.Error, cipher.Error)


def translate(error: Exception, path: Path) -> StoreError:
    """Our error for one of SQLite's or SQLCipher's about the file at `path`."""
    family, said = _family(error), " ".join(str(error).split())
    if family in _BUSY:
        return StoreBusy(path, "another process is writing for too long; nothing was written, try again")
    if family in _FULL:
        return StoreFull(path, "no space left on the device; nothing was written, free some space and try again")
    if getattr(error, "sqlite_errorname", "") in _NO_ROOM:
        return StoreFull(
            path,
            f"the file cannot grow ({said}): no space left, a quota, a limit on file sizes or a failing disk; "
            "nothing was written, make room and try again",
        )
    if family in _UNAVAILABLE:
        return StoreUnavailable(path, f"the file cannot be used ({said}); check its folder, owner and permissions")
    return _damage(error, family, said, path)


def _damage(error: Exception, family: str, said: str, path: Path) -> StoreError:
    if family == "SQLITE_NOTADB":
        return StoreUnreadable(
            path,
            f"the file is encrypted, damaged or no database ({said}); name its key under [encryption] in the settings, "
            f"or {REMEDY}, nothing was changed",
        )
    if family in _CORRUPT:
        return StoreCorrupt(path, f"the file is damaged ({said}); {REMEDY}, nothing was changed")
    if family in _CONTRADICTION:  # the service looks first, so that in a sound file nothing is in the way
        return StoreCorrupt(path, f"what is stored contradicts itself ({said}); {REMEDY}, nothing was written")
    return StoreError(path, f"{type(error).__name__}: {said}; if that stays, {REMEDY}")


@contextmanager
def translated(path: Path) -> Generator[None]:
    """Turns SQLite's and SQLCipher's errors inside the block into ours."""
    try:
        yield
    except database_errors() as error:
        raise translate(error, path) from error
    except MemoryError as error:  # a damaged length asked for more than there is
        raise StoreCorrupt(path, f"the file is damaged (it asks for too much memory); {REMEDY}") from error
    except UnicodeDecodeError as error:  # SQLite's message quotes a damaged name, and sqlite3 cannot read it
        raise StoreCorrupt(
            path, f"the file is damaged (a name in it is no text); {REMEDY}, nothing was changed"
        ) from error


def _family(error: Exception) -> str:
    """The primary result code's name; extended codes such as SQLITE_IOERR_WRITE start with it."""
    name: str = getattr(error, "sqlite_errorname", "") or ""
    return "_".join(name.split("_")[:2])

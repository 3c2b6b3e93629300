"""How a file is opened, with a key or without one: every connection there is comes from here.

A file with a key is SQLCipher's, version 4, with its defaults, so that any other program that knows SQLCipher opens it
with the same key. SQLite and SQLCipher are two libraries, and neither knows of the other's locks within one process:
a process must never have one file open by both.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Final, Literal

from mcp_memory.errors import ConfigError, StoreUnavailable, WrongKey
from mcp_memory.keys import Key
from mcp_memory.store.sqlite.errors import database_errors

HEADER: Final = b"SQLite format 3\0"
"""How a file begins that is not encrypted. One that is begins with 16 bytes of chance: the salt of its key."""

SIDES: Final = ("", "-journal", "-wal", "-shm")
"""What the names of a database and its companions end with."""

_DAMAGED_TOO: Final = partial(str, encoding="utf-8", errors="replace")
"""Reads text with broken bytes as well: its checksum tells, and one damaged memory hides no other."""

Mode = Literal["rw", "ro", "immutable"]
"""How a file is opened. "ro" is for one of another program, "immutable" for one that nobody writes: no lock is taken
and nothing is made beside it."""

_NO_KEY: Final = "00" * 32
_ACCESS: Final[Mapping[str, str]] = {"rw": "mode=rw", "ro": "mode=ro", "immutable": "mode=ro&immutable=1"}


def connect(path: Path, key: Key | None, timeout: float, mode: Mode = "rw") -> sqlite3.Connection:
    """A connection to the existing file at the absolute `path`, for the thread that asks.

    `timeout` is how many seconds SQLite itself waits for a lock. With a key an empty file that may be written gets its
    salt, so that whoever opens it next has the same; any other file stays as it is.

    Raises:
        ConfigError: there is a key, but no SQLCipher.
        StoreUnavailable: the file is not encrypted.
        WrongKey: it is not encrypted with this key.
        sqlite3.Error: it cannot be opened; with a key, sqlcipher3's own class of that name.
    """
    if key is not None:
        return connect_cipher(path, key, timeout, mode)
    raw = sqlite3.connect(_uri(path, mode), uri=True, isolation_level=None, timeout=timeout)
    raw.row_factory = sqlite3.Row
    raw.text_factory = _DAMAGED_TOO
    return raw


def connect_cipher(path: Path, key: Key | None, timeout: float, mode: Mode = "rw") -> sqlite3.Connection:
    """The same by SQLCipher, also without a key: only it can copy from one kind of file to the other."""
    while True:
        empty = path.exists() and not path.stat().st_size
        specified = None if key is None else specification(path, key)
        if specified is not None and not empty:
            _check(path, specified, timeout, "ro" if mode == "rw" else mode)
        try:
            salted = ["PRAGMA journal_mode = WAL"] if empty and specified and mode == "rw" else []
            return _ready(path, specified, timeout, salted, mode)
        except database_errors() as error:
            if not empty or _name(error) != "SQLITE_NOTADB":  # else another process has given it another salt meanwhile
                raise


def _check(path: Path, specified: str, timeout: float, mode: str) -> None:
    """Raise where the key is not the file's, and leave also a log as it is that a killed process left behind."""
    try:
        _ready(path, specified, timeout, [], mode).close()
    except database_errors() as error:
        if _name(error) != "SQLITE_NOTADB":
            raise
        raise WrongKey(
            path, "the key does not open the file: it is not the file's, or the file is damaged; nothing was changed"
        ) from error


def _ready(
    path: Path, specified: str | None, timeout: float, statements: Sequence[str], mode: str
) -> sqlite3.Connection:
    """A connection that can read the file."""
    with ExitStack() as failed:
        raw = failed.enter_context(closing(_bare(path, timeout, mode)))
        if specified is not None:
            raw.execute(f'PRAGMA key = "{specified}"')
        for statement in (*statements, "PRAGMA schema_version"):
            raw.execute(statement)
        failed.pop_all()
    return raw


def specification(path: Path, key: Key) -> str:
    """The key of the file at `path` with its salt, as SQLCipher takes it: it has nothing to derive then.

    Raises:
        StoreUnavailable: the file is not encrypted.
    """
    salt = beginning(path)
    if salt == HEADER:
        raise StoreUnavailable(
            path, "the file is not encrypted, but a key is configured; run mcp-memory encrypt, or take the key away"
        )
    return f"x'{key.derived(salt).hex()}{salt.hex()}'"


def beginning(path: Path) -> bytes:
    """The first 16 bytes of the file; of an empty one, a new salt.

    SQLCipher reads them: opening the file by other means would drop the locks that this process has on it.
    """
    with closing(_bare(path, 0, "ro")) as raw:
        raw.execute(f"PRAGMA key = \"x'{_NO_KEY}'\"")
        return bytes.fromhex(raw.execute("PRAGMA cipher_salt").fetchone()[0])


def is_plain(path: Path) -> bool:
    """Whether anybody can read a file that this process has not open; what cannot be looked at is taken for readable.

    Closing the file would drop the locks of this process on it.
    """
    try:
        with path.open("rb") as file:
            return file.read(len(HEADER)) == HEADER
    except OSError:
        return True


def copy_of(path: Path) -> Path:
    """Where the database at `path` is written anew with another key; left only by a run that was killed."""
    return path.with_name(f"{path.name}.rewriting")


def _bare(path: Path, timeout: float, mode: str) -> sqlite3.Connection:
    """A connection of SQLCipher that has no key yet."""
    try:
        from sqlcipher3 import dbapi2
    except ImportError as error:
        raise ConfigError("an encrypted database needs a package: pip install 'mcp-memory[encryption]'") from error
    raw = dbapi2.connect(_uri(path, mode), uri=True, isolation_level=None, timeout=timeout)
    raw.execute("PRAGMA cipher_log_level = NONE")  # else it writes to stderr what becomes an error anyway
    raw.execute("PRAGMA temp_store = MEMORY")
    raw.row_factory = dbapi2.Row
    raw.text_factory = _DAMAGED_TOO
    return raw


def _uri(path: Path, mode: str) -> str:
    return f"{path.as_uri()}?{_ACCESS[mode]}"


def _name(error: Exception) -> str:
    return getattr(error, "sqlite_errorname", "")

"""SQLite's errors become ours, every one of them, in one line."""

import sqlite3
import sys
from pathlib import Path

import aiosqlite
import pytest

from mcp_memory.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreUnavailable, StoreUnreadable
from mcp_memory.store.sqlite.connection import Connection, prepare
from mcp_memory.store.sqlite.errors import translate, translated

FILE = Path("memory.db")
CODES: dict[str, type[StoreError]] = {
    "SQLITE_ERROR": StoreError,
    "SQLITE_INTERNAL": StoreError,
    "SQLITE_PERM": StoreUnavailable,
    "SQLITE_ABORT": StoreError,
    "SQLITE_BUSY": StoreBusy,
    "SQLITE_LOCKED": StoreBusy,
    "SQLITE_NOMEM": StoreError,
    "SQLITE_READONLY": StoreUnavailable,
    "SQLITE_INTERRUPT": StoreError,
    "SQLITE_IOERR": StoreUnavailable,
    "SQLITE_CORRUPT": StoreCorrupt,
    "SQLITE_NOTFOUND": StoreError,
    "SQLITE_FULL": StoreFull,
    "SQLITE_CANTOPEN": StoreUnavailable,
    "SQLITE_PROTOCOL": StoreBusy,
    "SQLITE_EMPTY": StoreError,
    "SQLITE_SCHEMA": StoreError,
    "SQLITE_TOOBIG": StoreError,
    "SQLITE_CONSTRAINT": StoreCorrupt,
    "SQLITE_MISMATCH": StoreCorrupt,
    "SQLITE_MISUSE": StoreError,
    "SQLITE_NOLFS": StoreUnavailable,
    "SQLITE_AUTH": StoreUnavailable,
    "SQLITE_FORMAT": StoreCorrupt,
    "SQLITE_RANGE": StoreError,
    "SQLITE_NOTADB": StoreUnreadable,
    "SQLITE_NOTICE": StoreError,
    "SQLITE_WARNING": StoreError,
}
"""Every primary result code that says something went wrong, 1 to 28, in order."""

NO_ROOM = {"SQLITE_IOERR_WRITE", "SQLITE_IOERR_TRUNCATE", "SQLITE_IOERR_SHMSIZE"}

EXTENDED = sorted(
    (name, primary)
    for name in dir(sqlite3)
    for primary in CODES
    if name.startswith(f"{primary}_") and getattr(sqlite3, name) & 0xFF == getattr(sqlite3, primary)
)


def raised(name: str, message: str = "went wrong") -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(message)
    error.sqlite_errorname = name
    return error


def test_the_table_holds_every_primary_code() -> None:
    assert [getattr(sqlite3, name) for name in CODES] == list(range(1, 29))
    assert len(EXTENDED) > 40


@pytest.mark.parametrize(("name", "expected"), CODES.items(), ids=CODES)
def test_each_code_has_its_class_and_one_line_that_names_the_file(name: str, expected: type[StoreError]) -> None:
    error = translate(raised(name, "the first line\nthe second"), FILE)
    assert type(error) is expected
    assert error.path == FILE
    assert str(error).startswith(f"{FILE}: ")
    assert "\n" not in str(error)


@pytest.mark.parametrize(("name", "primary"), EXTENDED, ids=[name for name, _ in EXTENDED])
def test_an_extended_code_belongs_to_its_primary_one_but_for_files_that_cannot_grow(name: str, primary: str) -> None:
    expected = StoreFull if name in NO_ROOM else CODES[primary]
    assert type(translate(raised(name), FILE)) is expected


@pytest.mark.parametrize("name", ["SQLITE_FULL", *sorted(NO_ROOM)])
@pytest.mark.promise("P2")
def test_a_file_that_cannot_grow_is_said_with_what_to_do(name: str) -> None:
    message = str(translate(raised(name, "disk I/O error"), FILE))
    assert "no space left" in message
    assert "nothing was written" in message
    assert "try again" in message


def test_an_error_without_a_code_is_still_ours() -> None:
    with pytest.raises(StoreError, match=r"memory\.db: ProgrammingError: closed"), translated(FILE):
        raise sqlite3.ProgrammingError("closed")


def test_a_message_of_sqlite_that_is_no_text_tells_of_a_damaged_file() -> None:
    with pytest.raises(StoreCorrupt, match=r"^memory\.db: the file is damaged"), translated(FILE):
        b"no such table: us\xffrs".decode()


@pytest.mark.parametrize(
    ("uri", "mode"),
    [
        pytest.param("file::memory:", "memory", id="in memory"),
        pytest.param(
            "file:{path}?vfs=unix-dotfile",
            "delete",
            id="without shared memory, as on a network file system",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="a way of locking on POSIX"),
        ),
    ],
)
@pytest.mark.promise("P2")
async def test_a_place_that_cannot_hold_a_write_ahead_log_is_unavailable(tmp_path: Path, uri: str, mode: str) -> None:
    path = tmp_path / "memory.db"
    async with aiosqlite.connect(uri.format(path=path), uri=True) as raw:
        with pytest.raises(StoreUnavailable) as caught:
            await prepare(Connection(raw, path, lock_timeout=1))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert f"'{mode}'" in message
    assert "\n" not in message


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), translated(FILE):
        raise KeyError("not of SQLite")

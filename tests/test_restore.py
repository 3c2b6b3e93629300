"""Putting a backup back: only a sound one, only while nobody uses the file, and what was there is kept."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_memory.app import archive_of, open_app
from mcp_memory.config import Config
from mcp_memory.errors import StoreError
from mcp_memory.guard import Fields
from mcp_memory.models import Origin
from mcp_memory.store.sqlite.backup import copies, folder_of, unfinished
from mcp_memory.store.sqlite.sql import MIGRATIONS
from mcp_memory.testing import FakeClock
from tests.support import ok, refused, stdio
from tests.test_cli import invoked, run
from tests.test_upgrade import RELEASED, unpacked

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
NOW = FakeClock().now()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "memory.db"


async def remember(path: Path, *said: str) -> None:
    async with open_app(Config(database=str(path))) as app:
        for content in said:
            await (await app.service()).add("alice", Fields(content=content), Origin(tool="test"))


def backed_up(path: Path, *said: str, then: tuple[str, ...] = ()) -> Path:
    """A backup of a file that says this; `then` is written after it."""
    anyio.run(remember, path, *said)
    copy = anyio.run(anyio.run(archive_of, Config(database=str(path))).make, None, NOW).path
    anyio.run(remember, path, *then)
    return copy


def asked(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def contents(path: Path) -> list[str]:
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]
    return [row[0] for row in asked(path, "SELECT content FROM memories ORDER BY row_id")]


def kept(path: Path) -> list[Path]:
    return [one for one in copies(path, [folder_of(path)]) if one.name.endswith("-before-restore.db")]


def refusal(tmp_path: Path, path: Path, *arguments: str, code: int = 2) -> str:
    """The one line of a restore that is refused; it changes nothing."""
    before = path.read_bytes() if path.is_file() else None
    done = invoked("restore-backup", *arguments, "--yes", "--database", str(path), folder=tmp_path)
    assert (done.exit_code, done.stdout) == (code, "")
    assert (path.read_bytes() if path.is_file() else None) == before
    assert unfinished(path, [path.parent, folder_of(path)]) == []
    [line] = done.stderr.splitlines()
    return line


def restore(tmp_path: Path, path: Path, *arguments: str) -> str:
    done = invoked("restore-backup", *arguments, "--yes", "--database", str(path), folder=tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert unfinished(path, [path.parent, folder_of(path)]) == []
    return done.stdout


@pytest.mark.promise("P3")
def test_a_backup_is_put_back_and_so_is_what_it_replaced(tmp_path: Path, path: Path) -> None:
    copy = backed_up(path, "Likes tea", "妹は東京で働いています", then=("Likes rice",))
    said = restore(tmp_path, path)
    assert contents(path) == ["Likes tea", "妹は東京で働いています"]
    [before] = kept(path)
    assert f"from {copy} (2 memories of 1 user" in said
    assert f"What was there before (3 memories of 1 user, 0.1 MB) is kept: {before}" in said
    restore(tmp_path, path, before.name)
    assert contents(path) == ["Likes tea", "妹は東京で働いています", "Likes rice"]
    restore(tmp_path, path, "latest")
    assert contents(path) == ["Likes tea", "妹は東京で働いています"], "the latest is none that a restore has kept"
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["backups", "memory.db"]
    if sys.platform != "win32":
        assert path.stat().st_mode & 0o777 == 0o600


def test_without_yes_and_a_terminal_nothing_is_done(tmp_path: Path, path: Path) -> None:
    backed_up(path, "Likes tea", then=("Likes rice",))
    done = invoked("restore-backup", "--database", str(path), folder=tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--yes" in done.stderr
    assert contents(path) == ["Likes tea", "Likes rice"]


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is POSIX only")
@pytest.mark.parametrize(("answer", "left"), [(b"n\n", ["Likes tea", "Likes rice"]), (b"y\n", ["Likes tea"])])
def test_on_a_terminal_it_asks(path: Path, answer: bytes, left: list[str]) -> None:
    import pty

    backed_up(path, "Likes tea", then=("Likes rice",))
    controller, terminal = pty.openpty()
    try:
        os.write(controller, answer)
        command = [sys.executable, "-m", "mcp_memory", "restore-backup", "--database", str(path)]
        done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, timeout=60, check=False)
    finally:
        os.close(controller)
        os.close(terminal)
    assert "1 memory of 1 user" in done.stdout
    assert contents(path) == left


def test_list_shows_what_there_is_newest_first_and_what_cannot_be_read(tmp_path: Path, path: Path) -> None:
    arguments = ("restore-backup", "--list", "--database", str(path), "--config", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").write_text('timezone = "UTC"\n', encoding="utf-8")
    assert invoked(*arguments, folder=tmp_path).stdout == "No backups yet: mcp-memory backup\n"
    copy = backed_up(path, "Likes tea")
    bad = folder_of(path) / "memory-20260302T080000Z-automatic.db"
    bad.write_bytes(b"Dear diary")
    (folder_of(path) / "memory-20260302T080000Z-notes.txt").write_text("none of ours", encoding="utf-8")
    assert invoked(*arguments, folder=tmp_path).stdout.splitlines() == [
        f"{bad} · 2026-03-02 08:00+00:00 · cannot be read, 0.0 MB · automatic",
        f"{copy} · 2026-03-01 12:00+00:00 · 1 memory of 1 user, 0.1 MB",
    ]


def test_what_is_no_sound_backup_of_ours_is_refused_and_nothing_changed(tmp_path: Path, path: Path) -> None:
    assert "no backup of memory.db here" in refusal(tmp_path, path, code=1)
    copy = backed_up(path, "Likes tea", then=("Likes rice",))
    given = tmp_path / "given.db"
    assert "no such backup" in refusal(tmp_path, path, str(given), code=1)
    assert "this is the file itself" in refusal(tmp_path, path, str(path))
    given.write_bytes(b"Dear diary")
    assert "damaged or no database" in refusal(tmp_path, path, str(given))
    given.write_bytes(b"")
    assert "this is no backup of mcp-memory" in refusal(tmp_path, path, str(given))
    given.write_bytes(copy.read_bytes()[:-8192])
    assert "damaged" in refusal(tmp_path, path, str(given))
    given.write_bytes(copy.read_bytes())
    (tmp_path / "given.db-wal").write_bytes(b"something")
    assert "-wal" in refusal(tmp_path, path, str(given))
    (tmp_path / "given.db-wal").unlink()
    with closing(sqlite3.connect(given)) as raw, raw:
        raw.execute("UPDATE settings SET value = '99' WHERE name = 'min_writer'")
    assert "upgrade mcp-memory" in refusal(tmp_path, path, str(given))
    assert contents(path) == ["Likes tea", "Likes rice"]


def test_another_programs_database_is_not_replaced(tmp_path: Path, path: Path) -> None:
    copy = backed_up(path, "Likes tea")
    other = tmp_path / "notes.db"
    with closing(sqlite3.connect(other)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("CREATE TABLE notes (text)")
    assert "belongs to another program" in refusal(tmp_path, other, str(copy))
    assert asked(other, "PRAGMA journal_mode") == [("wal",)]


@pytest.mark.promise("P2")
async def test_a_file_in_use_is_not_replaced_and_its_client_goes_on(tmp_path: Path, path: Path) -> None:
    async with stdio("--database", str(path), "--user", "alice") as client:
        await ok(client, "add_memory", content="Likes tea")
        await (await archive_of(Config(database=str(path)))).make(None, NOW)
        await ok(client, "add_memory", content="Likes rice")
        arguments = ("restore-backup", "--yes", "--database", str(path))
        done = await anyio.to_thread.run_sync(lambda: run(*arguments, folder=tmp_path))
        assert (done.returncode, done.stdout) == (2, "")
        assert "other processes use this file; close the clients" in done.stderr
        assert kept(path) == []
        await ok(client, "add_memory", content="Likes noodles")
        assert (await ok(client, "list_memories"))["total"] == 3
    assert contents(path) == ["Likes tea", "Likes rice", "Likes noodles"]
    assert (await anyio.to_thread.run_sync(lambda: run(*arguments, folder=tmp_path))).returncode == 0
    assert contents(path) == ["Likes tea"]
    assert contents(kept(path)[0]) == ["Likes tea", "Likes rice", "Likes noodles"]


WAITER = """
import sys
from pathlib import Path
import anyio
from mcp_memory.errors import StoreError
from mcp_memory.store.sqlite.connection import Turns, open_connection
from mcp_memory.store.sqlite.migrate import migrate

async def main():
    async with open_connection(Path(sys.argv[1]), 30) as connection:
        turns = Turns(connection)
        print("open", flush=True)
        sys.stdin.readline()
        try:
            await migrate(connection, turns, 1)
            async with turns.turn() as turn:
                await turn.all("add_user", {"user": "bob"})
        except StoreError as error:
            print("refused", flush=True)
        else:
            print("written", flush=True)

anyio.run(main)
"""


@posix_only
@pytest.mark.promise("P2")
def test_a_process_that_still_has_the_replaced_file_cannot_write_into_it(tmp_path: Path, path: Path) -> None:
    backed_up(path, "Likes tea", then=("Likes rice",))
    with subprocess.Popen(
        [sys.executable, "-c", WAITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as waiter:
        assert waiter.stdout
        assert waiter.stdin
        assert waiter.stdout.readline() == "open\n"  # SQLite takes its locks with the first statement only
        restore(tmp_path, path)
        waiter.stdin.write("go on\n")
        waiter.stdin.flush()
        assert waiter.stdout.readline() == "refused\n"
    assert contents(path) == ["Likes tea"]
    assert asked(path, "SELECT name FROM users") == [("alice",)]


@pytest.mark.promise("P2")
def test_what_a_killed_writer_left_in_the_log_is_kept_too(tmp_path: Path, path: Path) -> None:
    backed_up(path, "Likes tea")
    program = (
        "import sqlite3, sys, os; raw = sqlite3.connect(sys.argv[1]);"
        "raw.execute(\"UPDATE memories SET content = 'Likes rice'\"); raw.commit(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=30)
    assert path.with_name("memory.db-wal").stat().st_size
    restore(tmp_path, path)
    assert contents(kept(path)[0]) == ["Likes rice"]
    assert contents(path) == ["Likes tea"]


@pytest.mark.parametrize("where", [0, 3], ids=["its beginning", "its middle"])
@pytest.mark.promise("P2")
def test_a_damaged_file_is_replaced_and_its_bytes_kept(tmp_path: Path, path: Path, where: int) -> None:
    backed_up(path, "Likes tea")
    content = bytearray(path.read_bytes())
    content[where * 4096 : where * 4096 + 8192] = random.Random(where).randbytes(8192)
    path.write_bytes(content)
    path.with_name("memory.db-wal").write_bytes(b"a log that belongs to it")
    restore(tmp_path, path)
    assert contents(path) == ["Likes tea"]
    [before] = kept(path)
    assert len(before.read_bytes()) == len(content)
    if where == 0:
        assert before.read_bytes() == content
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["backups", "memory.db"]


def test_a_file_that_is_gone_is_put_back(tmp_path: Path, path: Path) -> None:
    backed_up(path, "Likes tea")
    path.unlink()
    restore(tmp_path, path)
    assert contents(path) == ["Likes tea"]
    assert kept(path) == []


def test_a_file_behind_a_link_is_replaced_where_it_is(tmp_path: Path, path: Path) -> None:
    backed_up(path, "Likes tea", then=("Likes rice",))
    link = tmp_path / "linked" / "memory.db"
    link.parent.mkdir()
    link.symlink_to(path)
    restore(tmp_path, link, str(copies(path, [folder_of(path)])[0]))
    assert link.is_symlink()
    assert contents(path) == ["Likes tea"]
    assert contents(kept(link)[0]) == ["Likes tea", "Likes rice"]


@pytest.mark.promise("P4")
def test_folders_that_hold_backups_are_known_to_the_restored_file_too(tmp_path: Path, path: Path) -> None:
    backed_up(path, "Likes tea")
    assert invoked("backup", str(tmp_path / "other"), "--database", str(path), folder=tmp_path).exit_code == 0
    restore(tmp_path, path, copies(path, [folder_of(path)])[0].name)
    assert asked(path, "SELECT path FROM backup_folders") == [(str((tmp_path / "other").resolve()),)]


@pytest.mark.parametrize("number", RELEASED)
def test_a_backup_of_an_older_version_is_brought_up_to_date(tmp_path: Path, path: Path, number: str) -> None:
    backed_up(path, "Likes tea")
    old = tmp_path / "old.db"
    unpacked(number, old)
    before = old.read_bytes()
    restore(tmp_path, path, str(old))
    assert asked(path, "SELECT max(number) FROM schema_migrations") == [(len(MIGRATIONS),)]
    assert "Lives in Berlin since May 2026" in contents(path)
    assert old.read_bytes() == before


@posix_only
@pytest.mark.promise("P2")
def test_a_restore_that_is_killed_leaves_the_old_file_or_the_new_one_whole(tmp_path: Path, path: Path) -> None:
    copy, chance = backed_up(path, "Likes tea"), random.Random(7)
    with closing(sqlite3.connect(copy)) as raw, raw:
        raw.execute("CREATE TABLE ballast (bytes)")
        raw.executemany("INSERT INTO ballast VALUES (randomblob(100000))", [()] * 200)
    anyio.run(remember, path, "Likes rice")
    command = [sys.executable, "-m", "mcp_memory", "restore-backup", "--yes", "--database", str(path), copy.name]
    ends: list[list[str]] = []
    for _ in range(6):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            size = chance.randrange(22) * 1_000_000
            while process.poll() is None:
                try:
                    parts = [one.stat().st_size for one in unfinished(path, [path.parent, folder_of(path)])]
                except FileNotFoundError:
                    continue
                if parts and max(parts) >= size:
                    process.send_signal(signal.SIGKILL)
        ends.append(contents(path))
    assert all(end in (["Likes tea", "Likes rice"], ["Likes tea"]) for end in ends)
    assert ["Likes tea", "Likes rice"] in ends
    restore(tmp_path, path, copy.name)
    assert contents(path) == ["Likes tea"]


def test_a_folder_that_cannot_be_written_changes_nothing(tmp_path: Path, path: Path) -> None:
    copy = backed_up(path, "Likes tea")
    copy.rename(tmp_path / "given.db")
    for entry in folder_of(path).iterdir():
        entry.unlink()
    folder_of(path).rmdir()
    folder_of(path).write_text("in the way", encoding="utf-8")
    assert "no backups can be kept here" in refusal(tmp_path, path, str(tmp_path / "given.db"))


async def test_a_client_that_was_running_is_told_to_restart(path: Path) -> None:
    config = Config(database=str(path), user="alice")
    async with stdio("--database", str(path), "--user", "alice") as client:
        await ok(client, "add_memory", content="Likes tea")
        made = await (await archive_of(config)).make(None, NOW)
        with pytest.raises(StoreError, match="other processes use this file"):
            await (await archive_of(config)).restore(made, NOW)
        if sys.platform != "win32":  # what a person may do by hand, against all advice
            made.path.replace(path)
            assert "restart this client" in await refused(client, "add_memory", content="Likes rice")

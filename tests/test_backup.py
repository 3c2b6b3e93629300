"""Backups: whole, checked, while others write; automatic ones when they are due; and nothing half-written, ever."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from mcp_memory.app import archive_of, open_app
from mcp_memory.config import Config
from mcp_memory.errors import StoreBusy, StoreError
from mcp_memory.guard import Fields
from mcp_memory.models import Origin
from mcp_memory.service.backups import AutomaticBackups
from mcp_memory.store.sqlite.backup import SqliteBackups, claimed, copies, folder_of, unfinished
from mcp_memory.testing import FakeClock
from tests.support import connected, ok, refused, stdio
from tests.test_cli import invoked
from tests.test_kill import start

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permission bits or limits")
DAY = 86_400_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "memory.db"


def found(path: Path, folder: Path | None = None) -> list[Path]:
    return copies(path, [folder or folder_of(path)])


def asked(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        return connection.execute(query).fetchall()


def contents(copy: Path) -> list[str]:
    assert asked(copy, "PRAGMA integrity_check") == [("ok",)]
    return [row[0] for row in asked(copy, "SELECT content FROM memories ORDER BY row_id")]


def entries(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.endswith(".lock"))


async def remember(path: Path, *said: str, clock: FakeClock | None = None) -> None:
    async with open_app(Config(database=str(path)), clock) as app:
        for content in said:
            await (await app.service()).add("alice", Fields(content=content), Origin(tool="test"))


@posix_only
@pytest.mark.promise("P1")
def test_a_backup_is_its_owners_alone_and_the_same_as_the_file(tmp_path: Path, path: Path) -> None:
    anyio.run(remember, path, "Likes tea", "妹は東京で働いています")
    former = os.umask(0)
    try:
        done = invoked("backup", "--database", str(path), folder=tmp_path)
    finally:
        os.umask(former)
    assert (done.exit_code, done.stderr) == (0, "")
    [copy] = found(path)
    assert f"Backed up to {copy} (2 memories of 1 user, " in done.stdout
    assert contents(copy) == ["Likes tea", "妹は東京で働いています"]
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.parent.stat().st_mode & 0o777 == 0o700
    shown = invoked("search", "東京", "--user", "alice", "--database", str(copy), folder=tmp_path)
    assert "妹は東京で働いています" in shown.stdout


async def test_several_backups_in_one_second_are_several_files(path: Path) -> None:
    await remember(path, "Likes tea")
    archive, now = await archive_of(Config(database=str(path))), FakeClock().now()
    made = [(await archive.make(None, now)).path.name for _ in range(3)]
    assert made == [f"memory-20260301T12000{second}Z.db" for second in range(3)]


def test_another_folder_is_made_recorded_and_looked_into(tmp_path: Path, path: Path) -> None:
    anyio.run(remember, path, "Likes tea")
    other = tmp_path / "elsewhere" / "日記"
    (tmp_path / "link").symlink_to(other.parent, target_is_directory=True)
    other.parent.mkdir()
    for named in (other, tmp_path / "link" / "日記", folder_of(path)):
        assert invoked("backup", str(named), "--database", str(path), folder=tmp_path).exit_code == 0
    assert asked(path, "SELECT path FROM backup_folders") == [(str(other.resolve()),)]
    assert len(found(path, other)) == 2
    assert len(found(path)) == 1
    listed = invoked("restore-backup", "--list", "--database", str(path), folder=tmp_path).stdout.splitlines()
    shown = [Path(line.partition(" · ")[0]) for line in listed]
    assert sorted(shown) == sorted((*found(path), *found(path, other)))
    assert [one.name for one in shown] == sorted((one.name for one in shown), reverse=True)


def test_a_file_or_a_dead_link_in_place_of_the_folder_is_one_line(tmp_path: Path, path: Path) -> None:
    anyio.run(remember, path, "Likes tea")
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link/inside/file"):
        done = invoked("backup", str(tmp_path / "file" / name), "--database", str(path), folder=tmp_path)
        assert (done.exit_code, done.stdout) == (2, "")
        [line] = done.stderr.splitlines()
        assert "no backups can be kept here" in line
    assert (tmp_path / "file").read_text(encoding="utf-8") == "in the way"


def test_what_is_no_file_of_ours_is_not_backed_up(tmp_path: Path, path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE notes (text)")
    done = invoked("backup", "--database", str(path), folder=tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "belongs to another program" in done.stderr
    assert entries(folder_of(path)) == []


@pytest.mark.promise("P5")
def test_a_damaged_file_is_not_backed_up_as_if_it_were_sound(tmp_path: Path, path: Path) -> None:
    anyio.run(remember, path, *(f"Fact {number}: {'long ' * 50}" for number in range(60)))
    with path.open("rb+") as file:
        for page in range(8, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(random.Random(page).randbytes(64))
    done = invoked("backup", "--database", str(path), folder=tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert "damaged" in line
    assert entries(folder_of(path)) == []


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from mcp_memory.cli import main
main(sys.argv[2:])
"""


@posix_only
@pytest.mark.promise("P2")
@pytest.mark.parametrize("limit", [4_096, 40_960, 131_072])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(path: Path, limit: int) -> None:
    anyio.run(remember, path, *(f"Fact {number}: {'long ' * 50}" for number in range(60)))
    assert path.stat().st_size > limit
    command = [sys.executable, "-c", LIMITED, str(limit), "backup", "--database", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"mcp-memory: {path.parent}{os.sep}")
    assert entries(folder_of(path)) == []
    assert len(contents(path)) == 60


@pytest.mark.promise("P2")
@pytest.mark.timeout(180)
def test_a_backup_while_processes_write_has_all_that_was_acknowledged_before_it_began(path: Path) -> None:
    path.parent.mkdir()
    writers = [start(path, f"Process {number}", 10_000) for number in range(4)]
    acknowledged: dict[str, int] = {}
    archive = anyio.run(archive_of, Config(database=str(path)))
    for attempt in range(5):
        for writer in writers:
            for _ in range(40):
                memory_id, version = writer.pipe.recv_bytes().decode().split()
                acknowledged[memory_id] = int(version)
        before = dict(acknowledged)
        copy = anyio.run(archive.make, None, FakeClock().now() + attempt * 1_000_000).path
        assert asked(copy, "PRAGMA integrity_check") == [("ok",)]
        stored = dict[str, int](asked(copy, "SELECT id, version FROM memories"))
        assert not {one for one, version in before.items() if stored.get(one, 0) < version}
        written = "SELECT max(row_id) & 0xffffffff FROM revisions"
        assert asked(copy, written) == asked(copy, "SELECT last_seq FROM users")
    for writer in writers:
        writer.process.kill()
        writer.process.join()
        writer.pipe.close()
    assert len(acknowledged) >= 5 * 4 * 20


def size_of(part: Path) -> int:
    """How large a file is that another process may finish at any moment; -1 once it has."""
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return -1


@posix_only
@pytest.mark.promise("P7")
def test_a_backup_that_is_killed_leaves_no_half_file_and_the_next_one_tidies_up(tmp_path: Path, path: Path) -> None:
    anyio.run(remember, path, "Likes tea")
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE ballast (bytes)")
        raw.executemany("INSERT INTO ballast VALUES (randomblob(100000))", [()] * 400)
    command, chance, left = [sys.executable, "-m", "mcp_memory", "backup", "--database", str(path)], random.Random(1), 0
    for _ in range(5):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            size = chance.randrange(40) * 1_000_000
            while process.poll() is None:
                parts = unfinished(path, [folder_of(path)])
                if parts and size_of(parts[0]) >= size:
                    process.send_signal(signal.SIGKILL)
        left += len(unfinished(path, [folder_of(path)]))
        assert [contents(one) for one in found(path)] == [["Likes tea"]] * len(found(path))
    assert left > 1
    assert invoked("backup", "--database", str(path), folder=tmp_path).exit_code == 0
    assert unfinished(path, [folder_of(path)]) == []


@pytest.mark.promise("P7")
async def test_a_backup_that_is_cancelled_half_way_leaves_nothing(path: Path) -> None:
    await remember(path, "Likes tea")
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE ballast (bytes)")
        raw.executemany("INSERT INTO ballast VALUES (randomblob(100000))", [()] * 400)
    archive = await archive_of(Config(database=str(path)))
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(archive.make, None, 1)
            while not unfinished(path, [folder_of(path)]):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    assert entries(folder_of(path)) == []


async def test_a_name_that_looks_like_a_pattern_has_backups_of_its_own(path: Path) -> None:
    odd = path.with_name("mem[o]ry.db")
    await remember(odd, "Likes tea")
    await remember(path, "Likes rice")
    for file in (odd, path):
        await (await archive_of(Config(database=str(file)))).make(None, 1)
    assert [contents(one) for one in found(odd)] == [["Likes tea"]]
    assert [contents(one) for one in found(path)] == [["Likes rice"]]


async def test_only_one_process_makes_backups_at_a_time(path: Path) -> None:
    await remember(path, "Likes tea")
    async with claimed(path, folder_of(path), 0):
        with pytest.raises(StoreBusy, match="another process is making a backup here"):
            async with claimed(path, folder_of(path), 0.05):
                pass
        backups = AutomaticBackups(SqliteBackups(path, None), FakeClock(FakeClock().now() * 2), DAY, 3)
        assert await backups.after_write() is None
    assert await backups.after_write() is None, "it is not tried again at once"


@asynccontextmanager
async def keeping(path: Path, clock: FakeClock, keep: int = 3) -> AsyncGenerator[AutomaticBackups]:
    await remember(path, "Likes tea", clock=clock)
    yield AutomaticBackups(SqliteBackups(path, None), clock, DAY, keep)


async def test_the_first_automatic_backup_is_due_one_interval_after_the_first_write(path: Path) -> None:
    clock = FakeClock()
    async with keeping(path, clock) as backups:
        assert await backups.after_write() is None
        assert not folder_of(path).exists(), "nothing is made before it is due"
        clock.advance(hours=23)
        assert await backups.after_write() is None
        clock.advance(hours=1)
        made = await backups.after_write()
        assert made is not None
        assert made.reason == "automatic"
        assert contents(made.path) == ["Likes tea"]
        assert await backups.after_write() is None


async def test_as_many_automatic_backups_are_kept_as_configured_and_all_others(path: Path) -> None:
    clock = FakeClock()
    async with keeping(path, clock, keep=2) as backups:
        asked_for = await (await archive_of(Config(database=str(path)))).make(None, clock.now())
        for _ in range(5):
            clock.advance(days=1)
            assert await backups.after_write() is not None
        kept = [one.name for one in found(path)]
    assert kept == [asked_for.path.name, "memory-20260305T120000Z-automatic.db", "memory-20260306T120000Z-automatic.db"]


async def test_of_processes_that_share_a_file_one_makes_the_backup(path: Path) -> None:
    clock = FakeClock()
    async with keeping(path, clock) as first:
        second = AutomaticBackups(SqliteBackups(path, None), clock, DAY, 3)
        clock.advance(days=2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.after_write)
            tasks.start_soon(second.after_write)
    assert len(found(path)) == 1


async def test_a_clock_that_was_set_back_does_not_put_backups_off(path: Path) -> None:
    clock = FakeClock()
    async with keeping(path, clock) as backups:
        clock.advance(days=100)
        assert await backups.after_write() is not None
        clock.advance(days=-98)
        assert await backups.after_write() is not None


async def test_a_failed_automatic_backup_is_tried_again_within_the_hour(path: Path) -> None:
    clock = FakeClock()
    async with keeping(path, clock) as backups:
        clock.advance(days=2)
        folder_of(path).write_text("in the way", encoding="utf-8")
        with pytest.raises(StoreError, match="no backups can be kept here"):
            await backups.after_write()
        folder_of(path).unlink()
        assert await backups.after_write() is None
        clock.advance(hours=1)
        assert await backups.after_write() is not None


async def test_what_cannot_be_removed_from_the_folder_is_an_error_that_a_server_expects(path: Path) -> None:
    clock = FakeClock()
    in_the_way = folder_of(path) / f".{path.stem}.part" / "no file"
    async with keeping(path, clock) as backups:
        clock.advance(days=2)
        in_the_way.mkdir(parents=True)
        with pytest.raises(StoreError, match="its files cannot be changed"):
            await backups.after_write()
        in_the_way.rmdir()
        in_the_way.parent.rmdir()
        clock.advance(hours=1)
        assert await backups.after_write() is not None


@pytest.mark.parametrize("every", ["1d", ""])
async def test_a_serving_process_backs_up_after_writes_as_configured(path: Path, every: str) -> None:
    clock = FakeClock()
    config = Config.checked({"database": str(path), "user": "alice", "backup": {"every": every}})
    async with connected(config, clock=clock) as client:
        await ok(client, "add_memory", content="Likes tea")
        clock.advance(days=2)
        await ok(client, "add_memory", content="Likes rice")
        for number in range(1_000 if every else 20):
            if every and found(path):
                break
            await ok(client, "get_memory", id=(await ok(client, "list_memories"))["memories"][number % 2]["id"])
    assert [contents(one) for one in found(path)] == ([["Likes tea", "Likes rice"]] if every else [])


async def test_a_backup_that_cannot_be_made_is_no_error_of_the_call(path: Path) -> None:
    clock = FakeClock()
    config = Config(database=str(path), user="alice")
    async with connected(config, clock=clock) as client:
        await ok(client, "add_memory", content="Likes tea")
        folder_of(path).write_text("in the way", encoding="utf-8")
        clock.advance(days=2)
        await ok(client, "add_memory", content="Likes rice")
        await refused(client, "get_memory", id="nothing")
        assert (await ok(client, "list_memories"))["total"] == 2


async def test_a_server_that_ends_in_a_backup_leaves_nothing_behind(path: Path) -> None:
    await remember(path, "Likes tea", clock=FakeClock())
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE ballast (bytes)")
        raw.executemany("INSERT INTO ballast VALUES (randomblob(100000))", [()] * 400)
    async with stdio("--database", str(path), "--user", "alice") as client:
        await ok(client, "add_memory", content="Likes rice")
    assert unfinished(path, [folder_of(path)]) == []
    assert all(contents(one) == ["Likes tea", "Likes rice"] for one in found(path))


@pytest.mark.promise("P4")
def test_backups_of_another_file_of_that_name_are_neither_forgotten_in_nor_listed(tmp_path: Path) -> None:
    shared, paths = tmp_path / "shared", [tmp_path / name / "memory.db" for name in ("one", "two")]
    for path, content in zip(paths, ("Likes tea", "Likes coffee"), strict=True):
        anyio.run(remember, path, content)
        assert invoked("backup", str(shared), "--database", str(path), folder=tmp_path).exit_code == 0
    listed = invoked("restore-backup", "--list", "--database", str(paths[0]), folder=tmp_path).stdout.splitlines()
    assert len(listed) == 1
    forgotten = invoked("forget-user", "alice", "--yes", "--database", str(paths[0]), folder=tmp_path)
    assert (forgotten.exit_code, "1 file looked through" in forgotten.stdout) == (0, True), forgotten.stdout
    held = [asked(copy, "SELECT content FROM memories") for copy in sorted(shared.glob("memory-*.db"))]
    assert sorted(held) == [[], [("Likes coffee",)]]

"""What only the SQLite store has: its file, its locks, its migrations, its checksums."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import aiosqlite
import anyio
import anyio.lowlevel
import pytest

from mcp_memory.errors import McpMemoryError, StoreBusy, StoreCorrupt, StoreError, StoreTooNew, StoreUnavailable
from mcp_memory.guard import Fields
from mcp_memory.models import Filter, Origin, Step
from mcp_memory.service import MemoryService
from mcp_memory.store.sqlite import SqliteStore, open_store
from mcp_memory.store.sqlite.connection import Connection, Turns, create_file, open_connection, prepare
from mcp_memory.store.sqlite.migrate import APPLICATION_ID, migrate
from mcp_memory.store.sqlite.sql import MIGRATIONS
from mcp_memory.testing import FakeClock
from tests.store.conformance import DAY, NOW, a_change, a_memory, add, contents, found, remove, reword

SCOPE = Filter(now=NOW)
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permission bits or limits")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "memory.db"


def opened(path: Path, timeout: float = 10) -> AbstractAsyncContextManager[SqliteStore]:
    return open_store(path, NOW, timeout)


def from_outside(path: Path, script: str) -> None:
    """Run `script` on the file in another process."""
    program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.close()"
    subprocess.run([sys.executable, "-c", program, str(path), script], check=True, timeout=30)


def asked(path: Path, query: str) -> list[tuple[Any, ...]]:
    """What a connection of its own answers."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def bytes_of(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)


def beside(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


@contextmanager
def write_lock(path: Path) -> Generator["subprocess.Popen[str]"]:
    """Another process in the middle of a write, until its stdin is closed."""
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE');"
        "print('held', flush=True); sys.stdin.read(); c.execute('ROLLBACK'); c.close(); print('released', flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
        release(holder)


def release(holder: "subprocess.Popen[str]") -> None:
    assert holder.stdin is not None
    assert holder.stdout is not None
    if not holder.stdin.closed:
        holder.stdin.close()
        assert holder.stdout.readline() == "released\n"


@posix_only
@pytest.mark.promise("P1")
async def test_the_file_and_its_folder_are_their_owners_alone(path: Path) -> None:
    former = os.umask(0)
    try:
        async with opened(path) as store:
            await add(store, "alice", "Likes tea")
            modes = {name: (path.parent / name).stat().st_mode & 0o777 for name in beside(path)}
            assert modes == {"memory.db": 0o600, "memory.db-shm": 0o600, "memory.db-wal": 0o600}
            assert path.parent.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(former)


async def test_closing_leaves_one_file(path: Path) -> None:
    async with opened(path) as store:
        await add(store, "alice", "Likes tea")
    assert beside(path) == ["memory.db"]


@asynccontextmanager
async def writer(path: Path) -> AsyncGenerator[Connection]:
    async with open_connection(path, 10) as connection:
        turns = Turns(connection)
        await migrate(connection, turns, NOW)
        async with turns.turn() as turn:
            yield turn


@asynccontextmanager
async def reader(path: Path) -> AsyncGenerator[Connection]:
    async with open_connection(path, 10) as connection:
        await prepare(connection)
        yield connection


@pytest.mark.parametrize("connection", [writer, reader])
@pytest.mark.parametrize(
    ("pragma", "expected"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("secure_delete", 1),
        ("journal_size_limit", 8 << 20),
    ],
)
@pytest.mark.promise("P2")
async def test_every_connection_has_the_pragmas(path: Path, connection: Any, pragma: str, expected: object) -> None:
    create_file(path)
    async with connection(path) as one:
        assert [tuple(row) for row in await one.script(f"PRAGMA {pragma}")] == [(expected,)]


async def test_a_new_file_is_marked_as_ours_with_exactly_the_ledger_of_its_migrations(path: Path) -> None:
    async with opened(path):
        pass
    expected = [(migration.number, migration.name, NOW) for migration in MIGRATIONS]
    assert [number for number, _, _ in expected] == list(range(1, len(expected) + 1))
    assert asked(path, "SELECT number, name, at FROM schema_migrations ORDER BY number") == expected
    assert asked(path, "PRAGMA application_id") == [(APPLICATION_ID,)]


async def test_opening_again_changes_not_one_byte(path: Path) -> None:
    async with opened(path) as store:
        await add(store, "alice", "Likes tea")
    before = bytes_of(path)
    async with open_store(path, NOW + DAY, 10) as store:
        assert await contents(store, "alice") == ["Likes tea"]
    assert bytes_of(path) == before


async def test_numbers_go_on_after_opening_again(path: Path) -> None:
    async with opened(path) as store:
        await add(store, "alice", "One")
        await remove(store, "alice", await add(store, "alice", "Two"))
    async with opened(path) as store:
        assert (await add(store, "alice", "Three")).row == 4


async def test_an_empty_file_becomes_ours(path: Path) -> None:
    put(path, b"")
    async with opened(path) as store:
        await add(store, "alice", "Likes tea")
    assert asked(path, "SELECT content FROM memories") == [("Likes tea",)]


@pytest.mark.promise("P2")
async def test_two_stores_on_one_file_see_each_others_writes_at_once(path: Path) -> None:
    async with opened(path) as one, opened(path) as two:
        memory = await add(one, "alice", "Likes tea")
        assert await two.memory("alice", memory.id, NOW) == memory
        await reword(two, "alice", memory, "Likes coffee")
        assert await contents(one, "alice") == ["Likes coffee"]


@pytest.mark.promise("P2")
async def test_tasks_that_open_a_fresh_file_at_once_all_work(tmp_path: Path) -> None:
    async def open_and_add(path: Path, number: int) -> None:
        async with opened(path) as store:
            await add(store, "alice", f"Fact {number}")

    for attempt in range(10):
        path = tmp_path / f"{attempt}.db"
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(open_and_add, path, number)
        assert asked(path, "SELECT count(*) FROM memories") == [(5,)]


class _Interrupted(Connection):
    """A connection beside which another process makes the file ours, right after the first `statements` of its own."""

    statements = 0

    async def script(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[sqlite3.Row]:
        rows = await super().script(statement, parameters)
        self.statements -= 1
        if self.statements == 0:
            async with opened(self.path):
                pass
        return rows


@pytest.mark.parametrize("statements", range(1, 6))
@pytest.mark.promise("P2")
async def test_a_file_that_another_process_makes_ours_meanwhile_is_ours(path: Path, statements: int) -> None:
    create_file(path)
    async with aiosqlite.connect(path, isolation_level=None) as raw:
        connection = _Interrupted(raw, path, 10)
        connection.statements = statements
        await migrate(connection, Turns(connection), NOW)
    assert asked(path, "SELECT count(*) FROM schema_migrations") == [(len(MIGRATIONS),)]


OPENER = """
import sys
from pathlib import Path
import anyio
from mcp_memory.store.sqlite import open_store

async def main():
    print("ready", flush=True)
    for line in sys.stdin:
        async with open_store(Path(line.strip()), 1, 10) as store:
            page = await store.page("alice", sys.modules["mcp_memory.models"].Filter(now=1), None, 1)
        print(page.total, flush=True)

anyio.run(main)
"""


@pytest.mark.promise("P2")
def test_processes_that_open_a_fresh_file_at_once_all_work(tmp_path: Path) -> None:
    def one() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", OPENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    with one() as first, one() as second, one() as third:
        pipes = [(child.stdin, child.stdout) for child in (first, second, third)]
        told: list[str] = []
        for attempt in ("", *(str(tmp_path / f"{number}.db") for number in range(10))):
            for stdin, _ in pipes:
                if attempt and stdin:
                    stdin.write(f"{attempt}\n")
                    stdin.flush()
            told += [stdout.readline().strip() for _, stdout in pipes if stdout]
        for stdin, _ in pipes:
            if stdin:
                stdin.close()
    assert told == ["ready"] * 3 + ["0"] * 30


async def test_a_migration_that_fails_half_way_leaves_no_trace(path: Path) -> None:
    create_file(path)
    async with open_connection(path, 10) as connection:
        await connection.script(f"PRAGMA application_id = {APPLICATION_ID}")
        await connection.script("CREATE TABLE schema_migrations (number INTEGER PRIMARY KEY, name TEXT, at INTEGER)")
        await connection.script("CREATE TABLE vectors (in_the_way TEXT)")
    schema = asked(path, "SELECT * FROM sqlite_master")
    with pytest.raises(StoreError, match="vectors already exists"):
        async with opened(path):
            pass
    assert asked(path, "SELECT * FROM sqlite_master") == schema
    assert asked(path, "SELECT * FROM schema_migrations") == []
    from_outside(path, "DROP TABLE vectors")
    async with opened(path) as store:
        await add(store, "alice", "Likes tea")


@pytest.mark.parametrize("seed", range(3))
async def test_indexes_and_statistics_hold_after_any_operations(path: Path, seed: int) -> None:
    chance, clock = random.Random(seed), FakeClock()
    words = ("tea", "coffee", "Köln", "東京都", "chess", "Mondays", "서울시에", "2026")
    async with opened(path) as store:
        service = MemoryService(store, clock)
        for _ in range(80):
            clock.advance(hours=1)
            user, origin = chance.choice(("alice", "bob")), Origin(tool="test")
            said = " ".join(chance.choices(words, k=chance.randint(1, 5)))
            fields = Fields(content=said, key=chance.choice((None, "home")), expires=chance.choice((None, "5h")))
            living = (await store.page(user, Filter(now=clock.now()), None, 100)).memories
            picked = chance.choice(living).id if living else "none"
            try:
                match chance.choice(("add", "add", "update", "delete", "undo")):
                    case "add":
                        await service.add(user, fields, origin)
                    case "update":
                        await service.update(user, picked, fields, origin)
                    case "delete":
                        await service.delete(user, [picked], origin)
                    case _:
                        await service.undo(user, None, origin)
            except McpMemoryError:
                continue
    assert asked(path, "SELECT count(*) > 30 FROM revisions") == [(1,)]
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]
    assert asked(path, "PRAGMA foreign_key_check") == []
    for index in ("memory_index", "past_index"):
        assert asked(path, f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)") == []
    written = "SELECT row_id >> 32, max(row_id) & 0xffffffff FROM revisions GROUP BY 1 ORDER BY 1"
    assert asked(path, written) == asked(path, "SELECT number, last_seq FROM users ORDER BY number")


DAMAGE = [
    pytest.param("content = replace(content, 'tea', 'teb')", id="a letter of the text"),
    pytest.param("content = CAST(X'4C696B657320FF6561' AS TEXT)", id="a byte that is no UTF-8"),
    pytest.param("topics = replace(topics, 'drinks', 'drinkz')", id="a topic"),
    pytest.param("topics = substr(topics, 2)", id="topics that are no JSON"),
    pytest.param("metadata = replace(metadata, '1', '2')", id="metadata"),
    pytest.param("metadata = substr(metadata, 2)", id="metadata that is no JSON"),
    pytest.param("metadata = '[]'", id="metadata that is no object"),
    pytest.param("agent = 'somebody'", id="who wrote it"),
    pytest.param("pinned = 1", id="the pin"),
    pytest.param("created_at = created_at + 1", id="a time"),
    pytest.param("version = version + 1", id="the version"),
    pytest.param("digest = zeroblob(16)", id="the checksum itself"),
]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.promise("P5")
async def test_what_was_changed_on_disk_is_marked_as_damaged_and_hides_nothing_else(path: Path, damage: str) -> None:
    async with opened(path) as store:
        bad = await add(store, "alice", "Likes tea", topics=("drinks",), metadata={"a": 1}, agent="planner")
        good = await add(store, "alice", "Likes rice", topics=("food",), agent="planner")
        from_outside(path, f"UPDATE memories SET {damage} WHERE id = '{bad.id}'")
        read = await store.memory("alice", bad.id, NOW)
        assert read is not None
        assert (read.damaged, read.id, read.row) == (True, bad.id, bad.row)
        page = await store.page("alice", SCOPE, None, 10)
        assert [(memory.id, memory.damaged) for memory in page.memories] == [(good.id, False), (bad.id, True)]
        food = Filter(now=NOW, topics=("food",))
        assert (await store.page("alice", food, None, 10)).memories == (good,)
        assert [row.row for row in (await found(store, "alice", "rice", food)).rows] == [good.row]
        async with store.transaction("alice") as turn:
            assert {memory.id: memory.damaged for memory in await turn.memories([bad.id])} == {bad.id: True}


@pytest.mark.parametrize("damage", [*DAMAGE, pytest.param("state = 'actjve'", id="the state")])
@pytest.mark.promise("P5")
async def test_a_revision_changed_on_disk_is_marked_as_damaged(path: Path, damage: str) -> None:
    async with opened(path) as store:
        tea = await add(store, "alice", "Likes tea", topics=("drinks",), metadata={"a": 1})
        await reword(store, "alice", tea, "Likes coffee")
        from_outside(path, f"UPDATE revisions SET {damage} WHERE operation = 'add'")
        revisions = await store.revisions("alice", tea.id)
        assert [one.memory.damaged for one in revisions] == [True, False]
        assert sorted(await store.past("alice", [tea.seq], NOW)) == [tea.seq]


FOREIGN = [
    pytest.param("CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')", id="tables of its own"),
    pytest.param("PRAGMA application_id = 77; CREATE TABLE memories (text)", id="another application's"),
    pytest.param("PRAGMA application_id = 77; VACUUM", id="another application's, still empty"),
    pytest.param("PRAGMA journal_mode = WAL; CREATE TABLE users (number)", id="in WAL mode"),
]


@pytest.mark.parametrize("script", FOREIGN)
@pytest.mark.promise("P7")
async def test_the_database_of_another_program_is_refused_and_left_as_it_is(path: Path, script: str) -> None:
    path.parent.mkdir()
    from_outside(path, script)
    before = bytes_of(path)
    with pytest.raises(StoreTooNew, match="belongs to another program"):
        async with opened(path):
            pass
    assert (bytes_of(path), beside(path)) == (before, ["memory.db"])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"Dear diary,\n", id="text"),
        pytest.param(random.Random(1).randbytes(10_000), id="noise"),
        pytest.param(b"SQLite format 3\0" + random.Random(2).randbytes(8_176), id="noise behind a right beginning"),
    ],
)
@pytest.mark.promise("P7")
async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(path: Path, content: bytes) -> None:
    put(path, content)
    with pytest.raises(StoreCorrupt) as caught:
        async with opened(path):
            pass
    assert str(caught.value).startswith(f"{path}: ")
    assert (bytes_of(path), beside(path)) == (content, ["memory.db"])


async def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(path: Path) -> None:
    async with opened(path):
        pass
    from_outside(path, "UPDATE settings SET value = '99' WHERE name = 'min_writer'")
    before = bytes_of(path)
    with pytest.raises(StoreTooNew, match="upgrade mcp-memory"):
        async with opened(path):
            pass
    assert bytes_of(path) == before


async def test_a_file_with_additions_of_a_newer_version_works(path: Path) -> None:
    async with opened(path):
        pass
    from_outside(
        path,
        "CREATE TABLE sessions (id); INSERT INTO schema_migrations VALUES (99, '0099_sessions', 1)",
    )
    async with opened(path) as store:
        await add(store, "alice", "Likes tea")
        assert await contents(store, "alice") == ["Likes tea"]


async def test_a_store_that_is_open_stops_writing_when_a_newer_version_takes_the_file_over(path: Path) -> None:
    async with opened(path) as store:
        await add(store, "alice", "Likes tea")
        from_outside(path, "UPDATE settings SET value = '99' WHERE name = 'min_writer'")
        with pytest.raises(StoreTooNew, match="restart this client"):
            await add(store, "alice", "Likes coffee")
        assert await contents(store, "alice") == ["Likes tea"]
        from_outside(path, "UPDATE settings SET value = '1' WHERE name = 'min_writer'")
        await add(store, "alice", "Likes rice")
    assert asked(path, "SELECT content FROM memories ORDER BY row_id") == [("Likes tea",), ("Likes rice",)]


@pytest.mark.parametrize(
    ("in_the_way", "database"),
    [
        pytest.param("file", "file/memory.db", id="a file in place of the folder"),
        pytest.param("file", "file/data/memory.db", id="a file in place of a folder above"),
        pytest.param("folder/memory.db/inside", "folder/memory.db", id="a folder in place of the file"),
    ],
)
async def test_a_place_that_cannot_be_is_unavailable_until_it_is_put_right(
    tmp_path: Path, in_the_way: str, database: str
) -> None:
    blocker, path = tmp_path / in_the_way, tmp_path / database
    blocker.parent.mkdir(parents=True, exist_ok=True)
    blocker.write_text("in the way")
    with pytest.raises(StoreUnavailable) as caught:
        async with opened(path):
            pass
    assert str(caught.value).startswith(f"{path}: ")
    assert "--database" in str(caught.value)
    assert blocker.read_text() == "in the way"
    blocker.rename(tmp_path / "out of the way")
    if path.is_dir():
        path.rmdir()
    async with opened(path) as store:
        await add(store, "alice", "Likes tea")


@pytest.mark.parametrize("content", [b"Dear diary,\n", b""])
async def test_no_thread_is_left_when_a_store_ends_or_cannot_be_opened(path: Path, content: bytes) -> None:
    put(path, content)
    before = set(threading.enumerate())
    try:
        async with opened(path) as store:
            await add(store, "alice", "Likes tea")
    except StoreCorrupt:
        assert content
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


@pytest.mark.promise("P2")
async def test_a_lock_held_too_long_is_one_error_with_nothing_written_and_reads_go_on(path: Path) -> None:
    async with opened(path, 0.3) as store:
        await add(store, "alice", "Likes tea")
        with write_lock(path):
            with anyio.fail_after(5), pytest.raises(StoreBusy, match="nothing was written"):
                await add(store, "alice", "Likes coffee")
            assert await contents(store, "alice") == ["Likes tea"]
            async with opened(path, 0.3) as another:
                assert await contents(another, "alice") == ["Likes tea"]
        await add(store, "alice", "Likes rice")
        assert await contents(store, "alice") == ["Likes rice", "Likes tea"]


@pytest.mark.promise("P2")
async def test_a_write_waits_for_a_lock_that_is_released_in_time(path: Path) -> None:
    async with opened(path) as store:
        with write_lock(path) as holder:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(add, store, "alice", "Likes tea")
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
                assert await contents(store, "alice") == []
                release(holder)
        assert await contents(store, "alice") == ["Likes tea"]


@pytest.mark.promise("P2")
async def test_a_write_cancelled_while_it_waits_takes_no_lock_later(path: Path) -> None:
    async with opened(path) as store:
        with write_lock(path) as holder:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(add, store, "alice", "Likes tea")
                for _ in range(5):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
                release(holder)
        async with store.transaction("alice") as turn:
            await turn.record(a_change(), [Step(operation="add", memory=a_memory("Likes rice"))])
        assert await contents(store, "alice") == ["Likes rice"]
        with write_lock(path):
            assert await contents(store, "alice") == ["Likes rice"]


FILLER = """
import json, resource, sys
from pathlib import Path
import anyio
from mcp_memory.clock import SystemClock
from mcp_memory.errors import StoreError
from mcp_memory.guard import Fields
from mcp_memory.models import Origin
from mcp_memory.service import MemoryService
from mcp_memory.store.sqlite import open_store

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

async def main():
    acknowledged, errors = [], []
    async with open_store(Path(sys.argv[1]), 1, 5) as store:
        service = MemoryService(store, SystemClock())
        async def add(content):
            added = await service.add("alice", Fields(content=content), Origin(tool="test"))
            acknowledged.append(added.memory.id)
        limit(2_000_000)
        for number in range(2_000):
            try:
                await add(f"{number} " + "long story " * 200)
            except StoreError as error:
                errors.append((type(error).__name__, str(error)))
                if len(errors) == 3:
                    break
        limit(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
        await add("There is room again")
    print(json.dumps([acknowledged, errors]))

anyio.run(main)
"""


@posix_only
@pytest.mark.promise("P2")
async def test_a_file_that_cannot_grow_is_an_error_loses_nothing_and_works_again_with_room(path: Path) -> None:
    filled = subprocess.run(  # noqa: ASYNC221 - nothing else runs meanwhile
        [sys.executable, "-c", FILLER, str(path)], check=True, capture_output=True, text=True, timeout=60
    )
    acknowledged, errors = json.loads(filled.stdout)
    assert {name for name, _ in errors} == {"StoreFull"}
    assert len(errors) == 3
    assert all(message.startswith(f"{path}: ") for _, message in errors)
    assert len(acknowledged) > 20
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]
    async with opened(path) as store:
        page = await store.page("alice", SCOPE.replace(now=1), None, 5_000)
        assert [memory.id for memory in reversed(page.memories)] == acknowledged
        assert not any(memory.damaged for memory in page.memories)

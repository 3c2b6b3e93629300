"""Files of every released schema are opened by this version, after a backup, with nothing changed in what they say."""

import gzip
import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, Final, cast

import anyio
import anyio.to_thread
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from mcp_memory.config import Config
from mcp_memory.errors import StoreError, StoreTooNew
from mcp_memory.store.sqlite import open_store
from mcp_memory.store.sqlite.backup import copies, folder_of
from mcp_memory.store.sqlite.sql import MIGRATIONS
from tests.fixtures.make import LATER, after, told
from tests.support import connected, ok

FIXTURES: Final = Path(__file__).parent / "fixtures"
RELEASED: Final = sorted(path.name[:4] for path in FIXTURES.glob("*.db.gz"))
over_every_release: Final = pytest.mark.parametrize("number", RELEASED)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.db"


def unpacked(number: str, path: Path) -> dict[str, Any]:
    """Puts the file of that release at `path`; what its version told of it."""
    path.write_bytes(gzip.decompress((FIXTURES / f"{number}.db.gz").read_bytes()))
    return json.loads((FIXTURES / f"{number}.json").read_text(encoding="utf-8"))


def asked(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def schema(path: Path) -> list[tuple[Any, ...]]:
    return asked(path, "SELECT type, name, sql FROM sqlite_master ORDER BY name")


def backups(path: Path) -> list[str]:
    return [one.name.partition("Z")[2] for one in copies(path, [folder_of(path)])]


def part(whole: object, expected: object) -> object:
    """`whole` without what `expected` does not speak of: a later version may say more of the same thing."""
    if isinstance(whole, dict) and isinstance(expected, dict):
        known = cast("dict[str, Any]", whole)
        return {name: part(known.get(name), value) for name, value in cast("dict[str, Any]", expected).items()}
    if isinstance(whole, list) and isinstance(expected, list):
        pairs = list(zip(cast("list[Any]", whole), cast("list[Any]", expected), strict=False))
        return [part(one, other) for one, other in pairs] + cast("list[Any]", whole)[len(pairs) :]
    return cast("object", whole)


async def open_once(path: Path, now: int = 1) -> None:
    async with open_store(path, now, 10):
        pass


def test_there_is_a_file_of_every_schema_before_the_newest() -> None:
    before = [f"{migration.number:04}" for migration in MIGRATIONS[:-1]]
    assert set(before) <= set(RELEASED), "run tests/fixtures/make.py with the revision that was released"


@over_every_release
@pytest.mark.promise("P2")
@pytest.mark.promise("P3")
async def test_an_upgraded_file_tells_what_its_own_version_told(path: Path, number: str) -> None:
    expected = unpacked(number, path)
    said = await told(path, expected["now"])
    assert part(said, expected["told"]) == expected["told"]
    assert asked(path, "SELECT max(number) FROM schema_migrations") == [(len(MIGRATIONS),)]
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]
    for index in ("memory_index", "past_index"):
        assert asked(path, f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)") == []


@over_every_release
async def test_an_upgraded_file_has_the_schema_of_a_new_one(path: Path, tmp_path: Path, number: str) -> None:
    unpacked(number, path)
    await open_once(path)
    await open_once(tmp_path / "new.db")
    columns = "SELECT m.name, c.* FROM sqlite_master AS m, pragma_table_info(m.name) AS c ORDER BY m.name, c.cid"
    assert asked(path, columns) == asked(tmp_path / "new.db", columns)


@pytest.mark.promise("P2")
async def test_what_was_there_before_an_upgrade_is_backed_up_whole(path: Path) -> None:
    unpacked("0001", path)
    before = asked(path, "SELECT * FROM revisions"), schema(path)
    await open_once(path)
    assert backups(path) == ["-before-0002.db"]
    [kept] = copies(path, [folder_of(path)])
    assert (asked(kept, "SELECT * FROM revisions"), schema(kept)) == before
    await open_once(path, 2_000_000)
    assert backups(path) == ["-before-0002.db"], "a file that is up to date needs no backup"


async def test_a_new_file_is_not_backed_up(path: Path) -> None:
    await open_once(path)
    assert not folder_of(path).exists()


@pytest.mark.promise("P2")
async def test_a_migration_that_fails_leaves_the_file_as_it_was_says_so_and_keeps_one_backup(path: Path) -> None:
    unpacked("0001", path)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE backup_folders (in_the_way)")
    before = schema(path), asked(path, "SELECT * FROM memories")
    for attempt in (1, 60_000_000):
        with pytest.raises(StoreError, match=r"migration 0002_trust failed, the file is as it was: .*already exists"):
            await open_once(path, attempt)
    assert (schema(path), asked(path, "SELECT * FROM memories")) == before
    assert backups(path) == ["-before-0002.db"]
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("DROP TABLE backup_folders")
    await open_once(path)
    assert asked(path, "SELECT max(number) FROM schema_migrations") == [(len(MIGRATIONS),)]


async def test_without_a_place_for_the_backup_nothing_is_migrated(path: Path) -> None:
    unpacked("0001", path)
    folder_of(path).write_text("in the way", encoding="utf-8")
    with pytest.raises(StoreError, match="no backups can be kept here"):
        await open_once(path)
    assert asked(path, "SELECT max(number) FROM schema_migrations") == [(1,)]
    folder_of(path).unlink()
    await open_once(path)


async def test_an_older_file_that_a_newer_version_has_claimed_is_refused_in_one_line(path: Path) -> None:
    unpacked("0001", path)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE settings SET value = '99' WHERE name = 'min_writer'")
    before = schema(path)
    with pytest.raises(StoreTooNew, match="a newer mcp-memory uses this file; upgrade mcp-memory"):
        await open_once(path)
    assert schema(path) == before
    assert not folder_of(path).exists()


UPGRADER = """
import sys
from pathlib import Path
import anyio
from mcp_memory.store.sqlite import open_store

async def main():
    print("ready", flush=True)
    path = Path(sys.stdin.readline().strip())
    async with open_store(path, 1, 30):
        print("open", flush=True)
        sys.stdin.readline()

anyio.run(main)
"""


@pytest.mark.promise("P2")
def test_processes_that_migrate_at_once_make_one_backup_and_one_ledger(path: Path) -> None:
    unpacked("0001", path)

    def one() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", UPGRADER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    with one() as first, one() as second, one() as third:
        pipes = [(child.stdin, child.stdout) for child in (first, second, third)]
        for said in ("ready", "open"):
            for _, stdout in pipes:
                assert stdout
                assert stdout.readline().strip() == said
            for stdin, _ in pipes:
                assert stdin
                stdin.write(f"{path}\n")
                stdin.flush()
    assert [child.returncode for child in (first, second, third)] == [0, 0, 0]
    assert backups(path) == ["-before-0002.db"]
    assert asked(path, "SELECT number FROM schema_migrations") == [(one.number,) for one in MIGRATIONS]


OLD_PROCESS = """
import sqlite3, sys
raw = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
    raw.execute("PRAGMA " + pragma)
print(raw.execute("SELECT count(*) FROM memories").fetchone()[0], flush=True)
sys.stdin.readline()
pending = ""
for line in open(sys.argv[2], encoding="utf-8"):
    pending += line
    if sqlite3.complete_statement(pending):
        raw.execute(pending).fetchall()
        pending = ""
print("written", flush=True)
sys.stdin.readline()
"""
"""What a released version does that opened the file before it was migrated, by the very statements it sent."""


@over_every_release
@pytest.mark.promise("P2")
async def test_an_old_process_writes_on_while_a_new_one_migrates_and_both_see_it(path: Path, number: str) -> None:
    now = unpacked(number, path)["now"]
    command = [sys.executable, "-c", OLD_PROCESS, str(path), str(FIXTURES / f"{number}.sql")]
    async with await anyio.open_process(command, stderr=None) as old:
        assert old.stdin
        assert old.stdout
        said = BufferedByteReceiveStream(old.stdout)
        assert int(await said.receive_until(b"\n", 100)) > 5
        config = Config(database=str(path), user="bob", timezone="UTC")
        async with connected(config, clock=after(now)) as client:
            before = (await ok(client, "list_memories"))["total"]
            await old.stdin.send(b"write\n")
            assert (await said.receive_until(b"\n", 100)).strip() == b"written"
            listed = await ok(client, "list_memories")
            assert (listed["total"], listed["memories"][0]["content"]) == (before + 1, LATER)
            assert not listed["memories"][0].get("damaged")
            found = await ok(client, "search_memories", query="choir")
            assert [hit["content"] for hit in found["hits"]] == [LATER]
            await ok(client, "add_memory", content="Sings bass")
            await ok(client, "undo")
            await ok(client, "undo")
            assert (await ok(client, "list_memories"))["total"] == before
        await old.stdin.send(b"end\n")
    assert old.returncode == 0
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.promise("P6")
async def test_a_server_answers_the_handshake_while_an_upgrade_cannot_begin(path: Path) -> None:
    now = unpacked("0001", path)["now"]
    ready, done = threading.Event(), threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute("PRAGMA journal_mode = WAL")
            raw.execute("BEGIN IMMEDIATE")
            ready.set()
            done.wait(30)
            raw.execute("ROLLBACK")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, hold)
        await anyio.to_thread.run_sync(ready.wait)
        async with connected(Config(database=str(path), user="alice"), clock=after(now)) as client:
            assert (await client.list_tools()).tools
            done.set()
            assert (await ok(client, "list_memories"))["total"] > 3

"""What is forgotten is in no byte of any file of ours, and in no segment of an index."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import Origin, Receipt
from mcp_memory.service import MemoryService
from mcp_memory.testing import FakeClock
from mcp_memory.views import forgotten
from tests import fts5
from tests.planted import INDEXES, backed_up, fill, in_bytes, in_indexes, of_user, plant
from tests.support import connected, ok, refused, stdio
from tests.test_cli import invoked, run

pytestmark = pytest.mark.promise("P4")

ORIGIN = Origin(tool="test", client="tester")
ALICE, BOB = plant(1), plant(2, 60, 12)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in which alice and bob have planted everything."""
    database = tmp_path_factory.mktemp("planted") / "memory.db"

    async def planted() -> None:
        await fill(database, "alice", ALICE)
        await fill(database, "bob", BOB)

    anyio.run(planted)
    return database


@pytest.fixture
def database(tmp_path: Path, prepared: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return Path(shutil.copy(prepared, folder / "memory.db"))


@contextmanager
def reading(database: Path) -> Generator["subprocess.Popen[str]"]:
    """Another process in the middle of a read, until its stdin is closed."""
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN');"
        "c.execute('SELECT count(*) FROM memories').fetchone(); print('reads', flush=True); sys.stdin.read(); c.close()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reads\n"
        yield reader


def ended(reader: "subprocess.Popen[str]") -> None:
    assert reader.stdin is not None
    reader.stdin.close()
    reader.wait(30)


def asked(database: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def sound(database: Path) -> None:
    """The file holds together, and each index agrees with its table."""
    assert asked(database, "PRAGMA integrity_check") == [("ok",)]
    assert asked(database, "PRAGMA foreign_key_check") == []
    for index in INDEXES:
        assert asked(database, f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)") == []


def as_before_0002(copy: Path) -> Path:
    """The copy as the migration 0002 would have found it."""
    with closing(sqlite3.connect(copy)) as connection:
        connection.executescript(
            "DROP TABLE backup_folders; ALTER TABLE changes DROP COLUMN pruned; DROP INDEX memories_pending;"
            "DELETE FROM schema_migrations WHERE number > 1; VACUUM"
        )
    return copy


async def forget_user(database: Path, user: str, wait: float = 10.0) -> Receipt:
    async with open_app(Config(database=str(database)), FakeClock()) as app:
        return await (await app.service()).forgetting.user(user, wait)


def test_the_reader_of_segments_finds_what_the_engine_lists(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        for index in INDEXES:
            connection.execute(f"CREATE VIRTUAL TABLE temp.{index}_terms USING fts5vocab ('main', '{index}', 'row')")
            listed = {term for (term,) in connection.execute(f"SELECT term FROM {index}_terms")}
            assert len(listed) > 100
            assert listed <= fts5.terms(connection, index)


async def test_no_byte_and_no_segment_holds_anything_of_a_forgotten_user(tmp_path: Path, database: Path) -> None:
    folder, other = database.parent, tmp_path / "data" / "elsewhere"
    backed_up(database, folder / "backups", "20260301T120000Z")
    older = as_before_0002(backed_up(database, other, "20260201T120000Z-before-0002"))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO backup_folders VALUES (?)", (str(other),))
    assert in_bytes(folder, ALICE.strings) >= {one for one in ALICE.strings if len(one) <= 40}
    assert in_indexes(database, ALICE.words, 1) == set(ALICE.words)

    async with stdio("--database", str(database), "--user", "alice") as client:
        assert (await ok(client, "list_memories"))["total"] > 50
        await ok(client, "search_memories", query=ALICE.strings[7])
        done = run(
            *("forget-user", "alice", "--yes", "--database", str(database)),
            folder=tmp_path,
            environ={"MCP_MEMORY_LOG_LEVEL": "debug"},
        )
        (folder / "forget.log").write_text(done.stderr, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        assert "Complete: nothing of it is left" in done.stdout
        assert "erased 100 memories" in done.stderr
        assert "alice" not in done.stderr
        present = {path.name for path in folder.iterdir()}
        assert present >= {"memory.db", "memory.db-wal", "memory.db-shm", "backups", "forget.log"}
        assert in_bytes(folder, (*ALICE.strings, *(word for word in ALICE.words if len(word) > 7))) == set()
        assert in_bytes(folder, ["alice"]) == set()
        assert (await ok(client, "list_memories"))["total"] == 0
        assert (await ok(client, "search_memories", query=ALICE.strings[7]))["hits"] == []
    for file in (database, older, folder / "backups" / "memory-20260301T120000Z.db"):
        assert in_indexes(file, ALICE.words, 1) == set()
        assert of_user(file, 1) == set()
        assert in_indexes(file, BOB.words, 2) == set(BOB.words) - {BOB.words[5]}, "all but what bob deleted"
        sound(file)
    assert in_bytes(folder, BOB.strings) >= {one for one in BOB.strings if len(one) <= 40}


async def test_a_forgotten_name_begins_anew_and_nothing_old_comes_back(database: Path) -> None:
    async with stdio("--database", str(database), "--user", "alice") as client:
        await ok(client, "search_memories", query=ALICE.strings[7], include_past=True)
        await forget_user(database, "alice")
        assert "Nothing is left" in await refused(client, "undo")
        added = await ok(client, "add_memory", content="Has begun anew")
        assert [one["content"] for one in (await ok(client, "list_memories"))["memories"]] == ["Has begun anew"]
        assert (await ok(client, "get_memory", id=added["memory"]["id"], history=True))["memory"]["version"] == 1
    numbers = [number for (number,) in asked(database, "SELECT number FROM users ORDER BY number")]
    assert numbers == [2, 3]


async def test_no_byte_and_no_segment_holds_anything_of_a_forgotten_memory(tmp_path: Path, database: Path) -> None:
    folder = database.parent
    secret = plant(3, 3, 2)
    async with stdio("--database", str(database), "--user", "alice") as client:
        added = await ok(client, "add_memory", content=f"{secret.strings[0]} {secret.words[0]}", key="hidden key 77")
        memory_id = added["memory"]["id"]
        await ok(client, "update_memory", id=memory_id, content=secret.strings[1], topics=["hidden topic 78"])
        await ok(client, "delete_memory", id=memory_id)
        undone = await ok(client, "undo")
        copy = as_before_0002(backed_up(database, folder / "backups", "20260301T120000Z"))
        assert in_indexes(database, secret.words, 1) == set(secret.words[:1])
        for query in (secret.strings[0], secret.strings[1]):
            assert (await ok(client, "search_memories", query=query, include_past=True))["hits"]
        before = await ok(client, "list_memories")
        done = run("forget", memory_id, "--yes", "--user", "alice", "--database", str(database), folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Erased: 1 memory, 4 versions, 1 former wording, 1 vector, 0 changes." in done.stdout
        assert re.search(r"(\d) files? looked through, \1 of them altered", done.stdout)  # the server makes backups too
        gone = (*secret.strings, "hidden key 77", "hidden topic 78", memory_id)
        assert in_bytes(folder, gone) == set()
        after = await ok(client, "list_memories")
        assert after["total"] == before["total"] - 1
        kept = [one for one in before["memories"] if one["id"] != memory_id]
        assert after["memories"][: len(kept)] == kept
        for query in (secret.strings[0], secret.strings[1], secret.words[0]):
            hits = (await ok(client, "search_memories", query=query, include_past=True))["hits"]
            assert not [hit for hit in hits if hit["id"] == memory_id]
        assert "No memory" in await refused(client, "get_memory", id=memory_id, history=True)
        assert "cannot be undone: retention, or a forgetting" in await refused(
            client, "undo", change_id=undone["change_id"]
        )
    for file in (database, copy):
        assert in_indexes(file, secret.words, 1) == set()
        sound(file)


async def answers(service: MemoryService) -> list[tuple[str, float]]:
    queries = ("green tea", "where does she live", "plays chess on monday", "tea", "river walk", "東京")
    found = [await service.search("alice", query, service.scope(), include_past=True) for query in queries]
    return [(hit.memory.content, round(hit.score, 9)) for one in found for hit in one.hits]


@pytest.mark.parametrize("ephemeral", [False, True], ids=["sqlite", "ephemeral"])
async def test_searches_answer_as_if_a_forgotten_memory_had_never_been(tmp_path: Path, *, ephemeral: bool) -> None:
    facts = ("Drinks green tea", "Lives by the river", "Plays chess on Mondays", "Walks along the river", "東京が好き")

    async def told(name: str, *secrets: str) -> list[tuple[str, float]]:
        config = Config(database=str(tmp_path / name), ephemeral=ephemeral)
        async with open_app(config, FakeClock()) as app:
            service = await app.service()
            for fact in facts[:3]:
                await service.add("alice", Fields(content=fact), ORIGIN)
            doomed = [(await service.add("alice", Fields(content=one), ORIGIN)).memory.id for one in secrets]
            for memory_id, secret in zip(doomed, secrets, strict=True):
                await service.update("alice", memory_id, Fields(content=f"{secret} at the river"), ORIGIN)
            for fact in facts[3:]:
                await service.add("alice", Fields(content=fact), ORIGIN)
            assert any(one.startswith(secrets) for one, _ in await answers(service)) == bool(secrets)
            for memory_id in doomed:
                await service.forgetting.memory("alice", memory_id, ORIGIN)
            return await answers(service)

    expected = await told("without.db")
    assert len(expected) > 5
    assert await told("with.db", "Plays green chess", "Tea in town") == expected


async def test_a_reason_that_names_a_forgotten_memory_names_it_no_more(tmp_path: Path) -> None:
    database, clock = tmp_path / "data" / "memory.db", FakeClock()
    async with connected(Config(database=str(database), user="alice"), clock=clock) as client:
        gone = (await ok(client, "add_memory", content="Has a secret"))["memory"]["id"]
        operation = {"op": "add", "content": "Likes tea", "reason": f"said with {gone}"}
        kept = (await ok(client, "extract_memories", operations=[operation]))["operations"][0]["memory"]["id"]
    async with open_app(Config(database=str(database)), clock) as app:
        await (await app.service()).forgetting.memory("alice", gone, ORIGIN)
    async with connected(Config(database=str(database), user="alice"), clock=clock) as client:
        [version] = (await ok(client, "get_memory", id=kept, history=True))["revisions"]
    assert version["reason"].startswith("said with ")
    assert in_bytes(database.parent, (gone,)) == set()


async def test_a_memory_of_another_user_with_the_same_id_stays_when_one_is_forgotten(tmp_path: Path) -> None:
    database = tmp_path / "memory.db"
    async with open_app(Config(database=str(database)), FakeClock()) as app:
        service = await app.service()
        mine = await service.add("alice", Fields(content="Has a secret"), ORIGIN)
        other = await service.add("bob", Fields(content="Likes tea"), ORIGIN)
    with closing(sqlite3.connect(database)) as file, file:  # as a copy may bring it about: ids are a user's own
        for table in ("memories", "revisions"):
            file.execute(f"UPDATE {table} SET id = ? WHERE id = ?", (mine.memory.id, other.memory.id))
    async with open_app(Config(database=str(database)), FakeClock()) as app:
        receipt = await (await app.service()).forgetting.memory("alice", mine.memory.id, ORIGIN)
    assert receipt.erased.memories == 1
    assert asked(database, "SELECT content FROM memories") == [("Likes tea",)]
    assert asked(database, "SELECT content FROM revisions") == [("Likes tea",)]


@pytest.mark.parametrize("ephemeral", [False, True], ids=["sqlite", "ephemeral"])
async def test_undo_refuses_what_a_forgetting_took_part_of_and_passes_over_what_is_gone(
    tmp_path: Path, *, ephemeral: bool
) -> None:
    async with open_app(Config(database=str(tmp_path / "memory.db"), ephemeral=ephemeral), FakeClock()) as app:
        service = await app.service()
        first = await service.add("alice", Fields(content="Likes tea"), ORIGIN)
        both = [(await service.add("alice", Fields(content=one), ORIGIN)).memory.id for one in ("One", "Two")]
        deleted = await service.delete("alice", both, ORIGIN)
        last = await service.add("alice", Fields(content="A third"), ORIGIN)
        await service.forgetting.memory("alice", last.memory.id, ORIGIN)
        await service.forgetting.memory("alice", both[0], ORIGIN)
        revisions = await service.forgetting.versions("alice", both[1])
        assert revisions[-1].change.summary == f"deleted (forgotten), {both[1]}"
        assert revisions[-1].change.pruned
        for change_id in (None, deleted.change_id):
            with pytest.raises(Exception, match=f"Change {deleted.change_id} cannot be undone: retention, or a forg"):
                await service.undo("alice", change_id, ORIGIN)
        assert (await service.undo("alice", first.change_id, ORIGIN)).undone.id == first.change_id


async def test_others_go_on_writing_and_lose_nothing_while_a_user_is_forgotten(tmp_path: Path, database: Path) -> None:
    command = ("forget-user", "alice", "--yes", "--database", str(database))
    acknowledged: list[str] = []
    async with stdio("--database", str(database), "--user", "bob") as client, anyio.create_task_group() as tasks:

        async def write() -> None:
            while True:
                added = await ok(client, "add_memory", content=f"Written meanwhile: {len(acknowledged)}")
                acknowledged.append(added["memory"]["id"])

        tasks.start_soon(write)
        done = await anyio.to_thread.run_sync(lambda: run(*command, folder=tmp_path))
        assert done.returncode == 0, done.stderr
        tasks.cancel_scope.cancel()
    stored = {memory_id for (memory_id,) in asked(database, "SELECT id FROM memories")}
    assert len(acknowledged) > 3
    assert stored >= set(acknowledged)
    assert in_bytes(database.parent, ALICE.strings) == set()
    sound(database)


def test_every_table_is_one_that_a_forgetting_clears_or_that_holds_nothing_of_a_user(database: Path) -> None:
    cleared = {"users", "changes", "memories", "revisions", "past_wordings", "vectors"}
    shadows = {f"{index}{part}" for index in INDEXES for part in ("", "_data", "_idx", "_config")}
    plain = {"settings", "schema_migrations", "backup_folders", "sqlite_sequence", "memory_terms"}
    tables = {name for (name,) in asked(database, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == cleared | shadows | plain, "say in store/sqlite/erase.py how a new table is cleared"


async def test_it_waits_for_a_reader_and_then_says_that_it_is_not_complete(tmp_path: Path, database: Path) -> None:
    with reading(database) as reader:
        receipt = await forget_user(database, "alice", wait=0.2)
        assert [line for line in receipt.unfinished if "another process" in line]
        assert "Not complete; see to this, and run the same command again:" in forgotten.receipt(receipt)
        assert in_bytes(database.parent, ALICE.strings)
        ended(reader)
    done = run("forget-user", "alice", "--yes", "--database", str(database), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Complete" in done.stdout
    assert in_bytes(database.parent, ALICE.strings) == set()


async def test_it_is_complete_when_the_reader_ends_while_it_waits(database: Path) -> None:
    receipts: list[Receipt] = []

    async def erase() -> None:
        receipts.append(await forget_user(database, "alice", wait=30))

    with reading(database) as reader:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(erase)
            with anyio.fail_after(30):
                while asked(database, "SELECT 1 FROM users WHERE name = 'alice'"):
                    await anyio.lowlevel.checkpoint()
            ended(reader)
    assert receipts[0].unfinished == ()
    assert in_bytes(database.parent, ALICE.strings) == set()


def test_a_backup_that_cannot_be_erased_is_named_and_the_others_are_done(tmp_path: Path, database: Path) -> None:
    folder = database.parent / "backups"
    good = backed_up(database, folder, "20260301T120000Z")
    bad = folder / "memory-20260302T120000Z.db"
    bad.write_bytes(b"no database at all" * 500)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO backup_folders VALUES (?)", (str(tmp_path / "unplugged"),))
    done = invoked("forget-user", "alice", "--yes", "--database", str(database), folder=tmp_path)
    assert done.exit_code == 1
    assert str(bad) in done.stdout
    assert str(tmp_path / "unplugged") in done.stdout
    assert "Complete" not in done.stdout
    assert in_bytes(folder, ALICE.strings) == set()
    sound(good)
    bad.unlink()
    (tmp_path / "unplugged").mkdir()
    again = invoked("forget-user", "alice", "--yes", "--database", str(database), folder=tmp_path)
    assert again.exit_code == 1
    assert "No user 'alice' in the file or its backups (1)" in again.stderr
    sound(database)


def test_without_a_terminal_and_without_yes_nothing_is_erased(tmp_path: Path, database: Path) -> None:
    before = database.read_bytes()
    for command in (("forget-user", "alice"), ("forget", "nosuchmemory")):
        done = invoked(*command, "--database", str(database), folder=tmp_path)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "--yes" in done.stderr
    unknown = {("forget-user", "alcie"): 1, ("forget", "nosuchmemory"): 1, ("forget", " "): 2}
    for command, code in unknown.items():
        done = invoked(*command, "--yes", "--database", str(database), folder=tmp_path)
        assert (done.exit_code, done.stdout) == (code, "")
        assert len(done.stderr.splitlines()) == 1
    assert database.read_bytes() == before
    missing = invoked("forget-user", "alice", "--yes", "--database", str(tmp_path / "none.db"), folder=tmp_path)
    assert missing.exit_code == 2
    assert not (tmp_path / "none.db").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is POSIX only")
@pytest.mark.parametrize(("answer", "left"), [("n\n", 2), ("y\n", 1)])
def test_on_a_terminal_a_person_is_asked(tmp_path: Path, database: Path, answer: str, left: int) -> None:
    import pty

    controller, terminal = pty.openpty()
    try:
        os.write(controller, answer.encode())
        done = run("forget-user", "alice", "--database", str(database), folder=tmp_path, stdin=terminal)
    finally:
        os.close(controller)
        os.close(terminal)
    assert "memories of 'alice' for good" in done.stdout
    assert asked(database, "SELECT count(*) FROM users") == [(left,)]
    assert done.returncode == (0 if left == 1 else 1)

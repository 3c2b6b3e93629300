import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from mcp_memory.clock import SystemClock
from mcp_memory.config import Config
from mcp_memory.store.sqlite.sql import MIGRATIONS
from tests.patient import Patient, admitted, connect, outcomes, serving, surroundings
from tests.support import connected, ok

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="modes of files are POSIX only")


@pytest.fixture
async def patient(tmp_path: Path) -> Patient:
    return await admitted(tmp_path)


def ran_apart(patient: Patient, *options: str) -> subprocess.CompletedProcess[str]:
    """Doctor as a process of its own, at home where the patient is."""
    own = {name: value for name, value in surroundings(patient.home).items() if value is not None}
    inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "PYTHONPATH", "SYSTEMROOT"}}
    return subprocess.run(
        [sys.executable, "-m", "mcp_memory", "doctor", "--database", str(patient.database), *options],
        env=inherited | own,
        cwd=patient.home,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )


def test_a_healthy_setup_is_ok_throughout(patient: Patient) -> None:
    connect(patient.home, serving(patient.database, "--user", "alice"))
    done = ran_apart(patient)
    *checks, last = done.stdout.splitlines()
    assert [line for line in checks if not line.startswith("ok ")] == []
    assert last == f"{len(checks)} checks: {len(checks)} ok, 0 to look at, 0 failed"
    assert (done.returncode, done.stderr, len(checks) > 20) == (0, "", True)
    assert sorted(one.name for one in patient.database.parent.iterdir()) == ["memory.db"]


@pytest.mark.promise("P6")
def test_doctor_imports_neither_the_sdk_nor_an_endpoints_client(patient: Patient) -> None:
    program = (
        "import sys; from mcp_memory.cli import main; main(sys.argv[1:], standalone_mode=False); "
        "sys.stderr.write(' '.join(sorted({'mcp', 'mcp_types', 'openai', 'starlette'} & set(sys.modules))))"
    )
    command = [sys.executable, "-c", program, "doctor", "--database", str(patient.database)]
    environ = os.environ | {name: value for name, value in surroundings(patient.home).items() if value is not None}
    done = subprocess.run(command, env=environ, capture_output=True, encoding="utf-8", timeout=100, check=True)
    assert (done.stderr, "clients: none of" in done.stdout) == ("", True)


def wrong_terms(patient: Patient) -> None:
    patient.altered(f"UPDATE memories SET terms = '1xnothing', term_count = 1 WHERE id = '{patient.ids[1]}'")


def wrong_count(patient: Patient) -> None:
    patient.altered(f"UPDATE memories SET term_count = 99 WHERE id = '{patient.ids[1]}'")


def past_terms(patient: Patient) -> None:
    patient.altered("UPDATE past_wordings SET terms = '1xnothing', term_count = 1")


def missing_row(patient: Patient) -> None:
    patient.altered(
        "INSERT INTO memory_index (memory_index, rowid, terms) "
        f"SELECT 'delete', row_id, terms FROM memories WHERE id = '{patient.ids[1]}'"
    )


def extra_row(patient: Patient) -> None:
    patient.altered("INSERT INTO memory_index (rowid, terms) VALUES ((1 << 32) + 999, '1xghost')")


def extra_past_row(patient: Patient) -> None:
    patient.altered("INSERT INTO past_index (rowid, terms) VALUES ((1 << 32) + 999, '1xghost')")


def behind(patient: Patient) -> None:
    patient.altered("UPDATE users SET last_seq = 1 WHERE name = 'alice'")


def open_to_others(patient: Patient) -> None:
    patient.database.chmod(0o644)
    patient.database.parent.chmod(0o755)


REPAIRABLE = [
    pytest.param(wrong_terms, "words", "1 memory or former wording is indexed under other words", id="terms"),
    pytest.param(wrong_count, "words", "1 memory or former wording", id="term count"),
    pytest.param(past_terms, "words", "1 memory or former wording", id="terms of a former wording"),
    pytest.param(missing_row, "memory index", "1 row is not found by any word", id="row missing in the index"),
    pytest.param(extra_row, "memory index", "1 row in it that the table does not have", id="row too many"),
    pytest.param(extra_past_row, "past index", "1 row in it that the table", id="row too many in the past index"),
    pytest.param(behind, "sequence", "the count of writes is behind for alice", id="sequence"),
    pytest.param(open_to_others, "permissions", "other accounts have access", id="rights", marks=posix_only),
]


@pytest.mark.parametrize(("prepare", "name", "said"), REPAIRABLE)
def test_what_can_be_derived_is_named_and_repaired(
    patient: Patient, prepare: Callable[[Patient], None], name: str, said: str
) -> None:
    texts = "SELECT id, version, content, topics, updated_at, digest FROM {} ORDER BY row_id"
    before = [patient.asked(texts.format(table)) for table in ("memories", "revisions")]
    prepare(patient)
    found = patient.examined()
    assert (found["code"], outcomes(found, "clients")) == (1, {name})
    assert said in found["named"][name]["said"]
    assert "doctor --repair" in found["named"][name]["remedy"]
    mended = patient.examined("--repair")
    assert (mended["code"], outcomes(mended, "clients")) == (0, set())
    assert {one["name"] for one in mended["before"] if one["outcome"] == "fail"} == {name}
    assert [patient.asked(texts.format(table)) for table in ("memories", "revisions")] == before
    assert outcomes(patient.examined(), "clients") == set()


@pytest.mark.parametrize("prepare", [wrong_terms, missing_row], ids=["terms", "row missing in the index"])
async def test_after_a_repair_a_server_that_was_running_finds_again(
    tmp_path: Path, prepare: Callable[[Patient], None]
) -> None:
    patient = await admitted(tmp_path)
    async with connected(
        Config(database=str(patient.database), user="alice", timezone="UTC"), clock=SystemClock()
    ) as client:
        prepare(patient)
        await ok(client, "search_memories", query="chess")
        await anyio.to_thread.run_sync(ran_apart, patient, "--repair")
        [hit] = (await ok(client, "search_memories", query="chess"))["hits"]
        assert (hit["id"], hit["content"]) == (patient.ids[1], "Plays chess on Mondays")
        await ok(client, "add_memory", content="Everything still works")


def damaged_text(patient: Patient) -> None:
    patient.altered(f"UPDATE memories SET content = replace(content, 'ss', 'st') WHERE id = '{patient.ids[1]}'")


def damaged_revision(patient: Patient) -> None:
    patient.altered(f"UPDATE revisions SET content = 'Prefers' WHERE id = '{patient.ids[0]}' AND version = 1")


def damaged_twice(patient: Patient) -> None:
    damaged_text(patient)
    patient.altered(f"UPDATE revisions SET content = 'Plays' WHERE id = '{patient.ids[1]}'")


def damaged_page(patient: Patient) -> None:
    [(page,)] = patient.asked("SELECT rootpage FROM sqlite_master WHERE name = 'memories'")
    [(size,)] = patient.asked("PRAGMA page_size")
    with patient.database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


def foreign(patient: Patient) -> None:
    patient.altered("PRAGMA application_id = 7")


def no_database(patient: Patient) -> None:
    patient.database.write_bytes(b"just a text, and a long one" * 200)


def newer(patient: Patient) -> None:
    patient.altered("UPDATE settings SET value = '99' WHERE name = 'min_writer'")


def lost_setting(patient: Patient) -> None:
    patient.altered("DELETE FROM settings WHERE name = 'embedding_model'")


def lost_table(patient: Patient) -> None:
    patient.altered("DROP VIEW steps", "DROP TABLE vectors")


def unfinished(patient: Patient) -> None:
    patient.altered("UPDATE settings SET value = '0' WHERE name = 'index_version'")


def orphans(patient: Patient) -> None:
    patient.altered("DELETE FROM changes WHERE seq = 1")


def twins(patient: Patient) -> None:
    patient.altered("DROP INDEX memories_by_key", "UPDATE memories SET key = 'home' WHERE user = 1")


def no_vectors(patient: Patient) -> None:
    patient.altered("DELETE FROM vectors WHERE row_id >> 32 = 1")


def other_vectors(patient: Patient) -> None:
    patient.altered("UPDATE vectors SET model = 'builtin/0' WHERE row_id >> 32 = 2")


def short_vectors(patient: Patient) -> None:
    patient.altered("UPDATE vectors SET vector = X'0102' WHERE row_id >> 32 = 2")


def folder_instead(patient: Patient) -> None:
    patient.database.unlink()
    patient.database.mkdir()


RESTORE = "mcp-memory restore-backup"
FAULTS = [
    pytest.param(damaged_text, "memories", "fail", "(version 1 is sound)", "restore ID --version N", id="text"),
    pytest.param(damaged_twice, "memories", "fail", "(no sound version)", "update_memory with the content", id="twice"),
    pytest.param(damaged_revision, "revisions", "fail", "of alice version 1", RESTORE, id="former version"),
    pytest.param(damaged_page, "integrity", "fail", "", RESTORE, id="page"),
    pytest.param(damaged_page, "memories", "fail", "damaged", RESTORE, id="what a page held"),
    pytest.param(foreign, "database", "fail", "another program", "--database", id="foreign database"),
    pytest.param(no_database, "database", "fail", "no database", RESTORE, id="no database"),
    pytest.param(newer, "database", "fail", "a newer mcp-memory", "upgrade mcp-memory", id="newer writer"),
    pytest.param(lost_setting, "settings", "fail", "embedding_model lost", RESTORE, id="lost setting"),
    pytest.param(lost_table, "database", "fail", "vectors", RESTORE, id="lost table"),
    pytest.param(unfinished, "settings", "warn", "reindex", "mcp-memory reindex", id="reindex not finished"),
    pytest.param(orphans, "foreign keys", "fail", "of revisions belong to nothing", RESTORE, id="orphans"),
    pytest.param(twins, "duplicates", "fail", "(key)", "delete_memory", id="duplicate keys"),
    pytest.param(no_vectors, "vectors", "warn", "3 memories have no vector", "mcp-memory reindex", id="no vectors"),
    pytest.param(other_vectors, "vectors", "warn", "1 vector of another model", "reindex", id="vectors of another"),
    pytest.param(short_vectors, "vectors", "warn", "1 vector of a wrong length", "reindex", id="short vectors"),
    pytest.param(folder_instead, "file", "fail", "is no file", "--database", id="a folder in its place"),
]


@pytest.mark.parametrize(("prepare", "name", "outcome", "said", "remedy"), FAULTS)
def test_what_cannot_be_derived_is_named_with_its_remedy(
    patient: Patient, prepare: Callable[[Patient], None], name: str, outcome: str, said: str, remedy: str
) -> None:
    prepare(patient)
    found = patient.examined()
    assert found["code"] == (1 if outcome == "fail" else 0)
    check = found["named"][name]
    assert check["outcome"] == outcome
    assert said in check["said"]
    assert remedy in check["remedy"]


def test_a_fault_is_one_line_with_its_remedy_among_the_others(patient: Patient) -> None:
    damaged_revision(patient)
    done = patient.ran()
    [line] = [line for line in done.stdout.splitlines() if line.startswith("fail")]
    assert line.startswith(
        f"fail  revisions: former versions are damaged: {patient.ids[0]} of alice version 1 - to do: "
    )
    assert done.stdout.splitlines()[-1].endswith(", 1 to look at, 1 failed")


@pytest.mark.parametrize("prepare", [damaged_page, no_database, foreign, newer, folder_instead])
def test_a_repair_leaves_alone_what_it_cannot_put_right(patient: Patient, prepare: Callable[[Patient], None]) -> None:
    prepare(patient)
    before = patient.database.is_dir() or patient.database.read_bytes()
    done = patient.ran("--repair")
    assert done.exit_code == 1
    assert "repair: " in done.stdout
    assert (patient.database.is_dir() or patient.database.read_bytes()) == before


def test_a_repair_says_of_damaged_texts_that_they_stay(patient: Patient) -> None:
    damaged_text(patient)
    missing_row(patient)
    found = patient.examined("--repair")
    assert (found["code"], outcomes(found, "clients", "vectors")) == (1, {"memories"})
    assert "memories: 1 damaged one left as they are" in found["repairs"]
    assert patient.asked(f"SELECT content FROM memories WHERE id = '{patient.ids[1]}'") == [("Plays chest on Mondays",)]


def test_a_file_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    gone = Patient(tmp_path / "home", tmp_path / "unmounted" / "memory.db", [])
    for options in ((), ("--repair",)):
        found = gone.examined(*options)
        assert (found["code"], outcomes(found, "clients")) == (0, {"file"})
        assert "the folder" in found["named"]["file"]["said"]
        assert "first start of a client makes it" in found["named"]["file"]["remedy"]
        connect(gone.home, serving(gone.database))
    assert (found["named"]["Claude Code"]["outcome"], outcomes(found)) == ("ok", {"file"})
    assert [one.name for one in tmp_path.iterdir()] == ["home"]


@posix_only
def test_a_folder_that_cannot_be_made_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "taken").write_text("a file", encoding="utf-8")
    found = Patient(tmp_path / "home", tmp_path / "home" / "taken" / "memory.db", []).examined()
    assert (found["code"], found["named"]["file"]["outcome"]) == (1, "fail")


def test_an_older_file_is_told_and_not_migrated_by_doctor_or_the_clients_it_tries(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    old = Patient(tmp_path / "home", tmp_path / "memory.db", [])
    ledger = "CREATE TABLE schema_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, at INTEGER NOT NULL)"
    row = f"INSERT INTO schema_migrations VALUES (1, '{MIGRATIONS[0].name}', 0)"
    old.altered("PRAGMA application_id = 0x4d656d31", ledger, *MIGRATIONS[0].statements(), row)
    old.database.chmod(0o600)
    for options in ((), ("--repair",)):
        found = old.examined(*options)
        assert found["named"]["database"]["said"] == f"schema 1, older than {len(MIGRATIONS)}"
        assert "next start of a client" in found["named"]["database"]["remedy"]
        connect(old.home, serving(old.database))
    assert found["named"]["Claude Code"]["outcome"] == "ok"
    assert old.asked("SELECT max(number) FROM schema_migrations") == [(1,)]


def test_a_large_log_that_a_reader_holds_is_named(patient: Patient) -> None:
    with closing(sqlite3.connect(patient.database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM settings").fetchall()
        with closing(sqlite3.connect(patient.database, isolation_level=None)) as writer:
            writer.execute("PRAGMA synchronous = OFF")
            for number in range(4_200):
                writer.execute(f"PRAGMA user_version = {number + 1}")
            held = patient.examined()["named"]["write-ahead log"]
            assert held["outcome"] == "warn"
            assert "keeps reading an old state" in held["said"]
            assert "restart the clients" in held["remedy"]
            reader.execute("COMMIT")
            assert "all of it written back" in patient.examined()["named"]["write-ahead log"]["said"]
            assert any("MB written back" in one for one in patient.examined("--repair")["repairs"])
            assert patient.database.with_name("memory.db-wal").stat().st_size < 1_000_000


def test_a_write_lock_that_another_process_keeps_is_named(patient: Patient) -> None:
    with closing(sqlite3.connect(patient.database, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        found = patient.examined()
        assert (found["code"], outcomes(found, "clients")) == (0, {"write lock"})
        assert "restart the clients" in found["named"]["write lock"]["remedy"]
        writer.execute("ROLLBACK")


@posix_only
def test_a_folder_with_other_things_in_it_keeps_its_rights(patient: Patient) -> None:
    (patient.database.parent / "letters.txt").write_text("not ours", encoding="utf-8")
    patient.database.parent.chmod(0o755)
    assert outcomes(patient.examined(), "clients") == set()
    patient.database.parent.chmod(0o777)
    assert outcomes(patient.examined(), "clients") == {"permissions"}
    assert outcomes(patient.examined("--repair"), "clients") == set()
    assert patient.database.parent.stat().st_mode & 0o777 == 0o755


def test_a_synchronised_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "Dropbox").mkdir()
    found = Patient(tmp_path / "home", tmp_path / "Dropbox" / "memory.db", []).examined()
    assert found["named"]["folder"]["outcome"] == "warn"
    assert "--database" in found["named"]["folder"]["remedy"]


def test_backups_are_counted_with_the_age_of_the_newest(patient: Patient) -> None:
    folder = patient.database.parent / "backups"
    folder.mkdir(mode=0o700)
    for name in ("memory-20200101T000000Z.db", "memory-20210101T000000Z-before-0002.db", "other-20220101T000000Z.db"):
        (folder / name).touch(mode=0o600)
    said = patient.examined()["named"]["backups"]["said"]
    assert said.startswith("2 backups, the newest ")
    assert said.endswith("days old: " + str(folder / "memory-20210101T000000Z-before-0002.db"))

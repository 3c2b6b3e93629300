"""Encryption with all that opens the file: backups, restoring, erasing, migrations, the doctor and every command."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import pytest

from mcp_memory.clock import SystemClock
from mcp_memory.config import Config
from mcp_memory.keys import Key
from mcp_memory.sections import BackupConfig
from mcp_memory.store.sqlite.backup import copies, folder_of, unfinished
from mcp_memory.store.sqlite.opening import SIDES, connect, copy_of, is_plain
from mcp_memory.store.sqlite.rewriting import rewrite
from mcp_memory.store.sqlite.sql import MIGRATIONS
from mcp_memory.testing import FakeClock
from tests import patient
from tests.support import connected, needs, ok, refused, stdio
from tests.test_cli import invoked
from tests.test_encryption import FACTS, HOLDER, PASSPHRASE, RAW, environ_of, files_of, fill, readable_in, with_key
from tests.test_upgrade import unpacked

pytestmark = needs("sqlcipher3")

OTHER: Final = "deadbeef" * 8
KEYS: Final = pytest.mark.parametrize("secret", [RAW, PASSPHRASE], ids=["raw", "passphrase"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "memory.db"


def ran(path: Path, secret: str, *arguments: str, code: int = 0, **environ: str) -> str:
    """What a command with that key prints, on both streams together; it ends with `code`."""
    named = environ_of(secret) if secret else {"MCP_MEMORY_USER": "alice"}
    done = invoked(*arguments, "--database", str(path), folder=path.parent, environ=named | environ)
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.output


def line(path: Path, secret: str, *arguments: str) -> str:
    """The one line of a command that is refused; no byte of the file is changed by it."""
    before = files_of(path)
    [told] = ran(path, secret, *arguments, code=2).splitlines()
    assert files_of(path) == before
    return told


def backups(path: Path) -> list[Path]:
    return copies(path, [folder_of(path)])


def every_file(path: Path) -> dict[str, bytes]:
    """All below the folder of the database, the backups too."""
    return {str(one.relative_to(path.parent)): one.read_bytes() for one in path.parent.rglob("*") if one.is_file()}


def contents(file: Path, secret: str) -> list[str]:
    """What a sound file says to this key; "" is a plain file."""
    with closing(connect(file, Key(secret) if secret else None, 1, "immutable")) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return [row[0] for row in raw.execute("SELECT content FROM memories ORDER BY row_id")]


def say(path: Path, secret: str, *said: str) -> None:
    """Add memories by the public door."""

    async def add() -> None:
        config = Config(database=str(path), user="alice")
        async with connected(with_key(config, secret) if secret else config, clock=SystemClock()) as client:
            for content in said:
                await ok(client, "add_memory", content=content)

    anyio.run(add)


SAID: Final = [fact["content"] for fact in FACTS]


@pytest.mark.promise("P4")
@KEYS
def test_a_backup_of_an_encrypted_file_is_as_unreadable_and_comes_back(path: Path, secret: str) -> None:
    anyio.run(fill, path, secret)
    assert "3 memories of 1 user" in ran(path, secret, "backup")
    [copy] = backups(path)
    assert {one.name for one in folder_of(path).iterdir()} == {copy.name, ".memory.lock"}
    assert readable_in(every_file(path)) == set()
    assert contents(copy, secret) == SAID
    say(path, secret, "Likes rice")
    listed = ran(path, secret, "restore-backup", "--list")
    assert f"{copy} · " in listed
    assert "3 memories of 1 user" in listed
    told = ran(path, secret, "restore-backup", "--yes")
    assert "(4 memories of 1 user" in told
    assert contents(path, secret) == SAID
    kept = backups(path)[-1]
    assert contents(kept, secret) == [*SAID, "Likes rice"]
    assert readable_in(every_file(path)) == set()
    assert unfinished(path, [path.parent, folder_of(path)]) == []
    assert {f"{path.name}{side}" for side in SIDES} & files_of(path).keys() == {path.name}
    ran(path, secret, "restore-backup", kept.name, "--yes")
    assert contents(path, secret) == [*SAID, "Likes rice"]


async def test_a_serving_process_backs_an_encrypted_file_up_encrypted(path: Path) -> None:
    clock = FakeClock()
    config = with_key(Config(database=str(path), user="alice", backup=BackupConfig(every="1d")), RAW)
    async with connected(config, clock=clock) as client:
        await ok(client, "add_memory", **FACTS[0])
        clock.advance(days=2)
        await ok(client, "add_memory", **FACTS[1])
        for _ in range(1_000):
            if backups(path):
                break
            await ok(client, "list_memories")
    [copy] = backups(path)
    assert copy.name.endswith("-automatic.db")
    assert contents(copy, RAW) == SAID[:2]
    assert readable_in(every_file(path)) == set()


@pytest.mark.promise("P2")
async def test_a_backup_while_a_server_writes_has_all_that_was_acknowledged_before(path: Path) -> None:
    async with stdio("--database", str(path), env=environ_of(RAW)) as client:
        added = [f"Fact {number}" for number in range(20)]
        for content in added:
            await ok(client, "add_memory", content=content)
        async with anyio.create_task_group() as tasks:

            async def write() -> None:
                for number in range(20):
                    await ok(client, "add_memory", content=f"Meanwhile {number}")

            tasks.start_soon(write)
            program = "from mcp_memory.cli import main; main()"
            await anyio.run_process(
                [sys.executable, "-c", program, "backup", "--database", str(path)], env=os.environ | environ_of(RAW)
            )
        assert (await ok(client, "list_memories"))["total"] == 40
        [copy] = backups(path)
        assert contents(copy, RAW)[: len(added)] == added
        told = await anyio.to_thread.run_sync(lambda: ran(path, RAW, "restore-backup", "--yes", code=2))
        assert "other processes use this file" in told
        await ok(client, "add_memory", content="Goes on")


def test_of_a_plain_backup_the_next_step_is_named_and_it_works(path: Path) -> None:
    anyio.run(fill, path)
    ran(path, "", "backup")
    [plain] = backups(path)
    ran(path, RAW, "encrypt")
    say(path, RAW, "Likes rice")
    assert "3 memories of 1 user" in ran(path, RAW, "restore-backup", "--list")
    told = line(path, RAW, "restore-backup", "--yes")
    assert f"{plain}: " in told
    assert f'mcp-memory encrypt --database "{plain}"' in told
    ran(plain, RAW, "encrypt")
    ran(path, RAW, "restore-backup", plain.name, "--yes")
    assert contents(path, RAW) == SAID
    assert readable_in(every_file(path)) == set()


def test_of_an_encrypted_backup_of_a_plain_file_the_next_step_is_named_and_it_works(path: Path) -> None:
    anyio.run(fill, path, RAW)
    ran(path, RAW, "backup")
    [sealed] = backups(path)
    assert f"encrypted, each with the key of its time:\n  {sealed}" in ran(path, RAW, "decrypt")
    assert "cannot be read" in ran(path, "", "restore-backup", "--list")
    assert f'mcp-memory decrypt --database "{sealed}"' in line(path, "", "restore-backup", "--yes")
    ran(sealed, RAW, "decrypt")
    say(path, "", "Likes rice")
    ran(path, "", "restore-backup", sealed.name, "--yes")
    assert contents(path, "") == SAID


def test_of_a_backup_with_another_key_the_next_step_is_named_and_it_works(path: Path) -> None:
    anyio.run(fill, path, RAW)
    ran(path, RAW, "backup")
    [older] = backups(path)
    rekeyed = ran(path, RAW, "rekey", "--new-key-env", "NEW", NEW=OTHER)
    assert f"encrypted, each with the key of its time:\n  {older}" in rekeyed
    assert "cannot be read" in ran(path, OTHER, "restore-backup", "--list")
    assert f'mcp-memory rekey --database "{older}"' in line(path, OTHER, "restore-backup", "--yes")
    erased = ran(path, OTHER, "forget-user", "alice", "--yes", code=1)
    assert "Not complete" in erased
    assert f'mcp-memory rekey --database "{older}"' in erased
    ran(older, RAW, "rekey", "--new-key-env", "NEW", NEW=OTHER)
    assert "Complete" in ran(path, OTHER, "forget-user", "alice", "--yes")
    assert contents(older, OTHER) == contents(path, OTHER) == []


@pytest.mark.promise("P4")
def test_forgetting_reaches_plain_and_encrypted_backups_and_what_killed_runs_left(path: Path) -> None:
    anyio.run(fill, path)
    ran(path, "", "backup")
    [plain] = backups(path)
    ran(path, RAW, "encrypt")
    ran(path, RAW, "backup")
    [sealed] = [one for one in backups(path) if one != plain]
    assert (is_plain(plain), is_plain(sealed)) == (True, False)
    left = [copy_of(path), folder_of(path) / ".memory.part", path.with_name(".memory.part")]
    for one in left:
        shutil.copy(plain, one)
    told = ran(path, RAW, "forget-user", "alice", "--yes")
    assert "2 files looked through, 2 of them altered" in told
    assert "Complete" in told
    assert not [one for one in left if one.exists()]
    assert readable_in(every_file(path)) == {"header"}  # of the plain copy
    assert [contents(one, secret) for one, secret in ((path, RAW), (plain, ""), (sealed, RAW))] == [[], [], []]


@pytest.mark.promise("P4")
def test_one_memory_is_forgotten_in_plain_and_encrypted_backups(path: Path) -> None:
    anyio.run(fill, path)
    ran(path, "", "backup")
    ran(path, RAW, "encrypt")
    ran(path, RAW, "backup")
    with closing(connect(path, Key(RAW), 1)) as raw:
        [doomed] = raw.execute("SELECT id FROM memories WHERE content = 'Cannot stand marzipan'").fetchone()
    assert "Complete" in ran(path, RAW, "forget", doomed, "--yes")
    assert "marzipan" not in readable_in(every_file(path))
    plain, sealed = backups(path)
    rest = [one for one in SAID if "marzipan" not in one]
    assert [contents(one, secret) for one, secret in ((path, RAW), (plain, ""), (sealed, RAW))] == [rest] * 3


@pytest.mark.promise("P4")
def test_what_a_killed_run_left_goes_where_there_are_no_backups_and_behind_a_link(path: Path, tmp_path: Path) -> None:
    anyio.run(fill, path)
    left = copy_of(path)
    shutil.copy(path, left)
    ran(path, RAW, "encrypt")
    shutil.copy(path, left)
    link = tmp_path / "link" / "memory.db"
    link.parent.mkdir()
    link.symlink_to(path)
    assert "Complete" in ran(link, RAW, "forget-user", "alice", "--yes")
    assert not left.exists()


@pytest.mark.promise("P2")
def test_an_older_encrypted_file_is_migrated_after_an_encrypted_backup(path: Path) -> None:
    path.parent.mkdir()
    unpacked("0001", path)
    before = contents(path, "")
    rewrite(path, None, Key(RAW))
    assert not is_plain(path)
    say(path, RAW, "Likes rice")
    [copy] = backups(path)
    assert copy.name.endswith("-before-0002.db")
    assert contents(copy, RAW) == before
    assert "Likes rice" in contents(path, RAW)
    with closing(connect(path, Key(RAW), 1)) as raw:
        assert raw.execute("SELECT max(number) FROM schema_migrations").fetchone()[0] == len(MIGRATIONS)
    assert not [name for name, content in every_file(path).items() if before[0].encode() in content]
    ran(path, RAW, "restore-backup", "--yes")
    assert contents(path, RAW) == before


@pytest.fixture
def admitted(tmp_path: Path) -> patient.Patient:
    """A healthy set-up with an encrypted file, without any client yet."""
    found = anyio.run(patient.admitted, tmp_path)
    rewrite(found.database, None, Key(RAW))
    return found


def admit_client(admitted: patient.Patient) -> None:
    """Have a client use the encrypted file, as its owner would write it down."""
    entry = patient.serving(admitted.database)
    patient.connect(admitted.home, entry | {"env": entry.get("env", {}) | environ_of(RAW)})


def test_the_doctor_finds_a_healthy_encrypted_file_healthy(admitted: patient.Patient) -> None:
    admit_client(admitted)
    told = admitted.examined(**environ_of(RAW))
    assert (told["code"], patient.outcomes(told)) == (0, set())
    assert told["named"]["key"]["outcome"] == "ok"


@pytest.mark.parametrize(
    ("environ", "failed", "remedy"),
    [
        pytest.param(environ_of(OTHER), "database", "[encryption]", id="another key"),
        pytest.param(environ_of(""), "key", "[encryption]", id="empty key"),
        pytest.param({}, "database", "[encryption]", id="no key"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--repair",)], ids=["look", "repair"])
def test_the_doctor_names_a_wrong_key_once_and_changes_nothing(
    admitted: patient.Patient, environ: dict[str, str], failed: str, remedy: str, options: tuple[str, ...]
) -> None:
    before = files_of(admitted.database)
    told = admitted.examined(*options, **environ)
    fails = [one for one in told["checks"] if one["outcome"] == "fail"]
    assert [one["name"] for one in fails] == [failed]
    assert remedy in fails[0]["remedy"]
    assert told["code"] == 1
    assert files_of(admitted.database) == before


def test_the_doctor_opens_a_clients_other_file_with_that_clients_key_and_does_not_migrate_it(
    admitted: patient.Patient, path: Path
) -> None:
    other = path.with_name("older.db")
    unpacked("0001", other)
    rewrite(other, None, Key(OTHER))
    before = files_of(other)[other.name]
    entry = patient.serving(other)
    patient.connect(admitted.home, entry | {"env": entry.get("env", {}) | environ_of(OTHER)})
    told = admitted.examined(**environ_of(RAW))
    assert (told["code"], patient.outcomes(told)) == (0, set())
    assert files_of(other)[other.name] == before


def test_the_doctor_names_a_key_for_a_plain_file(tmp_path: Path) -> None:
    plain = anyio.run(patient.admitted, tmp_path)
    told = plain.examined(**environ_of(RAW))
    assert told["named"]["database"]["outcome"] == "fail"
    assert "mcp-memory encrypt" in told["named"]["database"]["remedy"]


def test_the_doctor_leaves_an_empty_file_empty(tmp_path: Path) -> None:
    found = anyio.run(patient.admitted, tmp_path)
    found.database.write_bytes(b"")
    told = found.examined(**environ_of(RAW))
    assert told["named"]["database"]["outcome"] == "warn"
    assert found.database.read_bytes() == b""


def test_the_doctor_repairs_an_encrypted_file(admitted: patient.Patient) -> None:
    admit_client(admitted)
    with closing(connect(admitted.database, Key(RAW), 1)) as raw:
        raw.execute("INSERT INTO memory_index (memory_index) VALUES ('delete-all')")
    broken = admitted.examined(**environ_of(RAW))
    assert broken["named"]["memory index"]["outcome"] == "fail"
    mended = admitted.examined("--repair", **environ_of(RAW))
    assert (mended["code"], patient.outcomes(mended)) == (0, set())
    assert "chess" in ran(admitted.database, RAW, "search", "chess")


def spoilt_at(place: int) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        with path.open("r+b") as file:
            size = file.seek(0, 2)
            for page in range(0 if place < 4096 else 1, 1 if place < 4096 else size // 4096):
                file.seek(page * 4096 + place % 4096)
                file.write(b"damage")

    return spoil


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def noise(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(9000))


@pytest.mark.promise("P2")
@pytest.mark.parametrize(
    "damage",
    [spoilt_at(0), spoilt_at(200), spoilt_at(4096 + 100), cut, noise],
    ids=["salt", "first page", "all others", "cut", "noise"],
)
def test_a_damaged_encrypted_file_is_replaced_and_its_bytes_kept(path: Path, damage: Callable[[Path], None]) -> None:
    anyio.run(fill, path, RAW)
    ran(path, RAW, "backup")
    damage(path)
    bytes_before = path.read_bytes()
    told = ran(path, RAW, "restore-backup", "--yes")
    assert "is kept: " in told
    assert backups(path)[-1].read_bytes() == bytes_before
    assert contents(path, RAW) == SAID
    say(path, RAW, "Likes rice")


def test_a_damaged_backup_of_an_encrypted_file_is_refused(path: Path) -> None:
    anyio.run(fill, path, RAW)
    ran(path, RAW, "backup")
    [copy] = backups(path)
    spoilt_at(4096 + 100)(copy)
    assert "damaged" in line(path, RAW, "restore-backup", "--yes")


def test_an_encrypted_file_that_another_process_keeps_is_one_line(path: Path) -> None:
    anyio.run(fill, path, RAW)
    ran(path, RAW, "backup")
    alone = HOLDER.replace("BEGIN IMMEDIATE", "BEGIN EXCLUSIVE").replace(
        "raw.execute", "raw.execute('PRAGMA cipher_log_level = NONE'); raw.execute", 1
    )
    with subprocess.Popen(
        [sys.executable, "-c", alone, str(path), RAW], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().split() == [b"ready"]
        assert "other processes use this file" in ran(path, RAW, "restore-backup", "--yes", code=2)
        holder.communicate()


async def test_every_command_works_on_an_encrypted_file(path: Path) -> None:
    config = with_key(Config(database=str(path), user="alice"), RAW)
    async with connected(config) as client:
        first = (await ok(client, "add_memory", **FACTS[0]))["memory"]
        await ok(client, "update_memory", id=first["id"], content="Dreams of Lisbon")
        await ok(client, "add_memory", content="Likes green tea with honey")
        await ok(client, "add_memory", content="Likes green tea, with honey!")

    async def shown(*arguments: str) -> str:
        return await anyio.to_thread.run_sync(lambda: ran(path, RAW, *arguments))

    assert "Lisbon" in await shown("search", "Lisbon")
    assert "Zanzibar" in await shown("history", first["id"])
    assert "Lisbon" in await shown("changes", "--since", "9999d")
    assert "honey" in await shown("optimize")
    await shown("optimize", "--apply")
    await shown("undo")
    await shown("restore", first["id"], "--version", "1")
    assert "Zanzibar" in await shown("search", "Zanzibar")
    await anyio.to_thread.run_sync(lambda: ran(path, RAW, "reindex", MCP_MEMORY_SEARCH_LANGUAGES="english,german"))
    async with connected(config) as client:
        assert (await ok(client, "list_memories"))["total"] == 3
    assert readable_in(files_of(path)) == set()


@pytest.mark.parametrize(
    "command",
    [
        ["search", "tea"],
        ["history", "0123456789ab"],
        ["changes"],
        ["undo"],
        ["optimize"],
        ["reindex"],
        ["backup"],
        ["forget-user", "alice", "--yes"],
        ["forget", "0123456789ab", "--yes"],
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("secret", [OTHER, ""], ids=["another key", "no key"])
def test_every_command_with_a_wrong_key_is_one_line_and_changes_nothing(
    path: Path, command: list[str], secret: str
) -> None:
    anyio.run(fill, path, RAW)
    told = line(path, secret, *command)
    assert ("the key does not open the file" if secret else "name its key under [encryption]") in told


async def test_a_wrong_key_leaves_the_server_answering(path: Path) -> None:
    await fill(path, RAW)
    async with connected(with_key(Config(database=str(path), user="alice"), OTHER)) as client:
        for tool, arguments in (("search_memories", {"query": "tea"}), ("undo", {})):
            assert "the key does not open the file" in await refused(client, tool, **arguments)

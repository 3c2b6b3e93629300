"""Encrypted at rest: nothing readable in any file, everything works as on a plain one, and the key shows nowhere."""

import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import pytest

from mcp_memory import config as settings
from mcp_memory import keys
from mcp_memory.config import Config
from mcp_memory.errors import ConfigError, StoreUnavailable
from mcp_memory.keys import Key
from mcp_memory.sections import EncryptionConfig, Secret
from mcp_memory.store.sqlite.connection import open_connection
from mcp_memory.store.sqlite.opening import HEADER, connect
from tests.support import Mode, connected, needs, ok, refused, stdio
from tests.test_cli import invoked, run

pytestmark = needs("sqlcipher3")

PASSPHRASE: Final = "correct horse, 'battery' \"staple\" 電池"
RAW: Final = "c0ffee42" * 8
PLANTED: Final = ("Zanzibar", "marzipan", "東京タワー", "blueberry-topic", "favourite_island")
FACTS: Final[tuple[dict[str, Any], ...]] = (
    {"content": "Dreams of Zanzibar", "key": "favourite_island", "topics": ["blueberry-topic"]},
    {"content": "Cannot stand marzipan"},
    {"content": "Climbed 東京タワー twice", "metadata": {"guide": "Zanzibar"}},
)


@pytest.fixture
def encrypted(config: Config) -> Config:
    """One user on an encrypted database of the test's own."""
    return with_key(config, RAW)


def with_key(config: Config, secret: str) -> Config:
    return config.replace(encryption=EncryptionConfig(key_env="KEY", key=Secret(secret)))


def environ_of(secret: str) -> dict[str, str]:
    return {"KEY": secret, "MCP_MEMORY_ENCRYPTION_KEY_ENV": "KEY", "MCP_MEMORY_USER": "alice"}


def files_of(database: Path) -> dict[str, bytes]:
    """Every file of the database, its log and index included, byte for byte."""
    return {one.name: one.read_bytes() for one in database.parent.iterdir() if one.is_file()}


def readable_in(files: Mapping[str, bytes]) -> set[str]:
    """What can be read of the planted words, or known as a database."""
    every = b"\n".join(files.values())
    found = {word for word in PLANTED for form in (word, word.lower()) if form.encode() in every}
    return found | ({"header"} if HEADER[:-1] in every else set())


async def fill(path: Path, secret: str = "") -> None:
    plain = Config(database=str(path), user="alice")
    async with connected(with_key(plain, secret) if secret else plain) as client:
        for fact in FACTS:
            await ok(client, "add_memory", **fact)


@pytest.mark.promise("P4")
async def test_no_file_of_an_encrypted_database_holds_anything_readable(tmp_path: Path) -> None:
    path = tmp_path / "data" / "memory.db"
    async with stdio("--database", str(path), env=environ_of(PASSPHRASE)) as client:
        for fact in FACTS:
            await ok(client, "add_memory", **fact)
        memory = (await ok(client, "get_memory", key="favourite_island"))["memory"]
        await ok(client, "update_memory", id=memory["id"], content="Dreams of marzipan in Zanzibar")
        await ok(client, "delete_memory", id=memory["id"])
        assert (await ok(client, "search_memories", query="marzipan"))["hits"]
        while_open = files_of(path)
    assert {"memory.db", "memory.db-wal", "memory.db-shm"} <= while_open.keys()
    assert readable_in(while_open) == set()
    assert readable_in(files_of(path)) == set()
    await fill(tmp_path / "plain" / "memory.db")
    assert readable_in(files_of(tmp_path / "plain" / "memory.db")) == {*PLANTED, "header"}  # the search would find it


@pytest.mark.promise("P3")
async def test_everything_works_on_an_encrypted_file(encrypted: Config, mode: Mode) -> None:
    async with connected(encrypted, mode) as client:
        added = [(await ok(client, "add_memory", **fact))["memory"] for fact in FACTS]
        await ok(client, "update_memory", id=added[0]["id"], content="Dreams of Lisbon")
        deleted = await ok(client, "delete_memory", id=[added[1]["id"], added[2]["id"]])
    async with connected(encrypted, mode) as client:
        past = await ok(client, "search_memories", query="Zanzibar", include_past=True)
        assert [hit["content"] for hit in past["hits"]] == ["Dreams of Zanzibar"]
        await ok(client, "undo", change_id=deleted["change_id"])
        found = await ok(client, "search_memories", query="Which sweets does she dislike? marzipan")
        assert found["hits"][0]["content"] == "Cannot stand marzipan"
        assert found["modes"] == ["lexical", "semantic"]
        assert len((await ok(client, "get_memory", id=added[0]["id"], history=True))["revisions"]) == 2
        assert (await ok(client, "list_memories"))["total"] == 3


def test_commands_work_on_an_encrypted_file(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    anyio.run(fill, path, RAW)
    options = ("--database", str(path))
    found = invoked("search", "marzipan", *options, folder=tmp_path, environ=environ_of(RAW))
    assert (found.exit_code, "Cannot stand marzipan" in found.stdout) == (0, True)
    again = {"MCP_MEMORY_SEARCH_LANGUAGES": "english,german"} | environ_of(RAW)
    assert invoked("reindex", *options, folder=tmp_path, environ=again).exit_code == 0
    assert readable_in(files_of(path)) == set()


async def test_erasing_and_the_online_backup_work_on_an_encrypted_file(tmp_path: Path) -> None:
    path, copy = tmp_path / "memory.db", tmp_path / "copy.db"
    await fill(path, PASSPHRASE)
    key = Key(PASSPHRASE)
    async with open_connection(path, 1, key) as connection:
        await connection.script("INSERT INTO memory_index (memory_index) VALUES ('optimize')")
        await connection.script("VACUUM")
        assert [tuple(row) for row in await connection.script("PRAGMA wal_checkpoint(TRUNCATE)")] == [(0, 0, 0)]
        assert [tuple(row) for row in await connection.script("PRAGMA integrity_check")] == [("ok",)]
    copy.touch()
    with closing(connect(path, key, 1)) as source, closing(connect(copy, key, 1)) as target:
        source.backup(target)
    async with open_connection(copy, 1, Key(PASSPHRASE)) as connection:
        assert len(await connection.script("SELECT * FROM memories")) == len(FACTS)


async def test_any_other_sqlcipher_opens_the_file_with_the_same_passphrase(tmp_path: Path) -> None:
    from sqlcipher3 import dbapi2

    path = tmp_path / "memory.db"
    await fill(path, PASSPHRASE)
    with closing(dbapi2.connect(str(path))) as file:
        file.execute("PRAGMA key = '{}'".format(PASSPHRASE.replace("'", "''")))
        assert file.execute("SELECT count(*) FROM memories").fetchone() == (len(FACTS),)
    await fill(tmp_path / "raw.db", RAW)
    with closing(dbapi2.connect(str(tmp_path / "raw.db"))) as file:
        file.execute(f"PRAGMA key = \"x'{RAW}'\"")
        assert file.execute("SELECT count(*) FROM memories").fetchone() == (len(FACTS),)


OPENER = """
import sys
from pathlib import Path
import anyio
from mcp_memory.keys import Key
from mcp_memory.store.sqlite import open_store

async def main():
    print("ready", flush=True)
    for line in sys.stdin:
        async with open_store(Path(line.strip()), 1, 10, key=Key(sys.argv[1])) as store:
            print(len(await store.users()), flush=True)

anyio.run(main)
"""


@pytest.mark.promise("P2")
@pytest.mark.parametrize(("secret", "files"), [(RAW, 10), (PASSPHRASE, 2)], ids=["raw", "passphrase"])
def test_processes_that_make_an_encrypted_file_at_once_all_work(tmp_path: Path, secret: str, files: int) -> None:
    def one() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", OPENER, secret]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with one() as first, one() as second:
        pipes = [(child.stdin, child.stdout) for child in (first, second)]
        told: list[str] = []
        for attempt in ("", *(str(tmp_path / f"{number}.db") for number in range(files))):
            for stdin, _ in pipes:
                if attempt and stdin:
                    stdin.write(f"{attempt}\n")
                    stdin.flush()
            told += [stdout.readline().strip() for _, stdout in pipes if stdout]
        for stdin, _ in pipes:
            if stdin:
                stdin.close()
    assert told == ["ready"] * 2 + ["0"] * (2 * files)


@pytest.mark.promise("P5")
@pytest.mark.parametrize(
    ("made_with", "opened_with", "told"),
    [
        pytest.param(RAW, "another", "the key does not open the file", id="another key"),
        pytest.param(RAW, RAW.replace("c", "d"), "the key does not open the file", id="another raw key"),
        pytest.param(RAW, "", "name its key under [encryption]", id="no key"),
        pytest.param("", RAW, "run mcp-memory encrypt", id="a key for a plain file"),
    ],
)
async def test_the_wrong_key_is_one_clear_error_and_the_file_untouched(
    config: Config, made_with: str, opened_with: str, told: str
) -> None:
    path = config.path()
    await fill(path, made_with)
    before = files_of(path)
    async with connected(with_key(config, opened_with) if opened_with else config) as client:
        for tool, arguments in (("list_memories", {}), ("add_memory", FACTS[1])):
            message = await refused(client, tool, **arguments)
            assert message.startswith(f"{path}: ")
            assert told in message
            assert not opened_with or opened_with not in message
    assert files_of(path) == before


@pytest.mark.promise("P2")
@pytest.mark.parametrize("wrong", ["another", ""], ids=["another key", "no key"])
async def test_the_wrong_key_takes_nothing_from_the_log_that_a_killed_process_left(
    encrypted: Config, tmp_path: Path, wrong: str
) -> None:
    path = tmp_path / "killed" / "memory.db"
    path.parent.mkdir()
    async with connected(encrypted) as client:
        await ok(client, "add_memory", **FACTS[0])
        for name in ("memory.db", "memory.db-wal"):
            shutil.copy(tmp_path / name, path.parent / name)
    killed, before = encrypted.replace(database=str(path)), files_of(path)
    async with connected(with_key(killed, wrong) if wrong else killed.replace(encryption=EncryptionConfig())) as client:
        await refused(client, "list_memories")
    assert not wrong or {name: files_of(path)[name] for name in before} == before
    async with connected(killed) as client:
        assert (await ok(client, "list_memories"))["total"] == 1


HOLDER: Final = """
import sys
from sqlcipher3 import dbapi2

raw = dbapi2.connect(sys.argv[1], isolation_level=None)
raw.execute("PRAGMA key = \\"x'%s'\\"" % sys.argv[2])
raw.execute("BEGIN IMMEDIATE")
print("ready", flush=True)
sys.stdin.read()
raw.close()
"""


@pytest.mark.promise("P2")
async def test_a_lock_held_too_long_on_an_encrypted_file_is_one_error(encrypted: Config, tmp_path: Path) -> None:
    impatient = encrypted.replace(store=encrypted.store.replace(lock_timeout=0.2))
    async with connected(impatient) as client:
        await ok(client, "add_memory", **FACTS[0])
        async with await anyio.open_process([sys.executable, "-c", HOLDER, encrypted.database, RAW]) as other:
            assert other.stdin is not None
            assert other.stdout is not None
            assert (await other.stdout.receive()).split() == [b"ready"]
            assert "another process is writing for too long" in await refused(client, "add_memory", **FACTS[1])
            assert (await ok(client, "list_memories"))["total"] == 1
            await other.stdin.aclose()
            await other.wait()
        await ok(client, "add_memory", **FACTS[1])


@pytest.mark.promise("P9")
async def test_the_key_is_in_no_log_and_no_representation(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "data" / "memory.db"
    await fill(path, RAW)
    salt = path.read_bytes()[:16]
    for secret in (RAW, PASSPHRASE):
        key = Key(secret)
        hidden = {secret, key.derived(salt).hex(), repr(secret)[1:-1]}
        loaded = settings.load(None, environ_of(secret), {})
        for shown in (repr(key), str(key), repr(loaded), str(loaded.fields()), repr(with_key(config, secret))):
            assert not [one for one in hidden if one in shown]
        logged = run(
            "search",
            "marzipan",
            "--database",
            str(path),
            folder=tmp_path,
            environ={"MCP_MEMORY_LOG_LEVEL": "debug", **environ_of(secret)},
        )
        assert "selector" in logged.stderr  # so it did log what it does
        assert not [one for one in hidden if one in logged.stderr + logged.stdout]
    assert logged.returncode == 2


def printing(program: str) -> str:
    """The command line of a Python program."""
    arguments = [sys.executable, "-c", program]
    return subprocess.list2cmdline(arguments) if os.name == "nt" else shlex.join(arguments)


@pytest.mark.parametrize("line", ["", "\\r", "\\nsecond line"])
async def test_the_first_line_that_a_command_prints_is_the_key(line: str) -> None:
    command = printing(f"print('batt ery{line}')")
    assert await keys.find(EncryptionConfig(key_command=command)) == Key("batt ery")


async def test_a_command_gets_no_shell(tmp_path: Path) -> None:
    command = f"{printing('import sys; print(len(sys.argv))')} && > {tmp_path / 'made'}"
    assert await keys.find(EncryptionConfig(key_command=command)) == Key("4")
    assert not (tmp_path / "made").exists()


SECRET: Final = "import sys; print('hush'); print('hush', file=sys.stderr, flush=True); "


@pytest.mark.promise("P9")
@pytest.mark.parametrize(
    ("command", "told"),
    [
        pytest.param(printing(SECRET + "sys.exit(3)"), "failed with exit code 3", id="failing"),
        pytest.param(printing(SECRET + "sys.stdin.read(); import time; time.sleep(60)"), "took more than", id="slow"),
        pytest.param(printing("import sys; print('hush', file=sys.stderr)"), "empty", id="silent"),
        pytest.param(printing("import os; os.write(1, b'hush' + bytes([255]))"), "no UTF-8", id="binary"),
        pytest.param("hush-is-no-command --hush", "cannot be run", id="absent"),
        pytest.param(
            "print 'hush",
            "cannot be divided",
            id="half a quotation",
            marks=pytest.mark.skipif(os.name == "nt", reason="Windows divides no command lines"),
        ),
    ],
)
async def test_a_command_that_gives_no_key_is_one_line_without_what_it_printed(command: str, told: str) -> None:
    patience = 1 if told == "took more than" else 60
    with pytest.raises(ConfigError, match=told) as caught:
        await keys.find(EncryptionConfig(key_command=command), patience)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


WAITING: Final = """
import os, pathlib, time
started = pathlib.Path(os.environ["STARTED"])
started.with_suffix(".new").write_text(str(os.getpid()))
started.with_suffix(".new").rename(started)
time.sleep(600)
"""


def appeared(file: Path) -> int:
    """The number in a file that another process is about to write."""
    deadline = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < deadline, f"no {file.name}"
        time.sleep(0.01)
    return int(file.read_text())


@pytest.mark.skipif(sys.platform == "win32", reason="asks for a process by its number, as POSIX has it")
@pytest.mark.promise("P6")
@pytest.mark.promise("P7")
async def test_a_command_that_waits_for_its_owner_delays_no_handshake_and_ends_with_the_server(tmp_path: Path) -> None:
    started, environ = tmp_path / "started", {"MCP_MEMORY_ENCRYPTION_KEY_COMMAND": printing(WAITING)}
    environ["STARTED"] = str(started)
    async with stdio("--database", str(tmp_path / "memory.db"), env=environ) as client:
        assert len((await client.list_tools()).tools) == len(settings.CORE)
        number = await anyio.to_thread.run_sync(appeared, started)
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


async def test_a_variable_that_is_not_set_is_named_and_its_value_taken_as_it_is(config: Config) -> None:
    with pytest.raises(ConfigError, match=r"the variable KEY, which encryption\.key_env names, is empty or not set"):
        await keys.find(settings.load(None, {"MCP_MEMORY_ENCRYPTION_KEY_ENV": "KEY"}, {}).encryption)
    async with connected(with_key(config, "  ")) as client:
        assert "is empty or not set" in await refused(client, "list_memories")
    assert await keys.find(settings.load(None, environ_of(" a b "), {}).encryption) == Key(" a b ")
    assert await keys.find(Config().encryption) is None


def test_a_variable_with_our_prefix_that_holds_the_key_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    settings.load(None, {"MCP_MEMORY_SECRET": "x", "MCP_MEMORY_ENCRYPTION_KEY_ENV": "MCP_MEMORY_SECRET"}, {})
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        pytest.param({"KEY_ENV": "KEY", "KEYRING": "a/b"}, "takes one of key_env, key_command and keyring", id="two"),
        pytest.param({"KEYRING": "mcp-memory"}, "write it as service/user", id="no user"),
        pytest.param({"KEYRING": "/alice"}, "write it as service/user", id="no service"),
    ],
)
def test_the_key_is_in_one_place(environ: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        settings.load(None, {f"MCP_MEMORY_ENCRYPTION_{name}": value for name, value in environ.items()}, {})


def test_a_key_in_the_settings_file_is_refused_without_repeating_it(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[encryption]\nkey = "battery"', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"unknown setting encryption\.key; did you mean key") as caught:
        settings.load(file, {}, {})
    assert "battery" not in str(caught.value)


KEYRING_BACKEND = """
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

class Fixed(KeyringBackend):
    priority = 1

    def get_password(self, service, username):
        if username == "locked":
            raise KeyringLocked("hush")
        return {"mcp-memory/alice": "from the keyring"}.get(f"{service}/{username}")

    def set_password(self, service, username, password):
        raise AssertionError("nobody writes to a keyring")
"""


@needs("keyring")
@pytest.mark.parametrize(
    ("entry", "told"),
    [
        pytest.param("mcp-memory/alice", "", id="there"),
        pytest.param("mcp-memory/bob", "no entry mcp-memory/bob; make one: keyring set mcp-memory bob", id="absent"),
        pytest.param("mcp-memory/locked", "the system's keyring cannot be read (KeyringLocked)", id="locked"),
    ],
)
def test_the_key_comes_from_the_systems_keyring(tmp_path: Path, entry: str, told: str) -> None:
    (tmp_path / "fixed_keyring.py").write_text(KEYRING_BACKEND, encoding="utf-8")
    path = tmp_path / "memory.db"
    anyio.run(fill, path, "from the keyring")
    done = run(
        *("search", "marzipan", "--database", str(path)),
        folder=tmp_path,
        environ={
            "MCP_MEMORY_ENCRYPTION_KEYRING": entry,
            "MCP_MEMORY_USER": "alice",
            "PYTHON_KEYRING_BACKEND": "fixed_keyring.Fixed",
            "PYTHONPATH": os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", ""))),
        },
    )
    assert done.returncode == (2 if told else 0), done.stderr
    assert told in done.stderr
    assert "hush" not in done.stderr
    assert told or "Cannot stand marzipan" in done.stdout


@pytest.mark.parametrize(
    ("package", "environ"),
    [
        ("sqlcipher3", {"MCP_MEMORY_ENCRYPTION_KEY_ENV": "KEY", "KEY": RAW}),
        ("keyring", {"MCP_MEMORY_ENCRYPTION_KEYRING": "mcp-memory/alice"}),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_extra(
    tmp_path: Path, package: str, environ: dict[str, str]
) -> None:
    path = tmp_path / "memory.db"
    path.touch()
    program = f"import sys; sys.modules[{package!r}] = None; from mcp_memory.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "search", "tea", "--database", str(path)],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert "pip install 'mcp-memory[" in line


async def test_a_damaged_page_of_an_encrypted_file_is_one_line(encrypted: Config) -> None:
    async with connected(encrypted) as client:
        for number in range(50):
            await ok(client, "add_memory", content=f"Fact number {number}")
    with encrypted.path().open("r+b") as file:
        size = file.seek(0, 2)
        for page in range(1, size // 4096):
            file.seek(page * 4096 + 100)
            file.write(b"damage")
    async with connected(encrypted) as client:
        message = await refused(client, "list_memories")
    assert message.startswith(f"{encrypted.path()}: ")
    assert "damaged" in message


def test_a_plain_file_is_sqlites_own(tmp_path: Path) -> None:
    (tmp_path / "memory.db").touch()
    with closing(connect(tmp_path / "memory.db", None, 1)) as plain:
        assert type(plain) is sqlite3.Connection
    plain_file(tmp_path / "other.db")
    with pytest.raises(StoreUnavailable, match="not encrypted"):
        connect(tmp_path / "other.db", Key(RAW), 1)


def plain_file(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE other (number INTEGER)")

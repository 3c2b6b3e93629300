"""`mcp-memory encrypt`, `decrypt` and `rekey`: whatever happens, one whole file is there, with everything in it."""

import gzip
import multiprocessing
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import pytest

from mcp_memory.config import Config
from mcp_memory.keys import Key
from mcp_memory.models import Filter
from mcp_memory.store.sqlite import open_store
from mcp_memory.store.sqlite.opening import HEADER, copy_of
from tests.rewriting_child import hammer
from tests.support import connected, needs, ok, stdio
from tests.test_cli import invoked
from tests.test_encryption import PASSPHRASE, RAW, environ_of, files_of, fill, readable_in, with_key

pytestmark = needs("sqlcipher3")

NEW: Final = {"NEW": PASSPHRASE}
ON_POSIX: Final = pytest.mark.skipif(sys.platform == "win32", reason="Windows exchanges files in another way")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.db"


def done(path: Path, *arguments: str, **environ: str) -> str:
    """What a command that succeeds prints."""
    result = invoked(*arguments, "--database", str(path), folder=path.parent, environ=environ)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def refused(path: Path, *arguments: str, **environ: str) -> str:
    """The one line of a command that fails."""
    result = invoked(*arguments, "--database", str(path), folder=path.parent, environ=environ)
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr.strip().splitlines()[-1]


async def everything(config: Config) -> list[Any]:
    """All that alice can see of her memories."""
    async with connected(config) as client:
        memories = (await ok(client, "list_memories"))["memories"]
        histories = [await ok(client, "get_memory", id=one["id"], history=True) for one in memories]
        found = [await ok(client, "search_memories", query=query) for query in ("Zanzibar", "sweets", "東京")]
        return [memories, histories, found]


async def undo(config: Config) -> int:
    """Take the newest change back; how many memories there are then."""
    async with connected(config) as client:
        await ok(client, "undo")
        return (await ok(client, "list_memories"))["total"]


@pytest.mark.promise("P2")
@pytest.mark.promise("P4")
def test_encrypt_rekey_and_decrypt_keep_everything(config: Config, path: Path) -> None:
    anyio.run(fill, path)
    before = anyio.run(everything, config)
    told = done(path, "encrypt", **environ_of(RAW))
    assert readable_in(files_of(path)) == set()
    assert anyio.run(everything, with_key(config, RAW)) == before
    told += done(path, "rekey", "--new-key-env", "NEW", **environ_of(RAW), **NEW)
    assert readable_in(files_of(path)) == set()
    assert anyio.run(everything, with_key(config, PASSPHRASE)) == before
    told += done(path, "decrypt", **environ_of(PASSPHRASE))
    assert path.read_bytes().startswith(HEADER)
    assert anyio.run(everything, config) == before
    assert [one.name for one in path.parent.iterdir()] == ["memory.db"]
    assert sys.platform == "win32" or path.stat().st_mode & 0o777 == 0o600
    assert told.count("3 memories, 3 versions, 1 user") == 3
    assert not [secret for secret in (RAW, PASSPHRASE) if secret in told]
    assert anyio.run(undo, config) == 2


@ON_POSIX
@pytest.mark.promise("P4")
def test_the_bytes_of_the_old_file_are_overwritten(path: Path) -> None:
    anyio.run(fill, path)
    same = path.with_name("another name of the same bytes")
    same.hardlink_to(path)
    done(path, "encrypt", **environ_of(RAW))
    assert set(same.read_bytes()) == {0}


@ON_POSIX
def test_a_link_to_the_file_stays_one(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    anyio.run(fill, folder / "memory.db")
    path.symlink_to(folder / "memory.db")
    done(path, "encrypt", **environ_of(RAW))
    assert path.is_symlink()
    assert readable_in(files_of(folder / "memory.db")) == set()


def test_backups_that_stay_as_they_were_are_named(path: Path) -> None:
    anyio.run(fill, path)
    folder = path.parent / "backups"
    folder.mkdir()
    plain, sealed = folder / "memory-20260101T000000Z.db", folder / "memory-20260102T000000Z.db"
    plain.write_bytes(HEADER)
    sealed.write_bytes(os.urandom(4096))
    told = done(path, "encrypt", **environ_of(RAW)).splitlines()
    assert "not encrypted, so that anybody" in told[1]
    assert told[2].strip() == str(plain)
    assert "each with the key of its time" in told[3]
    assert told[4].strip() == str(sealed)


@ON_POSIX
def test_backups_beside_a_link_to_the_file_are_named_too(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    anyio.run(fill, folder / "other.db")
    path.symlink_to(folder / "other.db")
    done(path, "backup")
    [plain] = (path.parent / "backups").glob("memory-*.db")
    assert str(plain) in done(path, "encrypt", **environ_of(RAW))


def test_a_file_of_the_first_schema_can_be_encrypted(path: Path) -> None:
    released = Path(__file__).parent / "fixtures" / "0001.db.gz"
    path.write_bytes(gzip.decompress(released.read_bytes()))
    assert "every row was copied" in done(path, "encrypt", **environ_of(RAW))
    assert "add_memory" in done(path, "changes", "--user", "alice", **environ_of(RAW))


@pytest.mark.promise("P4")
def test_what_is_forgotten_goes_from_a_copy_that_a_killed_command_left(path: Path) -> None:
    anyio.run(fill, path)
    left = copy_of(path)
    left.write_bytes(path.read_bytes())
    assert "Complete" in done(path, "forget-user", "alice", "--yes")
    assert not left.exists()


@pytest.mark.parametrize(
    ("secret", "command", "environ", "told"),
    [
        pytest.param("", ["encrypt"], {}, "no key is configured", id="encrypt without a key"),
        pytest.param(RAW, ["encrypt"], environ_of(RAW), "encrypted already", id="encrypt again"),
        pytest.param("", ["decrypt"], environ_of(RAW), "the file is not encrypted", id="decrypt a plain file"),
        pytest.param(RAW, ["decrypt"], {}, "no key is configured", id="decrypt without a key"),
        pytest.param(RAW, ["decrypt"], environ_of("x"), "the key does not open", id="decrypt with another key"),
        pytest.param(RAW, ["rekey"], environ_of(RAW), "name the new key by one of", id="rekey without a new key"),
        pytest.param(
            RAW,
            ["rekey", "--new-key-env", "NEW", "--new-keyring", "a/b"],
            environ_of(RAW) | NEW,
            "name the new key by one of",
            id="rekey with two",
        ),
        pytest.param(
            RAW, ["rekey", "--new-keyring", "a"], environ_of(RAW), "written as service/user", id="half an entry"
        ),
        pytest.param(
            RAW, ["rekey", "--new-key-env", "KEY"], environ_of(RAW), "is the one that the file has", id="the same key"
        ),
        pytest.param(RAW, ["rekey", "--new-key-env", "NEW"], environ_of(RAW), "variable NEW", id="no new key"),
        pytest.param(
            RAW, ["rekey", "--new-key-env", "NEW"], environ_of("x") | NEW, "the key does not open", id="wrong old key"
        ),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(
    path: Path, secret: str, command: list[str], environ: dict[str, str], told: str
) -> None:
    anyio.run(fill, path, secret)
    before = files_of(path)
    assert told in refused(path, *command, **environ)
    assert files_of(path) == before


@pytest.mark.parametrize("content", [b"", b"Dear diary,\n"], ids=["empty", "a letter"])
def test_a_file_without_memories_is_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert str(path) in refused(path, "encrypt", **environ_of(RAW))
    assert files_of(path) == {"memory.db": content}


@pytest.mark.promise("P2")
async def test_a_file_that_a_client_has_open_is_refused_and_the_client_goes_on(path: Path) -> None:
    async with stdio("--database", str(path)) as client:
        await ok(client, "add_memory", content="Likes tea")
        before = {name: content for name, content in files_of(path).items() if not name.endswith("-shm")}
        told = await anyio.to_thread.run_sync(lambda: refused(path, "encrypt", **environ_of(RAW)))
        assert "another process has the file open; close every client" in told
        assert {name: files_of(path)[name] for name in before} == before
        await ok(client, "add_memory", content="Likes coffee")
    assert "2 memories" in await anyio.to_thread.run_sync(lambda: done(path, "encrypt", **environ_of(RAW)))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit for the size of a file")
def test_a_full_disk_is_one_line_and_the_file_is_as_it_was(path: Path) -> None:
    anyio.run(fill, path)
    program = (
        "import resource, sys; limit = int(sys.argv.pop(1)); resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit));"
        "from mcp_memory.cli import main; main()"
    )
    whole = path.stat().st_size
    for share in (0.1, 0.5, 0.95):
        command = [sys.executable, "-c", program, str(int(whole * share)), "encrypt", "--database", str(path)]
        ended = subprocess.run(
            command, env=os.environ | environ_of(RAW), capture_output=True, text=True, timeout=60, check=False
        )
        assert (ended.returncode, ended.stdout) == (2, "")
        assert len(ended.stderr.splitlines()) == 1
        assert not path.with_name("memory.db.rewriting").exists()
    assert "3 memories" in done(path, "encrypt", **environ_of(RAW))


async def _large(path: Path, secret: str, count: int) -> None:
    from mcp_memory.models import Change, Memory, Step

    async with (
        open_store(path, 1, 10, key=Key(secret) if secret else None) as store,
        store.transaction("alice") as turn,
    ):
        memories = [
            Memory(id=f"{number:012}", content=f"Fact number {number} " * 20, created_at=1, updated_at=1, worded_at=1)
            for number in range(count)
        ]
        steps = [Step(operation="add", memory=memory) for memory in memories]
        await turn.record(Change(id="0" * 12, at=1, tool="test", summary="wrote"), steps)


async def _total(path: Path, secret: str) -> int:
    async with open_store(path, 1, 10, key=Key(secret) if secret else None) as store:
        return (await store.page("alice", Filter(now=2), None, 1)).total


@pytest.mark.promise("P2")
@pytest.mark.parametrize("command", ["encrypt", "decrypt", "rekey"])
def test_a_command_that_is_killed_leaves_one_whole_file_and_the_next_run_tidies_up(path: Path, command: str) -> None:
    old, new = {"encrypt": ("", RAW), "decrypt": (RAW, ""), "rekey": (RAW, PASSPHRASE)}[command]
    count, chance = 1_500, random.Random(command)
    anyio.run(_large, path, old, count)
    words = [command, *(["--new-key-env", "NEW"] if command == "rekey" else []), "--database", str(path)]
    environ = os.environ | environ_of(RAW) | NEW
    copy = path.with_name("memory.db.rewriting")
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-m", "mcp_memory", *words], env=environ, stderr=subprocess.PIPE
        ) as child:
            while child.poll() is None and not copy.exists():
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.1))  # so that the end comes at any point of the copying
            child.kill()
        is_new = path.read_bytes()[:16] != HEADER if command == "encrypt" else path.read_bytes()[:16] == HEADER
        if command == "rekey":
            is_new = refused_by(path, old)
        assert anyio.run(_total, path, new if is_new else old) == count
        if is_new:
            return  # it was faster than the kill; what is left to show is the tidying up, which it has done
    done(path, *words[:-2], **environ_of(RAW), **NEW)
    assert [one.name for one in path.parent.iterdir()] == ["memory.db"]
    assert anyio.run(_total, path, new) == count


def refused_by(path: Path, secret: str) -> bool:
    found = invoked("search", "x", "--database", str(path), folder=path.parent, environ=environ_of(secret))
    return "the key does not open the file" in found.stderr


INTERRUPTED: Final = """
import os, pathlib, signal, sys, threading, time
from mcp_memory.cli import main

copy = pathlib.Path(sys.argv.pop(1))

def interrupt():
    while not copy.exists():
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
main()
"""
"""Ctrl-C as soon as there is a copy: from inside, as another process that gets no turn in time would be too late."""


@ON_POSIX
def test_ctrl_c_ends_it_and_the_file_is_as_it_was(path: Path) -> None:
    anyio.run(_large, path, "", 3_000)
    copy = path.with_name("memory.db.rewriting")
    command = [sys.executable, "-c", INTERRUPTED, str(copy), "encrypt", "--database", str(path)]
    ended = subprocess.run(
        command, env=os.environ | environ_of(RAW), capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 130
    assert [one.name for one in path.parent.iterdir()] == ["memory.db"]
    assert anyio.run(_total, path, "") == 3_000


@pytest.mark.promise("P2")
@pytest.mark.timeout(300)
def test_processes_that_open_the_file_while_it_is_exchanged_lose_nothing(path: Path) -> None:
    """Two writers open, add and close without end, one with the key and one without; a third process exchanges."""
    anyio.run(fill, path)
    context: Any = multiprocessing.get_context("spawn")
    stop, some = context.Event(), context.Semaphore(0)
    receivers: list[Any] = []
    for secret in (RAW, ""):
        receiver, sender = context.Pipe(duplex=False)
        context.Process(target=hammer, args=(str(path), secret, sender, stop, some), daemon=True).start()
        receivers.append(receiver)
        sender.close()
    exchanged = 0
    while exchanged < 12:
        command = "decrypt" if exchanged % 2 else "encrypt"
        result = invoked(command, "--database", str(path), folder=path.parent, environ=environ_of(RAW))
        assert result.exit_code == 0 or "another process" in result.stderr, result.stderr
        if result.exit_code == 0:
            exchanged += 1
            some.acquire(timeout=60)
    stop.set()
    acknowledged = {one for receiver in receivers for one in receiver.recv()}
    assert len(acknowledged) >= exchanged
    assert anyio.run(_ids, path, "") >= acknowledged


async def _ids(path: Path, secret: str) -> set[str]:
    async with open_store(path, 1, 10, key=Key(secret) if secret else None) as store:
        return {memory.id for memory in (await store.page("alice", Filter(now=2), None, 10_000)).memories}

"""A file that cannot be used is an error of every tool, is left as it is, and needs no restart once it is gone."""

import os
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_memory.config import Config
from mcp_memory.store.sqlite import open_store
from tests.support import connected, ok, refused
from tests.test_stdio import NO_ROOT, PATIENCE, PROMPTLY, Server, assert_whole, message_of, opened

CALLS: tuple[tuple[str, dict[str, Any]], ...] = (("add_memory", {"content": "Fact 1"}), ("list_memories", {}))


def garbage(path: Path) -> None:
    path.write_bytes(b"This is no database, but somebody's notes.\n" * 200)


def torn(path: Path) -> None:
    """A database of ours whose pages but the first are gone."""
    with opened(path) as file:
        file.execute("CREATE TABLE notes (text)")
        file.executemany("INSERT INTO notes VALUES (?)", [("x" * 900,)] * 50)
    os.truncate(path, 4096)


def foreign(path: Path) -> None:
    with opened(path) as file:
        file.execute("CREATE TABLE notes (text)")


def used(path: Path) -> None:
    async def made() -> None:
        async with open_store(path, 1, PATIENCE):
            pass

    anyio.run(made)


def newer(path: Path) -> None:
    used(path)
    with opened(path) as file:
        file.execute("UPDATE settings SET value = '99' WHERE name = 'min_writer'")
        file.execute("PRAGMA journal_mode = DELETE")


def settings_lost(path: Path) -> None:
    used(path)
    with opened(path) as file:
        file.execute("DELETE FROM settings WHERE name = 'min_writer'")
        file.execute("PRAGMA journal_mode = DELETE")


def name_broken(path: Path) -> None:
    """One byte of the schema, which SQLite then quotes in its error, is no text any more."""
    used(path)
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE settings", b"CR\xc9ATE TABLE settings"))


def folder(path: Path) -> None:
    path.mkdir()


def read_only(path: Path) -> None:
    path.touch(0o400)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "memory.db"
    path.parent.mkdir()
    return path


def content(database: Path) -> bytes:
    return database.read_bytes() if database.is_file() else b""


def assert_untouched(database: Path, before: bytes) -> None:
    assert content(database) == before
    assert database.is_dir() or [one.name for one in database.parent.iterdir()] == ["memory.db"]


@pytest.mark.promise("P6")
@pytest.mark.promise("P7")
@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(garbage, id="no database"),
        pytest.param(name_broken, id="a name that is no text"),
    ],
)
def test_a_process_says_so_in_every_reply_and_goes_on_when_the_cause_is_gone(database: Path, trouble: Any) -> None:
    trouble(database)
    before, away = content(database), database.parents[1] / "away"
    with Server(database.parents[1], "--database", str(database)) as server:
        started = time.monotonic()
        server.initialize()
        assert time.monotonic() - started < PROMPTLY
        for tool, arguments in CALLS:
            assert str(database) in message_of(server.call(tool, **arguments))
        assert len(server.reply(server.request("tools/list"))["result"]["tools"]) == 8
        assert_untouched(database, before)
        database.rename(away)
        assert server.call("add_memory", content="Fact 1")["structuredContent"]["outcome"] == "added"
        server.close()
        assert server.ended()[0] == 0
    assert_whole(database, server.acknowledged())


@pytest.mark.promise("P6")
@pytest.mark.promise("P7")
@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(torn, id="damaged"),
        pytest.param(folder, id="a folder"),
        pytest.param(foreign, id="another program's"),
        pytest.param(newer, id="newer"),
        pytest.param(settings_lost, id="settings lost"),
        pytest.param(read_only, id="read-only", marks=NO_ROOT),
    ],
)
def test_whatever_is_wrong_is_a_tool_error_until_the_cause_is_gone(database: Path, trouble: Any) -> None:
    trouble(database)
    before, away = content(database), database.parents[1] / "away"

    async def served() -> set[str]:
        async with connected(Config(database=str(database))) as client:
            for tool, arguments in CALLS:
                assert str(database) in await refused(client, tool, **arguments)
            assert len((await client.list_tools()).tools) == 8
            assert_untouched(database, before)
            await anyio.Path(database).rename(away)
            added = await ok(client, "add_memory", content="Fact 1")
        assert added["outcome"] == "added"
        return {added["memory"]["id"]}

    assert_whole(database, anyio.run(served))

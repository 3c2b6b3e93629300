"""The real process over stdio: durable (P2), prompt (P6), a good child (P7), and silent towards the network (P11)."""

import json
import os
import queue
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import anyio
import pytest

from mcp_memory.config import Config
from tests.support import Mode, connected, ok, refused, stdio

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
NO_ROOT = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions bind no root")
ENDS_WITHIN = 2.0
"""The promise is one second; a loaded machine gets two."""

PROMPTLY = 8.0
"""For an initialize reply on a loaded machine; half of it is Python and the SDK. Waiting for a lock would take 10."""

PATIENCE = 30.0


class Server:
    """A server process on raw pipes, spoken to in the handshake era."""

    def __init__(self, folder: Path, *arguments: str, command: tuple[str, ...] = ("-m", "mcp_memory", "serve")) -> None:
        self._errors = folder / "stderr.txt"
        self._next = 0
        self._replies: dict[int, dict[str, Any]] = {}
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, *command, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.lines: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def request(self, method: str, **parameters: Any) -> int:
        self._next += 1
        self.send(json.dumps({"jsonrpc": "2.0", "id": self._next, "method": method, "params": parameters}))
        return self._next

    def reply(self, number: int) -> dict[str, Any]:
        """The reply to a request, whatever else arrives before it."""
        while number not in self._replies:
            line = self._lines.get(timeout=PATIENCE)
            assert line, f"the server ended before reply {number}: {self.errors()}"
            self._take(line)
        return self._replies[number]

    def _take(self, line: bytes) -> None:
        self.lines.append(line)
        message = json.loads(line)
        if "id" in message and "method" not in message:
            self._replies[message["id"]] = message

    def initialize(self) -> dict[str, Any]:
        info = {"name": "raw", "version": "1"}
        reply = self.reply(self.request("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=info))
        self.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        return reply["result"]

    def start_call(self, tool: str, **arguments: Any) -> int:
        return self.request("tools/call", name=tool, arguments=arguments)

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        return self.reply(self.start_call(tool, **arguments))["result"]

    def close(self) -> None:
        """What a client does that is done: it closes stdin."""
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            self._process.stdin.close()

    def kill(self, number: int) -> None:
        self._process.send_signal(number)

    def ended(self) -> tuple[int, float]:
        """The exit code, and the seconds until the process had ended, stdout read to its end."""
        started = time.monotonic()
        code = self._process.wait(PATIENCE)
        seconds = time.monotonic() - started
        while line := self._lines.get(timeout=PATIENCE):
            self._take(line)
        return code, seconds

    def acknowledged(self) -> set[str]:
        """The ids of the memories that replies named so far."""
        results = [reply["result"] for reply in self._replies.values() if "result" in reply]
        return {
            one["structuredContent"]["memory"]["id"] for one in results if not one.get("isError", "content" not in one)
        }

    def errors(self) -> str:
        return self._errors.read_text(encoding="utf-8", errors="replace")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "memory.db"


def serving(database: Path, *arguments: str) -> Server:
    return Server(database.parent, "--database", str(database), *arguments)


@contextmanager
def opened(database: Path) -> Generator[sqlite3.Connection]:
    """The file as another process sees it, which waits for no lock."""
    with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as file:
        yield file


def assert_whole(database: Path, acknowledged: set[str]) -> None:
    """Everything acknowledged is there, nothing is half there, and another process can write at once."""
    with opened(database) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            assert not acknowledged  # it ended before the file was made ours
            return
        file.execute("BEGIN IMMEDIATE")
        file.execute("INSERT INTO memory_index (memory_index, rank) VALUES ('integrity-check', 1)")
        file.execute("ROLLBACK")
        stored = {row[0] for row in file.execute("SELECT id FROM memories")}
        assert acknowledged <= stored
        revised = {row[0] for row in file.execute("SELECT r.id FROM revisions r JOIN changes c ON c.seq = r.change")}
        assert revised == stored
    assert anyio.run(found_in, database) == stored


async def found_in(database: Path) -> set[str]:
    """The memories that the index holds: every test here adds facts."""
    async with connected(Config(database=str(database))) as client:
        found = await ok(client, "search_memories", query="fact", limit=100)
    return {hit["id"] for hit in found["hits"]}


def message_of(result: dict[str, Any]) -> str:
    """The one line of a tool error."""
    assert result["isError"], result
    [block] = result["content"]
    assert "\n" not in block["text"]
    assert "Traceback" not in block["text"]
    return block["text"]


@pytest.mark.promise("P2")
@pytest.mark.promise("P10")
async def test_what_was_added_is_found_after_a_restart_by_a_client_of_the_other_era(database: Path) -> None:
    async with stdio("--database", str(database), mode="auto") as client:
        added = await ok(client, "add_memory", content="Prefers window seats", topics=["travel"])
    async with stdio("--database", str(database), mode="legacy") as client:
        found = await ok(client, "search_memories", query="seats by the window")
    assert [hit["id"] for hit in found["hits"]] == [added["memory"]["id"]]


@pytest.mark.promise("P10")
async def test_every_tool_can_be_called_over_stdio(database: Path, mode: Mode) -> None:
    async with stdio("--database", str(database), mode=mode) as client:
        assert client.server_info is not None
        assert client.server_info.name == "mcp-memory"
        own = (await ok(client, "add_memory", content="Lives in Rome", key="city"))["memory"]["id"]
        await ok(client, "update_memory", id=own, content="Lives in Oslo")
        assert (await ok(client, "search_memories", query="Oslo"))["hits"][0]["id"] == own
        await ok(client, "delete_memory", id=own)
        assert own in await refused(client, "get_memory", id=own)
        await ok(client, "undo")
        sheet = (await ok(client, "extract_memories", text="I moved from Oslo"))["worksheet"]
        assert [one["id"] for one in sheet["neighbours"]] == [own]
        assert len((await ok(client, "get_memory", key="city", history=True))["revisions"]) == 4
        assert (await ok(client, "list_memories"))["total"] == 1
        assert len((await client.read_resource(f"memory://memories/{own}")).contents) == 1
        assert len((await client.list_tools()).tools) == 8


@pytest.mark.promise("P7")
def test_stdout_carries_protocol_only_whatever_comes_in(database: Path) -> None:
    with serving(database, "--log-level", "debug") as server:
        server.initialize()
        for line in ("no JSON", "[]", '{"jsonrpc": "2.0"}', "", "\x00", '{"jsonrpc": "2.0", "id": {}, "method": 1}'):
            server.send(line)
        server.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/unknown"}))
        assert "error" in server.reply(server.request("no/such/method"))
        message_of(server.call("no_such_tool"))
        message_of(server.call("add_memory", content=7))
        message_of(server.call("get_memory", id="nosuchmemory"))
        assert not server.call("add_memory", content="Fact \u2028 one\nmore \x07").get("isError")
        server.close()
        assert server.ended()[0] == 0
        messages = [json.loads(line) for line in server.lines]
        assert len(messages) >= 6
        assert all(message["jsonrpc"] == "2.0" for message in messages)
        assert all(b"\n" not in line[:-1] and line.endswith(b"\n") for line in server.lines)


@pytest.mark.promise("P7")
@pytest.mark.parametrize("used", [pytest.param(False, id="right after the handshake"), pytest.param(True, id="in use")])
def test_the_process_ends_with_its_input(database: Path, *, used: bool) -> None:
    with serving(database) as server:
        server.initialize()
        if used:
            server.call("add_memory", content="Fact 1")
        server.close()
        code, seconds = server.ended()
        assert code == 0
        assert seconds < ENDS_WITHIN
        assert server.errors() == ""
    if used:
        assert_whole(database, server.acknowledged())


@pytest.mark.promise("P7")
def test_input_that_ends_before_the_handshake_is_no_error(database: Path) -> None:
    with serving(database) as server:
        server.close()
        assert server.ended()[0] == 0
        assert (server.lines, server.errors()) == ([], "")


@pytest.mark.promise("P7")
@pytest.mark.promise("P2")
@pytest.mark.parametrize("opened_before", [pytest.param(False, id="first calls"), pytest.param(True, id="later calls")])
def test_calls_in_flight_are_finished_or_rolled_back_when_input_ends(database: Path, *, opened_before: bool) -> None:
    with serving(database) as server:
        server.initialize()
        if opened_before:
            server.call("add_memory", content="Fact 0")
        for number in range(1, 21):
            server.start_call("add_memory", content=f"Fact {number}")
        server.close()
        code, seconds = server.ended()
        assert code == 0
        assert seconds < ENDS_WITHIN
        assert "Traceback" not in server.errors()
    assert_whole(database, server.acknowledged())


@POSIX
@pytest.mark.promise("P7")
@pytest.mark.parametrize(
    ("name", "busy"),
    [
        pytest.param("SIGTERM", False, id="SIGTERM-idle"),
        *(pytest.param(name, True, id=f"{name}-busy") for name in ("SIGTERM", "SIGINT", "SIGHUP")),
    ],
)
def test_a_signal_ends_the_process_and_leaves_nothing_behind(database: Path, name: str, *, busy: bool) -> None:
    number = signal.Signals[name]
    with serving(database) as server:
        server.initialize()
        server.call("add_memory", content="Fact 0")
        for fact in range(1, 21 if busy else 1):
            server.start_call("add_memory", content=f"Fact {fact}")
        server.kill(number)
        code, seconds = server.ended()
        assert code == 128 + number
        assert seconds < ENDS_WITHIN
        assert server.errors() == ""
        with pytest.raises(ProcessLookupError):
            os.killpg(server.pid, 0)
    assert server.acknowledged()
    assert_whole(database, server.acknowledged())


@POSIX
@pytest.mark.promise("P7")
def test_a_signal_ends_a_process_that_waits_for_a_lock(database: Path) -> None:
    with opened(database) as other, serving(database) as server:
        other.execute("BEGIN EXCLUSIVE")
        server.initialize()
        server.start_call("add_memory", content="Fact 1")
        server.reply(server.request("tools/list"))
        server.kill(signal.SIGTERM)
        code, seconds = server.ended()
        assert code == 128 + signal.SIGTERM
        assert seconds < ENDS_WITHIN
        assert server.errors() == ""


@pytest.mark.promise("P7")
def test_a_folder_that_cannot_be_made_is_a_tool_error_until_the_cause_is_gone(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way", encoding="utf-8")
    database = tmp_path / "data" / "memory.db"
    with Server(tmp_path, "--database", str(database)) as server:
        server.initialize()
        assert str(database) in message_of(server.call("add_memory", content="Fact 1"))
        (tmp_path / "data").unlink()
        assert not server.call("add_memory", content="Fact 1").get("isError")
    assert_whole(database, server.acknowledged())


@POSIX
@pytest.mark.promise("P7")
def test_a_path_that_is_no_text_and_cannot_be_used_is_a_tool_error_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Server(tmp_path, "--database", str(tmp_path / "file" / "\udcff.db")) as server:
        server.initialize()
        assert str(tmp_path / "file") in message_of(server.call("list_memories"))
        assert len(server.reply(server.request("tools/list"))["result"]["tools"]) == 8


@pytest.mark.promise("P2")
def test_a_newer_version_that_takes_the_file_over_stops_writes_in_one_line(database: Path) -> None:
    with serving(database) as server:
        server.initialize()
        server.call("add_memory", content="Fact 1")
        with opened(database) as other:
            other.execute("UPDATE settings SET value = '99' WHERE name = 'min_writer'")
            message = message_of(server.call("add_memory", content="Fact 2"))
            assert str(database) in message
            assert "newer" in message
            assert len(server.reply(server.request("tools/list"))["result"]["tools"]) == 8
            other.execute("UPDATE settings SET value = '1' WHERE name = 'min_writer'")
        assert not server.call("add_memory", content="Fact 2").get("isError")


@pytest.mark.promise("P2")
def test_an_add_is_never_acknowledged_into_a_file_that_was_removed(database: Path) -> None:
    with serving(database) as server:
        server.initialize()
        server.call("add_memory", content="Fact 1")
        for name in ("memory.db", "memory.db-wal", "memory.db-shm"):
            (database.parent / name).unlink(missing_ok=True)
        result = server.call("add_memory", content="Fact 2")
        server.close()
        server.ended()
    if result.get("isError"):
        assert str(database) in message_of(result)
    else:
        assert_whole(database, {result["structuredContent"]["memory"]["id"]})


@pytest.mark.promise("P2")
def test_a_lock_that_stays_is_one_clear_error_and_writes_go_on_when_it_is_gone(database: Path, tmp_path: Path) -> None:
    settings = tmp_path / "config.toml"
    settings.write_text("[store]\nlock_timeout = 0.5\n", encoding="utf-8")
    with serving(database, "--config", str(settings)) as server:
        server.initialize()
        server.call("add_memory", content="Fact 1")
        with opened(database) as other:
            other.execute("BEGIN IMMEDIATE")
            message = message_of(server.call("add_memory", content="Fact 2"))
            assert str(database) in message
            assert "nothing was written" in message
            assert server.call("list_memories")["structuredContent"]["total"] == 1
            other.execute("ROLLBACK")
        assert not server.call("add_memory", content="Fact 2").get("isError")
        assert server.call("list_memories")["structuredContent"]["total"] == 2


def locked(file: sqlite3.Connection) -> None:
    file.execute("CREATE TABLE notes (text)")
    file.execute("BEGIN EXCLUSIVE")


def large(file: sqlite3.Connection) -> None:
    """Two gigabytes, nearly all of them a hole."""
    file.execute("CREATE TABLE notes (text)")
    os.truncate(file.execute("PRAGMA database_list").fetchone()[2], 2**31)


@pytest.mark.promise("P6")
@pytest.mark.parametrize("trouble", [pytest.param(locked, id="locked"), pytest.param(large, id="large")])
def test_the_handshake_waits_for_no_database(database: Path, trouble: Any) -> None:
    with opened(database) as other:
        trouble(other)
        with serving(database) as server:
            started = time.monotonic()
            assert server.initialize()["serverInfo"]["name"] == "mcp-memory"
            assert len(server.reply(server.request("tools/list"))["result"]["tools"]) == 8
            assert time.monotonic() - started < PROMPTLY
            server.close()
            code, seconds = server.ended()
            assert code == 0
            assert seconds < ENDS_WITHIN


MODERN: dict[str, Any] = {
    "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
}
HELLO: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "raw", "version": "1"},
}


@pytest.mark.promise("P6")
@pytest.mark.promise("P10")
@pytest.mark.parametrize(
    ("first", "said", "later"),
    [
        pytest.param("server/discover", MODERN, MODERN, id="modern"),
        pytest.param("initialize", HELLO, {}, id="legacy"),
    ],
)
def test_the_store_is_opened_after_the_first_reply_and_without_a_call(
    database: Path, first: str, said: dict[str, Any], later: dict[str, Any]
) -> None:
    with serving(database) as server:
        server.send('{"jsonrpc": "2.0", "id": 99, "method": "\\ud800"}')
        assert "error" in server.reply(99)  # so it is serving, and has had its time to open a store
        assert not database.exists()
        assert "result" in server.reply(server.request(first, **said))
        deadline = time.monotonic() + PATIENCE
        while not database.exists():
            assert "result" in server.reply(server.request("tools/list", **later))
            assert time.monotonic() < deadline
        server.close()
        assert server.ended()[0] == 0
        assert server.errors() == ""


WATCHED = """
import runpy, socket, sys

log = open(sys.argv.pop(1), "w", encoding="utf-8")
watched = ("socket.", "urllib.", "http.", "ftplib.", "smtplib.", "subprocess.", "os.system", "os.posix_spawn")

def watch(event, arguments):
    if event.startswith(watched) and event != "socket.__new__" and event != "socket.gethostname":
        log.write(event + "\\n")
        log.flush()
    elif event == "socket.__new__" and arguments[1] != getattr(socket, "AF_UNIX", None):
        log.write(f"{event} {arguments[1:]}\\n")
        log.flush()

sys.addaudithook(watch)
socket.getaddrinfo("127.0.0.1", 9)
sys.argv = ["mcp-memory", *sys.argv[1:]]
runpy.run_module("mcp_memory", run_name="__main__")
"""


@pytest.mark.promise("P11")
@pytest.mark.skipif(sys.platform == "win32", reason="there asyncio's own self-pipe is a pair of TCP sockets")
def test_no_socket_is_opened_and_no_process_started_while_serving_and_searching(tmp_path: Path) -> None:
    script, log = tmp_path / "watched.py", tmp_path / "events.txt"
    script.write_text(WATCHED, encoding="utf-8")
    arguments = (str(log), "serve", "--database", str(tmp_path / "memory.db"))
    with Server(tmp_path, *arguments, command=(str(script),)) as server:
        server.initialize()
        own = server.call("add_memory", content="Lives in Rome")["structuredContent"]["memory"]["id"]
        server.call("update_memory", id=own, content="Lives in Oslo")
        found = server.call("search_memories", query="Where does she live?", include_past=True)
        assert len(found["structuredContent"]["hits"]) == 2
        for tool, arguments in (("list_memories", {}), ("delete_memory", {"id": own}), ("undo", {})):
            assert not server.call(tool, **arguments).get("isError")
        told = server.call("extract_memories", text="I live in Bonn now")["structuredContent"]
        decided = [{**told["worksheet"]["neighbours"][0], "op": "update", "content": "Lives in Bonn"}]
        assert server.call("extract_memories", operations=decided)["structuredContent"]["change_id"]
        server.close()
        assert server.ended()[0] == 0
    assert log.read_text(encoding="utf-8").split() == ["socket.getaddrinfo"]  # the script's own, to prove the watch

"""A process that is stopped in the middle of a write: the others wait to their deadline, and nobody loses anything."""

import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import pytest

from benchmarks.soak_model import integrity
from tests.support import ok, refused, stdio

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot stop a process by a signal"),
    pytest.mark.promise("P2"),
]


@contextmanager
def stopped_in_a_write(database: Path) -> Generator["subprocess.Popen[str]"]:
    """A process that has written and not yet committed, and does not run."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.stopped_child", str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    with child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "written\n"
            child.send_signal(signal.SIGSTOP)
            yield child
        finally:
            child.kill()


def finished(child: "subprocess.Popen[str]") -> str:
    """What it says when it goes on."""
    child.send_signal(signal.SIGCONT)
    return child.communicate("go on\n", timeout=30)[0]


async def test_others_get_one_clear_error_at_the_deadline_and_the_stopped_write_is_there_in_the_end(
    tmp_path: Path,
) -> None:
    database = tmp_path / "memory.db"
    env = {"MCP_MEMORY_STORE_LOCK_TIMEOUT": "1"}
    async with stdio("--database", str(database), "--user", "alice", env=env) as client:
        await ok(client, "add_memory", content="Likes tea")
        with stopped_in_a_write(database) as child:
            begun = perf_counter()
            message = await refused(client, "add_memory", content="Likes coffee")
            assert 1 <= perf_counter() - begun < 10
            assert "nothing was written" in message
            assert "try again" in message
            listed = await ok(client, "list_memories")  # reading goes on, and shows nothing half-done
            assert [memory["content"] for memory in listed["memories"]] == ["Likes tea"]
            assert finished(child) == "committed\n"
        await ok(client, "add_memory", content="Likes rice")
        listed = await ok(client, "list_memories")
        contents = [memory["content"] for memory in listed["memories"]]
        assert contents == ["Likes rice", "Written by the stopped process", "Likes tea"]
    assert integrity(database) == "ok"


async def test_a_stopped_process_that_is_killed_leaves_nothing_of_its_write_and_nobody_waits(tmp_path: Path) -> None:
    database = tmp_path / "memory.db"
    async with stdio("--database", str(database), "--user", "alice") as client:
        await ok(client, "add_memory", content="Likes tea")
        with stopped_in_a_write(database) as child:
            child.kill()
            child.wait(30)
            await ok(client, "add_memory", content="Likes coffee")
        listed = await ok(client, "list_memories")
        assert [memory["content"] for memory in listed["memories"]] == ["Likes coffee", "Likes tea"]
    assert integrity(database) == "ok"

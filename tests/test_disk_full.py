"""No room at any point: what was acknowledged stays, one clear error comes, and all works again once there is room.

A limit on the size of files stands for a full disk or a quota: it needs no device of its own, and is exact to the byte.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.soak_model import integrity
from mcp_memory.service import MemoryService
from mcp_memory.store.sqlite import open_store
from mcp_memory.testing import FakeClock
from tests.disk_full_child import LOG, state_of
from tests.support import ok, stdio

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits on the size of files"),
    pytest.mark.promise("P2"),
]


def starved(part: str, database: Path) -> dict[str, Any]:
    """What a process of little room tells."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.disk_full_child", part, str(database)],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=Path(__file__).parents[1],
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["wrong"] == []
    for error in told["errors"]:
        assert error.startswith("StoreFull "), error
        assert "\n" not in error
        assert "nothing was written" in error
        assert "try again" in error
    return told


async def test_no_room_at_any_write_of_a_script_is_an_error_with_nothing_written(tmp_path: Path) -> None:
    database = tmp_path / "memory.db"
    told = starved("every_write", database)
    assert told["figures"]["operations"] == 30
    assert len(told["errors"]) > 150, "each write has several places at which there is no room"
    assert integrity(database) == "ok"
    async with open_store(database, FakeClock().now(), 5) as store:
        state = [list(one) for one in await state_of(MemoryService(store, FakeClock()))]
    assert state == told["state"]
    async with stdio("--database", str(database), "--user", "alice") as client:
        assert (await ok(client, "list_memories"))["total"] == len(state)
        await ok(client, "add_memory", content="A new process works too")


def test_no_room_while_a_file_is_made_is_an_error_and_it_is_made_later(tmp_path: Path) -> None:
    told = starved("every_creation", tmp_path / "memory.db")
    assert len(told["errors"]) > 10
    for database in tmp_path.glob("*.db"):
        assert integrity(database) == "ok"


def test_what_cannot_be_moved_from_the_log_at_the_end_is_there_at_the_next_start(tmp_path: Path) -> None:
    told = starved("every_end", tmp_path / "memory.db")
    assert told["figures"]["logs left"] > 2
    for database in tmp_path.glob("*.db"):
        assert integrity(database) == "ok"


def test_a_file_that_cannot_take_what_its_log_holds_loses_nothing(tmp_path: Path) -> None:
    database = tmp_path / "memory.db"
    told = starved("no_checkpoint", database)
    assert told["errors"]
    assert told["figures"]["longest log"] > LOG
    assert integrity(database) == "ok"

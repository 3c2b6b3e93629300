"""`mcp-memory review`: what waits for approval, listed, decided by ids, and walked through at a terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcp_memory.app import open_app
from mcp_memory.clock import SystemClock
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import Origin
from mcp_memory.sections import ApprovalConfig
from tests.test_cli import invoked

PROPOSED = ("Likes tea", "Spielt Schach", "住在东京")


@pytest.fixture
async def ids(config: Config) -> list[str]:
    """Three memories of alice's that wait, one of bob's, and one that counts."""
    waits = config.replace(approval=ApprovalConfig(mode="all"))
    async with open_app(waits, SystemClock()) as app:
        service, agent = await app.service(), Origin(tool="add_memory", agent="planner", source="chat")
        added = [await service.add("alice", Fields(content=one, topics=["t"]), agent) for one in PROPOSED]
        await service.add("bob", Fields(content="Has a secret"), agent)
    async with open_app(config, SystemClock()) as app:
        await (await app.service()).add("alice", Fields(content="Counts"), Origin(tool="add_memory"))
    return [one.memory.id for one in added]


class Reviewer:
    """Commands of alice's on one file."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.options = ("--user", "alice", "--database", config.database)
        self.folder = folder

    def told(self, *arguments: str, code: int = 0) -> str:
        done = invoked(*arguments, *self.options, folder=self.folder)
        assert done.exit_code == code, done.output
        return done.stdout if code == 0 else done.stderr

    def plain(self, *arguments: str) -> dict[str, Any]:
        return json.loads(self.told(*arguments, "--json"))

    def waiting(self) -> list[str]:
        return [one["content"] for one in self.plain("review", "--list")["memories"]]


@pytest.fixture
def reviewer(config: Config, tmp_path: Path) -> Reviewer:
    return Reviewer(config, tmp_path)


def test_what_waits_is_listed_with_who_proposed_it_and_nothing_else(reviewer: Reviewer, ids: list[str]) -> None:
    told = reviewer.told("review")
    assert told.startswith("3 memories wait for approval (stored notes, not instructions):\n<notes>\n")
    assert f"[{ids[2]}] 住在东京 · waits for approval · t · by planner" in told
    assert told.count("by agent planner, source chat") == 3
    assert not [one for one in ("Counts", "secret") if one in told]
    page = reviewer.plain("review", "--limit", "2")
    assert ([one["content"] for one in page["memories"]], page["total"]) == (["住在东京", "Spielt Schach"], 3)
    assert (page["memories"][0]["agent"], page["memories"][0]["source"]) == ("planner", "chat")
    rest = reviewer.plain("review", "--cursor", page["next_cursor"])
    assert [one["content"] for one in rest["memories"]] == ["Likes tea"]


def test_ids_are_accepted_and_refused_and_undo_takes_that_back(reviewer: Reviewer, ids: list[str]) -> None:
    done = reviewer.plain("review", "--accept", ids[0], ids[2], "nosuchmemory")
    assert (done["outcome"], [one["id"] for one in done["memories"]]) == ("accepted", [ids[0], ids[2]])
    assert done["left"] == ["nosuchmemory"]
    assert reviewer.told("review", "--refuse", ids[1]).startswith("Refused 1 memory, undo takes it back (change ")
    assert reviewer.told("review") == "Nothing waits for approval.\n"
    assert "Likes tea" in reviewer.told("search", "tea")
    reviewer.told("undo")
    reviewer.told("undo", done["change_id"])
    assert reviewer.waiting() == ["住在东京", "Spielt Schach", "Likes tea"]
    assert "Likes tea" not in reviewer.told("search", "tea", "--all")


def test_all_are_accepted_oldest_first(reviewer: Reviewer, ids: list[str]) -> None:
    done = reviewer.plain("review", "--accept-all")
    assert [one["id"] for one in done["memories"]] == ids
    assert reviewer.plain("review", "--accept-all")["total"] == 0


def test_an_id_that_does_not_wait_is_not_found(reviewer: Reviewer, ids: list[str]) -> None:
    assert "No memory 'k3v9x2m4p7qa' waits for approval" in reviewer.told("review", "--refuse", "k3v9x2m4p7qa", code=1)
    assert len(reviewer.waiting()) == len(ids)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param(("--accept",), "ids belong to --accept", id="no id"),
        pytest.param(("k3v9x2m4p7qa",), "ids belong to --accept", id="no decision"),
        pytest.param(("--accept-all", "k3v9x2m4p7qa"), "ids belong to --accept", id="ids with all"),
        pytest.param(("--cursor", "abc"), "cursor does not belong", id="foreign cursor"),
        pytest.param(("--limit", "0"), "limit must be", id="no limit"),
    ],
)
def test_what_cannot_be_is_one_line(reviewer: Reviewer, ids: list[str], arguments: tuple[str, ...], named: str) -> None:
    told = reviewer.told("review", *arguments, code=2)
    assert named in told
    assert told.count("\n") == 1
    assert len(reviewer.waiting()) == len(ids)


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is POSIX only")
def test_a_person_walks_through_them_at_a_terminal(reviewer: Reviewer, ids: list[str], tmp_path: Path) -> None:
    import pty

    editor = tmp_path / "editor.py"
    editor.write_text(
        "import sys; open(sys.argv[1], 'w', encoding='utf-8').write('Plays chess, and well\\n')", encoding="utf-8"
    )
    environ = (
        os.environ
        | dict.fromkeys(("HOME", "XDG_CONFIG_HOME"), str(tmp_path))
        | {"EDITOR": f"{sys.executable} {editor}"}
    )
    controller, terminal = pty.openpty()
    try:
        os.write(controller, b"a\nx\ne\nq\n")
        program = (
            "import sys; from mcp_memory.cli import main; main(sys.argv[1:], standalone_mode=False); "
            "sys.exit('mcp' in sys.modules)"
        )
        command = [sys.executable, "-c", program, "review", *reviewer.options]
        done = subprocess.run(
            command, env=environ, stdin=terminal, stdout=terminal, stderr=terminal, timeout=60, check=False
        )
        shown = os.read(controller, 100_000).decode()
    finally:
        os.close(controller)
        os.close(terminal)
    assert done.returncode == 0, shown
    assert "3 memories wait for approval." in shown
    assert "1 of 3" in shown
    assert "[a]ccept, [r]efuse, [e]dit and accept, [s]kip, [q]uit" in shown
    assert reviewer.waiting() == ["住在东京"]
    assert [one["id"] for one in reviewer.plain("search", "chess tea", "--all")["hits"]]
    assert "Plays chess, and well" in reviewer.told("search", "chess")
    assert ids[0] in reviewer.told("search", "tea")

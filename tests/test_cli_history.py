"""`mcp-memory history`, `changes`, `undo` and `restore`: what a person does with the past from a terminal."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import LABEL, Origin
from mcp_memory.testing import FakeClock
from tests.test_cli import invoked, run

ROME = {"content": "Lives in Rome", "topics": ["home"]}
DESK = Origin(tool="add_memory", client="desk")


@pytest.fixture
async def memory(config: Config, clock: FakeClock) -> str:
    """A memory of alice's with two versions, and one of bob's."""
    async with open_app(config, clock) as app:
        service = await app.service()
        added = await service.add("alice", Fields.checked(ROME), DESK)
        clock.advance(days=1)
        await service.update("alice", added.memory.id, Fields(content="Lives in Oslo"), DESK)
        await service.add("bob", Fields(content="Has a secret"), DESK)
        return added.memory.id


class Terminal:
    """Commands of alice's on one file."""

    def __init__(self, config: Config, folder: Path) -> None:
        self._options = ("--user", "alice", "--database", config.database)
        self._folder = folder

    def told(self, *arguments: str) -> str:
        done = invoked(*arguments, *self._options, folder=self._folder)
        assert (done.exit_code, done.stderr) == (0, ""), done.stderr
        return done.stdout

    def plain(self, *arguments: str) -> dict[str, Any]:
        return json.loads(self.told(*arguments, "--json"))

    def refused(self, *arguments: str, code: int = 1) -> str:
        done = invoked(*arguments, *self._options, folder=self._folder)
        assert (done.exit_code, done.stdout) == (code, "")
        return done.stderr


@pytest.fixture
def terminal(config: Config, tmp_path: Path) -> Terminal:
    return Terminal(config, tmp_path)


def test_changes_and_history_are_listed_in_both_forms(terminal: Terminal, memory: str) -> None:
    told = terminal.told("changes").splitlines()
    assert told[0] == f"2 changes, newest first ({LABEL}):"
    assert told[3] == f"    updated [{memory}] Lives in Rome → Lives in Oslo"
    assert "secret" not in "".join(told)
    listed = terminal.plain("changes", "--limit", "1")
    assert [one["client"] for one in listed["changes"]] == ["desk"]
    older = terminal.plain("changes", "--limit", "1", "--cursor", listed["next_cursor"])
    assert [one["operations"][0]["op"] for one in older["changes"]] == ["add"]
    change = older["changes"][0]["change_id"]
    assert len(terminal.plain("changes", "--since", change)["changes"]) == 1
    assert terminal.plain("changes", "--since", "2100-01-01") == {"label": LABEL, "changes": [], "left_out": []}
    assert "No changes." in terminal.told("changes", "--since", "2100-01-01")
    assert "Lives in [-Rome-]{+Oslo+}" in terminal.told("history", memory)
    assert [one["version"] for one in terminal.plain("history", memory)["revisions"]] == [1, 2]


@pytest.mark.promise("P3")
def test_undo_walks_back_and_a_deleted_memory_is_restored(terminal: Terminal, memory: str) -> None:
    undone = terminal.plain("undo")
    assert [one["memory"]["content"] for one in undone["operations"]] == ["Lives in Rome"]
    assert f"removed: [{memory}]" in terminal.told("undo")
    assert "Nothing is left to undo" in terminal.refused("undo")
    assert terminal.plain("history", memory)["gone"] == "deleted"
    assert "One memory, deleted since" in terminal.told("history", memory)
    restored = terminal.plain("restore", memory, "--version", "2")
    assert (restored["outcome"], restored["returned"], restored["memory"]["content"]) == (
        "restored",
        True,
        "Lives in Oslo",
    )
    assert terminal.plain("restore", memory, "--version", "2")["outcome"] == "unchanged"
    assert "Restored content of version 1 (change " in terminal.told("restore", memory, "--version", "1")
    [newest, *_] = terminal.plain("changes")["changes"]
    assert (newest["tool"], newest["client"], newest["operations"][0]["reason"]) == (
        "restore",
        "mcp-memory",
        "version 1",
    )
    redone = terminal.plain("undo", newest["change_id"])
    assert redone["undone"] == newest["change_id"]


@pytest.mark.parametrize(
    ("arguments", "named", "code"),
    [
        pytest.param(("history", "unknown"), "No memory", 1, id="no such memory"),
        pytest.param(("undo", "unknown"), "No change", 1, id="no such change"),
        pytest.param(("restore", "unknown", "--version", "1"), "No memory", 1, id="nothing to restore"),
        pytest.param(("changes", "--since", "yesterday"), "2d, 12h, 2w", 2, id="no time"),
        pytest.param(("changes", "--limit", "0"), "limit must be 1 to 100", 2, id="no limit"),
        pytest.param(("changes", "--cursor", "x"), "start again", 2, id="no cursor"),
        pytest.param(("restore", "unknown"), "--version", 2, id="no version"),
        pytest.param(("restore", "unknown", "--version", "one"), "--version", 2, id="no number"),
        pytest.param(("history",), "ID", 2, id="no id"),
    ],
)
@pytest.mark.usefixtures("memory")
def test_what_cannot_be_done_ends_with_a_code_and_the_reason(
    terminal: Terminal, arguments: tuple[str, ...], named: str, code: int
) -> None:
    assert named in terminal.refused(*arguments, code=code)


@pytest.mark.parametrize("command", ["history x", "undo", "changes", "restore x --version 1"])
def test_a_file_that_is_not_there_is_not_created(tmp_path: Path, command: str) -> None:
    done = invoked(*command.split(), "--database", str(tmp_path / "absent.db"), folder=tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "absent.db" in done.stderr
    assert not (tmp_path / "absent.db").exists()


@pytest.mark.promise("P1")
def test_another_users_memory_is_not_found(config: Config, tmp_path: Path, memory: str) -> None:
    bob = ("--user", "bob", "--database", config.database)
    for command in (("history", memory), ("restore", memory, "--version", "1")):
        done = invoked(*command, *bob, folder=tmp_path)
        assert (done.exit_code, done.stdout) == (1, "")
        assert f"No memory '{memory}' for this user" in done.stderr


def test_a_real_process_shows_the_changes_and_its_help(config: Config, tmp_path: Path, memory: str) -> None:
    done = run("changes", "--user", "alice", "--database", config.database, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert memory in done.stdout
    for command in ("history", "undo", "changes", "restore"):
        shown = run(command, "--help", folder=tmp_path)
        assert shown.returncode == 0
        for option in ("--user", "--database", "--config", "--json"):
            assert option in shown.stdout


def test_the_commands_load_no_sdk(config: Config, tmp_path: Path, memory: str) -> None:
    arguments = ["history", memory, "--user", "alice", "--database", config.database]
    code = (
        "import sys; from click.testing import CliRunner; from mcp_memory.cli import main; "
        f"done = CliRunner().invoke(main, {arguments!r}); "
        "assert done.exit_code == 0, done.output; sys.exit('mcp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60, cwd=tmp_path).returncode == 0

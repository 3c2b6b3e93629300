"""`mcp-memory export` and `import`, as a person runs them."""

import json
import shlex
import sqlite3
import stat
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import Origin
from mcp_memory.testing import FakeClock
from tests.test_cli import invoked
from tests.test_transfer_formats import fixture

DESK = Origin(tool="add_memory", client="desk")
LINES = ['{"content":"Likes tea"}', '{"content":"Likes', '{"content":"Likes trains","topics":["travel"]}']


class Terminal:
    """Commands of alice's on one file."""

    def __init__(self, database: Path, folder: Path) -> None:
        self._options = ("--user", "alice", "--database", str(database))
        self._folder = folder

    def told(self, *arguments: str, code: int = 0) -> str:
        done = invoked(*arguments, *self._options, folder=self._folder)
        assert (done.exit_code, done.stderr) == (code, ""), done.stderr
        return done.stdout

    def refused(self, *arguments: str) -> str:
        done = invoked(*arguments, *self._options, folder=self._folder)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        return done.stderr

    def contents(self) -> list[str]:
        document = json.loads(self.told("export", "--format", "json"))
        return [memory["content"] for memory in document["memories"]]


@pytest.fixture
def terminal(config: Config, tmp_path: Path) -> Terminal:
    return Terminal(config.path(), tmp_path)


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "some.jsonl"
    path.write_text("\n".join(LINES), encoding="utf-8")
    return path


@pytest.fixture
async def memory(config: Config, clock: FakeClock) -> str:
    """A memory of alice's with two versions, and one of bob's."""
    async with open_app(config, clock) as app:
        service = await app.service()
        added = await service.add("alice", Fields(content="Lives in Rome", key="home"), DESK)
        clock.advance(days=1)
        await service.update("alice", added.memory.id, Fields(content="Lives in Oslo — 東京"), DESK)
        await service.add("bob", Fields(content="Has a secret"), DESK)
        return added.memory.id


def test_moving_is_one_command_there_and_one_here(terminal: Terminal, memory: str, tmp_path: Path) -> None:
    there = tmp_path / "all of it.jsonl"
    assert terminal.told("export", str(there), "--history") == f"Exported 1 memory of alice to {there}\n"
    here = Terminal(tmp_path / "new" / "memory.db", tmp_path)
    told = here.told("import", str(there)).splitlines()
    assert told[:2] == [f"{there} is taken for mcp-memory's own JSON Lines.", "Imported 1 memory."]
    assert here.told("export", "--history") == there.read_text(encoding="utf-8")
    assert "[-Rome-]{+Oslo — 東京+}" in here.told("history", memory)
    assert "Lives in Rome" in here.told("changes")
    assert "add_memory by desk" in here.told("changes")
    undo = told[2].removeprefix("To take it back: mcp-memory ").split()
    assert undo[:3] == ["undo", "--user", "alice"]
    here.told("undo", undo[-1])
    assert here.contents() == []


def test_a_second_import_says_what_is_known_already(terminal: Terminal, memory: str, tmp_path: Path) -> None:
    there = tmp_path / "file.jsonl"
    terminal.told("export", str(there))
    told = terminal.told("import", str(there)).splitlines()
    assert told[1:] == ["Imported 0 memories.", "1 known already:", f"  line 2: as memory {memory}"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_an_export_is_for_its_owner_alone(terminal: Terminal, memory: str, tmp_path: Path) -> None:
    terminal.told("export", str(tmp_path / "out.md"))
    assert stat.S_IMODE((tmp_path / "out.md").stat().st_mode) == 0o600


def test_an_export_replaces_no_file_unless_told_and_leaves_nothing_beside(
    terminal: Terminal, memory: str, tmp_path: Path
) -> None:
    out = tmp_path / "sub" / "out.csv"
    assert "cannot be written (No such file or directory)" in terminal.refused("export", str(out))
    out.parent.mkdir()
    out.write_text("mine", encoding="utf-8")
    assert "is there already and was left alone" in terminal.refused("export", str(out))
    assert out.read_text(encoding="utf-8") == "mine"
    terminal.told("export", str(out), "--force")
    assert out.read_text(encoding="utf-8-sig").startswith("id,content,key,")
    assert list(out.parent.iterdir()) == [out]


def test_an_export_never_replaces_the_database(terminal: Terminal, memory: str, config: Config) -> None:
    assert "is the database itself" in terminal.refused("export", config.database, "--force")
    assert terminal.contents() == ["Lives in Oslo — 東京"]


def test_one_bad_line_in_the_middle_stops_all_with_its_number(terminal: Terminal, lines: Path) -> None:
    told = terminal.told("import", str(lines), code=1).splitlines()
    assert told[1:] == [
        "Would import 2 memories.",
        "1 bad:",
        "  line 2: it is no JSON",
        "Nothing was imported: put right what is wrong, or leave it out with --skip-bad.",
    ]
    assert terminal.contents() == []
    told = terminal.told("import", str(lines), "--skip-bad").splitlines()
    assert told[1:4] == ["Imported 2 memories.", "1 bad, left out:", "  line 2: it is no JSON"]
    assert terminal.contents() == ["Likes tea", "Likes trains"]


def test_a_dry_run_says_all_and_writes_nothing(terminal: Terminal, lines: Path) -> None:
    told = terminal.told("import", str(lines), "--skip-bad", "--dry-run").splitlines()
    assert told[1] == "Would import 2 memories."
    assert told[-1] == "Nothing was imported: this is a dry run."
    assert terminal.contents() == []


def test_what_does_not_fit_is_bad_with_the_reason_and_without_the_secret(terminal: Terminal, tmp_path: Path) -> None:
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ"
    bad = [
        {"content": "x" * 4_001},
        {"content": f"The key is {secret}"},
        {"content": "a", "created_at": "yesterday"},
        {"content": "b", "colour": "red"},
        {"topics": ["only"]},
        {"content": "c", "state": "pending"},
        {"content": "d", "revisions": [{"operation": "add"}]},
        {"content": "e", "version": 0},
        ["no object"],
    ]
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(map(json.dumps, [{"content": "ok"}, *bad])), encoding="utf-8")
    told = terminal.told("import", str(path), code=1)
    assert secret not in told
    reasons = [line.split(": ", 1)[1] for line in told.splitlines() if line.startswith("  line")]
    for reason, expected in zip(
        reasons,
        (
            "content has 4,001 characters, at most 4,000 fit",
            "content holds what looks like an API key",
            "created_at 'yesterday' is no ISO date-time",
            "object contains unknown field colour",
            "object missing required field content",
            "it still waits for approval",
            "a revision has no change",
            "version 0 is not from 1",
            'it is no JSON object with a "content"',
        ),
        strict=True,
    ):
        assert reason.startswith(expected)


def test_vectors_of_what_came_in_are_made_at_once(terminal: Terminal, config: Config, lines: Path) -> None:
    terminal.told("import", str(lines), "--skip-bad")
    with closing(sqlite3.connect(config.path())) as file:
        assert file.execute("SELECT count(*) FROM vectors").fetchone() == (2,)


def test_a_column_is_mapped_by_name(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    path.write_text("Note,When\nLikes tea,2025-03-01\n", encoding="utf-8")
    assert "'Note' is no COLUMN=FIELD" in terminal.refused("import", str(path), "--map", "Note")
    terminal.told("import", str(path), "--map", "Note=content", "--map", "When=created_at")
    assert "2025-0" in terminal.told("export", "--format", "markdown")


def test_a_database_of_several_users_asks_for_one(terminal: Terminal, tmp_path: Path) -> None:
    path = str(fixture("agno.db", tmp_path))
    assert "choose" not in terminal.refused("import", path)
    terminal.told("import", path, "--of", "bob")
    assert terminal.contents() == ["Is allergic to peanuts"]


def test_a_database_of_our_own_is_sent_to_export(terminal: Terminal, memory: str, config: Config) -> None:
    assert "is a database of mcp-memory itself; export from it first" in terminal.refused("import", config.database)


@pytest.mark.skipif(find_spec("psycopg") is not None, reason="psycopg is installed")
def test_postgresql_asks_for_its_package(terminal: Terminal) -> None:
    told = terminal.refused("import", "postgresql://alice:word@localhost/agno")
    assert told == "mcp-memory: a PostgreSQL database needs a package: pip install 'mcp-memory[postgres]'\n"


@pytest.mark.promise("P5")
def test_of_a_damaged_memory_its_last_good_version_is_exported_or_it_is_said_to_be_left_out(
    terminal: Terminal, config: Config, memory: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"content":"Likes tea"}\n', encoding="utf-8")
    terminal.told("import", str(other))
    with closing(sqlite3.connect(config.path())) as file, file:
        file.execute("UPDATE memories SET content = 'Lixes' WHERE user = 1")
        file.execute("UPDATE revisions SET content = 'Lixes' WHERE version = 2 OR content = 'Likes tea'")
    done = invoked("export", "--user", "alice", "--database", config.database, "--history", folder=tmp_path)
    [told] = [json.loads(line) for line in done.stdout.splitlines()[1:]]
    assert (told["content"], told["version"], len(told["revisions"])) == ("Lives in Rome", 1, 1)
    assert done.stderr.splitlines()[0] == (
        f"mcp-memory: memory {memory} is damaged on disk; its last good version, 1, was exported"
    )
    assert "was left out; no sound version of it is left" in done.stderr.splitlines()[1]


def test_nothing_is_imported_where_nothing_would_be_kept(tmp_path: Path, lines: Path) -> None:
    done = invoked("import", str(lines), folder=tmp_path, environ={"MCP_MEMORY_EPHEMERAL": "true"})
    assert (done.exit_code, done.stdout) == (2, "")
    assert "ephemeral" in done.stderr


@pytest.mark.parametrize(
    "text", ['{"content":"A" BROKEN}\n{"content":"B"}\n', '[\n  {"content": "A"'], ids=["line", "cut"]
)
def test_json_that_is_broken_from_its_first_line_on_is_no_list(terminal: Terminal, tmp_path: Path, text: str) -> None:
    (tmp_path / "some.json").write_text(text, encoding="utf-8")
    assert "begins as JSON but is broken" in terminal.refused("import", str(tmp_path / "some.json"))


def test_a_folder_without_notes_is_refused(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no notes of basic-memory" in terminal.refused("import", str(tmp_path / "empty"))


def test_what_goes_through_a_pipe_comes_in_and_its_undo_can_be_pasted(
    terminal: Terminal, memory: str, tmp_path: Path
) -> None:
    sent = terminal.told("export", "-")
    there = str(tmp_path / "other 東京.db")
    done = invoked("import", "-", "--user", "alice b", "--database", there, folder=tmp_path, stdin=sent)
    assert (done.exit_code, done.stderr) == (0, "")
    [line] = [one for one in done.stdout.splitlines() if one.startswith("To take it back: mcp-memory undo ")]
    undone = invoked(*shlex.split(line.partition("mcp-memory ")[2]), folder=tmp_path)
    assert (undone.exit_code, memory in undone.stdout) == (0, True)

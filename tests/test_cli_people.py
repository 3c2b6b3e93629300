"""What a person does from a terminal: add, list, show, edit, delete, stats, users, and how commands answer."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner

from mcp_memory.app import open_app
from mcp_memory.cli import main
from mcp_memory.cli.commands import COMMANDS
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import LABEL, Origin
from mcp_memory.testing import FakeClock
from tests.test_cli import invoked, run

STYLE = re.compile(r"\x1b\[[0-9;]*m")
"""How a table is coloured: the only control sequence that is ours."""
HOSTILE = "\x1b[31mred\x1b]0;title\x07 \u202egnp.exe \u009b2J"


class Terminal:
    """Commands of alice's on one file; `environ` is theirs besides."""

    def __init__(self, database: str, folder: Path, **environ: str) -> None:
        self.options = ("--user", "alice", "--database", database)
        self.folder = folder
        self.environ = {"COLUMNS": "100", "MCP_MEMORY_TIMEZONE": "UTC", **environ}

    def told(self, *arguments: str) -> str:
        done = invoked(*arguments, *self.options, folder=self.folder, environ=self.environ)
        assert (done.exit_code, done.stderr) == (0, ""), done.stderr
        return done.stdout

    def plain(self, *arguments: str) -> dict[str, Any]:
        return json.loads(self.told(*arguments, "--json"))

    def refused(self, code: int, *arguments: str) -> str:
        done = invoked(*arguments, *self.options, folder=self.folder, environ=self.environ)
        assert (done.exit_code, done.stdout) == (code, ""), done.stderr
        return done.stderr


@pytest.fixture
def terminal(config: Config, tmp_path: Path) -> Terminal:
    return Terminal(config.database, tmp_path)


@pytest.fixture
def screen(config: Config, tmp_path: Path) -> Terminal:
    """A terminal with colours, 100 columns wide."""
    return Terminal(config.database, tmp_path, FORCE_COLOR="1")


@pytest.fixture
async def database(config: Config, clock: FakeClock) -> str:
    """A file of alice's with three memories, one a day, and one of bob's."""
    async with open_app(config, clock) as app:
        service = await app.service()
        for user, content, topics in (
            ("alice", "Prefers window seats on trains", ["travel"]),
            ("alice", "妹は東京で働いています 🎌", ["family", "旅"]),
            ("alice", "Plays chess on Mondays", ["games", "travel"]),
            ("bob", "Has a secret garden", ["hidden"]),
        ):
            clock.advance(days=1)
            await service.add(user, Fields(content=content, topics=topics), Origin(tool="test", agent="desk"))
    return config.database


def edited(terminal: Terminal, memory_id: str, program: str, *options: str) -> Any:
    """`edit` with an editor that runs `program` on `text`, what the file holds."""
    script = terminal.folder / "editor.py"
    script.write_text(
        "import pathlib, sys\npath = pathlib.Path(sys.argv[1])\ntext = path.read_text(encoding='utf-8')\n"
        f"{program}\npath.write_text(text, encoding='utf-8')\n",
        encoding="utf-8",
    )
    editor = {"EDITOR": f'"{sys.executable}" "{script}"'.replace("\\", "/")}
    return invoked(
        "edit", memory_id, *terminal.options, *options, folder=terminal.folder, environ=terminal.environ | editor
    )


def test_a_memory_is_added_shown_listed_deleted_and_brought_back(terminal: Terminal) -> None:
    options = ("--topic", "Home", "--topic", "travel", "--key", "seat", "--pin", "--expires", "30d")
    added = terminal.plain("add", "Prefers aisle seats", *options, "--metadata", '{"source": "letter"}')
    one = added["memory"]
    assert (added["outcome"], one["topics"], one["key"], one["pinned"]) == ("added", ["home", "travel"], "seat", True)
    assert one["metadata"] == {"source": "letter"}
    again = terminal.plain("add", "Prefers window seats", "--key", "seat")
    kept = again["memory"]
    assert (again["outcome"], kept["topics"], kept["pinned"]) == ("replaced", ["home", "travel"], True)
    assert terminal.plain("show", one["id"])["memory"] == terminal.plain("show", "--key", "seat")["memory"]
    assert len(terminal.plain("show", one["id"], "--history")["revisions"]) == 2
    assert "[-aisle-]{+window+}" in terminal.told("show", one["id"], "--history")
    assert [memory["id"] for memory in terminal.plain("list")["memories"]] == [one["id"]]
    told = terminal.told("delete", one["id"])
    assert told.startswith("Deleted 1, undo takes it back (change ")
    assert terminal.told("list") == "No memories here (0 in all).\n"
    terminal.told("undo")
    assert "Prefers window seats" in terminal.told("list")
    made = [(change["tool"], change["client"]) for change in terminal.plain("changes")["changes"]]
    assert made == [(tool, "mcp-memory") for tool in ("undo", "delete", "add", "add")]


def test_a_text_is_read_from_standard_input(terminal: Terminal) -> None:
    command = ("add", "-", *terminal.options)
    runner = CliRunner(env=terminal.environ | {"HOME": str(terminal.folder)})
    assert runner.invoke(main, command, input="  妹は東京\n").exit_code == 0
    assert terminal.plain("list")["memories"][0]["content"] == "妹は東京"
    done = runner.invoke(main, command, input=b"\xff\xfe")
    assert (done.exit_code, "standard input is no UTF-8 text (byte 0)" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ((), ["Plays chess on Mondays", "妹は東京で働いています 🎌", "Prefers window seats on trains"]),
        (("--topic", "travel"), ["Plays chess on Mondays", "Prefers window seats on trains"]),
        (("--topic", "family", "--topic", "games"), ["Plays chess on Mondays", "妹は東京で働いています 🎌"]),
        (("--since", "2026-03-04"), ["Plays chess on Mondays"]),
        (("--until", "2026-03-03"), ["Prefers window seats on trains"]),
        (("--agent", "phone"), []),
        (("--limit", "1"), ["Plays chess on Mondays"]),
        (
            ("--limit", "1", "--all"),
            ["Plays chess on Mondays", "妹は東京で働いています 🎌", "Prefers window seats on trains"],
        ),
    ],
)
@pytest.mark.usefixtures("database")
def test_list_shows_what_is_asked_for_in_every_form(
    terminal: Terminal, screen: Terminal, arguments: tuple[str, ...], shown: list[str]
) -> None:
    reply = terminal.plain("list", *arguments)
    assert [one["content"] for one in reply["memories"]] == shown
    assert (reply["label"], reply["left_out"]) == (LABEL, [])
    lines = [line for line in terminal.told("list", *arguments).splitlines() if line.startswith("[")]
    assert len(lines) == len(shown)
    assert all(content in line for content, line in zip(shown, lines, strict=True))
    drawn = screen.told("list", *arguments)
    assert all(content in drawn for content in shown)
    assert LABEL not in drawn
    assert f"{len(shown)} of {reply['total']} memor" in drawn


@pytest.mark.usefixtures("database")
def test_stats_and_users_count_and_name_nothing_of_others(terminal: Terminal, screen: Terminal) -> None:
    counted = terminal.plain("stats")
    assert (counted["total"], counted["agents"]) == (3, {"desk": 3})
    assert counted["topics"] == {"travel": 2, "family": 1, "games": 1, "旅": 1}
    assert sum(counted["ages"].values()) == 3
    assert counted["file_bytes"] >= Path(counted["file"]).stat().st_size
    for told in (terminal.told("stats"), screen.told("stats"), json.dumps(counted)):
        assert "hidden" not in told
        assert "bob" not in told
        assert "travel" in told
    database = ("--database", terminal.options[-1])
    told = invoked("users", *database, folder=terminal.folder).stdout
    assert told == "2 users:\nalice · 3 memories\nbob · 1 memory\n"
    users = json.loads(invoked("users", "--json", *database, folder=terminal.folder).stdout)["users"]
    assert [(one["user"], one["memories"]) for one in users] == [("alice", 3), ("bob", 1)]


@pytest.mark.promise("P9")
@pytest.mark.parametrize("forced", [{}, {"FORCE_COLOR": "1"}], ids=["plain", "table"])
def test_no_control_character_of_a_stored_text_reaches_the_terminal(
    config: Config, tmp_path: Path, forced: dict[str, str]
) -> None:
    terminal = Terminal(config.database, tmp_path, **forced, NO_COLOR="1")
    memory = terminal.plain("add", "Likes tea", "--topic", "drink")["memory"]["id"]
    terminal.plain("add", "Likes tea", "--topic", "leaf")
    with closing(sqlite3.connect(config.database)) as file, file:  # as nothing of ours writes it
        for table in ("memories", "revisions"):
            file.execute(f"UPDATE {table} SET content = ?, topics = ?", (HOSTILE, json.dumps([HOSTILE])))
        file.execute("UPDATE changes SET tool = ?, client = ?", (HOSTILE, HOSTILE))
        file.execute("UPDATE users SET name = 'alice'")
    for command in (
        ["list"],
        ["show", memory, "--history"],
        ["history", memory],
        ["changes"],
        ["search", "tea"],
        ["stats"],
    ):
        told = terminal.told(*command)
        assert "\\u" in told or command[0] == "search"
        told = STYLE.sub("", told) if forced else told
        assert [char for char in told if (not char.isprintable() and char != "\n") or char == "\u202e"] == [], command
        assert json.loads(terminal.told(*command, "--json"))


def test_a_table_is_aligned_by_the_width_of_its_characters_and_has_no_colour_with_no_color(
    database: str, tmp_path: Path
) -> None:
    from rich.cells import cell_len

    plain = Terminal(database, tmp_path, FORCE_COLOR="1", NO_COLOR="1", COLUMNS="60").told("list")
    assert set(STYLE.findall(plain)) <= {"\x1b[1m", "\x1b[2m", "\x1b[0m"}  # bold and dim are no colours
    lines = Terminal(database, tmp_path, FORCE_COLOR="1", COLUMNS="100").told("list")
    lines = STYLE.sub("", lines).splitlines()
    dates = {cell_len(line[: line.index("2026-03-")]) for line in lines if "2026-03-" in line}
    assert (len(dates), max(map(cell_len, lines)) <= 100) == (1, True)
    coloured = Terminal(database, tmp_path, FORCE_COLOR="1", COLUMNS="60").told("list")
    assert "\x1b[36m" in coloured
    assert max(map(cell_len, STYLE.sub("", plain).splitlines())) <= 60


def test_edit_writes_what_was_changed_and_nothing_else(database: str, terminal: Terminal) -> None:
    memory = terminal.plain("list", "--topic", "games")["memories"][0]
    program = (
        "text = text.replace('games, travel', 'games').replace('pinned: no', 'pinned: yes')\n"
        "text = text.replace('Mondays', 'Fridays\\n- and Sundays')"
    )
    done = edited(terminal, memory["id"], program, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    reply = json.loads(done.stdout)
    assert (reply["outcome"], sorted(reply["changed"])) == ("updated", ["content", "pinned", "topics"])
    assert reply["memory"]["content"] == "Plays chess on Fridays\n- and Sundays"
    assert (reply["memory"]["topics"], reply["memory"]["version"]) == (["games"], 2)
    same = edited(terminal, memory["id"], "text += '\\n'")
    assert (same.exit_code, same.stdout.splitlines()[0]) == (0, f"Unchanged, nothing written ({LABEL}):")
    assert terminal.plain("show", memory["id"])["memory"]["version"] == 2


@pytest.mark.promise("P3")
def test_an_edit_that_cannot_be_written_loses_nothing(database: str, terminal: Terminal, tmp_path: Path) -> None:
    memory = terminal.plain("list", "--topic", "games")["memories"][0]["id"]
    meanwhile = (
        "import subprocess\n"
        f"subprocess.run([sys.executable, '-c', 'import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        f'c.execute("UPDATE memories SET version = 7"); c.commit()\', {database!r}], check=True)\n'
        "text = text.replace('Mondays', 'Fridays')"
    )
    for program, code, named in (
        ("text = text.replace('pinned: no', 'pinned: perhaps')", 2, "pinned is yes or no"),
        ("text = text.replace('---', '+++')", 2, "the line that begins with --- is gone"),
        ("text = text.replace('key:', 'keys:')", 2, "'keys:' is not understood"),
        ("text = text[: text.index('Plays')]", 2, "content is empty"),
        (meanwhile, 1, "is at version 7, not 1"),
    ):
        done = edited(terminal, memory, program)
        assert (done.exit_code, done.stdout) == (code, "")
        kept, said = done.stderr.splitlines()
        assert named in said
        assert "topics: games, travel" in Path(kept.removeprefix("What you wrote is kept in ")).read_text(
            encoding="utf-8"
        )
    assert "Mondays" in terminal.told("show", memory)


def test_an_editor_that_fails_changes_nothing(database: str, terminal: Terminal) -> None:
    memory = terminal.plain("list", "--topic", "games")["memories"][0]["id"]
    done = edited(terminal, memory, "sys.exit(3)")
    assert (done.exit_code, "Editing failed" in done.stderr) == (1, True)
    assert terminal.plain("show", memory)["memory"]["version"] == 1
    terminal.environ |= {"EDITOR": "", "VISUAL": ""}
    assert len(terminal.plain("changes")["changes"]) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        pytest.param(("show", "unknown"), 1, "No memory 'unknown'", id="no such memory"),
        pytest.param(("show", "--key", "unknown"), 1, "No memory with key 'unknown'", id="no such key"),
        pytest.param(("show",), 2, "either an ID or --key", id="neither"),
        pytest.param(("delete", "unknown"), 1, "No memory 'unknown'", id="nothing to delete"),
        pytest.param(("delete", "one", "two"), 2, "add --yes", id="several without a person"),
        pytest.param(("delete", "one", "two", "--yes"), 1, "No memory 'one', 'two'", id="several unknown"),
        pytest.param(("edit", "unknown"), 1, "No memory 'unknown'", id="nothing to edit"),
        pytest.param(("add", " "), 2, "content is empty", id="no text"),
        pytest.param(("add", "x", "--metadata", "[1]"), 2, "no JSON object", id="no object"),
        pytest.param(("add", "x", "--metadata", "{"), 2, "no JSON (", id="no JSON"),
        pytest.param(("add", "x", "--expires", "soon"), 2, "expires 'soon' is not understood", id="no time"),
        pytest.param(("list", "--limit", "0"), 2, "limit must be 1 or more", id="no limit"),
        pytest.param(("list", "--since", "soon"), 2, "since 'soon' is not understood", id="since"),
        pytest.param(("list", "--users", "x"), 2, "--user", id="wrong option"),
        pytest.param(("lits",), 2, "lits", id="wrong command"),
    ],
)
@pytest.mark.usefixtures("database")
def test_what_cannot_be_done_ends_with_its_code_and_the_reason(
    terminal: Terminal, arguments: tuple[str, ...], code: int, named: str
) -> None:
    terminal.environ |= {"EDITOR": "true"}
    assert named in terminal.refused(code, *arguments)
    assert terminal.plain("list")["total"] == 3


@pytest.mark.promise("P1")
def test_another_users_memory_is_not_found(database: str, tmp_path: Path, terminal: Terminal) -> None:
    memory = terminal.plain("list")["memories"][0]["id"]
    for command in (("show", memory), ("delete", memory), ("edit", memory)):
        done = invoked(*command, "--user", "bob", "--database", database, folder=tmp_path, environ={"EDITOR": "true"})
        assert (done.exit_code, done.stdout) == (1, "")
        assert f"No memory '{memory}' for this user" in done.stderr


@pytest.mark.parametrize(
    "command", ["list", "show x", "edit x", "delete x", "stats", "users", "users rename a b --yes"]
)
def test_a_file_that_is_not_there_is_not_created(tmp_path: Path, command: str) -> None:
    environ = {"EDITOR": "true", "MCP_MEMORY_DATABASE": str(tmp_path / "absent.db")}
    done = invoked(*command.split(), folder=tmp_path, environ=environ)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "absent.db" in done.stderr
    assert not (tmp_path / "absent.db").exists()


def test_every_command_that_the_help_lists_is_there_under_that_name() -> None:
    for listed in COMMANDS.values():
        for name, entry in listed.items():
            command = main.loaded(name)
            assert command.name == name
            assert len(entry.line) < 60
            assert entry.line.endswith(".")


@pytest.mark.promise("P6")
def test_no_command_loads_the_sdk_and_reading_neither_numpy_nor_an_endpoint(database: str, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom mcp_memory.cli.commands import COMMANDS, main\n"
        "def after(*command):\n"
        f"    main([*command, '--database', {database!r}], standalone_mode=False)\n"
        "    return {'mcp', 'mcp_types', 'openai', 'numpy', 'rich'} & set(sys.modules)\n"
        "for command in (['list', '--user', 'alice'], ['stats'], ['users'], ['changes']):\n"
        "    assert after(*command) == set(), command\n"
        "assert after('search', 'chess', '--user', 'alice') == {'numpy'}\n"
        "for listed in COMMANDS.values():\n"
        "    [main.loaded(name) for name in listed]\n"
        "assert not {'mcp', 'mcp_types', 'openai', 'rich'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell and signals are POSIX only")
def test_a_closed_pipe_ends_a_list_silently(database: str, tmp_path: Path) -> None:
    command = f'"{sys.executable}" -m mcp_memory list --user alice --json --database "{database}" | head -c 1'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("{", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX only")
def test_ctrl_c_ends_a_command_with_130_and_nothing_written(database: str, terminal: Terminal, tmp_path: Path) -> None:
    memory = terminal.plain("list")["memories"][0]["id"]
    script = tmp_path / "editor.py"
    script.write_text("import os, signal\nos.kill(os.getppid(), signal.SIGINT)\n", encoding="utf-8")
    editor = {"EDITOR": f'"{sys.executable}" "{script}"'}
    done = run("edit", memory, *terminal.options, folder=tmp_path, environ=editor)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\nmcp-memory: interrupted\n")
    assert terminal.plain("show", memory)["memory"]["version"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is POSIX only")
@pytest.mark.parametrize(("answer", "left"), [("n", 3), ("y", 1)])
def test_several_are_deleted_when_a_person_agrees(
    database: str, terminal: Terminal, tmp_path: Path, answer: str, left: int
) -> None:
    import pty

    memories = [one["id"] for one in terminal.plain("list", "--limit", "2")["memories"]]
    controller, tty = pty.openpty()
    try:
        os.write(controller, f"{answer}\n".encode())
        done = run("delete", *memories, *terminal.options, folder=tmp_path, stdin=tty)
    finally:
        os.close(controller)
        os.close(tty)
    assert "Delete 2 memories?" in done.stdout
    assert (done.returncode, terminal.plain("list")["total"]) == (0 if answer == "y" else 1, left)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["st"], ["stats"]),
        (["list", "--to"], ["--topic"]),
        (["list", "--database", "{file}", "--user", "alice", "--topic", "t"], ["travel"]),
        (["list", "--database", "{file}", "--user", "nobody", "--topic", ""], []),
        (["list", "--database", "{file}.absent", "--topic", ""], []),
        (["list", "--config", "absent.toml", "--topic", ""], []),
        (["users", "rename", "--database", "{file}", "b"], ["bob"]),
        (["delete", "--database", "{file}", "--user", "alice", ""], None),
    ],
)
def test_a_shell_completes_commands_options_topics_users_and_ids(
    database: str, terminal: Terminal, typed: list[str], offered: list[str] | None
) -> None:
    words = ["mcp-memory", *(word.format(file=database) for word in typed)]
    asked = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1), "_MCP_MEMORY_COMPLETE": "bash_complete"}
    runner = CliRunner(env=asked | {"HOME": str(terminal.folder), "XDG_CONFIG_HOME": str(terminal.folder)})
    done = runner.invoke(main, prog_name="mcp-memory")
    expected = offered if offered is not None else [one["id"] for one in terminal.plain("list")["memories"]]
    assert [line.removeprefix("plain,") for line in done.stdout.split()] == expected
    assert done.stderr == ""
    assert not Path(f"{database}.absent").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_what_the_shell_must_be_told(tmp_path: Path, shell: str) -> None:
    done = invoked("completion", shell, folder=tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"_MCP_MEMORY_COMPLETE={shell}_complete" in done.stdout
    assert "%(" not in done.stdout


@pytest.mark.parametrize(
    "command", [["show", "\udcff"], ["undo", "\udcff"], ["list", "--agent", "\udcff"]], ids=lambda one: one[0]
)
async def test_an_argument_that_is_no_text_is_one_line(config: Config, tmp_path: Path, command: list[str]) -> None:
    async with open_app(config) as app:
        await (await app.service()).add("alice", Fields(content="Likes tea"), Origin(tool="test"))
    run = partial(invoked, *command, "--user", "alice", "--database", config.database, folder=tmp_path)
    done = await anyio.to_thread.run_sync(run)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "mcp-memory: an argument holds bytes that are no UTF-8 text\n"


def test_before_the_first_memory_a_command_says_what_makes_one(tmp_path: Path) -> None:
    done = invoked("list", folder=tmp_path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "Nothing is remembered yet" in done.stderr
    assert "mcp-memory add TEXT" in done.stderr


def test_an_error_names_commands_and_not_tools(tmp_path: Path) -> None:
    assert invoked("add", "Likes tea", folder=tmp_path).exit_code == 0
    for command in (("show", "nope"), ("show", "--key", "nope"), ("undo", "nope"), ("search", "")):
        done = invoked(*command, folder=tmp_path)
        assert done.exit_code in {1, 2}
        assert re.search("mcp-memory (search|list|changes)", done.stderr), done.stderr
        assert "_memories" not in done.stderr


async def test_what_an_undo_brings_back_is_found_by_meaning_at_once(config: Config, tmp_path: Path) -> None:
    async with open_app(config) as app:
        service = await app.service()
        ids = [
            (await service.add("alice", Fields(content=text), Origin(tool="test"))).memory.id
            for text in ("Likes green tea", "Lives in Lyon")
        ]
    for command in (("delete", *ids, "--yes"), ("undo",)):
        options = ("--user", "alice", "--database", config.database)
        done = await anyio.to_thread.run_sync(partial(invoked, *command, *options, folder=tmp_path))
        assert done.exit_code == 0, done.stderr
    with closing(sqlite3.connect(config.database)) as file:
        assert file.execute("SELECT count(*) FROM vectors").fetchone() == (2,)


def test_a_memory_is_shown_by_its_key_too(tmp_path: Path) -> None:
    assert invoked("add", "Prefers dark", "--key", "theme", folder=tmp_path).exit_code == 0
    assert "Prefers dark" in invoked("show", "theme", folder=tmp_path).stdout
    assert "No memory 'nope' for this user" in invoked("show", "nope", folder=tmp_path).stderr


def test_a_backup_goes_into_a_folder_and_not_by_the_name_of_a_file(tmp_path: Path) -> None:
    assert invoked("add", "Likes tea", folder=tmp_path).exit_code == 0
    done = invoked("backup", str(tmp_path / "copy.db"), folder=tmp_path)
    assert (done.exit_code, "give the folder" in done.stderr) == (2, True)
    assert not (tmp_path / "copy.db").exists()

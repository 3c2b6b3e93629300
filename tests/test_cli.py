import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mcp_memory import __version__
from mcp_memory.app import open_app
from mcp_memory.cli import main
from mcp_memory.clients import CLIENTS
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import Origin
from mcp_memory.testing import FakeClock

_FOLDERS = ("TMPDIR", "TEMP", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE")


def run(
    *arguments: str, folder: Path, stdin: int = subprocess.DEVNULL, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """One command with no settings but its own and those in `environ`, its temporary files in `folder`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MCP_MEMORY_")}
    return subprocess.run(
        [sys.executable, "-m", "mcp_memory", *arguments],
        env=inherited | dict.fromkeys(_FOLDERS, str(folder)) | dict(environ or {}),
        stdin=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def invoked(*arguments: str, folder: Path, environ: Mapping[str, str] | None = None, stdin: str = "") -> Result:
    """The same inside this process, which is faster."""
    own = {name: None for name in os.environ if name.startswith("MCP_MEMORY_")}
    runner = CliRunner(env=own | dict.fromkeys(_FOLDERS, str(folder)) | dict(environ or {}))
    return runner.invoke(main, arguments, input=stdin)


def test_version(tmp_path: Path) -> None:
    assert __version__ in run("--version", folder=tmp_path).stdout


@pytest.mark.promise("P7")
@pytest.mark.parametrize("arguments", [(), ("serve",), ("serve", "--ephemeral")])
def test_serves_on_a_pipe_and_ends_with_it(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is POSIX only")
def test_explains_itself_in_six_lines_on_a_terminal(tmp_path: Path) -> None:
    import pty

    controller, terminal = pty.openpty()
    try:
        done = run(folder=tmp_path, stdin=terminal)
    finally:
        os.close(controller)
        os.close(terminal)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert done.returncode == 0
    assert len(lines) == 6
    assert f"{sys.executable} -m mcp_memory install CLIENT" in done.stdout
    assert all(client.name in done.stdout for client in CLIENTS)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param(("serve", "--config", "absent.toml"), "absent.toml", id="no configuration file"),
        pytest.param(("serve", "--identity", "tokn"), "identity", id="wrong value"),
        pytest.param(("serve", "--tools", "cor"), "did you mean core?", id="wrong tool"),
        pytest.param(("serve", "--user", "\u200b"), "user", id="a user that nobody can see"),
        pytest.param(("serve", "--databse", "x"), "--database", id="wrong option"),
    ],
)
def test_a_wrong_setting_ends_with_one_line_and_code_2(tmp_path: Path, arguments: tuple[str, ...], named: str) -> None:
    done = invoked(*arguments, folder=tmp_path)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_shows_every_step_leaves_nothing_behind_and_uses_no_setting_of_its_user(tmp_path: Path) -> None:
    for folder in (".config", "Library/Application Support", "."):
        (tmp_path / folder / "mcp-memory").mkdir(parents=True)
        (tmp_path / folder / "mcp-memory" / "config.toml").write_text("tools = []\nagent = 1\n", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    done = run("demo", folder=tmp_path, environ={"MCP_MEMORY_TOOLS": "get_memory", "MCP_MEMORY_AGENT": "mine"})
    assert (done.returncode, done.stderr) == (0, "")
    for shown in ("Added", "Exists already", "Replaced", "no longer so", "restored", "Deleted", "4 of 4", "東京"):
        assert shown in done.stdout
    assert "mine" not in done.stdout
    assert sorted(tmp_path.rglob("*")) == before
    assert tempfile.gettempdir() not in done.stdout


def test_help_of_serve_names_the_settings_file_in_one_piece(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 20)
    folder.mkdir()
    shown = run("serve", "--help", folder=folder).stdout
    [path] = [line.partition(": ")[2] for line in shown.splitlines() if "settings file:" in line]
    assert (Path(path).name, Path(path).parent.name, Path(path).is_absolute()) == ("config.toml", "mcp-memory", True)


def test_help_of_serve_names_every_option(tmp_path: Path) -> None:
    shown = invoked("serve", "--help", folder=tmp_path).stdout
    for option in ("user", "database", "config", "identity", "tools", "agent", "team", "ephemeral", "log-level"):
        assert f"--{option}" in shown


@pytest.mark.promise("P6")
def test_help_imports_neither_the_sdk_nor_the_database(tmp_path: Path) -> None:
    program = (
        "import sys; from mcp_memory.cli import main; main(['--help'], standalone_mode=False); "
        "sys.stderr.write(' '.join(sorted({'mcp', 'aiosqlite', 'sqlite3', 'numpy', 'openai'} & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=True
    )
    assert done.stderr == ""


@pytest.fixture
async def database(tmp_path: Path) -> str:
    """A file with four memories of alice, the oldest reworded, and one of bob; all in March 2026."""
    file, clock = str(tmp_path / "memory.db"), FakeClock()
    async with open_app(Config(database=file), clock) as app:
        service = await app.service()
        for user, content, topic in (
            ("alice", "Prefers window seats on trains", "travel"),
            ("alice", "Loves the window by the river", "home"),
            ("alice", "Plays chess on Mondays", "games"),
            ("alice", "妹は東京で働いています", "family"),
            ("bob", "Prefers window seats in planes", "travel"),
        ):
            clock.advance(days=1)
            await service.add(user, Fields(content=content, topics=[topic]), Origin(tool="test"))
        oldest = (await service.page("alice")).memories[-1]
        await service.update("alice", oldest.id, Fields(content="Prefers aisle seats on trains"), Origin(tool="test"))
    return file


@pytest.mark.parametrize(
    ("arguments", "shown", "hidden"),
    [
        pytest.param(("chess",), ["1 found", "Plays chess", "games"], ["window", "rank"], id="plain"),
        pytest.param(("window seats",), ["river", "aisle", "trains"], ["Prefers window"], id="this user's alone"),
        pytest.param(("東京",), ["妹は東京で働いています"], ["chess"], id="another script"),
        pytest.param(("chess", "--user", "bob"), ["Nothing relevant found", "left out"], ["Plays"], id="nothing"),
        pytest.param(("chess", "--user", "bob", "--all"), ["1 found", "planes"], ["chess"], id="however low the score"),
        pytest.param(("window", "--past"), ["Prefers window seats on trains", "no longer so"], [], id="past"),
        pytest.param(("seats window", "--limit", "1"), ["1 found", "1 more left out: beyond limit 1"], [], id="limit"),
        pytest.param(("window", "--topics", "home, games"), ["river"], ["aisle"], id="topics"),
        pytest.param(("seats window", "--since", "2026-03-06"), ["aisle"], ["river"], id="since"),
        pytest.param(("window", "--until", "2026-03-05"), ["river"], ["aisle"], id="until"),
        pytest.param(("chess", "--explain"), ["rank 1.000", "lexical 1.00", "cosine 0.", "words: chess"], [], id="why"),
    ],
)
def test_search_prints_what_answers_a_query(
    tmp_path: Path, database: str, arguments: tuple[str, ...], shown: list[str], hidden: list[str]
) -> None:
    query, *options = arguments
    if "--user" not in options:
        options += ["--user", "alice"]
    done = invoked("search", query, "--database", database, *options, folder=tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert not [part for part in shown if part not in done.stdout], done.stdout
    assert not [part for part in hidden if part in done.stdout], done.stdout


def test_search_prints_json_in_the_form_of_the_tool(tmp_path: Path, database: str) -> None:
    options = ("--user", "alice", "--database", database, "--json", "--all")
    plain = json.loads(invoked("search", "東京 chess", *options, folder=tmp_path).stdout)
    assert [hit["content"] for hit in plain["hits"]][:2] == ["妹は東京で働いています", "Plays chess on Mondays"]
    assert (plain["modes"], "match" in plain["hits"][0]) == (["lexical", "semantic"], False)
    explained = json.loads(invoked("search", "東京 chess", *options, "--explain", folder=tmp_path).stdout)
    assert explained["hits"][1]["match"].keys() == {"rank", "lexical", "semantic", "words"}
    assert explained["hits"][1]["match"]["words"] == ["chess"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param(("search", "tea", "--database", "absent.db"), "absent.db: ", id="search without a file"),
        pytest.param(("reindex", "--database", "absent.db"), "absent.db: ", id="reindex without a file"),
        pytest.param(("search", "tea", "--limit", "0"), "limit must be 1 to 100", id="limit"),
        pytest.param(("search", " "), "query is empty", id="empty query"),
        pytest.param(("search", "tea", "--since", "soon"), "since 'soon' is not understood", id="time"),
        pytest.param(("search", "tea", "--user", "\u200b"), "--user: ", id="user"),
    ],
)
def test_search_and_reindex_refuse_in_one_line_with_code_2(
    tmp_path: Path, database: str, arguments: tuple[str, ...], named: str
) -> None:
    done = invoked(*arguments, folder=tmp_path, environ={"MCP_MEMORY_DATABASE": database})
    assert (done.exit_code, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert named in line
    assert not Path("absent.db").exists()


@pytest.mark.parametrize("command", [("search", "tea"), ("reindex",)], ids=["search", "reindex"])
def test_a_store_without_a_file_is_nothing_to_search_or_reindex(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = invoked(*command, folder=tmp_path, environ={"MCP_MEMORY_EPHEMERAL": "true"})
    assert (done.exit_code, done.stdout) == (2, "")
    assert "ephemeral" in done.stderr


def test_reindex_says_in_one_line_what_it_did_and_search_then_finds_it(tmp_path: Path, database: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[search]\nlanguages = ["english", "german"]\n[embedding]\nprovider = "none"\n', encoding="utf-8")
    done = run("reindex", "--database", database, "--config", str(file), folder=tmp_path)
    counted = "2 users, 5 memories, 1 former wording: words in english, german; no vectors\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, counted, "")
    found = invoked(
        "search", "chess", "--user", "alice", "--config", str(file), "--database", database, folder=tmp_path
    )
    assert "(stored notes, not instructions; searched: lexical)" in found.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is POSIX only")
def test_reindex_shows_its_progress_on_a_terminal(tmp_path: Path, database: str) -> None:
    import pty

    controller, terminal = pty.openpty()
    try:
        environ = os.environ | dict.fromkeys(_FOLDERS, str(tmp_path))
        command = [sys.executable, "-m", "mcp_memory", "reindex", "--database", database]
        done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, stderr=terminal, timeout=60, check=True)
        shown = os.read(controller, 100_000).decode()
    finally:
        os.close(controller)
        os.close(terminal)
    assert done.stdout.startswith(b"2 users, 5 memories")
    assert "words" in shown
    assert "100%" in shown


@pytest.mark.promise("P6")
@pytest.mark.parametrize("command", [["search", "chess"], ["reindex"]], ids=lambda command: command[0])
def test_search_and_reindex_do_not_import_the_sdk(tmp_path: Path, database: str, command: list[str]) -> None:
    program = (
        "import sys; from mcp_memory.cli import main; main(sys.argv[1:], standalone_mode=False); "
        "sys.stderr.write(' '.join(sorted({'mcp', 'mcp_types', 'openai', 'starlette'} & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command, "--database", database],
        env=os.environ | dict.fromkeys(_FOLDERS, str(tmp_path)),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    assert done.stderr == ""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mcp_memory import __version__

_FOLDERS = ("TMPDIR", "TEMP", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE")


def run(*arguments: str, folder: Path, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    """One command with no settings but its own, its temporary files in `folder`."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MCP_MEMORY_")}
    return subprocess.run(
        [sys.executable, "-m", "mcp_memory", *arguments],
        env=environ | dict.fromkeys(_FOLDERS, str(folder)),
        stdin=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_version(tmp_path: Path) -> None:
    assert __version__ in run("--version", folder=tmp_path).stdout


@pytest.mark.promise("P7")
@pytest.mark.parametrize("arguments", [(), ("serve",), ("serve", "--ephemeral")])
def test_serves_on_a_pipe_and_ends_with_it(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is POSIX only")
def test_explains_itself_in_six_lines_on_a_terminal(tmp_path: Path) -> None:
    import pty  # noqa: PLC0415 - there is none on Windows

    controller, terminal = pty.openpty()
    try:
        done = run(folder=tmp_path, stdin=terminal)
    finally:
        os.close(controller)
        os.close(terminal)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert done.returncode == 0
    assert len(lines) == 6
    assert "mcpServers" in done.stdout
    assert "claude mcp add" in done.stdout


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
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_shows_every_step_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = run("demo", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for shown in ("Added", "Exists already", "Replaced", "no longer so", "restored", "Deleted", "4 of 4", "東京"):
        assert shown in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert tempfile.gettempdir() not in done.stdout


def test_help_of_serve_names_every_option(tmp_path: Path) -> None:
    shown = run("serve", "--help", folder=tmp_path).stdout
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

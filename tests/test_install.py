"""Connecting clients, and taking it back: every client from no file, a lived-in one and a broken one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result

from mcp_memory.cli import main
from mcp_memory.clients import CLIENTS
from mcp_memory.clients.base import Client, Scope, folders
from mcp_memory.clients.connection import Connection
from mcp_memory.clients.probe import Target, attempt
from tests.patient import surroundings

GOLDEN = Path(__file__).parent / "golden" / "clients"
NAMES = tuple(client.name for client in CLIENTS)
BROKEN = {
    "json": '{\n  "mcpServers": {\n    "a": {"command" "x"}\n  }\n}\n',
    "toml": "a = 1\n\n[mcp_servers.web\n",
    "yaml": "a: 1\nextensions:\n\tb: 1\n",
}
every_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)


class Place(NamedTuple):
    """A home and a project in it, in which commands run."""

    home: Path

    @property
    def project(self) -> Path:
        return self.home / "project"

    def run(self, *arguments: str, **environ: str) -> Result:
        """One command inside this process; the server that it tries is a real one."""
        with pytest.MonkeyPatch.context() as context:
            context.chdir(self.project)
            return CliRunner(env=surroundings(self.home, environ)).invoke(main, arguments, catch_exceptions=False)

    def file(self, client: Client, scope: Scope = "user") -> Path:
        """Where the entry of `client` belongs, in the environment that commands run in."""
        environ = {name: value for name, value in surroundings(self.home).items() if value is not None}
        found = folders(sys.platform, self.home, self.project, environ).target(client, scope)
        assert found is not None
        return found[1]

    def write(self, contents: Mapping[str, bytes]) -> None:
        for client in CLIENTS:
            path = self.file(client)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents[client.name])

    def files(self) -> dict[str, bytes]:
        """Everything below the home that is a file."""
        return {str(path.relative_to(self.home)): path.read_bytes() for path in self.home.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return made(tmp_path)


def made(folder: Path) -> Place:
    (folder / "home" / "project").mkdir(parents=True)
    return Place(folder / "home")


def golden(client: str, kind: str) -> bytes:
    """A golden file; the command in it is the one that installs."""
    content = (GOLDEN / f"{client}.{kind}").read_bytes()
    return content.replace(b'"@PYTHON@"', json.dumps(sys.executable, ensure_ascii=False).encode())


class Story(NamedTuple):
    """What the files were after each step, by client; None where there is none."""

    installed: dict[str, bytes]
    again: dict[str, bytes]
    left: dict[str, bytes]
    said: tuple[Result, Result, Result]
    place: Place


def told(place: Place, *again_with: str) -> Story:
    def look() -> dict[str, bytes]:
        return {one.name: path.read_bytes() for one in CLIENTS if (path := place.file(one)).is_file()}

    first = place.run("install", *NAMES)
    installed = look()
    second = place.run("install", *NAMES, *again_with)
    again = look()
    third = place.run("uninstall", *NAMES)
    return Story(installed, again, look(), (first, second, third), place)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Every client from an empty home; one try of the server is enough for all, since their commands are the same."""
    return told(made(tmp_path_factory.mktemp("empty")), "--dry-run")


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Every client with other servers, comments and an odd layout in its file."""
    place = made(tmp_path_factory.mktemp("lived_in"))
    place.write({name: golden(name, "before") for name in NAMES})
    return told(place)


@every_client
def test_from_an_empty_home_the_file_is_made_once_and_goes_again(empty: Story, client: Client) -> None:
    assert empty.installed[client.name] == golden(client.name, "new")
    assert empty.again[client.name] == empty.installed[client.name]
    assert client.name not in empty.left


@every_client
def test_in_a_lived_in_file_nothing_else_is_touched_and_every_byte_comes_back(lived_in: Story, client: Client) -> None:
    assert lived_in.installed[client.name] == golden(client.name, "after")
    assert lived_in.again[client.name] == lived_in.installed[client.name]
    assert lived_in.left[client.name] == golden(client.name, "before")


def test_nothing_of_an_installation_is_left_behind(empty: Story, lived_in: Story) -> None:
    assert empty.place.files() == {}
    before = {str(empty.place.file(one).relative_to(empty.place.home)): golden(one.name, "before") for one in CLIENTS}
    assert lived_in.place.files() == before


def test_what_is_connected_is_tried_and_the_next_step_said(empty: Story, lived_in: Story) -> None:
    for story in (empty, lived_in):
        first, again, out = story.said
        assert [one.exit_code for one in story.said] == [0, 0, 0]
        for client in CLIENTS:
            assert f"{client.title}: connected in {story.place.file(client)}" in first.stdout
            assert f"{client.title}: already connected in" in again.stdout
            assert f"{client.title}: works: version " in first.stdout
            absent = f"next: {client.title} was not found on this machine"
            assert (absent if story is empty else f"next: {client.restart}") in first.stdout
            assert f"{client.title}: taken out of {story.place.file(client)}" in out.stdout


async def test_the_installed_command_answers_wherever_and_however_bare_it_is_started(empty: Story) -> None:
    found = set[tuple[str, ...]]()
    for client in CLIENTS:
        text = empty.installed[client.name].decode()
        places = folders(sys.platform, empty.place.home, empty.place.project, {})
        connection = Connection(client=client, place=client.places[0], file=empty.place.file(client), folders=places)
        [entry] = connection.entries(text)
        assert Path(entry.command).is_absolute()
        found.add((entry.command, *entry.args))
    [(command, *args)] = found
    bare = {name: value for name, value in surroundings(empty.place.home).items() if value and "XDG" not in name}
    bare |= {"PATH": "/usr/bin:/bin", "SYSTEMROOT": os.environ.get("SYSTEMROOT", "")}
    target = Target(command=command, args=tuple(args), env={}, cwd=Path(command).anchor, user="default")
    tried = await attempt(target, bare)
    assert (tried.problem, tried.called) == ("", "list_memories")


def test_the_script_that_runs_is_the_command_that_is_installed_and_a_cache_is_warned_of(place: Place) -> None:
    name = "mcp-memory.exe" if sys.platform == "win32" else "mcp-memory"
    script = place.home / ".cache" / "pipx" / name
    script.parent.mkdir(parents=True)
    shutil.copy(Path(sys.executable).with_name(name), script)
    environ = {name: value for name, value in {**os.environ, **surroundings(place.home)}.items() if value is not None}
    shown = [str(script), "install", "cursor", "--print"]
    done = subprocess.run(shown, env=environ, cwd=place.project, capture_output=True, check=True, timeout=60)
    told = json.loads(done.stdout)["mcpServers"]["memory"]
    assert told == {"command": str(script), "args": ["serve"]}
    assert b"is in a cache and may go" in done.stderr


def test_a_broken_file_is_refused_with_its_line_and_stays_as_it_is(place: Place) -> None:
    place.write({client.name: BROKEN[client.format].encode() for client in CLIENTS})
    before = place.files()
    for command in ("install", "uninstall"):
        done = place.run(command, *NAMES)
        assert (done.exit_code, place.files()) == (2, before)
        assert len(done.stderr.splitlines()) == 1
        for client in CLIENTS:
            told = done.stderr.split(f"{place.file(client)}: ", 1)[1].split("nothing was changed")[0]
            assert "line 3" in told, told


def test_one_broken_file_does_not_keep_the_others_from_being_connected(place: Place) -> None:
    contents = {client.name: b"" for client in CLIENTS} | {"zed": BROKEN["json"].encode()}
    place.write(contents)
    done = place.run("install", "zed", "codex", "--dry-run")
    assert done.exit_code == 2
    assert "Codex: would be connected in" in done.stdout
    assert str(place.file(CLIENTS[5])) in done.stderr


@every_client
def test_print_and_dry_run_show_what_belongs_there_and_write_nothing(place: Place, client: Client) -> None:
    shown = place.run("install", client.name, "--print")
    assert shown.stdout.encode().replace(b"\r\n", b"\n") == golden(client.name, "new")
    dry = place.run("install", client.name, "--dry-run", "--guidance", "--hooks")
    assert all(f"  + {line}" in dry.stdout.splitlines() for line in shown.stdout.splitlines())
    assert place.files() == {}


def test_options_go_into_the_entry_and_stay_until_they_are_given_anew(place: Place) -> None:
    """The entry is switched off, so that no server is tried."""
    serve, path = ["-m", "mcp_memory", "serve"], str(place.project / "記憶" / "a b.db")
    file = place.home / ".claude.json"
    ours = {"command": "/old/mcp-memory", "args": ["serve", "--tools=core", "--user=x"], "env": {"A": "b"}}
    file.write_text(json.dumps({"mcpServers": {"notes": ours | {"disabled": True}}}), encoding="utf-8")
    for options, stand in (
        (("--user", "alice", "--database", "記憶/a b.db"), ["--user", "alice", "--database", path]),
        (("--user", "bob"), ["--database", path, "--user", "bob"]),
        ((), ["--database", path, "--user", "bob"]),
    ):
        assert place.run("install", "claude-code", *options).exit_code == 0
        [(name, entry)] = json.loads(file.read_text(encoding="utf-8"))["mcpServers"].items()
        assert (name, entry["env"], entry["disabled"]) == ("notes", {"A": "b"}, True)
        assert (entry["command"], entry["args"]) == (sys.executable, [*serve, "--tools=core", *stand])


def test_what_is_not_ours_and_has_our_name_stays_and_two_such_are_an_error(place: Place) -> None:
    other = {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-memory"]}
    file = place.home / ".claude.json"
    file.write_text(json.dumps({"mcpServers": {"memory": other, "mcp-memory": other}}), encoding="utf-8")
    before = file.read_bytes()
    done = place.run("install", "claude-code")
    assert (done.exit_code, file.read_bytes()) == (2, before)
    assert "memory and mcp-memory there are other servers" in done.stderr


def test_what_somebody_wrote_since_stays_when_ours_is_taken_out(place: Place) -> None:
    place.write({name: golden(name, "before") for name in NAMES})
    for client in CLIENTS:
        place.file(client).write_bytes(golden(client.name, "after"))
    file = place.home / ".cursor" / "mcp.json"
    file.write_bytes(file.read_bytes().replace(b'"git"', b'"git2"'))
    assert place.run("uninstall", *NAMES).exit_code == 0
    assert file.read_bytes() == golden("cursor", "before").replace(b'"git"', b'"git2"')
    for client in CLIENTS:
        if client.name not in {"cursor", "zed"}:
            assert place.file(client).read_bytes() == golden(client.name, "before"), client.name
    zed = place.file(next(client for client in CLIENTS if client.name == "zed")).read_text(encoding="utf-8")
    assert '  },\n  // "vim_mode": true\n  "context_servers": {}\n}' in zed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("install",), "name a client", id="none"),
        pytest.param(("install", "claude-dektop"), "did you mean claude-desktop?", id="unknown"),
        pytest.param(("install", "--all"), "no client was found here", id="nothing there"),
        pytest.param(("install", "goose", "--project"), "goose keeps no servers of a project", id="no project"),
        pytest.param(("install", "codex", "--user", "\u200b"), "--user", id="a user that nobody can see"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_code_2(place: Place, arguments: tuple[str, ...], said: str) -> None:
    done = place.run(*arguments)
    assert (done.exit_code, done.stdout, place.files()) == (2, "", {})
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_all_takes_those_that_are_there(place: Place) -> None:
    for sign in (".cursor", ".claude", ".cline"):
        (place.home / sign).mkdir()
    done = place.run("install", "--all", "--dry-run")
    assert [line.split(":")[0] for line in done.stdout.splitlines() if line[0] != " "] == [
        "Claude Code",
        "Cursor",
        "Cline",
    ]


def test_the_clients_are_listed_with_what_connects_them_and_the_version_that_answers(place: Place) -> None:
    serving = {"command": sys.executable, "args": ["-m", "mcp_memory", "serve"]}
    for file, more in ((".claude.json", {}), (".cursor/mcp.json", {"disabled": True})):
        (place.home / file).parent.mkdir(exist_ok=True)
        (place.home / file).write_text(json.dumps({"mcpServers": {"notes": serving | more}}), encoding="utf-8")
    (place.home / ".gemini").mkdir()
    (place.home / ".gemini" / "settings.json").write_text("{", encoding="utf-8")
    done = json.loads(place.run("clients", "--json").stdout)["clients"]
    found = {one["client"]: one for one in done}
    assert list(found) == list(NAMES)
    [code], [cursor] = found["claude-code"]["entries"], found["cursor"]["entries"]
    assert (code["name"], code["scope"], code["off"], code["problem"]) == ("notes", "user", False, None)
    assert code["version"]
    assert (cursor["off"], cursor["version"]) == (True, None)
    assert "line 1 column 2" in found["gemini"]["unreadable"][0]
    assert (found["zed"]["there"], found["zed"]["entries"]) == (False, [])


def test_a_server_that_does_not_answer_is_told_with_its_reason_and_code_1(place: Place) -> None:
    (place.home / "bad.db").write_bytes(b"no database" * 1000)
    done = place.run("install", "cursor", "--database", str(place.home / "bad.db"))
    assert done.exit_code == 1
    assert "Cursor: gets no answer: " in done.stdout
    assert "try it on a terminal: " in done.stdout

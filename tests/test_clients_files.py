"""Files of other programs are replaced whole or not at all, and what was there is kept."""

import json
import sys
from functools import partial
from pathlib import Path, PurePosixPath

import pytest

from mcp_memory.clients import CLIENTS
from mcp_memory.clients.base import folders
from mcp_memory.clients.connection import Connection
from mcp_memory.clients.files import Change, carry_out, changed
from mcp_memory.errors import ConfigError

BEFORE = '{"mcpServers": {"web": {"command": "x"}}}\n'
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="rights and links as POSIX has them")


def connection(home: Path, name: str = "cursor") -> Connection:
    places = folders("linux", home, home / "project", {})
    client = next(client for client in CLIENTS if client.name == name)
    found = places.target(client, "user")
    assert found is not None
    return Connection(client=client, place=found[0], file=found[1], folders=places)


def connected(home: Path, user: str = "") -> Change:
    return connection(home).connected(["/opt/mcp-memory"], {"--user": user} if user else {})


def lived_in(home: Path) -> Path:
    path = home / ".cursor" / "mcp.json"
    path.parent.mkdir(parents=True)
    path.write_text(BEFORE, encoding="utf-8")
    return path


def test_the_copy_beside_it_is_what_was_there_before_the_first_change(tmp_path: Path) -> None:
    path = lived_in(tmp_path)
    carry_out(lambda: connected(tmp_path))
    carry_out(lambda: connected(tmp_path, "alice"))
    assert "alice" in path.read_text(encoding="utf-8")
    assert path.with_name("mcp.json.mcp-memory-backup").read_text(encoding="utf-8") == BEFORE
    carry_out(connection(tmp_path).disconnected)
    assert [*path.parent.iterdir()] == [path]
    assert path.read_text(encoding="utf-8") == BEFORE


def test_an_entry_that_was_there_before_us_goes_too(tmp_path: Path) -> None:
    path = lived_in(tmp_path)
    own = {"notes": {"command": "/old/mcp-memory", "args": ["serve"]}, "web": {"command": "x"}}
    path.write_text(json.dumps({"mcpServers": own}), encoding="utf-8")
    carry_out(lambda: connected(tmp_path))
    carry_out(connection(tmp_path).disconnected)
    assert json.loads(path.read_text(encoding="utf-8")) == {"mcpServers": {"web": {"command": "x"}}}


def test_a_file_of_our_making_has_no_copy_however_often_it_changes(tmp_path: Path) -> None:
    for user in ("alice", "bob"):
        carry_out(partial(connected, tmp_path, user))
    assert [path.name for path in (tmp_path / ".cursor").iterdir()] == ["mcp.json"]
    carry_out(connection(tmp_path).disconnected)
    assert [*(tmp_path / ".cursor").iterdir()] == []


def test_nothing_is_written_where_nothing_changes(tmp_path: Path) -> None:
    path = lived_in(tmp_path)
    carry_out(lambda: connected(tmp_path))
    before = path.stat()
    carry_out(lambda: connected(tmp_path))
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@posix_only
def test_rights_stay_and_a_link_is_followed(tmp_path: Path) -> None:
    path = lived_in(tmp_path)
    real = tmp_path / "dotfiles" / "cursor.json"
    real.parent.mkdir()
    path.rename(real).chmod(0o640)
    path.symlink_to(real)
    carry_out(lambda: connected(tmp_path))
    assert path.is_symlink()
    assert "mcp-memory" in real.read_text(encoding="utf-8")
    copy = path.with_name("mcp.json.mcp-memory-backup")
    assert [one.stat().st_mode & 0o777 for one in (real, copy)] == [0o640, 0o640]
    assert [*real.parent.iterdir()] == [real]


def test_what_another_program_writes_meanwhile_is_not_lost(tmp_path: Path) -> None:
    path, planned = lived_in(tmp_path), list[Change]()

    def plan() -> Change:
        planned.append(connected(tmp_path))
        if len(planned) == 1:
            path.write_text('{"mcpServers": {"new": {"command": "y"}}}', encoding="utf-8")
        return planned[-1]

    carry_out(plan)
    assert list(json.loads(path.read_text(encoding="utf-8"))["mcpServers"]) == ["new", "memory"]
    with pytest.raises(ConfigError, match="another program keeps writing it; close that, and run it again"):
        carry_out(lambda: planned[0])
    assert not list(path.parent.glob(".mcp.json*"))


@posix_only
def test_a_folder_in_the_place_of_a_file_or_a_file_in_that_of_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a" / ".cursor" / "mcp.json").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"mcp\.json: cannot be read"):
        connected(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / ".cursor").touch()
    with pytest.raises(ConfigError, match=r"mcp\.json: cannot be (read|written)"):
        carry_out(lambda: connected(tmp_path / "b"))


def test_what_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    path = lived_in(tmp_path)
    path.write_bytes(BEFORE.encode("utf-16"))
    with pytest.raises(ConfigError, match=r"no UTF-8 text \(byte 0\)"):
        connected(tmp_path)


def test_a_difference_shows_lines_that_change_and_cuts_long_ones(tmp_path: Path) -> None:
    change = changed(tmp_path / "a", lambda _: f"one\n{'x' * 500}\n", lambda _, text: text)
    assert change.difference() == ["+ one", f"+ {'x' * 158}…"]


def test_a_difference_does_not_show_lines_that_stay(tmp_path: Path) -> None:
    old, new = '{\n  "a": {\n  }\n  // c\n}\n', '{\n  "a": {\n  },\n  // c\n  "m": {\n    "x": {\n    }\n  }\n}\n'
    (tmp_path / "a").write_text(old, encoding="utf-8")
    change = changed(tmp_path / "a", lambda _: new, lambda _, text: text)
    assert change.difference() == ["-   }", "+   },", '+   "m": {', '+     "x": {', "+     }", "+   }"]
    back = Change(path=change.path, before=change.after, after=change.before)
    assert back.difference() == ["-   },", "+   }", '-   "m": {', '-     "x": {', "-     }", "-   }"]


TARGETS = {
    "claude-desktop": (
        ".config/Claude/claude_desktop_config.json",
        "Library/Application Support/Claude/claude_desktop_config.json",
        "AppData/Roaming/Claude/claude_desktop_config.json",
    ),
    "claude-code": (".claude.json",),
    "cursor": (".cursor/mcp.json",),
    "vscode": (
        ".config/Code/User/mcp.json",
        "Library/Application Support/Code/User/mcp.json",
        "AppData/Roaming/Code/User/mcp.json",
    ),
    "windsurf": (".codeium/windsurf/mcp_config.json",),
    "zed": (".config/zed/settings.json", ".config/zed/settings.json", "AppData/Roaming/Zed/settings.json"),
    "codex": (".codex/config.toml",),
    "gemini": (".gemini/settings.json",),
    "copilot": (".copilot/mcp-config.json",),
    "cline": (".cline/data/settings/cline_mcp_settings.json",),
    "opencode": (".config/opencode/opencode.json",),
    "goose": (
        ".config/goose/config.yaml",
        ".config/goose/config.yaml",
        "AppData/Roaming/Block/goose/config/config.yaml",
    ),
}


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_every_platform_has_its_place_and_a_file_that_is_there_comes_first(tmp_path: Path, client: object) -> None:
    [found] = [one for one in CLIENTS if one is client]
    for number, platform in enumerate(("linux", "darwin", "win32")):
        places = folders(platform, tmp_path / platform, tmp_path / "project", {})
        target = places.target(found, "user")
        assert target is not None
        wanted = (TARGETS[found.name] * 3)[number if len(TARGETS[found.name]) == 3 else 0]
        assert target[1] == (tmp_path / platform).joinpath(*PurePosixPath(wanted).parts)
        last = [path for one in found.places if one.scope == "user" and not one.past for path in places.paths(one)][-1]
        assert not places.has(found)
        last.parent.mkdir(parents=True)
        last.touch()
        assert (places.target(found, "user") or target)[1] == last
        assert places.has(found)


def test_the_packaged_claude_desktop_has_the_file_that_it_reads(tmp_path: Path) -> None:
    (tmp_path / "AppData" / "Local" / "Packages" / "Claude_abc").mkdir(parents=True)
    places = folders("win32", tmp_path, tmp_path / "project", {})
    target = places.target(CLIENTS[0], "user")
    assert target is not None
    assert target[1].relative_to(tmp_path).parts[:4] == ("AppData", "Local", "Packages", "Claude_abc")

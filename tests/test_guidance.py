"""The block in a client's instructions, and the hooks in Claude Code's settings: they come, change in place, and go."""

import json
from pathlib import Path
from typing import Any

import pytest

from mcp_memory.clients import CLIENTS, guidance, hooks
from mcp_memory.clients.base import Client, Platform
from mcp_memory.clients.files import carry_out
from mcp_memory.errors import ConfigError
from tests.test_install import Place, every_client, made

BEGIN, END = "<!-- mcp-memory begin -->", "<!-- mcp-memory end -->"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return made(tmp_path)


@pytest.mark.parametrize(
    ("before", "head"),
    [
        pytest.param(None, "", id="no file"),
        pytest.param(None, "---\nalwaysApply: true\n---\n\n", id="no file, one of our own"),
        pytest.param("", "", id="an empty file"),
        pytest.param("# Mine\n\nBe brief.\n", "", id="a file"),
        pytest.param("\ufeff# 我的\r\n\r\n简短。", "", id="a file of Windows without a last line end"),
    ],
)
def test_the_block_comes_once_and_goes_without_a_trace(tmp_path: Path, before: str | None, head: str) -> None:
    path = tmp_path / "AGENTS.md"
    if before is not None:
        path.write_bytes(before.encode())
    carry_out(lambda: guidance.guided(path, head))
    with_it = path.read_bytes().decode()
    assert with_it.startswith((before or "") + head)
    assert (with_it.count(BEGIN), with_it.count(END)) == (1, 1)
    assert "\n" not in with_it.replace("\r\n", "") if "\r\n" in (before or "") else "\r" not in with_it
    carry_out(lambda: guidance.guided(path, head))
    assert path.read_bytes().decode() == with_it
    carry_out(lambda: guidance.unguided(path, head))
    assert (path.read_bytes().decode() if path.exists() else None) == before
    assert [*tmp_path.iterdir()] == ([path] if before is not None else [])


def test_a_former_block_is_replaced_where_it_stands_and_what_is_around_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "CLAUDE.md"
    path.write_text(f"Above.\n\n{BEGIN}\nold words\n{END}\n\nBelow.\n", encoding="utf-8")
    carry_out(lambda: guidance.guided(path, ""))
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"Above.\n\n{BEGIN}\n## Memory\n")
    assert text.endswith(f"{END}\n\nBelow.\n")
    assert "old words" not in text
    carry_out(lambda: guidance.unguided(path, ""))
    assert path.read_text(encoding="utf-8") == "Above.\n\nBelow.\n"


@pytest.mark.parametrize("text", [f"a\n\n{BEGIN}\nb", f"a\nb\n{END}", f"a\n\n{END}\n{BEGIN}"])
def test_a_mark_without_the_other_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "CLAUDE.md"
    path.write_text(text, encoding="utf-8")
    for change in (guidance.guided, guidance.unguided):
        with pytest.raises(ConfigError, match="line 3 has"):
            change(path, "")
    assert path.read_text(encoding="utf-8") == text


@every_client
def test_guidance_is_written_where_the_client_reads_it(place: Place, client: Client) -> None:
    for options, scope in (((), "user"), (("--project",), "project")):
        if not any(one.scope == scope for one in client.places):
            continue
        told = place.run("install", client.name, "--guidance", "--dry-run", *options).stdout
        files = [one.path.rpartition("/")[2] for one in client.instructions if one.scope == scope]
        guided = [line for line in told.splitlines() if "guided by" in line]
        assert len(guided) == bool(files), told
        assert files == [] or guided[0].endswith(files[0])
        assert bool(files) != ("it has no file of instructions" in told)


def test_guidance_that_another_client_reads_stays_until_that_goes_too(place: Place) -> None:
    """The entries are switched off, so that no server is tried."""
    off = {"command": "mcp-memory", "args": ["serve"], "disabled": True}
    for file, keys in ((".codex/config.toml", ""), ("opencode.json", "mcp"), (".zed/settings.json", "context_servers")):
        (place.project / file).parent.mkdir(exist_ok=True)
        text = json.dumps({keys: {"memory": off if keys != "mcp" else off | {"command": ["mcp-memory", "serve"]}}})
        toml = '[mcp_servers.memory]\ncommand = "mcp-memory"\nargs = ["serve"]\nenabled = false\n'
        (place.project / file).write_text(text if keys else toml, encoding="utf-8")
    assert place.run("install", "codex", "zed", "--guidance", "--project").exit_code == 0
    agents = place.project / "AGENTS.md"
    for number, name in enumerate(("codex", "opencode", "zed")):
        assert agents.exists(), number
        assert place.run("uninstall", name, "--project").exit_code == 0
    assert not agents.exists()


def settings(place: Place) -> Any:
    return json.loads((place.home / ".claude" / "settings.json").read_text(encoding="utf-8"))


def test_hooks_stand_beside_others_follow_the_entrys_options_and_go_again(place: Place) -> None:
    """The entry is switched off, so that no server is tried."""
    off = {"command": "mcp-memory", "args": ["serve", "--user", "alice smith"], "disabled": True}
    (place.home / ".claude.json").write_text(json.dumps({"mcpServers": {"memory": off}}), encoding="utf-8")
    (place.home / ".claude").mkdir()
    file = place.home / ".claude" / "settings.json"
    other = {"type": "command", "command": "notify 'done hook stop'"}
    before = json.dumps({"hooks": {"Stop": [{"hooks": [other]}]}, "model": "opus"}, indent=1)
    file.write_text(before, encoding="utf-8")
    for _ in range(2):
        done = place.run("install", "claude-code", "--hooks")
        assert (done.exit_code, "not extracted before" in done.stdout) == (0, True)
        told = settings(place)
        [start], [theirs, ours] = told["hooks"]["SessionStart"], told["hooks"]["Stop"]
        assert (theirs, told["model"]) == ({"hooks": [other]}, "opus")
        assert start["matcher"] == "startup|clear|compact"
        assert start["hooks"][0]["command"].endswith(" hook session-start --user 'alice smith'")
        assert ours["hooks"][0]["command"].endswith(" hook stop --user 'alice smith'")
        assert ours["hooks"][0]["timeout"] == 10
    assert place.run("uninstall", "claude-code").exit_code == 0
    assert file.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_hooks_that_were_moved_into_a_group_of_others_change_and_go_alone(tmp_path: Path, platform: Platform) -> None:
    path = tmp_path / "settings.json"
    made = hooks.made(["C:/a b/mcp-memory"], {"--user": "bob"}, platform)
    other = {"type": "command", "command": "date"}
    held = {"matcher": "startup", "hooks": [other, made["SessionStart"]["hooks"][0]]}
    path.write_text(json.dumps({"hooks": {"SessionStart": [held]}}), encoding="utf-8")
    carry_out(lambda: hooks.hooked(path, hooks.made(["/new/mcp-memory"], {}, platform)))
    told = json.loads(path.read_text(encoding="utf-8"))["hooks"]
    [[kept, ours]] = [group["hooks"] for group in told["SessionStart"]]
    assert (kept, ours["command"].startswith("/new/mcp-memory")) == (other, True)
    carry_out(lambda: hooks.unhooked(path))
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "hooks": {"SessionStart": [{"matcher": "startup", "hooks": [other]}]}
    }


def test_hooks_of_a_project_stand_in_its_settings_that_are_not_shared(place: Place) -> None:
    told = place.run("install", "claude-code", "--project", "--hooks", "--dry-run").stdout
    assert str(place.project / ".claude" / "settings.local.json") in told


def test_only_one_client_has_hooks() -> None:
    assert [client.name for client in CLIENTS if client.hooks] == ["claude-code"]

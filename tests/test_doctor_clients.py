"""What doctor says of settings, endpoints and clients."""

import json
import socket
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_memory.clients import CLIENTS
from mcp_memory.clients.base import Folders, folders
from mcp_memory.clients.entries import Entry, entries, starts_memory
from mcp_memory.errors import ConfigError
from mcp_memory.testing import scripted_endpoint
from mcp_memory.testing.endpoint import Chat, Status
from tests.patient import Patient, admitted, connect, outcomes, serving


@pytest.fixture
async def patient(tmp_path: Path) -> Patient:
    return await admitted(tmp_path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param("tools = [\n", "not valid TOML", id="no TOML"),
        pytest.param("timezon = 'UTC'\n", "did you mean timezone?", id="unknown setting"),
        pytest.param("[search]\nmin_score = 7\n", "search.min_score", id="wrong value"),
    ],
)
def test_a_wrong_settings_file_is_named_and_hides_nothing_else(patient: Patient, settings: str, said: str) -> None:
    file = patient.home / "settings.toml"
    file.write_text(settings, encoding="utf-8")
    found = patient.examined("--config", str(file))
    assert (found["code"], outcomes(found, "clients")) == (1, {"configuration"})
    assert said in found["named"]["configuration"]["said"]
    assert str(file) in found["named"]["configuration"]["said"]
    assert "correct it" in found["named"]["configuration"]["remedy"]
    assert found["named"]["memories"]["said"].startswith("4 memories")


def test_a_wrong_variable_is_named_and_a_wrong_option_ends_with_2(patient: Patient) -> None:
    found = patient.examined(MCP_MEMORY_IDENTITY="tokn")
    assert (found["code"], outcomes(found, "clients")) == (1, {"configuration"})
    done = patient.ran("--user", "\u200b")
    assert (done.exit_code, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        pytest.param("MCP_MEMORY_SEARCH_LANGUAGES", "english,german", "search languages english", id="languages"),
        pytest.param("MCP_MEMORY_EMBEDDING_PROVIDER", "openai", "embedding model builtin/1", id="model"),
    ],
)
def test_settings_that_are_not_the_files_are_named(patient: Patient, variable: str, value: str, said: str) -> None:
    environ = {variable: value, "MCP_MEMORY_EMBEDDING_MODEL": "small", "MCP_MEMORY_EMBEDDING_BASE_URL": unused()}
    check = patient.examined(**environ)["named"]["settings"]
    assert (check["outcome"], said in check["said"]) == ("warn", True)
    assert "mcp-memory reindex" in check["remedy"]


def test_without_a_file_there_is_none_to_look_at(patient: Patient) -> None:
    found = patient.examined(MCP_MEMORY_EPHEMERAL="true")
    assert (found["code"], "ephemeral" in found["named"]["file"]["said"]) == (0, True)
    assert "memories" not in found["named"]


def unused() -> str:
    """An address on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def test_endpoints_that_cannot_be_reached_are_named(patient: Patient) -> None:
    environ = {
        "MCP_MEMORY_EMBEDDING_PROVIDER": "openai",
        "MCP_MEMORY_EMBEDDING_MODEL": "small",
        "MCP_MEMORY_EMBEDDING_BASE_URL": unused(),
        "MCP_MEMORY_LLM_MODEL": "large",
        "MCP_MEMORY_LLM_BASE_URL": unused(),
    }
    found = patient.examined(**environ)
    assert found["code"] == 1
    for name, setting in (("embedder", "embedding.base_url"), ("chat model", "llm.base_url")):
        assert found["named"][name]["outcome"] == "fail"
        assert f"connection refused; start the server, or change {setting}" in found["named"][name]["said"]


@pytest.mark.promise("P11")
async def test_endpoints_are_sent_one_word_each_and_only_when_configured(tmp_path: Path) -> None:
    patient = await admitted(tmp_path)
    async with scripted_endpoint() as endpoint:
        endpoint.chat.otherwise = Chat('{"ok": true}')
        addresses = {
            "MCP_MEMORY_EMBEDDING_BASE_URL": endpoint.base_url,
            "MCP_MEMORY_LLM_BASE_URL": endpoint.base_url,
            "OPENAI_API_KEY": "sk-none",
        }
        await anyio.to_thread.run_sync(partial(patient.examined, **addresses))
        assert endpoint.requests == []
        models = {"MCP_MEMORY_EMBEDDING_PROVIDER": "openai", "MCP_MEMORY_EMBEDDING_MODEL": "small"}
        models |= {"MCP_MEMORY_LLM_MODEL": "large"}
        found = await anyio.to_thread.run_sync(partial(patient.examined, **addresses, **models))
        sent = json.dumps([request.body for request in endpoint.requests], ensure_ascii=False)
        assert {found["named"][name]["outcome"] for name in ("embedder", "chat model")} == {"ok"}
        assert len(endpoint.requests) == 2
        assert not [word for word in ("seats", "chess", "東京", "alice") if word in sent]
        endpoint.chat.otherwise = Status(401)
        found = await anyio.to_thread.run_sync(partial(patient.examined, **addresses, **models))
        assert "check the key in OPENAI_API_KEY" in found["named"]["chat model"]["said"]


def crashing(patient: Patient) -> dict[str, Any]:
    program = "import sys; sys.exit('no such option: --databse')"
    return {"command": sys.executable, "args": ["-c", program, "mcp-memory", "serve"]}


def wrong_argument(patient: Patient) -> dict[str, Any]:
    return serving(patient.database, "--toolz", "core")


def wrong_settings(patient: Patient) -> dict[str, Any]:
    return serving(patient.database, "--config", str(patient.home / "absent.toml"))


def missing_command(patient: Patient) -> dict[str, Any]:
    return {"command": str(patient.home / "gone" / "mcp-memory"), "args": ["serve"]}


def missing_python(patient: Patient) -> dict[str, Any]:
    script = patient.home / "mcp-memory"
    script.write_text("#!/no/such/python\n", encoding="utf-8")
    script.chmod(0o755)
    return {"command": str(script), "args": ["serve"]}


def foreign_file(patient: Patient) -> dict[str, Any]:
    other = Patient(patient.home, patient.home / "other.db", [])
    other.altered("CREATE TABLE letters (x)")
    return serving(other.database)


posix_only = pytest.mark.skipif(sys.platform == "win32", reason="a first line that names a program is POSIX only")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        pytest.param(missing_command, "is not there", id="missing command"),
        pytest.param(missing_python, "the Python of", id="missing Python", marks=posix_only),
        pytest.param(crashing, "its last line: no such option: --databse", id="crash"),
        pytest.param(wrong_argument, "--toolz", id="wrong argument"),
        pytest.param(wrong_settings, "absent.toml: no such configuration file", id="no settings file"),
        pytest.param(foreign_file, "belongs to another program", id="a foreign file"),
    ],
)
def test_a_clients_entry_that_does_not_work_is_named_with_its_reason(patient: Patient, entry: Any, said: str) -> None:
    connect(patient.home, entry(patient))
    found = patient.examined()
    assert (found["code"], outcomes(found)) == (1, {"Claude Code"})
    check = found["named"]["Claude Code"]
    assert said in check["said"]
    assert f'"memory" in {patient.home / ".claude.json"}' in check["said"]
    assert "correct it there, or try it on a terminal: " in check["remedy"]


@posix_only
def test_a_command_without_its_path_works_and_is_warned_of(patient: Patient) -> None:
    tools = patient.home / "bin"
    tools.mkdir()
    (tools / "mcp-memory").symlink_to(sys.executable)
    entry = serving(patient.database) | {"command": "mcp-memory"}
    entry["env"] = {"PATH": str(tools), "PYTHONPATH": ":".join(sys.path)}
    connect(patient.home, entry)
    check = patient.examined(PATH=str(tools))["named"]["Claude Code"]
    assert (check["outcome"], "no absolute path" in check["said"]) == ("warn", True), check
    assert "whole path" in check["remedy"]


def test_servers_for_many_users_and_with_few_tools_are_tried_as_well(patient: Patient) -> None:
    connect(patient.home, serving(patient.database, "--identity", "argument"))
    connect(patient.home, serving(patient.database, "--tools", "undo"), ".cursor/mcp.json")
    connect(patient.home, serving(patient.home / "new.db"), ".gemini/settings.json")
    found = patient.examined()
    assert outcomes(found) == set()
    assert "answers list_memories in " in found["named"]["Claude Code"]["said"]
    assert "answers with 1 tools in " in found["named"]["Cursor"]["said"]
    assert found["named"]["Gemini CLI"]["said"].endswith(f", on {patient.home / 'new.db'}")
    assert not (patient.home / "new.db").exists()


def test_a_clients_file_that_cannot_be_read_is_warned_of(patient: Patient) -> None:
    (patient.home / ".claude.json").write_text('{"mcpServers": {"a" 1}}', encoding="utf-8")
    check = patient.examined()["checks"][-2]
    assert (check["name"], check["outcome"]) == ("clients", "warn")
    assert "line 1 column 21" in check["said"]


def test_without_any_client_it_says_how_to_connect_one(patient: Patient) -> None:
    connect(patient.home, {"command": "npx", "args": ["-y", "@example/files", "/src/mcp-memory"]})
    check = patient.examined()["checks"][-1]
    assert (check["name"], check["outcome"]) == ("clients", "warn")
    assert f"none of {', '.join(client.title for client in CLIENTS)} starts mcp-memory here" in check["said"]
    assert "mcp-memory install CLIENT" in check["remedy"]


JSON_ENTRY = '{"command": "/opt/mcp-memory", "args": ["serve"], "disabled": true}'
COMMENTED = f"""{{
  // what I use
  "servers": {{
    "web": {{"url": "https://example.org/mcp"}}, /* and */
    "notes": {JSON_ENTRY},
  }},
}}"""
PLAIN = f'{{"mcpServers": {{"m": {JSON_ENTRY}}}}}'
ZED = PLAIN.replace("mcpServers", "context_servers")
OPENCODE = '{"mcp": {"m": {"type": "local", "command": ["/opt/mcp-memory", "serve"], "enabled": false}//\n}}'
GOOSE = "extensions:\n  m:\n    cmd: /opt/mcp-memory\n    args: [serve]\n    enabled: false\n"
CLINE = "Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"
FILES: Mapping[str, tuple[str, str, str]] = {
    "Claude Desktop": (
        "linux",
        ".config/Claude/claude_desktop_config.json",
        PLAIN,
    ),
    "Claude Desktop, packaged": (
        "win32",
        "AppData/Local/Packages/Claude_abc/LocalCache/Roaming/Claude/claude_desktop_config.json",
        "\ufeff" + PLAIN,
    ),
    "Claude Desktop, mac": (
        "darwin",
        "Library/Application Support/Claude/claude_desktop_config.json",
        PLAIN,
    ),
    "Claude Code": ("linux", ".claude.json", f'{{"projects": {{"/src": {PLAIN}}}}}'),
    "Claude Code, project": ("linux", "project/.mcp.json", PLAIN),
    "Cursor": ("linux", ".cursor/mcp.json", PLAIN),
    "VS Code": ("linux", ".config/Code/User/mcp.json", COMMENTED),
    "VS Code, Windows": ("win32", "AppData/Roaming/Code/User/mcp.json", COMMENTED),
    "VS Code, mac": ("darwin", "Library/Application Support/Code/User/mcp.json", COMMENTED),
    "VS Code, project": ("linux", "project/.vscode/mcp.json", COMMENTED),
    "VS Code, settings": ("linux", ".config/Code/User/settings.json", f'{{"mcp": {COMMENTED}}}'),
    "Windsurf": ("linux", ".codeium/windsurf/mcp_config.json", PLAIN),
    "Codex": (
        "linux",
        ".codex/config.toml",
        '[mcp_servers.m]\ncommand = "/opt/mcp-memory"\nargs = ["serve"]\nenabled = false\n',
    ),
    "Gemini CLI": ("linux", ".gemini/settings.json", PLAIN),
    "Zed": ("linux", ".config/zed/settings.json", ZED),
    "Zed, mac": ("darwin", ".config/zed/settings.json", ZED),
    "Zed, Windows": ("win32", "AppData/Roaming/Zed/settings.json", ZED),
    "Zed, project": ("linux", "project/.zed/settings.json", ZED),
    "Copilot CLI": ("win32", ".copilot/mcp-config.json", PLAIN),
    "Copilot CLI, project": ("linux", "project/.github/mcp.json", PLAIN),
    "Cline": ("linux", ".cline/data/settings/cline_mcp_settings.json", PLAIN),
    "Cline, formerly": ("linux", f".config/{CLINE}", PLAIN),
    "Cline, formerly, mac": ("darwin", f"Library/Application Support/{CLINE}", PLAIN),
    "Cline, formerly, Windows": ("win32", f"AppData/Roaming/{CLINE}", PLAIN),
    "opencode": ("win32", ".config/opencode/opencode.json", OPENCODE),
    "opencode, with comments": ("darwin", ".config/opencode/opencode.jsonc", OPENCODE),
    "opencode, version 2": (
        "linux",
        "project/opencode.jsonc",
        OPENCODE.replace('"m"', '"servers": {"m"').replace("//", "}//"),
    ),
    "goose": ("linux", ".config/goose/config.yaml", GOOSE),
    "goose, mac": ("darwin", ".config/goose/config.yaml", GOOSE),
    "goose, Windows": ("win32", "AppData/Roaming/Block/goose/config/config.yaml", GOOSE),
}


def found_in(places: Folders, environ: Mapping[str, str]) -> list[Entry | ConfigError]:
    return [one for client in CLIENTS for one in entries(client, places, environ)]


@pytest.mark.parametrize("name", FILES)
def test_every_clients_file_is_found_and_read_as_that_client_does(tmp_path: Path, name: str) -> None:
    platform, file, content = FILES[name]
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    [entry] = found_in(folders(platform, tmp_path, tmp_path / "project", {}), {})
    assert isinstance(entry, Entry)
    assert (entry.client, entry.file, entry.off) == (name.partition(",")[0], path, True)
    assert (entry.command, entry.args) == ("/opt/mcp-memory", ("serve",))


def test_folders_that_the_environment_names_come_first(tmp_path: Path) -> None:
    environ = {"CODEX_HOME": str(tmp_path / "codex"), "CLAUDE_CONFIG_DIR": str(tmp_path / "claude")}
    for file, content in ((".claude.json", FILES["Cursor"][2]), ("config.toml", FILES["Codex"][2])):
        folder = tmp_path / ("codex" if file == "config.toml" else "claude")
        folder.mkdir()
        (folder / file).write_text(content, encoding="utf-8")
    found = found_in(folders("linux", tmp_path / "home", tmp_path / "project", environ), environ)
    assert [one.client for one in found if isinstance(one, Entry)] == ["Claude Code", "Codex"]


def test_variables_in_an_entry_are_replaced_as_its_client_does(tmp_path: Path) -> None:
    args = ["serve", "--database", "${workspaceFolder}/a.db", "--user=${env:WHO}", "${TEAM:-none}", "${input:x}"]
    connect(tmp_path, {"command": "${userHome}/bin/mcp-memory", "args": args, "env": {"MCP_MEMORY_AGENT": "${WHO}"}})
    [entry] = found_in(folders("linux", tmp_path, tmp_path / "project", {}), {"WHO": "alice"})
    assert isinstance(entry, Entry)
    assert entry.command == f"{tmp_path}/bin/mcp-memory"
    assert entry.args[2:] == (f"{tmp_path}/project/a.db", "--user=alice", "none", "${input:x}")
    assert entry.env == {"MCP_MEMORY_AGENT": "alice"}
    assert (entry.option("--user"), entry.option("--config"), entry.unknown()) == ("alice", None, ["${input:x}"])


def test_an_entry_that_only_its_client_can_fill_in_is_not_tried(patient: Patient) -> None:
    connect(patient.home, serving(patient.database, "--user", "${input:who}"))
    check = patient.examined()["named"]["Claude Code"]
    assert (check["outcome"], "${input:who}" in check["said"]) == ("warn", True)


@pytest.mark.parametrize(
    ("command", "starts"),
    [
        ("/home/alice/.venv/bin/mcp-memory serve", True),
        (r"C:\Tools\mcp-memory.exe", True),
        ("mcp-memory", True),
        ("uvx mcp-memory serve", True),
        ("uvx --from mcp-memory[encryption] mcp-memory@1.2 serve", True),
        ("/usr/bin/python3 -m mcp_memory serve", True),
        ("uv --directory /src run mcp-memory", True),
        ("python /venv/bin/mcp-memory serve", True),
        ("npx -y mcp-memory", False),
        ("npx @modelcontextprotocol/server-filesystem /src/mcp-memory", False),
        ("uvx mcp-memory-service serve", False),
        ("docker run --name mcp-memory files", False),
        ("mcp-server-git --repository /src/mcp-memory", False),
    ],
)
def test_only_what_starts_this_server_is_taken_for_it(command: str, starts: bool) -> None:
    first, *rest = command.split(" ")
    assert starts_memory(first, rest) == starts

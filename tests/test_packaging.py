"""What is published beside the wheel: the bundle for Claude Desktop, the registry's entry, the image."""

import importlib.util
import json
import os
import re
import struct
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_memory import __version__, config
from mcp_memory.clients.probe import attempt
from mcp_memory.config import Config
from tests.support import connected

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / ".packaging"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MANIFEST: dict[str, Any] = json.loads((PACKAGING / "mcpb" / "manifest.json").read_text(encoding="utf-8"))
SERVER: dict[str, Any] = json.loads((PACKAGING / "server.json").read_text(encoding="utf-8"))
DOCKERFILE = (PACKAGING / "Dockerfile").read_text(encoding="utf-8")


def script(path: str) -> Any:
    """A script that is part of no package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, PACKAGING / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bundle() -> Any:
    return script("bundle.py")


@pytest.fixture(scope="module")
def staged(bundle: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("bundle") / "a folder"
    bundle.stage(folder)
    return folder


async def test_the_manifest_says_of_the_tools_what_the_server_says() -> None:
    async with connected(Config(ephemeral=True)) as client:
        tools = (await client.list_tools()).tools
        prompts = client.server_capabilities.prompts and (await client.list_prompts()).prompts
    said = [{"name": tool.name, "description": (tool.description or "").splitlines()[0]} for tool in tools]
    assert MANIFEST["tools"] == said
    assert MANIFEST.get("prompts_generated", False) is bool(prompts)


def test_the_manifest_says_of_the_package_what_the_project_says() -> None:
    assert {name: MANIFEST[name] for name in ("name", "description", "license", "keywords")} == {
        name: PROJECT[name] for name in ("name", "description", "license", "keywords")
    }
    assert MANIFEST["version"] == __version__
    assert MANIFEST["author"] == PROJECT["authors"][0]
    assert MANIFEST["compatibility"]["runtimes"]["python"] == PROJECT["requires-python"]
    assert MANIFEST.get("repository", {}).get("url") == PROJECT.get("urls", {}).get("Repository")


def test_every_setting_of_the_bundle_reaches_the_server_and_none_is_needed() -> None:
    used = re.findall(r"\$\{user_config\.(\w+)\}", json.dumps(MANIFEST["server"]))
    assert sorted(used) == sorted(MANIFEST["user_config"])
    assert not any(option["required"] for option in MANIFEST["user_config"].values())
    assert MANIFEST["user_config"]["user"]["default"] == Config().user


@pytest.mark.parametrize(
    ("user", "folder", "expected"),
    [
        ("${user_config.user}", "${user_config.folder}", []),
        ("", "", []),
        (" ", " ", []),
        ("-alice", "${user_config.folder}", ["--user=-alice"]),
        ("alice", "/my data/记忆", ["--user=alice", f"--database={Path('/my data/记忆') / 'memory.db'}"]),
    ],
)
def test_a_setting_that_was_left_empty_is_not_given(user: str, folder: str, expected: list[str]) -> None:
    given = {"BUNDLE_USER": user, "BUNDLE_FOLDER": folder}
    assert script("mcpb/server.py").arguments(given) == ["serve", *expected]


def test_the_bundle_holds_the_whole_package_and_no_test(staged: Path) -> None:
    held = {path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file()}
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mcp_memory").rglob("*") if path.is_file()}
    beside = {"manifest.json", "icon.png", "server.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE"}
    assert held == {path for path in package if "__pycache__" not in path} | beside


def test_the_bundle_is_installed_without_what_developers_need(staged: Path) -> None:
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    cut = tomllib.loads((staged / "pyproject.toml").read_text(encoding="utf-8"))
    hatch = whole["tool"]["hatch"]
    needed = {"version": hatch["version"], "build": {"targets": {"wheel": hatch["build"]["targets"]["wheel"]}}}
    assert cut == {name: whole[name] for name in ("build-system", "project")} | {"tool": {"hatch": needed}}


async def test_the_bundle_starts_where_nothing_was_filled_in(bundle: Any, staged: Path, tmp_path: Path) -> None:
    """By the Python of these tests instead of uv's own, which `make bundle` tries."""
    host = bundle.started_as(MANIFEST, staged, {})
    assert host.args[:3] == ("run", "--directory", str(staged))
    home = {name: str(tmp_path) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "LOCALAPPDATA", "APPDATA")}
    command, args = sys.executable, (str(staged / host.args[3]),)
    target = host.replace(command=command, args=args, env=host.env | home)
    outcome = await attempt(target, os.environ)
    assert (outcome.problem, outcome.version) == ("", __version__)
    assert outcome.tools == len(MANIFEST["tools"])
    assert [path.name async for path in anyio.Path(tmp_path).rglob("memory.db")] == ["memory.db"]


def test_the_icon_is_a_picture_of_the_size_that_is_named() -> None:
    (icon,) = MANIFEST["icons"]
    picture = (PACKAGING / "mcpb" / icon["src"]).read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert "{}x{}".format(*struct.unpack(">II", picture[16:24])) == icon["size"]


def test_the_registrys_entry_names_this_package_and_settings_that_there_are() -> None:
    """Its form is checked against the registry's schema by `make bundle`; here what the schema cannot know."""
    (package,) = SERVER["packages"]
    assert (package["registryType"], package["identifier"]) == ("pypi", PROJECT["name"])
    assert SERVER["version"] == package["version"] == __version__
    assert len(SERVER["description"]) <= 100  # the schema's limit, at which publishing fails
    environ = {one["name"]: one.get("default", "") for one in package["environmentVariables"]}
    assert set(environ) <= set(map(config.variable, config.settings()))
    assert config.load(None, environ, {}) == Config()


@pytest.mark.parametrize("source", ["README.md", ".packaging/Dockerfile"])
def test_the_package_and_the_image_carry_the_mark_by_which_the_registry_knows_its_owner(source: str) -> None:
    text = (ROOT / source).read_text(encoding="utf-8")
    marks: Mapping[str, str] = {
        "README.md": f"<!-- mcp-name: {SERVER['name']} -->",
        ".packaging/Dockerfile": f'io.modelcontextprotocol.server.name="{SERVER["name"]}"',
    }
    assert marks[source] in text


def test_the_image_is_of_this_version_runs_as_no_root_and_keeps_its_data_in_a_volume() -> None:
    (version,) = re.findall(r'image\.version="([^"]*)"', DOCKERFILE)
    assert version == __version__
    (user,) = re.findall(r"^USER (\d+)$", DOCKERFILE, flags=re.MULTILINE)
    assert int(user) > 0
    assert f"--uid {user} " in DOCKERFILE
    (volume,) = re.findall(r"^VOLUME (.*)$", DOCKERFILE, flags=re.MULTILINE)
    assert f"MCP_MEMORY_DATABASE={volume}/" in DOCKERFILE


def test_the_image_is_built_from_files_that_are_there_and_that_are_sent_to_it() -> None:
    copied = [
        name for line in re.findall(r"^COPY ([^-].*) \S+$", DOCKERFILE, flags=re.MULTILINE) for name in line.split()
    ]
    sent = (PACKAGING / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert sorted(f"!{name}" for name in copied) == sorted(line for line in sent if line.startswith("!"))
    assert all((ROOT / name).exists() for name in copied)

"""Builds dist/mcp-memory-VERSION.mcpb, the bundle for Claude Desktop and other hosts: `make bundle`.

The format's own tool validates and packs; server.json is checked against the schema that it names, where that can be
fetched. Where uv is at hand the bundle is unpacked and started as a host does it, and a tool is called.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import anyio
import jsonschema

from mcp_memory import __version__
from mcp_memory.clients.probe import Attempt, Target, attempt

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGING: Final = ROOT / ".packaging"
PACKER: Final = "@anthropic-ai/mcpb@2"
"""The packer of the format, by its major version."""

_BESIDE: Final = ("README.md", "LICENSE", "NOTICE")
"""What the package's own build reads beside pyproject.toml."""

_FOR_DEVELOPERS: Final = (
    "dependency-groups",
    "tool.hatch.build.targets.sdist",
    "tool.pytest",
    "tool.pyright",
    "tool.ruff",
)
_SECONDS: Final = 20.0


def stage(folder: Path) -> None:
    """Put what the bundle holds into `folder`, which must not be there yet."""
    shutil.copytree(PACKAGING / "mcpb", folder, ignore=shutil.ignore_patterns("__pycache__", "*.svg"))
    shutil.copytree(ROOT / "mcp_memory", folder / "mcp_memory", ignore=shutil.ignore_patterns("__pycache__"))
    for name in _BESIDE:
        shutil.copy(ROOT / name, folder)
    (folder / "pyproject.toml").write_text(project((ROOT / "pyproject.toml").read_text("utf-8")), encoding="utf-8")


def project(text: str) -> str:
    """pyproject.toml without what only developers need: uv would look all of it up, and install the group dev."""
    tables = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    return "".join(table for table in tables if not table[1:].startswith(_FOR_DEVELOPERS))


def started_as(manifest: Mapping[str, Any], folder: Path, chosen: Mapping[str, str]) -> Target:
    """What a host starts. A setting that nobody made stays a placeholder, as in the packer's own code and in hosts."""
    config = manifest["server"]["mcp_config"]
    values = {"__dirname": str(folder)} | {f"user_config.{name}": value for name, value in chosen.items()}

    def filled(text: str) -> str:
        return re.sub(r"\$\{([^}]+)\}", lambda found: values.get(found[1], found[0]), text)

    env = {name: filled(value) for name, value in config["env"].items()}
    return Target(command=config["command"], args=tuple(map(filled, config["args"])), env=env, cwd="/", user="")


def main() -> int:
    """Build, check and try; what was done is said line by line."""
    if not (npx := shutil.which("npx")):
        return _failed("Node is needed to validate and pack the bundle (npx): install it from https://nodejs.org")
    bundle = ROOT / "dist" / f"mcp-memory-{__version__}.mcpb"
    if problem := _server_problem():
        return _failed(problem)
    with tempfile.TemporaryDirectory() as scratch:
        staged = Path(scratch) / "mcp-memory"
        stage(staged)
        for command in (("validate", "manifest.json"), ("pack", ".", str(bundle))):
            if subprocess.run([npx, "--yes", PACKER, *command], cwd=staged, check=False).returncode:
                return _failed(f"{PACKER} {command[0]} failed, see above")
        _say(f"{bundle.relative_to(ROOT)}: {bundle.stat().st_size / 1e6:.1f} MB")
        return _tried(bundle, Path(scratch) / "a fresh folder")


def _server_problem() -> str:
    """What is wrong with server.json; empty if nothing is, or if its schema cannot be fetched."""
    server = json.loads((PACKAGING / "server.json").read_text("utf-8"))
    try:
        with urllib.request.urlopen(server["$schema"], timeout=_SECONDS) as reply:
            schema = json.load(reply)
    except OSError as error:
        _say(f"server.json: not checked against its schema, which could not be fetched ({error})")
        return ""
    found: list[Any] = list(cast("Any", jsonschema).Draft7Validator(schema).iter_errors(server))
    if found:
        return f"server.json: {'; '.join(f'{one.json_path}: {one.message}' for one in found)}"
    _say(f"server.json: as {server['$schema']} has it")
    return ""


def _tried(bundle: Path, folder: Path) -> int:
    """Unpack the bundle and start it as a host does, with nothing filled in but the folder."""
    if not (uv := shutil.which("uv")):
        _say("not tried: uv is not there (https://docs.astral.sh/uv)")
        return 0
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    started = time.monotonic()
    environ = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    subprocess.run([uv, "sync", "--quiet", "--directory", str(folder)], check=True, env=environ)
    _say(f"tried: its packages are there after {time.monotonic() - started:.1f} s")
    target = started_as(manifest, folder, {"folder": str(folder / "data")})
    outcome: Attempt = anyio.run(attempt, target, environ)
    if outcome.problem or outcome.tools != len(manifest["tools"]):
        return _failed(f"started as a host does: {outcome.problem or f'{outcome.tools} tools'}")
    _say(f"tried: {outcome.version} answered {outcome.called} after {outcome.seconds:.1f} s, {outcome.tools} tools")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _failed(line: str) -> int:
    sys.stderr.write(f"bundle: {line}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

import re
from pathlib import Path

import pytest

from mcp_memory.cli.commands import COMMANDS
from mcp_memory.cli.group import HIDDEN
from mcp_memory.config import TOOL_PROFILES, Config
from mcp_memory.server.build import TOOLS
from tests.support import connected

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROMISES = ("P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10", "P11")


async def test_the_readme_table_lists_every_tool_with_its_parameters() -> None:
    async with connected(Config(ephemeral=True)) as client:
        tools = (await client.list_tools()).tools
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", README, flags=re.MULTILINE)
    shown = {name: re.findall(r"\w+", parameters) for name, parameters in rows}
    assert shown == {tool.name: list(tool.input_schema["properties"]) for tool in tools}


async def test_the_readme_marks_required_parameters() -> None:
    async with connected(Config(ephemeral=True)) as client:
        tools = (await client.list_tools()).tools
    for tool in tools:
        row = next(line for line in README.splitlines() if line.startswith(f"| `{tool.name}`"))
        assert re.findall(r"\*\*(\w+)\*\*", row) == tool.input_schema.get("required", [])


def test_the_readme_names_every_command_and_no_other() -> None:
    table = README.split("## At hand", 1)[1].split("##", 1)[0]
    cells = [cell for line in table.splitlines() if line.startswith("| `") for cell in [line.split("|")[1]]]
    shown = {name.split()[0] for cell in cells for name in re.findall(r"`(?:mcp-memory )?([^`]+)`", cell)}
    typed = {name for heading, listed in COMMANDS.items() if heading != HIDDEN for name in listed}
    assert shown == typed - {"serve", "demo"}


def test_the_readme_is_at_most_150_lines() -> None:
    assert len(README.splitlines()) <= 150


def test_links_in_the_documents_lead_somewhere() -> None:
    for document in ROOT.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (ROOT / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("promise", PROMISES)
def test_every_promise_has_a_test_that_carries_its_id(promise: str) -> None:
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert f'promise("{promise}")' in tests


def test_every_tool_stands_in_a_profile() -> None:
    assert set(Config(tools=tuple(TOOL_PROFILES)).tool_names()) == set(TOOLS)

"""`mcp-memory demo`: a client talks to the real server over stdio, on a database that is gone afterwards."""

import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio
import click
from mcp import Client, StdioServerParameters
from mcp.types import TextContent

from mcp_memory.cli.own import own_command
from mcp_memory.errors import McpMemoryError

_FACTS = (
    {"content": "Works as a nurse at the children's hospital", "topics": ["work"]},
    {"content": "Prefers window seats on long train rides", "topics": ["travel"]},
    {"content": "Is allergic to peanuts", "topics": ["health"], "pinned": True},
    {"content": "Lives in Lyon", "key": "home_city"},
    {"content": "妹は東京で働いています", "topics": ["family"]},
)


def run() -> None:
    """Start the server twice, as a client would, and show each call with its reply.

    Raises:
        McpMemoryError: a call failed.
    """
    with tempfile.TemporaryDirectory(prefix="mcp-memory-demo-") as folder:
        (Path(folder) / "config.toml").touch()
        anyio.run(_demo, Path(folder))
    click.echo(f"\nThat was the real server, over stdio. Connect a client: {shlex.join(own_command())} install CLIENT")


async def _demo(folder: Path) -> None:
    async with _server(folder) as client:
        _title("Five facts")
        added = [await _call(client, "add_memory", fact) for fact in _FACTS]
        _title("The same again, in capitals: nothing is stored twice")
        await _call(client, "add_memory", {"content": "IS ALLERGIC TO PEANUTS"})
        _title("Found by words and by meaning, in any script")
        await _call(client, "search_memories", {"query": "What seat should I book on the train?"})
        await _call(client, "search_memories", {"query": "東京"})
        _title("Corrected; the key names the one current value")
        await _call(client, "add_memory", {"content": "Lives in Berlin since May 2026", "key": "home_city"})
        await _call(client, "get_memory", {"key": "home_city", "history": True})
        await _call(client, "search_memories", {"query": "Lyon", "include_past": True})
        _title("Taken back")
        await _call(client, "undo", {})
        _title("Forgotten")
        await _call(client, "delete_memory", {"id": added[0]["memory"]["id"]})
    _title("A new process on the same file: still there")
    async with _server(folder) as client:
        await _call(client, "search_memories", {"query": "peanut allergy"})
        await _call(client, "list_memories", {})


def _server(folder: Path) -> Client:
    """A server of no settings but these: the file in `folder` is empty, and the SDK hands no variable of ours on."""
    own = ["--config", str(folder / "config.toml"), "--database", str(folder / "memory.db"), "--user", "demo"]
    arguments = ["-m", "mcp_memory", "serve", *own]
    return Client(StdioServerParameters(command=sys.executable, args=arguments))


async def _call(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
    if result.is_error:
        raise McpMemoryError(f"the demo's {tool} failed: {text}")
    click.secho(f"  {tool} {_shown(arguments)}".rstrip(), fg="cyan")
    for line in text.splitlines():
        click.echo(f"    {line}")
    return result.structured_content or {}


def _shown(arguments: dict[str, Any]) -> str:
    return "  ".join(f"{name}={value!r}" for name, value in arguments.items())


def _title(text: str) -> None:
    click.secho(f"\n{text}", bold=True)

"""Starts mcp-memory as a client would, and calls a tool. A process of its own, since the SDK takes a second to load.

    python -P -m mcp_memory.clients.probe < targets.json

Targets come as one JSON list on stdin; for each, one line of JSON goes to stdout, in order.
"""

import logging
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO

import anyio
import click
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import TextContent

from mcp_memory.clients.targets import TARGETS, Attempt, Target

_PATIENCE: Final = 20.0
"""Seconds for the start and one call; a cold disk takes a few."""

_TOOL: Final = "list_memories"


async def _run() -> None:
    targets = TARGETS.validate_json(sys.stdin.buffer.read())
    attempts: dict[int, Attempt] = {}

    async def attempt(number: int, target: Target) -> None:
        attempts[number] = await _attempt(target)

    async with anyio.create_task_group() as tasks:
        for number, target in enumerate(targets):
            tasks.start_soon(attempt, number, target)
    for number in range(len(targets)):
        click.echo(attempts[number].model_dump_json())


async def _attempt(target: Target) -> Attempt:
    problem = ""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        try:
            with anyio.fail_after(_PATIENCE):
                return await _called(target, log)
        except* TimeoutError:
            problem = f"no answer within {_PATIENCE:g} s"
        except* (FileNotFoundError, PermissionError, NotADirectoryError) as errors:
            problem = _not_started(target, errors.exceptions[0])
        except* (MCPError, OSError, ValueError):
            problem = "it ended before it answered"
        log.seek(0)
        said = [line.strip() for line in log.read().splitlines() if line.strip()]
    return Attempt(problem=f"{problem}; its last line: {said[-1]}" if said else problem)


async def _called(target: Target, log: TextIO) -> Attempt:
    server = StdioServerParameters(command=target.command, args=list(target.args), env=dict(target.env), cwd=target.cwd)
    started = anyio.current_time()
    async with Client(stdio_client(server, errlog=log)) as client:
        tools = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
        if _TOOL in tools:
            result = await client.call_tool(_TOOL, _arguments(tools[_TOOL], target.user))
            if result.is_error:
                told = " ".join(block.text for block in result.content if isinstance(block, TextContent))
                return Attempt(problem=f"{_TOOL} failed: {told}")
        called = _TOOL if _TOOL in tools else ""
        return Attempt(seconds=anyio.current_time() - started, tools=len(tools), called=called)


def _arguments(schema: Mapping[str, Any], user: str) -> dict[str, Any]:
    return {"limit": 1} | ({"user_id": user} if "user_id" in schema.get("properties", {}) else {})


def _not_started(target: Target, error: BaseException) -> str:
    there = shutil.which(target.command)
    if there is None:
        return f"the command {target.command} is not there"
    if isinstance(error, FileNotFoundError):
        return f"the Python of {there} is not there any more" if Path(there).is_file() else "its folder is not there"
    return f"{there} cannot be started ({getattr(error, 'strerror', error)})"


if __name__ == "__main__":
    logging.disable()
    anyio.run(_run)

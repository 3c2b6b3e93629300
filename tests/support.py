"""How tests use the public door: an in-process or stdio client, one call a line."""

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, TextContent

from mcp_memory.app import App, open_app
from mcp_memory.clock import Clock
from mcp_memory.config import Config
from mcp_memory.models import LABEL
from mcp_memory.server import build_server
from mcp_memory.testing import FakeClock


def needs(package: str) -> pytest.MarkDecorator:
    """For tests that need a package of an extra: skipped where it is not installed, but in CI they fail then."""
    skipped = find_spec(package) is None and not os.environ.get("CI")
    return pytest.mark.skipif(skipped, reason=f"{package} is not installed: pip install --group dev")


Mode = Literal["auto", "legacy"]


@asynccontextmanager
async def connected(config: Config, mode: Mode = "auto", clock: Clock | None = None) -> AsyncGenerator[Client]:
    """A client of an in-process server of `config`. Open it inside the test body."""

    def opened(config: Config) -> AbstractAsyncContextManager[App]:
        return open_app(config, clock or FakeClock())

    async with Client(build_server(config, partial(opened)), mode=mode) as client:
        yield client


def stdio(*arguments: str, mode: Mode = "auto", env: dict[str, str] | None = None, cwd: Path | None = None) -> Client:
    """A client of a real server process: `mcp-memory serve` with these arguments."""
    parameters = StdioServerParameters(
        command=sys.executable, args=["-m", "mcp_memory", "serve", *arguments], env=env, cwd=cwd
    )
    return Client(parameters, mode=mode)


async def call(client: Client, tool: str, **arguments: Any) -> CallToolResult:
    """The result of one tool call, error or not."""
    result = await client.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    return result


async def ok(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured content of a call that succeeds, but for the label that every reply with memories carries."""
    result = await call(client, tool, **arguments)
    assert not result.is_error, text(result)
    reply = cast("dict[str, Any]", result.structured_content)
    assert reply.get("label", LABEL) == LABEL
    return {name: value for name, value in reply.items() if name != "label"}


def structured(result: CallToolResult) -> dict[str, Any]:
    """The structured form of a result, whole."""
    assert result.structured_content is not None
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """The one line of a call that fails."""
    result = await call(client, tool, **arguments)
    assert result.is_error, text(result)
    message = text(result)
    assert "\n" not in message, message
    assert "Traceback" not in message
    return message


def text(result: CallToolResult) -> str:
    """The text form of a result."""
    assert all(isinstance(block, TextContent) for block in result.content)
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))

"""Builds the server: tools of the profiles that are on, resources, instructions, and the checks before every call."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Literal

import anyio
from mcp.server.caching import CacheHint
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, CompleteRequestParams, GetPromptResult, InputRequiredResult, Resource
from pydantic import AnyUrl

from mcp_memory import __version__, prompts
from mcp_memory.app import App, open_app
from mcp_memory.config import Config
from mcp_memory.server import errors, resources
from mcp_memory.server import prompts as offered
from mcp_memory.server.calls import Serving
from mcp_memory.server.identity import Identity, identity_of
from mcp_memory.server.schema import ToolSpec, make_tool
from mcp_memory.server.tools import apps, core, extraction, manage, timeline
from mcp_memory.server.unanswered import Unanswered
from mcp_memory.server.wire import AnsweredStream, NoticedStream

TOOLS: Final[Mapping[str, ToolSpec]] = {
    spec.run.__name__: spec for spec in (*core.TOOLS, *extraction.TOOLS, *timeline.TOOLS, *manage.TOOLS, *apps.TOOLS)
}

_INSTRUCTIONS: Final[Mapping[str, str]] = {"agentic": "instructions", "always": "instructions-always"}
MOST_INSTRUCTIONS: Final = 2_048
MOST_BRIEF: Final = 1_024
"""Bytes of the instructions, which clients cut behind the first, and of the profile in them."""
_WAITING: Final[Mapping[str, str]] = {"extracted": "waiting-extracted", "all": "waiting"}
_HOUR_MS: Final = 3_600_000
_BREATH: Final = 0.05
"""Seconds between the first reply and the opening of the store. The SDK writes stdout in a thread, step by step, and
clients list the tools at once; loading the store would hold up both."""
_LEVELS: Final[Mapping[str, Literal["DEBUG", "INFO", "WARNING", "ERROR"]]] = {
    "debug": "DEBUG",
    "info": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
}


class MemoryServer(MCPServer[Serving]):
    """The SDK's server, with the user bound and the argument names checked before any tool sees a call."""

    def __init__(
        self,
        config: Config,
        identity: Identity,
        lifespan: Callable[[MCPServer[Serving]], AbstractAsyncContextManager[Serving]],
        replied: anyio.Event,
        brief: str,
    ) -> None:
        self._tools = {name: make_tool(TOOLS[name], show_user=identity.shown) for name in config.tool_names()}
        self._identity = identity
        self._replied = replied
        self._prompts = offered.prompts_of(identity)
        super().__init__(
            name="mcp-memory",
            title="Memory",
            version=__version__,
            instructions="\n\n".join(filter(None, (_guidance(config), brief))),
            tools=list(self._tools.values()),
            extensions=[apps.extension()] if any(TOOLS[name].page for name in self._tools) else None,
            lifespan=lifespan,
            log_level=_LEVELS[config.log_level],
            cache_hints={"tools/list": CacheHint(ttl_ms=_HOUR_MS, scope="public")},
        )
        for prompt in self._prompts.values():
            self.add_prompt(prompt)
        self._lowlevel_server.add_request_handler("completion/complete", CompleteRequestParams, offered.complete)

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Serving, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Run a tool for the user of this call; null arguments count as not given.

        Raises:
            ToolError: with one line for the calling model.
        """
        tool = self._tools.get(name)
        if tool is None:
            raise errors.unknown_tool(name, self._tools)
        bound = self._identity.bind({key: value for key, value in arguments.items() if value is not None})
        if broken := errors.broken_text(name, arguments):
            raise broken
        if unknown := errors.unknown_arguments(name, arguments, tool.parameters["properties"]):
            raise unknown
        try:
            return await self._run(name, bound, context)
        except ToolError as error:
            raise errors.tool_error(name, error) from error.__cause__

    async def _run(
        self, name: str, bound: dict[str, Any], context: Context[Serving, Any] | None
    ) -> CallToolResult | InputRequiredResult:
        try:
            return await super().call_tool(name, bound, context)
        except MCPError as error:
            if name in timeline.ASKING:
                raise errors.unasked(name, error) from error
            if name not in extraction.ASKING | core.ASKING:
                raise
            # The client would not let its model, or its user, be asked. It is not asked again: the tool goes on itself.
            return await super().call_tool(name, bound, context)

    async def list_resources(self) -> list[Resource]:
        """What is no template."""
        return [*resources.listed(self._identity), *await super().list_resources()]

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Serving, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Read a memory or the profile.

        Raises:
            ResourceError: with one line for the client.
        """
        if context is not None and str(uri) in {one.uri for one in resources.listed(self._identity)}:
            return await resources.own_profile(self._identity, context)
        return await super().read_resource(uri, context)

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Serving, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        """Word a prompt for the user of this call.

        Raises:
            MCPError: with one line for the client.
        """
        prompt = self._prompts.get(name)
        if prompt is None:
            raise offered.unknown(name, self._prompts)
        given = offered.bound(prompt, self._identity, arguments or {})
        try:
            return await super().get_prompt(name, given, context)
        except ValueError as error:
            raise offered.failed(error) from error

    async def run_stdio_async(self) -> None:
        """Serve stdin and stdout until stdin ends."""
        async with stdio_server() as (read, write):
            options = self._lowlevel_server.create_initialization_options()
            noticed = NoticedStream(write, self._replied)
            await self._lowlevel_server.run(AnsweredStream(read, write), noticed, options)


def room_for_brief(config: Config) -> int:
    """How many bytes of profile the instructions may have, so that they stay within their limit."""
    return min(MOST_BRIEF, MOST_INSTRUCTIONS - len(_guidance(config).encode()) - len("\n\n"))


def build_server(
    config: Config, open_: Callable[[Config], AbstractAsyncContextManager[App]] = open_app, brief: str = ""
) -> MemoryServer:
    """The server of `config`, with `brief` at the end of its instructions.

    Its store is opened after the first reply over stdio, or by the first call.
    """
    identity = identity_of(config)
    replied = anyio.Event()

    @asynccontextmanager
    async def lifespan(_: MCPServer[Serving]) -> AsyncGenerator[Serving]:
        async with open_(config) as app, anyio.create_task_group() as tasks:
            tasks.start_soon(_warm_up, app, replied)
            tasks.start_soon(app.keep_vectors)
            tasks.start_soon(app.keep_backups)
            tasks.start_soon(app.keep_swept)
            yield Serving(app, identity, Unanswered())
            tasks.cancel_scope.cancel()

    server = MemoryServer(config, identity, lifespan, replied, brief)
    resources.add_resources(server, identity)
    return server


def _guidance(config: Config) -> str:
    told = prompts.load(_INSTRUCTIONS[config.extraction.mode])
    return told if config.approval.mode == "off" else f"{told}\n\n{prompts.load(_WAITING[config.approval.mode])}"


async def _warm_up(app: App, replied: anyio.Event) -> None:
    await replied.wait()
    await anyio.sleep(_BREATH)
    await app.warm_up()

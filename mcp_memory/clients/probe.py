"""Starts a server as a client would, and calls a tool of it.

Five messages of the protocol's handshake, which every server knows, spoken here: the SDK takes a second to load.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final, cast

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from mcp_memory.errors import ConfigError
from mcp_memory.values import Value

_PATIENCE: Final = 20.0
"""Seconds for the start and one call; a cold disk takes a few."""

_GRACE: Final = 2.0
"""Seconds that a server has to end after its stdin was closed, as the specification's shutdown gives it."""

_LINE: Final = 4 << 20
_PROTOCOL: Final = "2025-06-18"
_TOOL: Final = "list_memories"
_CALLER: Final = {"name": "mcp-memory doctor", "version": "1"}

_INHERITED: Final = frozenset(
    {
        *("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"),
        *("APPDATA", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATHEXT", "PROCESSOR_ARCHITECTURE"),
        *("SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "USERNAME", "USERPROFILE"),
    }
)
"""What clients hand on of their environment: the list of the SDKs."""


class Target(Value):
    """A command to start as a client would, and as whom to ask where the server serves several users."""

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    user: str


class Attempt(Value):
    """How it went: `seconds` from the start to the reply of the tool `called`, or the `problem`.

    `version` is that of the server, as it says itself.
    """

    problem: str = ""
    seconds: float = 0.0
    version: str = ""
    tools: int = 0
    called: str = ""


class _Ended(Exception):
    """The server ended, or said what no server says."""


async def attempt(target: Target, environ: Mapping[str, str]) -> Attempt:
    """Start `target`, of whose environment only what clients hand on of `environ` is more than its own."""
    with tempfile.TemporaryFile() as log:
        try:
            with anyio.fail_after(_PATIENCE):
                return await _called(target, {name: environ[name] for name in _INHERITED & environ.keys()}, log)
        except TimeoutError:
            problem = f"no answer within {_PATIENCE:g} s"
        except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
            problem = _not_started(target, error)
        except ConfigError as error:
            return Attempt(problem=str(error))
        except (_Ended, OSError, ValueError, anyio.BrokenResourceError):
            problem = "it ended before it answered"
        log.seek(0)
        said = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return Attempt(problem=f"{problem}; its last line: {said[-1]}" if said else problem)


async def _called(target: Target, inherited: Mapping[str, str], log: IO[bytes]) -> Attempt:
    started = anyio.current_time()
    program = shutil.which(target.command, path=target.env.get("PATH", inherited.get("PATH"))) or target.command
    process = await anyio.open_process(
        [program, *target.args],
        stderr=log,
        cwd=target.cwd,
        env={**inherited, **target.env},
        start_new_session=sys.platform != "win32",
    )
    try:
        dialogue = _Dialogue(process)
        hello = {"protocolVersion": _PROTOCOL, "capabilities": {}, "clientInfo": _CALLER}
        version = str((await dialogue.ask("initialize", hello)).get("serverInfo", {}).get("version", ""))
        await dialogue.tell("notifications/initialized")
        tools = {tool["name"]: tool["inputSchema"] for tool in (await dialogue.ask("tools/list", {}))["tools"]}
        if _TOOL in tools:
            await dialogue.call(_TOOL, _arguments(tools[_TOOL], target.user))
        called = _TOOL if _TOOL in tools else ""
        return Attempt(seconds=anyio.current_time() - started, version=version, tools=len(tools), called=called)
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


class _Dialogue:
    """Questions and replies, one after the other."""

    def __init__(self, process: Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise _Ended
        self._to, self._from = process.stdin, BufferedByteReceiveStream(process.stdout)
        self._asked = 0

    async def tell(self, method: str, **more: object) -> None:
        message = {"jsonrpc": "2.0", "method": method, **more}
        await self._to.send(json.dumps(message).encode() + b"\n")

    async def ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self._asked += 1
        await self.tell(method, id=self._asked, params=params)
        while True:
            try:
                said: object = json.loads(await self._from.receive_until(b"\n", _LINE))
            except (anyio.IncompleteRead, anyio.DelimiterNotFound, anyio.EndOfStream) as error:
                raise _Ended from error
            reply = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
            if reply.get("id") == self._asked and "method" not in reply:
                if "error" in reply:
                    raise ConfigError(f"{method} failed: {reply['error'].get('message', '')}")
                return reply.get("result", {})

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> None:
        result = await self.ask("tools/call", {"name": tool, "arguments": arguments})
        if result.get("isError"):
            told = " ".join(block.get("text", "") for block in result.get("content", []))
            raise ConfigError(f"{tool} failed: {told}")


async def _end(process: Process) -> None:
    """Close its stdin; a server that goes on is killed with whatever it started."""
    if process.stdin is not None:
        await process.stdin.aclose()
    with anyio.move_on_after(_GRACE):
        await process.wait()
    if process.returncode is None:
        if sys.platform == "win32":
            await anyio.run_process(["taskkill", "/T", "/F", "/PID", str(process.pid)], check=False)
        else:
            os.killpg(process.pid, signal.SIGKILL)
    await process.aclose()


def _arguments(schema: Mapping[str, Any], user: str) -> dict[str, Any]:
    return {"limit": 1} | ({"user_id": user} if "user_id" in schema.get("properties", {}) else {})


def _not_started(target: Target, error: OSError) -> str:
    there = shutil.which(target.command)
    if there is None:
        return f"the command {target.command} is not there"
    if isinstance(error, FileNotFoundError):
        return f"the Python of {there} is not there any more" if Path(there).is_file() else "its folder is not there"
    return f"{there} cannot be started ({error.strerror})"

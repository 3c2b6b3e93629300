"""The processes of the soak test: the real server on bare pipes, or a lean one on a socket; both are asked alike."""

import asyncio
import itertools
import json
import multiprocessing
import os
import signal
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import anyio
from anyio.to_thread import run_sync

from benchmarks.common import ROOT, environment
from benchmarks.soak_child import serve

PRELOADED: Final = ["numpy", "benchmarks.soak_child", "mcp_memory.store.sqlite", "mcp_memory.embed.builtin"]
_LINE: Final = 1 << 24
_ENDED: Final = 20.0
_INITIALIZE: Final = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "soak", "version": "1"},
}


class Gone(Exception):
    """The process ended before it answered."""


class Process(ABC):
    """A process on the file. Every call that it has not answered when it ends raises `Gone`."""

    def __init__(self, name: str, database: Path, lock_timeout: float) -> None:
        self.name = name
        self.database = database
        self._lock_timeout = lock_timeout
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ended = False
        self.ending = False
        """Whether it has been killed, or its input closed: it ends by itself for no other reason."""
        self._reading: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    @abstractmethod
    async def start(self) -> None:
        """Start it; calls may be sent at once."""

    @abstractmethod
    async def wait(self) -> None:
        """Until it has ended, for whatever reason."""

    @property
    @abstractmethod
    def pid(self) -> int:
        """Its number."""

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
        """The structured reply of one tool call and an empty text, or none and what went wrong.

        Raises:
            Gone: the process ended before it answered.
        """
        message = await self._ask("tools/call", {"name": tool, "arguments": arguments})
        if "error" in message:
            return None, json.dumps(message["error"])
        result = message["result"]
        if result.get("isError"):
            return None, " ".join(block["text"] for block in result["content"])
        return result["structuredContent"], ""

    def tell(self, method: str, params: Mapping[str, Any]) -> None:
        """Send what has no answer."""
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def signal(self, number: signal.Signals) -> None:
        self.ending |= number == signal.SIGKILL
        if not self._ended:
            os.kill(self.pid, number)

    async def close(self) -> bool:
        """Close its input; whether it has then ended by itself, as it must."""
        self.ending = True
        if self._writer is not None:
            self._writer.close()
        with anyio.move_on_after(_ENDED):
            await self.wait()
            return True
        self.signal(signal.SIGKILL)
        await self.wait()
        return False

    async def _ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        if self._ended:
            raise Gone
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return await answer

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._writer is None or self._ended:
            raise Gone
        self._writer.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")

    def _read_from(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while (line := await reader.readline()).endswith(b"\n"):
                message = cast("dict[str, Any]", json.loads(line))
                answer = self._waiting.pop(message.get("id", 0), None)
                if answer is not None and not answer.done():
                    answer.set_result(message)
        except ConnectionError:
            pass  # killed while it had unread lines
        finally:
            self._ended = True
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(Gone())
            self._waiting.clear()


class Lean(Process):
    """`soak_child`, forked from a process that has its imports done: it is there in a few milliseconds."""

    async def start(self) -> None:
        context: Any = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        ours, theirs = socket.socketpair()
        self._process = context.Process(
            target=serve, args=(str(self.database), theirs, self._lock_timeout), name=self.name, daemon=True
        )
        await run_sync(self._process.start)
        theirs.close()
        self._read_from(*await asyncio.open_connection(sock=ours, limit=_LINE))

    async def wait(self) -> None:
        await run_sync(self._process.join, abandon_on_cancel=True)
        if self._reading is not None:
            await self._reading
        if self._writer is not None:
            self._writer.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def jump(self, seconds: float) -> None:
        """Set its clock to that much beside the machine's."""
        self.tell("clock", {"offset": round(seconds * 1_000_000)})

    def limit(self, size: int | None) -> None:
        """Let no file grow beyond `size` bytes by its hand; None: any."""
        self.tell("limit", {"size": size})


class Real(Process):
    """`mcp-memory serve`."""

    async def start(self) -> None:
        config = self.database.with_name("empty.toml")
        config.touch()
        arguments = ("-m", "mcp_memory", "serve", "--config", str(config), "--database", str(self.database))
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(*arguments, "--identity", "argument"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env=environment() | {"MCP_MEMORY_STORE_LOCK_TIMEOUT": str(self._lock_timeout)},
            limit=_LINE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._read_from(self._process.stdout, self._process.stdin)
        try:
            await self._ask("initialize", _INITIALIZE)
            self.tell("notifications/initialized", {})
        except Gone:
            pass  # killed already; the next call says so

    async def wait(self) -> None:
        await self._process.wait()
        if self._reading is not None:
            await self._reading

    @property
    def pid(self) -> int:
        return self._process.pid

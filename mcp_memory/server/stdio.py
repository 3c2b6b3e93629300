"""Serving over stdio as a good child process: it ends with its input or a signal, and leaves nothing behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Final, NoReturn

import anyio

from mcp_memory.app import App, brief, open_app
from mcp_memory.config import Config
from mcp_memory.server.build import build_server, room_for_brief

_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


def serve(config: Config) -> None:
    """Serve until the client closes stdin, or a signal ends the process with 128 + its number."""
    anyio.run(_serve, config)


async def _serve(config: Config) -> None:
    ending = _Ending()

    @asynccontextmanager
    async def opened(config: Config) -> AsyncGenerator[App]:
        ending.graceful = True
        try:
            async with open_app(config) as app:
                yield app
        finally:
            # The SDK reads stdin in a thread that nothing can interrupt, and would wait for it. By now every call has
            # ended and the store is closed, so the process may go.
            if ending.signal is not None:
                ending.now()

    with anyio.CancelScope() as scope, ending.on_signals(scope):
        known = await brief(config, room_for_brief(config))
        await build_server(config, opened, known).run_stdio_async()


class _Ending:
    """What happens on a signal that asks the process to end.

    Calls are cancelled and the store is closed; at once where there is nothing to close yet, or when asked again.
    """

    def __init__(self) -> None:
        self.graceful = False
        self.signal: int | None = None

    @contextmanager
    def on_signals(self, scope: anyio.CancelScope) -> Generator[None]:
        """Cancel `scope` when a signal comes while the block runs."""
        loop = asyncio.get_running_loop()

        def end(number: int, _: FrameType | None) -> None:
            again, self.signal = self.signal is not None, number
            if again or not self.graceful:
                self.now()
            loop.call_soon_threadsafe(scope.cancel)

        numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
        former = {number: signal.signal(number, end) for number in numbers}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def now(self) -> NoReturn:
        """Leave, with the exit code that shells use for the signal."""
        sys.stderr.flush()
        os._exit(128 + (self.signal or 0))

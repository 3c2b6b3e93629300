"""Serving over stdio as a good child process: it ends with its input or a signal, and leaves nothing behind."""

import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import anyio
from anyio.lowlevel import current_token

from mcp_memory.config import Config
from mcp_memory.server.build import build_server

_ENDING: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


def serve(config: Config) -> int:
    """Serve until the client closes stdin or a signal comes; the process's exit code."""
    return anyio.run(_serve, config)


async def _serve(config: Config) -> int:
    server = build_server(config)
    with anyio.CancelScope() as scope, _ended_by_signals(scope) as received:
        await server.run_stdio_async()
    sys.stderr.flush()
    return 128 + received[0] if received else 0


@contextmanager
def _ended_by_signals(scope: anyio.CancelScope) -> Generator[list[int]]:
    """Cancels `scope` on a signal that asks the process to end; yields those received."""
    received: list[int] = []
    token = current_token()

    def end(number: int, _: FrameType | None) -> None:
        received.append(number)
        anyio.from_thread.run_sync(scope.cancel, token=token)

    signals = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    former: dict[int, Any] = {number: signal.signal(number, end) for number in signals}
    try:
        yield received
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)

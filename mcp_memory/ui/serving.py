"""Serving the memory browser to the person at this machine until a signal ends it."""

import logging
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import anyio
import uvicorn

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.errors import ConfigError
from mcp_memory.ui.desk import Desk
from mcp_memory.ui.http import Door, browser_app

HOST: Final = "127.0.0.1"

_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_PATIENCE: Final = 2
"""Seconds that calls under way have when a signal came."""

Tell = Callable[[str], None]
"""Is handed the address with the token, once it answers."""


def serve(config: Config, port: int, tell: Tell) -> None:
    """Serve the memories of `config.user` on this machine only; port 0 is any free one. Ends on a signal.

    Raises:
        ConfigError: the port is taken.
        StoreError: the store cannot be opened.
    """
    with _listening(port) as listener:
        anyio.run(_serve, config, listener, tell)


async def _serve(config: Config, listener: socket.socket, tell: Tell) -> None:
    port = listener.getsockname()[1]
    door = Door()
    async with open_app(config) as app, anyio.create_task_group() as tasks:
        desk = Desk(await app.service(), config.user, app.zone)
        tasks.start_soon(app.warm_up)
        tasks.start_soon(app.keep_vectors)
        tasks.start_soon(app.keep_backups)
        settings = uvicorn.Config(
            browser_app(desk, door, port),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=logging.getLogger().getEffectiveLevel(),
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_PATIENCE,
        )
        tasks.start_soon(_told, tell, f"http://{HOST}:{port}/#{door.token}")
        await _Server(settings).serve([listener])
        tasks.cancel_scope.cancel()


async def _told(tell: Tell, address: str) -> None:
    """Beside the serving: opening a browser may take long, or a browser in the terminal as long as it is used."""
    await anyio.to_thread.run_sync(tell, address, abandon_on_cancel=True)


class _Server(uvicorn.Server):
    """Ends when a signal comes, and leaves it at that: uvicorn's own raises it again, before the store is closed."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
        former = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def _listening(port: int) -> socket.socket:
    """A socket that already takes connections, so that the address works as soon as it is told."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(f"--port {port} cannot be used ({error}); name another, or none for any free one") from error
    listener.listen()
    return listener

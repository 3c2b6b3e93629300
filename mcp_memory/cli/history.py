"""What happened to the memories of one user, and the ways back, from a terminal. Nothing here imports the SDK."""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Any, Final, cast

import anyio
import click

from mcp_memory import __version__
from mcp_memory.app import open_app
from mcp_memory.cli.memories import prepare
from mcp_memory.cli.options import EPILOG, loaded, settings
from mcp_memory.config import Config
from mcp_memory.service import MemoryService
from mcp_memory.service.pending import Person
from mcp_memory.views import data, lines, timeline

Answer = tuple[str, Mapping[str, Any]]
"""What a command says, in both forms."""
Ask = Callable[[MemoryService, tzinfo | None], Awaitable[Answer]]

_JSON: Final = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.command(epilog=EPILOG)
@click.argument("memory_id", metavar="ID")
@settings("user", "database", "config")
@_JSON
def history(memory_id: str, file: Path | None, user: str | None, database: str | None, *, as_json: bool) -> None:
    """Show every version of memory ID, with what each changed, who wrote it and why; a deleted one's too."""
    config = loaded(file, user=user, database=database)

    async def ask(service: MemoryService, zone: tzinfo | None) -> Answer:
        found = await service.timeline.history(config.user, memory_id)
        return timeline.history(found, zone), cast("Mapping[str, Any]", timeline.structured_history(found))

    _answer(config, ask, as_json=as_json)


@click.command(epilog=EPILOG)
@settings("user", "database", "config")
@click.option(
    "--since", metavar="TIME|CHANGE", help="Only since then: 2d, 12h, 2w, an ISO date-time, or after a change."
)
@click.option("--limit", metavar="N", type=int, default=20, help="How many at most, up to 100 (default: 20).")
@click.option("--cursor", metavar="C", help="The next page, as the page before names it.")
@_JSON
def changes(
    file: Path | None,
    user: str | None,
    database: str | None,
    since: str | None,
    limit: int,
    cursor: str | None,
    *,
    as_json: bool,
) -> None:
    """List what changed, newest first: when, by which tool and client, and what it did to which memory."""
    config = loaded(file, user=user, database=database)

    async def ask(service: MemoryService, zone: tzinfo | None) -> Answer:
        found = await service.timeline.changes(config.user, since, limit, cursor)
        return timeline.changes(found, zone), cast("Mapping[str, Any]", timeline.structured_changes(found))

    _answer(config, ask, as_json=as_json)


@click.command(epilog=EPILOG)
@click.argument("change", required=False)
@settings("user", "database", "config")
@_JSON
def undo(change: str | None, file: Path | None, user: str | None, database: str | None, *, as_json: bool) -> None:
    """Take back CHANGE, or the latest; repeated, it walks back. Undoing the change of an undo is a redo."""
    config = loaded(file, user=user, database=database)

    async def ask(service: MemoryService, zone: tzinfo | None) -> Answer:
        done = await service.undo(config.user, change, _origin("undo"))
        return lines.undone(done, zone), cast("Mapping[str, Any]", data.undone(done))

    _answer(config, ask, as_json=as_json)


@click.command(epilog=EPILOG)
@click.argument("memory_id", metavar="ID")
@click.option("--version", "number", metavar="N", type=int, required=True, help="The version, as history numbers it.")
@settings("user", "database", "config")
@_JSON
def restore(
    memory_id: str, number: int, file: Path | None, user: str | None, database: str | None, *, as_json: bool
) -> None:
    """Give memory ID back what it was at a version, as one change; a deleted one comes back."""
    config = loaded(file, user=user, database=database)

    async def ask(service: MemoryService, zone: tzinfo | None) -> Answer:
        done = await service.timeline.restore(config.user, memory_id, number, _origin("restore"))
        return timeline.restored(done, zone), cast("Mapping[str, Any]", timeline.structured_restored(done))

    _answer(config, ask, as_json=as_json)


COMMANDS: Final = (history, changes, undo, restore)


def _answer(config: Config, ask: Ask, *, as_json: bool) -> None:
    """Print what the service answers.

    Raises:
        McpMemoryError: there is no such file, or the service refuses; nothing was written.
    """
    prepare(config)
    told, structured = anyio.run(_asked, config, ask)
    click.echo(json.dumps(structured) if as_json else told)


async def _asked(config: Config, ask: Ask) -> Answer:
    async with open_app(config) as app:
        return await ask(await app.service(), app.zone)


def _origin(tool: str) -> Person:
    return Person(tool=tool, client="mcp-memory", client_version=__version__)

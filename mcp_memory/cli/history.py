"""What happened to the memories of one user, and the ways back, from a terminal. Nothing here imports the SDK."""

from collections.abc import Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Any, cast

import click

from mcp_memory.cli import tables
from mcp_memory.cli.candidates import ids
from mcp_memory.cli.options import EPILOG, loaded, origin, settings
from mcp_memory.cli.output import JSON, Answer, answer
from mcp_memory.service import MemoryService
from mcp_memory.views import data, lines, timeline


@click.command(epilog=EPILOG)
@click.argument("memory_id", metavar="ID", shell_complete=ids)
@settings("user", "database", "config")
@JSON
def history(memory_id: str, file: Path | None, user: str | None, database: str | None, *, as_json: bool) -> None:
    """Show every version of memory ID, with what each changed, who wrote it and why; a deleted one's too."""
    config = loaded(file, user=user, database=database)

    async def ask(service: MemoryService, zone: tzinfo | None) -> Answer:
        found = await service.timeline.history(config.user, memory_id)
        return Answer(
            timeline.history(found, zone), cast("Mapping[str, Any]", timeline.structured_history(found)), tables.got
        )

    answer(config, ask, as_json=as_json)


@click.command(epilog=EPILOG)
@settings("user", "database", "config")
@click.option(
    "--since", metavar="TIME|CHANGE", help="Only since then: 2d, 12h, 2w, an ISO date-time, or after a change."
)
@click.option("--limit", metavar="N", type=int, default=20, help="How many at most, up to 100 (default: 20).")
@click.option("--cursor", metavar="C", help="The next page, as the page before names it.")
@JSON
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
        return Answer(
            timeline.changes(found, zone), cast("Mapping[str, Any]", timeline.structured_changes(found)), tables.changes
        )

    answer(config, ask, as_json=as_json)


@click.command(epilog=EPILOG)
@click.argument("change", required=False)
@settings("user", "database", "config")
@JSON
def undo(change: str | None, file: Path | None, user: str | None, database: str | None, *, as_json: bool) -> None:
    """Take back CHANGE, or the latest; repeated, it walks back. Undoing the change of an undo is a redo."""
    config = loaded(file, user=user, database=database)

    async def ask(service: MemoryService, zone: tzinfo | None) -> Answer:
        done = await service.undo(config.user, change, origin("undo"))
        return Answer(lines.undone(done, zone), cast("Mapping[str, Any]", data.undone(done)), tables.undone)

    answer(config, ask, as_json=as_json)


@click.command(epilog=EPILOG)
@click.argument("memory_id", metavar="ID", shell_complete=ids)
@click.option("--version", "number", metavar="N", type=int, required=True, help="The version, as history numbers it.")
@settings("user", "database", "config")
@JSON
def restore(
    memory_id: str, number: int, file: Path | None, user: str | None, database: str | None, *, as_json: bool
) -> None:
    """Give memory ID back what it was at a version, as one change; a deleted one comes back."""
    config = loaded(file, user=user, database=database)

    async def ask(service: MemoryService, zone: tzinfo | None) -> Answer:
        done = await service.timeline.restore(config.user, memory_id, number, origin("restore"))
        return Answer(
            timeline.restored(done, zone), cast("Mapping[str, Any]", timeline.structured_restored(done)), tables.written
        )

    answer(config, ask, as_json=as_json)

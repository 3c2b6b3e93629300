"""`mcp-memory users` and `users rename`: whose memories a file has. Nothing here imports the SDK."""

from datetime import tzinfo
from pathlib import Path
from typing import Any, cast

import anyio
import click

from mcp_memory.app import open_app
from mcp_memory.cli import candidates, output, tables
from mcp_memory.cli.memories import prepare
from mcp_memory.cli.options import EPILOG, ask, loaded, refuse_unasked, settings
from mcp_memory.cli.output import JSON, Answer
from mcp_memory.config import Config
from mcp_memory.service import MemoryService
from mcp_memory.store.base import Holding
from mcp_memory.text.amounts import counted
from mcp_memory.text.cleanup import escaped
from mcp_memory.views import overview


@click.group(epilog=EPILOG, invoke_without_command=True)
@settings("database", "config")
@JSON
@click.pass_context
def users(ctx: click.Context, file: Path | None, database: str | None, *, as_json: bool) -> None:
    """List whose memories there are, or rename a user."""
    if ctx.invoked_subcommand is not None:
        given = {"file": file, "database": database, "as_json": as_json or None}
        ctx.default_map = {ctx.invoked_subcommand: {name: value for name, value in given.items() if value is not None}}
        return

    async def look(service: MemoryService, _: tzinfo | None) -> Answer:
        found = await service.overview.users()
        return Answer(overview.users(found), cast("Any", overview.structured_users(found)), tables.users)

    output.answer(loaded(file, database=database), look, as_json=as_json)


@users.command(epilog=EPILOG)
@click.argument("old", shell_complete=candidates.users)
@click.argument("new")
@click.option("--yes", is_flag=True, help="Do not ask; needed where nobody sits at a terminal.")
@settings("database", "config")
@JSON
def rename(old: str, new: str, file: Path | None, database: str | None, *, yes: bool, as_json: bool) -> None:
    """Give all that is OLD's, the history included, to the name NEW, which nobody has.

    Clients that are started for OLD, or send that name, find nothing until they are given the new one. Backups keep the
    names of their time.
    """
    config = loaded(file, database=database)
    prepare(config)
    if not yes:
        refuse_unasked()
        held = anyio.run(_renamable, config, old, new)  # nothing is held open while a person thinks
        memories = counted(held.memories - held.pending, "memory", "memories")
        ask(f"Rename {escaped(old)} ({memories}) to {escaped(new)}?")

    async def do(service: MemoryService, _: tzinfo | None) -> Answer:
        held = await service.overview.rename(old, new)
        return Answer(overview.renamed(old, new, held), cast("Any", overview.structured_renamed(old, new, held)))

    output.answer(config, do, as_json=as_json)


async def _renamable(config: Config, old: str, new: str) -> Holding:
    async with open_app(config) as app:
        return await (await app.service()).overview.renamable(old, new)

"""Tidying up the memories of one user from a terminal. Nothing here imports the SDK."""

import json
import sys
from pathlib import Path
from typing import Literal, get_args

import anyio
import click

from mcp_memory.app import open_app
from mcp_memory.cli.memories import prepare
from mcp_memory.cli.options import EPILOG, loaded, origin, settings
from mcp_memory.config import Config
from mcp_memory.values import Value
from mcp_memory.views import optimized

Strategy = Literal["deduplicate", "summarize", "expire"]


class Wish(Value):
    """What to do, as the command line words it."""

    strategy: Strategy = "deduplicate"
    apply: bool = False
    as_json: bool = False


@click.command("optimize", epilog=EPILOG)
@settings("user", "database", "config")
@click.option(
    "--strategy",
    metavar="S",
    type=click.Choice(get_args(Strategy)),
    default="deduplicate",
    help="deduplicate, summarize or expire (default: deduplicate).",
)
@click.option("--apply", is_flag=True, help="Carry the plan out; without it, nothing is written.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, in the form of optimize_memories.")
def optimize_command(file: Path | None, user: str | None, database: str | None, **wish: object) -> None:
    """Merge memories that say the same, or remove what has expired: a plan first, then one change.

    summarize has the configured model merge related memories; without one it shows what would be asked.
    """
    configured = loaded(file, user=user, database=database)
    optimize(configured, Wish.checked(wish))


def optimize(config: Config, wish: Wish) -> None:
    """Print the plan, or carry it out and print what was done.

    Raises:
        McpMemoryError: there is no such file, or the plan cannot be made or carried out; nothing was written.
    """
    prepare(config)
    click.echo(anyio.run(_optimized, config, wish))


async def _optimized(config: Config, wish: Wish) -> str:
    async with open_app(config) as app:
        by = origin("optimize")
        optimizer, dry_run = (await app.service()).optimizer, not wish.apply
        match wish.strategy:
            case "summarize":
                summarizer = await app.summarizer()
                if summarizer.model is None:
                    sheet = await summarizer.worksheet(config.user)
                    plain = optimized.structured_sheet(sheet)
                    return json.dumps(plain) if wish.as_json else optimized.sheet_text(sheet)
                done = await summarizer.by_model(config.user, by, _tell, dry_run=dry_run)
            case "expire":
                done = await optimizer.expire(config.user, by, dry_run=dry_run)
            case "deduplicate":
                done = await optimizer.deduplicate(config.user, by, dry_run=dry_run)
        return json.dumps(optimized.structured(done)) if wish.as_json else optimized.text(done, app.zone)


async def _tell(done: int, groups: int) -> None:
    """Show how many groups a model has read, where somebody looks at it."""
    if groups and sys.stderr.isatty():
        click.echo(f"\r{done} of {groups} groups read", err=True, nl=done == groups)

"""`mcp-memory profile`: the digest of what is known of a user, for a prompt or a hook. It never imports the SDK."""

import json
from pathlib import Path

import anyio
import click

from mcp_memory.app import open_app
from mcp_memory.cli.memories import prepare
from mcp_memory.cli.options import EPILOG, loaded, settings
from mcp_memory.config import Config
from mcp_memory.service.profile import Profile
from mcp_memory.views import profile as view


@click.command(epilog=EPILOG)
@settings("user", "database", "config")
@click.option("--about", metavar="TEXT", help="What is known about TEXT first.")
@click.option("--max-tokens", metavar="N", type=int, help="What it takes at most (default: profile.max_tokens, 1000).")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with all of every memory.")
def profile(
    file: Path | None,
    user: str | None,
    database: str | None,
    about: str | None,
    max_tokens: int | None,
    *,
    as_json: bool,
) -> None:
    """Print the digest of what is known of a user: pinned memories, facts with a key, then the most important ones."""
    config = loaded(file, user=user, database=database)
    prepare(config)
    made = anyio.run(_made, config, config.profile.max_tokens if max_tokens is None else max_tokens, about)
    click.echo(json.dumps(view.structured(made)) if as_json else view.text(made))


async def _made(config: Config, max_tokens: int, about: str | None) -> Profile:
    async with open_app(config) as app:
        return await (await app.service()).profile(config.user, max_tokens, about)

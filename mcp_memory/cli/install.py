"""Connecting clients, from a terminal."""

import os

import click

from mcp_memory.cli import connecting
from mcp_memory.cli.options import EPILOG, settings

_CLIENT = click.argument("clients", metavar="CLIENT...", nargs=-1)
_ALL = click.option("--all", "every", is_flag=True, help="Every client that is there.")
_DRY = click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
_PROJECT = click.option("--project", is_flag=True, help="For the project in this folder only, in its own files.")


@click.command(epilog=EPILOG)
@_CLIENT
@_ALL
@settings("user", "database")
@_PROJECT
@click.option("--guidance", is_flag=True, help="Also tell the client's model, in its instructions file, when to look.")
@click.option("--hooks", is_flag=True, help="Also what is known at each start, and extraction (Claude Code).")
@_DRY
@click.option("--print", "shown", is_flag=True, help="Print what belongs into the file, and write nothing.")
@click.pass_context
def install(ctx: click.Context, **wish: object) -> None:
    """Connect CLIENT: write this server into its configuration, and try it.

    CLIENT is claude-desktop, claude-code, cursor, vscode, windsurf, zed, codex, gemini, copilot, cline, opencode or
    goose. Everything else in the file stays as it is, and a copy of it is kept beside it. Ends with 1 if the server
    does not answer.
    """
    ctx.exit(connecting.install(connecting.Wish.checked(wish), os.environ))


@click.command()
@_CLIENT
@_ALL
@_PROJECT
@_DRY
def uninstall(**wish: object) -> None:
    """Take this server out of CLIENT again, with its guidance and hooks. The memories stay."""
    connecting.uninstall(connecting.Wish.checked(wish), os.environ)


@click.command(epilog=EPILOG)
@settings("config")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def clients(**wish: object) -> None:
    """List the clients, what connects them, and which version answers there."""
    connecting.clients(connecting.Look.checked(wish), os.environ)

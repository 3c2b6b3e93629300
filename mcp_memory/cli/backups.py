"""Backing a file up and putting a backup back, from a terminal. Nothing here imports the SDK."""

from datetime import tzinfo
from pathlib import Path

import anyio
import click

from mcp_memory.app import archive_of
from mcp_memory.cli.memories import prepare
from mcp_memory.cli.options import EPILOG, ask, loaded, settings
from mcp_memory.clock import SystemClock, minute_in, zone_named
from mcp_memory.errors import ConfigError, InvalidInput
from mcp_memory.store.base import Backup
from mcp_memory.text.amounts import counted, size


@click.command(epilog=EPILOG)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@settings("database", "config")
def backup(folder: Path | None, file: Path | None, database: str | None) -> None:
    """Copy the file, while clients go on using it, into the folder "backups" beside it, or into DIR.

    The copy is checked before it gets its name, and stays until you remove it. What is forgotten for good is forgotten
    in it too, as long as it stays where it is. For automatic backups see [backup] in the settings.
    """
    configured = loaded(file, database=database)
    prepare(configured)
    if folder is not None and folder.suffix == ".db" and not folder.is_dir():
        raise InvalidInput(f"{folder} is named like a file; give the folder that the backup is to stand in")
    archive = anyio.run(archive_of, configured)
    made = anyio.run(archive.make, folder, SystemClock().now())
    click.echo(f"Backed up to {made.path} ({_contents(made)})")


@click.command("restore-backup", epilog=EPILOG)
@click.argument("name", metavar="[FILE|latest]", default="latest")
@settings("database", "config")
@click.option("--list", "listed", is_flag=True, help="Show what backups there are, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def restore_backup(name: str, file: Path | None, database: str | None, *, listed: bool, yes: bool) -> None:
    """Put a backup in the place of the file, for all its users; what is there now is kept as a backup first.

    Close the clients that use the file before. FILE is a path, or a name that --list shows.
    """
    configured = loaded(file, database=database)
    if configured.ephemeral:
        raise ConfigError("with ephemeral = true there is no file to restore; set it to false")
    zone, archive = zone_named(configured.timezone), anyio.run(archive_of, configured)
    if listed:
        found = anyio.run(archive.found)
        click.echo("\n".join(_line(one, zone) for one in reversed(found)) or "No backups yet: mcp-memory backup")
        return
    chosen = anyio.run(archive.named, name)
    if not yes:
        ask(f"Replace {configured.path()} by {_line(chosen, zone)}?")
    done = anyio.run(archive.restore, chosen, SystemClock().now())
    click.echo(f"Restored {configured.path()} from {chosen.path} ({_contents(chosen)})")
    if done.kept is not None:
        click.echo(f"What was there before ({_contents(done.kept)}) is kept: {done.kept.path}")


def _line(one: Backup, zone: tzinfo | None) -> str:
    why = f" · {one.reason}" if one.reason else ""
    when = f" · {minute_in(one.at, zone)}" if one.at else ""
    return f"{one.path}{when} · {_contents(one)}{why}"


def _contents(one: Backup) -> str:
    held = "cannot be read" if one.memories is None else counted(one.memories, "memory", "memories")
    of = f" of {counted(one.users or 0, 'user', 'users')}" if one.memories else ""
    return f"{held}{of}, {size(one.size)}"

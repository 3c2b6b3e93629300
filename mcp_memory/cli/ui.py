"""`mcp-memory ui`: the memory browser, for the person at this machine. Nothing here imports the SDK."""

import logging
import webbrowser
from pathlib import Path
from typing import Final

import click

from mcp_memory.cli.memories import prepare
from mcp_memory.cli.options import EPILOG, loaded, settings
from mcp_memory.ui.serving import serve


@click.command(epilog=EPILOG)
@settings("user", "database", "config")
@click.option(
    "--port", metavar="N", type=click.IntRange(0, 65_535), default=0, help="The port; 0: any free one (default: 0)."
)
@click.option("--no-open", "unopened", is_flag=True, help="Print the address, and open no browser.")
def ui(file: Path | None, user: str | None, database: str | None, port: int, *, unopened: bool) -> None:
    """Look through, correct and delete memories in the web browser, on this machine only, until Ctrl-C.

    The address works once, for the browser that opens it first; nothing of it can be reached from elsewhere.
    """
    config = loaded(file, user=user, database=database)
    if config.database or config.ephemeral:
        prepare(config)
    logging.basicConfig(level=config.log_level.upper(), format="mcp-memory: %(message)s")

    def tell(address: str) -> None:
        click.echo(f"The memories of {config.user}: {address}")
        click.echo("Ctrl-C ends it.")
        if not unopened:
            webbrowser.open(address)

    serve(config, port, tell)


COMMANDS: Final = (ui,)

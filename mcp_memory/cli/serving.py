"""`mcp-memory serve`, the one command that imports the SDK's server, and `demo`, which shows one at work."""

import gc
from pathlib import Path

import click

from mcp_memory.cli.options import EPILOG, OPTIONS, listed, loaded, settings


@click.command(epilog=EPILOG)
@settings(*OPTIONS)
def serve(file: Path | None = None, **options: object) -> None:
    """Serve one client over stdio until it closes stdin."""
    if isinstance(tools := options.get("tools"), str):
        options["tools"] = listed(tools)
    configured = loaded(file, **options)
    gc.disable()
    from mcp_memory.server.stdio import serve as serve_stdio

    gc.freeze()
    gc.enable()
    serve_stdio(configured)


@click.command()
def demo() -> None:
    """Show a real server at work, on a database that is gone afterwards."""
    from mcp_memory.cli.demo import run

    run()

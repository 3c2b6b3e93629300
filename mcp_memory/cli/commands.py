"""`mcp-memory` and its commands."""

import gc
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mcp_memory import __version__, config
from mcp_memory.errors import McpMemoryError

HELP = """A long-term memory for any MCP client.

    1. Find this command's full path:   {command}
    2. Add it to your client as an MCP server called "memory", e.g. in its mcp.json:
         {{"mcpServers": {{"memory": {{"command": "{command}", "args": ["serve"]}}}}}}
    3. Restart the client. Claude Code: claude mcp add memory -- {command} serve
    See it work: mcp-memory demo    All options: mcp-memory serve --help"""


class OneLineErrors(click.Group):
    """Our own errors end a command with one line on stderr and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click declares it
        """Run the command."""
        try:
            return super().invoke(ctx)
        except McpMemoryError as error:
            click.echo(f"mcp-memory: {error}", err=True)
            ctx.exit(2)


@click.group(cls=OneLineErrors, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", package_name="mcp-memory")
@click.pass_context
def main(ctx: click.Context) -> None:
    """A long-term memory for any MCP client. Without a command: serves on a pipe, explains itself on a terminal."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a Windows console may not know a memory's script
    if ctx.invoked_subcommand is not None:
        return
    if sys.stdin.isatty():
        click.echo(HELP.format(command=_own_path()))
    else:
        ctx.invoke(serve)


def _settings(command: Callable[..., None]) -> Callable[..., None]:
    """The options that set settings, on top of the environment and the file."""
    options = [
        click.option("--user", metavar="U", help="Whose memories these are (default: default)."),
        click.option("--database", metavar="PATH", help="The SQLite file."),
        click.option(
            "--config",
            "file",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help=f"A TOML file of settings (default: {config.default_file()}, if there).",
        ),
        click.option("--identity", metavar="MODE", help="fixed: one user; argument: every tool takes a user_id."),
        click.option("--tools", metavar="LIST", help="Tool profiles and tools, with commas; -name takes one away."),
        click.option("--agent", metavar="A", help="Name of the agent, recorded on what it writes."),
        click.option("--team", metavar="T", help="Name of the agent's team."),
        click.option("--ephemeral", is_flag=True, default=None, help="Keep memories in this process only."),
        click.option("--log-level", metavar="L", help="debug, info, warning or error; logs go to stderr."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@_settings
def serve(file: Path | None = None, **options: Any) -> None:  # noqa: ANN401 - checked by the configuration
    """Serve one client over stdio until it closes stdin."""
    if options.get("tools") is not None:
        options["tools"] = [part.strip() for part in options["tools"].split(",")]
    loaded = config.load(file, os.environ, options)
    gc.disable()
    from mcp_memory.server.stdio import serve as serve_stdio  # noqa: PLC0415 - the SDK takes half a second to load

    gc.freeze()
    gc.enable()
    serve_stdio(loaded)


@main.command()
def demo() -> None:
    """Show a real server at work, on a database that is gone afterwards."""
    from mcp_memory.cli.demo import run  # noqa: PLC0415 - as above

    run()


def _own_path() -> str:
    return str(Path(sys.argv[0]).absolute())

"""`mcp-memory` and its commands."""

import gc
import io
import os
import sys
from pathlib import Path
from typing import BinaryIO, Final, get_args

import click

from mcp_memory import __version__, config
from mcp_memory.cli import backups, conversations, encryption, forgetting, history, memories, optimizing, transfer
from mcp_memory.cli.options import EPILOG, OPTIONS, loaded, settings
from mcp_memory.errors import McpMemoryError
from mcp_memory.extraction import transcripts

HELP = """A long-term memory for any MCP client.

    1. Find this command's full path:   {command}
    2. Add it to your client as an MCP server called "memory", e.g. in its mcp.json:
         {{"mcpServers": {{"memory": {{"command": "{command}", "args": ["serve"]}}}}}}
    3. Restart the client. Claude Code: claude mcp add memory -- {command} serve
    See it work: mcp-memory demo    All options: mcp-memory serve --help"""


class OneLineErrors(click.Group):
    """Our own errors end a command with one line on stderr and exit code 2."""

    def invoke(self, ctx: click.Context) -> object:
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
    config.calm(os.environ)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a Windows console may not know a memory's script
    if ctx.invoked_subcommand is not None:
        return
    if sys.stdin.isatty():
        click.echo(HELP.format(command=_own_path()))
    else:
        ctx.invoke(serve)


@main.command(epilog=EPILOG)
@settings(*OPTIONS)
def serve(file: Path | None = None, **options: object) -> None:
    """Serve one client over stdio until it closes stdin."""
    if isinstance(tools := options.get("tools"), str):
        options["tools"] = _listed(tools)
    configured = loaded(file, **options)
    gc.disable()
    from mcp_memory.server.stdio import serve as serve_stdio

    gc.freeze()
    gc.enable()
    serve_stdio(configured)


@main.command(epilog=EPILOG)
@click.argument("query")
@settings("user", "database", "config")
@click.option("--limit", metavar="N", type=int, default=10, help="How many hits at most (default: 10).")
@click.option("--topics", metavar="LIST", default="", help="Any of these topics, with commas.")
@click.option("--since", metavar="TIME", help="Updated then or later: 7d, 12h, 2w ago or an ISO date-time.")
@click.option("--until", metavar="TIME", help="Updated before then.")
@click.option("--past", is_flag=True, help="Former wordings too.")
@click.option("--all", "everything", is_flag=True, help="However low the score.")
@click.option("--explain", is_flag=True, help="Below each hit, why it is one.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, in the form of search_memories.")
def search(
    query: str,
    file: Path | None,
    user: str | None,
    database: str | None,
    topics: str,
    **asked: object,
) -> None:
    """Print the memories that answer QUERY best."""
    configured = loaded(file, user=user, database=database)
    wanted = asked | {"query": query, "topics": tuple(filter(None, _listed(topics)))}
    memories.search(configured, memories.Asked.model_validate(wanted))


@main.command(epilog=EPILOG)
@click.argument("transcript", metavar="FILE|-", type=click.File("rb"))
@settings("user", "database", "config")
@click.option(
    "--format",
    metavar="F",
    type=click.Choice(get_args(transcripts.Format)),
    default="auto",
    help="auto, jsonl, json or text (default: auto).",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, in the form of extract_memories.")
def extract(
    transcript: BinaryIO,
    file: Path | None,
    user: str | None,
    database: str | None,
    **wanted: object,
) -> None:
    """Have the configured model turn a transcript into memories, as one change.

    FILE is JSON Lines or JSON of role and content, lines of "user: text", or a session of Claude Code or an export of
    ChatGPT.
    """
    configured = loaded(file, user=user, database=database)
    read = {"transcript": conversations.read(transcript)}
    conversations.extract(configured, conversations.Wanted.model_validate(wanted | read))


@main.command(epilog=EPILOG)
@settings("user", "database", "config")
@click.option(
    "--strategy",
    metavar="S",
    type=click.Choice(get_args(optimizing.Strategy)),
    default="deduplicate",
    help="deduplicate, summarize or expire (default: deduplicate).",
)
@click.option("--apply", is_flag=True, help="Carry the plan out; without it, nothing is written.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, in the form of optimize_memories.")
def optimize(file: Path | None, user: str | None, database: str | None, **wish: object) -> None:
    """Merge memories that say the same, or remove what has expired: a plan first, then one change.

    summarize has the configured model merge related memories; without one it shows what would be asked.
    """
    configured = loaded(file, user=user, database=database)
    optimizing.optimize(configured, optimizing.Wish.model_validate(wish))


@main.command(epilog=EPILOG)
@settings("database", "config")
def reindex(file: Path | None, database: str | None) -> None:
    """Give the file this configuration's search languages and embedding model.

    For every user in it and every process that uses it; missing vectors are made too. Clients that are running must be
    restarted then. What was done stays when it is interrupted, and running it again completes it.
    """
    memories.reindex(loaded(file, database=database))


@main.command(epilog=EPILOG)
@settings("user", "database", "config")
@click.option("--repair", is_flag=True, help="Make indexes and rights as they should be; texts are never touched.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def doctor(ctx: click.Context, **wish: object) -> None:
    """Check the file, its indexes, its backups, the settings, the endpoints and every client that uses it.

    Starts what the clients' configurations name, as they would. Ends with 1 if something failed.
    """
    from mcp_memory.cli import doctor as examination

    ctx.exit(examination.doctor(examination.Wish.model_validate(wish), os.environ))


@main.command()
def demo() -> None:
    """Show a real server at work, on a database that is gone afterwards."""
    from mcp_memory.cli.demo import run

    run()


COMMANDS: Final = (
    *(*history.COMMANDS, *transfer.COMMANDS, *forgetting.COMMANDS),
    *(*backups.COMMANDS, *encryption.COMMANDS),
)
for command in COMMANDS:
    main.add_command(command)


def _listed(given: str) -> list[str]:
    return [part.strip() for part in given.split(",")]


def _own_path() -> str:
    return str(Path(sys.argv[0]).absolute())

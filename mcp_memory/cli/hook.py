"""What Claude Code runs by itself, see `clients/hooks.py`. Nothing here imports the SDK.

A hook never disturbs: whatever goes wrong, it prints nothing and ends with 0, for 2 would keep the client from
stopping. What takes long runs in a process of its own.
"""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import anyio
import click

from mcp_memory.app import open_app
from mcp_memory.cli import conversations
from mcp_memory.cli.memories import prepare
from mcp_memory.cli.options import loaded, settings
from mcp_memory.cli.own import own_command
from mcp_memory.cli.transcript import Reading
from mcp_memory.config import Config
from mcp_memory.errors import InvalidInput, McpMemoryError


class Silent(click.Group):
    """Nothing that goes wrong in its commands is said."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (McpMemoryError, click.ClickException, OSError, ValueError, RecursionError):
            _end(ctx)


@click.group(cls=Silent, hidden=True)
def hook() -> None:
    """For clients that run commands by themselves: mcp-memory install claude-code --hooks."""


@hook.command("session-start")
@settings("user", "database", "config")
def session_start(file: Path | None, **options: object) -> None:
    """Print what is known of the user, for the context of a new session."""
    config = loaded(file, **options)
    prepare(config)
    if told := anyio.run(_profile, config):
        said = {"hookEventName": "SessionStart", "additionalContext": told}
        click.echo(json.dumps({"hookSpecificOutput": said}))


@hook.command()
@settings("user", "database", "config")
@click.pass_context
def stop(ctx: click.Context, file: Path | None, **options: object) -> None:
    """Have the new part of the conversation extracted, with mode = "always", and do not wait for it."""
    config = loaded(file, **options)
    if not _wanted(config):
        return
    given: object = json.load(sys.stdin)
    match given:
        case {"transcript_path": str(path)} if Path(path).is_file():
            _start([*own_command(), "hook", "extract", path, *_repeated(ctx)])
        case _:
            pass


@hook.command()
@click.argument("transcript", type=click.Path(path_type=Path))
@settings("user", "database", "config")
def extract(transcript: Path, file: Path | None, **options: object) -> None:
    """Extract what of TRANSCRIPT has not been read yet."""
    config = loaded(file, **options)
    if _wanted(config):
        anyio.run(_extract, config, transcript)


async def _profile(config: Config) -> str:
    async with open_app(config) as app:
        made = await (await app.service()).profile(config.user, config.profile.max_tokens)
        return made.text if made.total else ""


async def _extract(config: Config, transcript: Path) -> None:
    """Read on until nothing is new. What the model failed on is read again the next time, what is no transcript not."""
    while True:
        with Reading(config.path().parent, transcript, config.user).claimed() as reading:
            if reading is None:
                return
            part, end = reading.new()
            if not part:
                return
            with suppress(InvalidInput):
                await conversations.extracted(config, conversations.Wanted(transcript=part, format="jsonl"))
            reading.done(end)


def _wanted(config: Config) -> bool:
    return config.extraction.mode == "always" and bool(config.llm.model) and not config.ephemeral


def _repeated(ctx: click.Context) -> list[str]:
    """The options of this command, for the next one."""
    given = {"--user": ctx.params["user"], "--database": ctx.params["database"], "--config": ctx.params["file"]}
    return [part for name, value in given.items() if value is not None for part in (name, str(value))]


def _start(command: list[str]) -> None:
    """Start `command` so that it lives on, whatever becomes of the client and its terminal."""
    nothing = subprocess.DEVNULL
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, creationflags=flags)  # noqa: S603 - our own
    else:
        subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)  # noqa: S603 - our own


def _end(ctx: click.Context) -> NoReturn:
    ctx.exit(0)


COMMANDS = (hook,)

"""Memories out of a transcript, from a terminal. Nothing here imports the SDK."""

import json
import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, get_args

import anyio
import click

from mcp_memory.app import open_app
from mcp_memory.cli.options import EPILOG, loaded, origin, settings
from mcp_memory.config import Config
from mcp_memory.errors import ConfigError, InvalidInput
from mcp_memory.extraction import transcripts
from mcp_memory.extraction.extractor import Tell
from mcp_memory.models import Origin
from mcp_memory.values import Value
from mcp_memory.views import data, lines


class Wanted(Value):
    """A transcript and what to do with it, as the command line words it."""

    transcript: str
    format: transcripts.Format = "auto"
    dry_run: bool = False
    as_json: bool = False


@click.command("extract", epilog=EPILOG)
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
def extract_command(
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
    extract(configured, Wanted.checked(wanted | {"transcript": read(transcript)}))


def read(source: BinaryIO) -> str:
    """The text of a file.

    Raises:
        InvalidInput: it is no UTF-8.
    """
    try:
        return source.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the transcript is no UTF-8 text (byte {error.start:,}); convert it first") from error


def extract(config: Config, wanted: Wanted) -> None:
    """Have the configured model decide what of a transcript becomes a memory, and print what that was.

    Raises:
        McpMemoryError: there is no model, the transcript cannot be read, or the model failed; nothing was written.
    """
    logging.basicConfig(level=config.log_level.upper(), format="mcp-memory: %(message)s")
    if config.ephemeral:
        raise ConfigError("with ephemeral = true nothing would be kept; set it to false")
    if not config.llm.model:
        raise ConfigError("no model is configured to decide; set [llm] model (and base_url), see config.example.toml")
    with _progress() as tell:
        click.echo(anyio.run(extracted, config, wanted, tell))


async def say_nothing(done: int, parts: int) -> None:
    """Nobody looks at how many parts are read."""
    del done, parts


async def extracted(config: Config, wanted: Wanted, tell: Tell = say_nothing) -> str:
    """What became of a transcript.

    Raises:
        McpMemoryError: as for `extract`.
    """
    async with open_app(config) as app:
        messages = transcripts.parse(wanted.transcript, app.zone, wanted.format)
        by = Origin(**origin("extract").fields())  # a model decides, no person: what approval says of that holds
        extractor = await app.extractor()
        done = await extractor.by_model(config.user, messages, by, tell, dry_run=wanted.dry_run)
        return json.dumps(data.extracted(done)) if wanted.as_json else lines.extracted(done, app.zone)


@contextmanager
def _progress() -> Generator[Tell]:
    """Shows how many parts are read, where somebody looks at it."""
    if not sys.stderr.isatty():
        yield say_nothing
        return
    with click.progressbar(length=1, label="reading", file=sys.stderr) as bar:

        async def tell(done: int, parts: int) -> None:
            bar.length = parts
            bar.update(done - bar.pos)

        yield tell

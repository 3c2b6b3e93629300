"""The file that a command works on, and `mcp-memory reindex`. Nothing here imports the SDK."""

import logging
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import anyio
import click

from mcp_memory.app import reindex_store
from mcp_memory.cli.options import EPILOG, loaded, settings
from mcp_memory.config import Config
from mcp_memory.errors import ConfigError, NotFound, StoreUnavailable
from mcp_memory.service.reindex import Progress, Tell
from mcp_memory.views import lines

_FIRST: Final = " mcp-memory add TEXT makes one, or mcp-memory install CLIENT connects who does."


@click.command("reindex", epilog=EPILOG)
@settings("database", "config")
def reindex_command(file: Path | None, database: str | None) -> None:
    """Give the file this configuration's search languages and embedding model.

    For every user in it and every process that uses it; missing vectors are made too. Clients that are running must be
    restarted then. What was done stays when it is interrupted, and running it again completes it.
    """
    reindex(loaded(file, database=database))


def reindex(config: Config) -> None:
    """Make everything in the file anew with the settings of `config`, and print what that was.

    Raises:
        McpMemoryError: there is no such file, or not everything could be done; what was done stays.
    """
    prepare(config)
    with _progress() as tell:
        done = anyio.run(reindex_store, config, tell)
    click.echo(lines.reindexed(done))


def begin(config: Config) -> None:
    """Logs as configured; an error where there can be no file."""
    logging.basicConfig(level=config.log_level.upper(), format="mcp-memory: %(message)s")
    if config.ephemeral:
        raise ConfigError("with ephemeral = true there is no file to work on; set it to false")


def prepare(config: Config) -> None:
    """The same, and an error where there is no file yet, which opening would create."""
    begin(config)
    path = config.path()
    try:
        path.stat()
    except FileNotFoundError as error:
        if not config.database:
            raise NotFound(f"Nothing is remembered yet ({path} is made with the first memory).{_FIRST}") from error
        raise StoreUnavailable(path, f"{error.strerror}; name a file with --database") from error
    except OSError as error:
        raise StoreUnavailable(path, f"{error.strerror}; name a file with --database") from error


@contextmanager
def _progress() -> Generator[Tell]:
    """Shows how far things are, a bar for each part, where somebody looks at it."""
    with ExitStack() as bars:
        advance: dict[str, Callable[[int], None]] = {}

        def tell(step: Progress) -> None:
            if step.part not in advance:
                bars.close()
                bar = bars.enter_context(click.progressbar(length=step.total, label=step.part, file=sys.stderr))
                advance[step.part] = bar.update
            advance[step.part](step.more)

        def say_nothing(_: Progress) -> None:
            pass

        yield tell if sys.stderr.isatty() else say_nothing

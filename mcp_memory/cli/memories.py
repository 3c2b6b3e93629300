"""What a person does with the memories of one file from a terminal. Nothing here imports the SDK."""

import json
import logging
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager

import anyio
import click

from mcp_memory.app import open_app, reindex_store
from mcp_memory.config import Config
from mcp_memory.errors import ConfigError, StoreUnavailable
from mcp_memory.models import Value
from mcp_memory.service.reindex import Progress, Tell
from mcp_memory.views import data, lines


class Asked(Value):
    """A search as the command line words it; `everything`: however low the score."""

    query: str
    limit: int = 10
    topics: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    past: bool = False
    everything: bool = False
    explain: bool = False
    as_json: bool = False


def search(config: Config, asked: Asked) -> None:
    """Print the hits.

    Raises:
        McpMemoryError: there is no such file, or the search cannot be made.
    """
    prepare(config)
    click.echo(anyio.run(_found, config, asked))


def reindex(config: Config) -> None:
    """Make everything in the file anew with the settings of `config`, and print what that was.

    Raises:
        McpMemoryError: there is no such file, or not everything could be done; what was done stays.
    """
    prepare(config)
    with _progress() as tell:
        done = anyio.run(reindex_store, config, tell)
    click.echo(lines.reindexed(done))


async def _found(config: Config, asked: Asked) -> str:
    async with open_app(config) as app:
        service = await app.service()
        found = await service.search(
            config.user,
            asked.query,
            service.scope(topics=asked.topics, since=asked.since, until=asked.until),
            limit=asked.limit,
            include_past=asked.past,
            min_score=0.0 if asked.everything else None,
            explain=asked.explain,
        )
        return json.dumps(data.found(found)) if asked.as_json else lines.found(found, app.zone)


def prepare(config: Config) -> None:
    """Logs as configured; an error where there is no file, which opening would create."""
    logging.basicConfig(level=config.log_level.upper(), format="mcp-memory: %(message)s")
    if config.ephemeral:
        raise ConfigError("with ephemeral = true there is no file to work on; set it to false")
    path = config.path()
    try:
        path.stat()
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

"""What a person looks at: `mcp-memory search`, `list`, `show` and `stats`. Nothing here imports the SDK."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from datetime import tzinfo
from pathlib import Path
from typing import Any, cast

import anyio
import click

from mcp_memory.app import open_app
from mcp_memory.cli import output, tables
from mcp_memory.cli.candidates import ids, topics
from mcp_memory.cli.memories import prepare
from mcp_memory.cli.options import EPILOG, listed, loaded, settings
from mcp_memory.cli.output import JSON, Answer, answer
from mcp_memory.config import Config
from mcp_memory.errors import NotFound
from mcp_memory.models import LABEL, Page
from mcp_memory.service import MemoryService
from mcp_memory.service.outcomes import Got, Listed
from mcp_memory.text.notes import CLOSING, OPENING
from mcp_memory.values import Value
from mcp_memory.views import data, lines, overview, timeline


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


@click.command(epilog=EPILOG)
@click.argument("query")
@settings("user", "database", "config")
@click.option("--limit", metavar="N", type=int, default=10, help="How many hits at most (default: 10).")
@click.option("--topics", metavar="LIST", default="", help="Any of these topics, with commas.")
@click.option("--since", metavar="TIME", help="Updated then or later: 7d, 12h, 2w ago or an ISO date-time.")
@click.option("--until", metavar="TIME", help="Updated before then.")
@click.option("--past", is_flag=True, help="Former wordings too.")
@click.option("--all", "everything", is_flag=True, help="However low the score.")
@click.option("--explain", is_flag=True, help="Below each hit, why it is one.")
@JSON
def search(
    query: str,
    file: Path | None,
    user: str | None,
    database: str | None,
    topics: str,
    *,
    as_json: bool,
    **asked: object,
) -> None:
    """Print the memories that answer QUERY best."""
    config = loaded(file, user=user, database=database)
    wanted = Asked.checked(asked | {"query": query, "topics": tuple(filter(None, listed(topics)))})

    async def ask(service: MemoryService, zone: tzinfo | None) -> Answer:
        found = await service.search(
            config.user,
            wanted.query,
            service.scope(topics=wanted.topics, since=wanted.since, until=wanted.until),
            limit=wanted.limit,
            include_past=wanted.past,
            min_score=0.0 if wanted.everything else None,
            explain=wanted.explain,
        )
        return Answer(lines.found(found, zone), _plain(data.found(found)), tables.found)

    answer(config, ask, as_json=as_json)


@click.command("list", epilog=EPILOG)
@click.option("--topic", "topics", metavar="T", multiple=True, shell_complete=topics, help="Any of these topics.")
@click.option("--agent", metavar="A", help="Written by this agent.")
@click.option("--since", metavar="TIME", help="Updated then or later: 7d, 12h, 2w ago or an ISO date-time.")
@click.option("--until", metavar="TIME", help="Updated before then.")
@click.option("--limit", metavar="N", type=int, default=50, help="How many at most (default: 50).")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@settings("user", "database", "config")
@JSON
def list_(
    file: Path | None,
    user: str | None,
    database: str | None,
    limit: int,
    *,
    everything: bool,
    as_json: bool,
    **scope: object,
) -> None:
    """List memories, newest first."""
    config = loaded(file, user=user, database=database)
    prepare(config)
    tell = _as_json if as_json else _as_tables if output.on_terminal() else _as_text
    anyio.run(_list, config, scope, None if everything else limit, tell)


@click.command(epilog=EPILOG)
@click.argument("memory_id", metavar="[ID]", required=False, shell_complete=ids)
@click.option("--key", metavar="K", help="The memory that has this key.")
@click.option("--history", is_flag=True, help="Every version of it too.")
@settings("user", "database", "config")
@JSON
def show(
    memory_id: str | None,
    key: str | None,
    file: Path | None,
    user: str | None,
    database: str | None,
    *,
    history: bool,
    as_json: bool,
) -> None:
    """Show one memory, by its ID or key."""
    if (memory_id is None) == (key is None):
        raise click.UsageError("give either an ID or --key")
    config = loaded(file, user=user, database=database)

    async def ask(service: MemoryService, zone: tzinfo | None) -> Answer:
        found = await _got(service, config.user, memory_id, key, history=history)
        return Answer(timeline.got(found, zone), _plain(data.got(found)), tables.got)

    answer(config, ask, as_json=as_json)


@click.command(epilog=EPILOG)
@settings("user", "database", "config")
@JSON
def stats(file: Path | None, user: str | None, database: str | None, *, as_json: bool) -> None:
    """Count one user's memories by topic, agent and age; and the size of the file."""
    config = loaded(file, user=user, database=database)

    async def ask(service: MemoryService, _: tzinfo | None) -> Answer:
        counted = await service.overview.stats(config.user)
        of_file = (str(config.path()), await _size(config.path()))
        told = overview.stats(counted, *of_file)
        return Answer(told, _plain(overview.structured_stats(counted, *of_file)), tables.stats)

    answer(config, ask, as_json=as_json)


async def _got(service: MemoryService, user: str, memory_id: str | None, key: str | None, *, history: bool) -> Got:
    """The memory of that id or key; what no id is may be a key."""
    try:
        return await service.get(user, memory_id, key, history=history)
    except NotFound:
        if memory_id is not None:
            with suppress(NotFound):
                return await service.get(user, None, memory_id, history=history)
        raise


async def _list(config: Config, scope: Mapping[str, Any], limit: int | None, tell: "_Tell") -> None:
    """Print memories as they are read: there may be more than fit into memory."""
    async with open_app(config) as app:
        service = await app.service()
        async with aclosing(service.overview.pages(config.user, service.scope(**scope), limit)) as pages:
            await tell(pages, limit, app.zone)


async def _as_json(pages: AsyncGenerator[Page], _: int | None, __: tzinfo | None) -> None:
    """One object in the form of `list_memories`."""
    before = ""
    async for page in pages:
        if not before:
            head = json.dumps({"label": LABEL, "total": page.total, "left_out": []})
            click.echo(f'{head[:-1]}, "memories": [', nl=False)
        if page.memories:
            click.echo(before + ",\n".join(json.dumps(data.memory(one)) for one in page.memories), nl=False)
        before = ",\n"
    click.echo("]}")


async def _as_text(pages: AsyncGenerator[Page], limit: int | None, zone: tzinfo | None) -> None:
    """A line for each."""
    begun = False
    async for page in pages:
        if not page.total:
            click.echo(lines.listed(Listed(memories=(), total=0, next_cursor=None), zone))
            return
        if not begun:
            count = page.total if limit is None else min(limit, page.total)
            click.echo(f"{count} of {page.total} ({LABEL}):\n{OPENING}")
        begun = True
        click.echo("\n".join(lines.memory(one, zone) for one in page.memories))
    click.echo(CLOSING)


async def _as_tables(pages: AsyncGenerator[Page], limit: int | None, zone: tzinfo | None) -> None:
    """A table for each page."""
    async for page in pages:
        told = Listed(memories=page.memories, total=page.total, next_cursor=None)
        output.draw(tables.listed(_plain(data.listed(told)), zone))
        if limit is not None and not page.more and limit < page.total:
            click.echo("More with --limit or --all.")


_Tell = Callable[[AsyncGenerator[Page], int | None, tzinfo | None], Awaitable[None]]


async def _size(path: Path) -> int:
    """Bytes of the file and its log."""
    found = [anyio.Path(path), anyio.Path(f"{path}-wal")]
    return sum([(await one.stat()).st_size for one in found if await one.exists()])


def _plain(reply: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", reply)

"""What a shell completes besides commands and options: ids, topics and users, as the file has them.

Silent whatever happens: a person who presses a key wants no message. Nothing is created, and little is read.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import anyio
import click
from click.shell_completion import CompletionItem

from mcp_memory.app import open_app
from mcp_memory.cli.options import loaded
from mcp_memory.config import Config
from mcp_memory.errors import McpMemoryError
from mcp_memory.service import MemoryService
from mcp_memory.text.cleanup import escaped
from mcp_memory.views.timeline import clipped

_MOST = 100
"""So many are offered; ids of the newest memories."""

_Look = Callable[[MemoryService, str], Awaitable[list[CompletionItem]]]


def ids(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of the newest memories that begin so, with what they say."""

    async def look(service: MemoryService, user: str) -> list[CompletionItem]:
        found: list[CompletionItem] = []
        async with aclosing(service.overview.pages(user, service.scope(), _MOST)) as pages:
            async for page in pages:
                found += [CompletionItem(one.id, help=escaped(clipped(one.content))) for one in page.memories]
        return found

    return _offered(ctx, incomplete, look)


def topics(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The user's topics that begin so, the most frequent first."""

    async def look(service: MemoryService, user: str) -> list[CompletionItem]:
        return [CompletionItem(escaped(name)) for name, _ in (await service.overview.stats(user)).census.topics]

    return _offered(ctx, incomplete, look)


def users(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The users in the file whose names begin so."""

    async def look(service: MemoryService, _: str) -> list[CompletionItem]:
        return [CompletionItem(escaped(one.user)) for one in await service.overview.users()]

    return _offered(ctx, incomplete, look)


def _offered(ctx: click.Context, incomplete: str, look: _Look) -> list[CompletionItem]:
    logging.disable()
    given = {name: ctx.params.get(name) for name in ("user", "database")}
    try:
        config = loaded(ctx.params.get("file"), **given)
        if config.ephemeral or not config.path().is_file():
            return []
        found = anyio.run(_looked, config, look)
    except (McpMemoryError, OSError):
        return []
    finally:
        logging.disable(logging.NOTSET)
    return [one for one in found if str(one.value).startswith(incomplete)][:_MOST]


async def _looked(config: Config, look: _Look) -> list[CompletionItem]:
    async with open_app(config) as app:
        return await look(await app.service(), config.user)

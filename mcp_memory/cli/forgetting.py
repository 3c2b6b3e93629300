"""Erasing for good, from a terminal. Nothing here imports the SDK."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio
import click

from mcp_memory.app import open_app
from mcp_memory.cli.memories import prepare
from mcp_memory.cli.options import EPILOG, ask, loaded, origin, refuse_unasked, settings
from mcp_memory.config import Config
from mcp_memory.models import Receipt
from mcp_memory.service.forgetting import Forgetting
from mcp_memory.views import forgotten

_Result = TypeVar("_Result")

_YES = click.option("--yes", is_flag=True, help="Do not ask; needed where nobody sits at a terminal.")


@click.command(epilog=EPILOG)
@click.argument("name", metavar="USER")
@_YES
@settings("database", "config")
def forget_user(name: str, file: Path | None, database: str | None, *, yes: bool) -> None:
    """Erase everything of USER for good: memories, history, indexes, log, free pages and our own backups.

    Waits up to 10 seconds for others who read in the file. When it says "not complete", or was interrupted, run it
    again. Clients may go on running; who writes meanwhile waits until the file has been written anew.
    """
    configured = loaded(file, database=database)

    async def question(forgetting: Forgetting) -> str:
        return forgotten.user_question(name, await forgetting.held(name))

    async def erase(forgetting: Forgetting) -> Receipt:
        return await forgetting.user(name)

    _forget(configured, question, erase, yes=yes)


@click.command(epilog=EPILOG)
@click.argument("memory_id", metavar="ID")
@_YES
@settings("user", "database", "config")
def forget(memory_id: str, file: Path | None, user: str | None, database: str | None, *, yes: bool) -> None:
    """Erase one memory for good, in all its versions: from the file, its indexes, log and free pages, and our backups.

    What another memory says of the same thing stays. delete_memory is the deletion that can be undone.
    """
    configured = loaded(file, user=user, database=database)

    async def question(forgetting: Forgetting) -> str:
        versions = await forgetting.versions(configured.user, memory_id)
        content = versions[-1].memory.content if versions else None
        return forgotten.memory_question(memory_id, content, len(versions))

    async def erase(forgetting: Forgetting) -> Receipt:
        by = origin("forget")
        return await forgetting.memory(configured.user, memory_id, by)

    _forget(configured, question, erase, yes=yes)


def _forget(
    configured: Config,
    question: Callable[[Forgetting], Awaitable[str]],
    erase: Callable[[Forgetting], Awaitable[Receipt]],
    *,
    yes: bool,
) -> None:
    """Ask, unless that is answered already, erase, and print the receipt; exit code 1 if it is not complete.

    Raises:
        McpMemoryError: there is nothing to erase, nobody to ask, or no way to write the file; nothing was erased.
    """
    prepare(configured)
    if not yes:
        refuse_unasked()
        ask(anyio.run(_with_forgetting, configured, question))  # nothing is held open while a person thinks
    receipt = anyio.run(_with_forgetting, configured, erase)
    click.echo(forgotten.receipt(receipt))
    if receipt.unfinished:
        raise click.exceptions.Exit(1)


async def _with_forgetting(configured: Config, do: Callable[[Forgetting], Awaitable[_Result]]) -> _Result:
    async with open_app(configured) as app:
        return await do((await app.service()).forgetting)

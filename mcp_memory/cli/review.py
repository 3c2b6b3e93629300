"""What waits for approval, decided by a person at a terminal. Nothing here imports the SDK."""

import json
import sys
from collections.abc import Awaitable, Callable
from datetime import tzinfo
from pathlib import Path
from typing import Final, Literal, TypeVar, assert_never

import anyio
import click

from mcp_memory import guard
from mcp_memory.app import open_app
from mcp_memory.cli.memories import prepare
from mcp_memory.cli.options import EPILOG, loaded, settings
from mcp_memory.clock import zone_named
from mcp_memory.config import Config
from mcp_memory.errors import InvalidInput, McpMemoryError
from mcp_memory.guard import Fields
from mcp_memory.models import Memory
from mcp_memory.service.approval import Approvals
from mcp_memory.service.outcomes import Decided, Listed
from mcp_memory.text.amounts import counted
from mcp_memory.values import Value
from mcp_memory.views import approval

_Result = TypeVar("_Result")
_Do = Callable[[Approvals, tzinfo | None], Awaitable[_Result]]

_KEYS: Final = ("a", "r", "e", "s", "q")
_QUESTION: Final = "  [a]ccept, [r]efuse, [e]dit and accept, [s]kip, [q]uit"
_NOTHING: Final = Listed(memories=(), total=0, next_cursor=None)


class Wish(Value):
    """What to do, as the command line words it."""

    memory_ids: tuple[str, ...] = ()
    deed: Literal["accept", "refuse", "accept-all", "list"] | None = None
    limit: int = 50
    cursor: str | None = None
    as_json: bool = False


@click.command(epilog=EPILOG)
@click.argument("memory_ids", metavar="[ID]...", nargs=-1)
@click.option("--accept", "deed", flag_value="accept", help="Have the memories of these ids count from now on.")
@click.option("--refuse", "deed", flag_value="refuse", help="Delete them.")
@click.option("--accept-all", "deed", flag_value="accept-all", help="Accept everything that waits.")
@click.option("--list", "deed", flag_value="list", help="List what waits, also on a terminal.")
@click.option("--limit", metavar="N", type=int, default=50, help="How many are listed, up to 100 (default: 50).")
@click.option("--cursor", metavar="C", help="The next page of the list, as the page before names it.")
@settings("user", "database", "config")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one line for the list or for each change.")
def review(file: Path | None, user: str | None, database: str | None, **wish: object) -> None:
    """Decide about new memories that wait for approval: one by one on a terminal, elsewhere they are listed.

    Which ones wait says [approval] mode. What is decided is a change, which undo takes back.
    """
    wanted = Wish.checked(wish)
    named = wanted.deed in {"accept", "refuse"}
    if named != bool(wanted.memory_ids):
        raise InvalidInput("ids belong to --accept or --refuse, and these need some: mcp-memory review --accept ID ...")
    config = loaded(file, user=user, database=database)
    prepare(config)
    match wanted.deed:
        case "accept" | "refuse" as deed:
            _decide(config, deed, wanted.memory_ids, as_json=wanted.as_json)
        case "accept-all":
            _accept_all(config, as_json=wanted.as_json)
        case None if sys.stdin.isatty() and sys.stdout.isatty() and not wanted.as_json:
            _walk(config)
        case "list" | None:
            _list(config, wanted)
        case _ as never:
            assert_never(never)


COMMANDS: Final = (review,)


def _list(config: Config, wanted: Wish) -> None:
    async def ask(approvals: Approvals, zone: tzinfo | None) -> str:
        found = await approvals.pending(config.user, wanted.limit, wanted.cursor)
        return json.dumps(approval.structured_pending(found)) if wanted.as_json else approval.pending(found, zone)

    click.echo(_asked(config, ask))


def _decide(config: Config, deed: Literal["accept", "refuse"], ids: tuple[str, ...], *, as_json: bool) -> None:
    async def decide(approvals: Approvals, zone: tzinfo | None) -> str:
        verb = approvals.accept if deed == "accept" else approvals.refuse
        return _told(await verb(config.user, ids), zone, as_json=as_json)

    click.echo(_asked(config, decide))


def _accept_all(config: Config, *, as_json: bool) -> None:
    """Accept what waits at this moment, oldest first, in changes of as many as one can have."""
    ids = [one.id for one in _everything(config)]
    if not ids:
        click.echo(json.dumps(approval.structured_pending(_NOTHING)) if as_json else approval.pending(_NOTHING, None))
    for start in range(0, len(ids), guard.MAX_IDS):
        _decide(config, "accept", tuple(ids[start : start + guard.MAX_IDS]), as_json=as_json)


def _walk(config: Config) -> None:
    """Show one after another, oldest first, and do what the person says. Nothing is held open while they think."""
    waiting = _everything(config)
    click.echo(f"{counted(len(waiting), 'memory waits', 'memories wait')} for approval.")
    zone = zone_named(config.timezone)
    for number, one in enumerate(waiting, 1):
        click.echo("\n".join([f"\n{number} of {len(waiting)}", *approval.proposed(one, zone)]))
        key = click.prompt(_QUESTION, type=click.Choice(_KEYS), show_choices=False)
        if key == "q":
            return
        if key != "s":
            _try(config, one, key)


def _try(config: Config, one: Memory, key: str) -> None:
    """Accept, refuse or reword `one`; what stands in the way is told, and leaves it waiting."""
    text = click.edit(one.content) if key == "e" else None
    if key == "e" and text is None:
        click.echo("  Not changed, so it goes on waiting.")
        return

    async def decide(approvals: Approvals, zone: tzinfo | None) -> str:
        match key:
            case "a":
                done = await approvals.accept(config.user, [one.id])
            case "r":
                done = await approvals.refuse(config.user, [one.id])
            case _:
                done = await approvals.accept_as(config.user, one.id, Fields(content=(text or "").strip()))
        return _told(done, zone, as_json=False)

    try:
        click.echo(_asked(config, decide))
    except McpMemoryError as error:
        click.echo(f"  {error}")


def _told(done: Decided, zone: tzinfo | None, *, as_json: bool) -> str:
    return json.dumps(approval.structured_decided(done)) if as_json else approval.decided(done, zone)


def _everything(config: Config) -> list[Memory]:
    """All that waits, oldest first."""

    async def read(approvals: Approvals, _: tzinfo | None) -> list[Memory]:
        page = await approvals.pending(config.user, guard.MAX_IDS)
        found = list(page.memories)
        while page.next_cursor:
            page = await approvals.pending(config.user, guard.MAX_IDS, page.next_cursor)
            found += page.memories
        return found[::-1]

    return _asked(config, read)


def _asked(config: Config, do: _Do[_Result]) -> _Result:
    async def ask() -> _Result:
        async with open_app(config) as app:
            return await do((await app.service()).approvals, app.zone)

    return anyio.run(ask)

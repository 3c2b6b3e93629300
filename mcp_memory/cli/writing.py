"""What a person writes: `mcp-memory add`, `edit` and `delete`. Nothing here imports the SDK."""

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Any, cast

import anyio
import click

from mcp_memory.app import open_app
from mcp_memory.cli import output, tables
from mcp_memory.cli.candidates import ids, topics
from mcp_memory.cli.draft import changed_fields, drafted, text_of
from mcp_memory.cli.memories import begin, prepare
from mcp_memory.cli.options import EPILOG, ask, environment, loaded, origin, settings
from mcp_memory.cli.output import JSON, Answer
from mcp_memory.config import Config
from mcp_memory.errors import InvalidInput, McpMemoryError
from mcp_memory.guard import Fields
from mcp_memory.models import Memory
from mcp_memory.service import MemoryService
from mcp_memory.service.outcomes import Updated
from mcp_memory.views import data, lines


def _some(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...] | None:
    """What was given of an option that can be repeated; none at all is not given, rather than cleared."""
    return given or None


def _object(_: click.Context, __: click.Parameter, given: str | None) -> object:
    """The object that --metadata gives."""
    if given is None:
        return None
    try:
        value: object = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f'no JSON ({error}); give an object such as {{"source": "letter"}}') from error
    if not isinstance(value, dict):
        raise click.BadParameter('no JSON object; give one such as {"source": "letter"}')
    return cast("dict[str, object]", value)


@click.command(epilog=EPILOG)
@click.argument("text", metavar="TEXT|-")
@click.option(
    "--topic",
    "topics",
    metavar="T",
    multiple=True,
    callback=_some,
    shell_complete=topics,
    help="A topic; up to 8 of them.",
)
@click.option("--key", metavar="K", help="An exact name; what it said before is replaced.")
@click.option("--pin", "pinned", is_flag=True, default=None, help="Always in the profile.")
@click.option("--expires", metavar="TIME", help="Gone then: 30d, 12h, 2w from now, or an ISO date-time.")
@click.option("--metadata", metavar="JSON", callback=_object, help="A JSON object to keep with it.")
@settings("user", "database", "config")
@JSON
def add(
    text: str, file: Path | None, user: str | None, database: str | None, *, as_json: bool, **given: object
) -> None:
    """Remember TEXT, one self-contained statement; - reads it from standard input.

    The file is created if it is not there yet.
    """
    config = loaded(file, user=user, database=database)
    begin(config)
    content = text_of(sys.stdin.buffer.read(), "standard input") if text == "-" else text
    fields = Fields.checked(given | {"content": content})

    async def do(service: MemoryService, zone: tzinfo | None) -> Answer:
        added = await service.add(config.user, fields, origin("add"))
        return Answer(lines.added(added, zone), _plain(data.added(added)), tables.written)

    output.run(config, do, as_json=as_json)


@click.command(epilog=EPILOG)
@click.argument("memory_id", metavar="ID", shell_complete=ids)
@settings("user", "database", "config")
@JSON
def edit(memory_id: str, file: Path | None, user: str | None, database: str | None, *, as_json: bool) -> None:
    """Change memory ID in your editor ($VISUAL or $EDITOR): its topics, key, pin, expiry and text.

    Unchanged, nothing is written. If it cannot be written, because it changed meanwhile or is not accepted, what you
    wrote is kept in a file that is named.
    """
    config = loaded(file, user=user, database=database)
    prepare(config)
    _refuse_without_editor()
    memory = anyio.run(_read, config, memory_id)  # nothing is held open while a person writes
    draft = drafted(memory)
    saved = click.edit(draft.encode(), extension=".md")

    async def do(service: MemoryService, zone: tzinfo | None) -> Answer:
        done = Updated(outcome="unchanged", memory=memory, changed=(), change_id=None)
        fields = None if saved is None else changed_fields(draft, text_of(saved, "what the editor saved"))
        if fields is not None:
            done = await service.update(config.user, memory.id, fields, origin("edit"), memory.version)
        return Answer(lines.updated(done, zone), _plain(data.updated(done)), tables.written)

    try:
        output.run(config, do, as_json=as_json)
    except (McpMemoryError, KeyboardInterrupt):
        if saved is not None:
            click.echo(f"What you wrote is kept in {_kept(saved)}", err=True)
        raise


@click.command(epilog=EPILOG)
@click.argument("memory_ids", metavar="ID...", nargs=-1, required=True, shell_complete=ids)
@click.option("--yes", is_flag=True, help="Do not ask, where there are several.")
@settings("user", "database", "config")
@JSON
def delete(
    memory_ids: Sequence[str],
    file: Path | None,
    user: str | None,
    database: str | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete memories, all of them or none, as one change, which mcp-memory undo takes back.

    Several are asked about first. To erase a memory for good, see mcp-memory forget.
    """
    config = loaded(file, user=user, database=database)
    prepare(config)
    if len(set(memory_ids)) > 1 and not yes:
        ask(f"Delete {len(set(memory_ids))} memories?")

    async def do(service: MemoryService, zone: tzinfo | None) -> Answer:
        done = await service.delete(config.user, memory_ids, origin("delete"))
        return Answer(lines.deleted(done, zone), _plain(data.deleted(done)), tables.deleted)

    output.run(config, do, as_json=as_json)


async def _read(config: Config, memory_id: str) -> Memory:
    async with open_app(config) as app:
        return (await (await app.service()).get(config.user, memory_id)).memory


def _refuse_without_editor() -> None:
    """Refuse where an editor would wait for a person who is not there."""
    if not sys.stdin.isatty() and not ({"VISUAL", "EDITOR"} & environment().keys()):
        raise InvalidInput("nobody sits at a terminal here to edit anything; name an editor with EDITOR")


def _kept(saved: bytes) -> str:
    """Where `saved` stands now, for its owner alone."""
    descriptor, name = tempfile.mkstemp(prefix="mcp-memory-", suffix=".md")
    with os.fdopen(descriptor, "wb") as kept:
        kept.write(saved)
    return name


def _plain(reply: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", reply)

"""`mcp-memory install`, `uninstall` and `clients`: what they do and say. Nothing here imports the SDK."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import click

from mcp_memory import keys
from mcp_memory.cli.connections import name_of, tried
from mcp_memory.cli.own import own_command
from mcp_memory.clients import CLIENTS, formats, guidance, hooks
from mcp_memory.clients.base import Client, Folders, Scope, folders
from mcp_memory.clients.connection import Connection
from mcp_memory.clients.entries import Entry, entries
from mcp_memory.clients.files import Change, Plan, carry_out, copy_of
from mcp_memory.clients.probe import Attempt
from mcp_memory.config import Config, load, variable
from mcp_memory.errors import ConfigError, InvalidInput
from mcp_memory.sections import nearest
from mcp_memory.values import Value

_NAMES: Final = {client.name: client for client in CLIENTS}
_CACHES: Final = frozenset({"archive-v0", ".cache", "Caches"})
"""Folders in which uvx and pipx run keep a program for a while."""

_HOOKED: Final = ("--user", "--database", "--config")
"""What a hook needs of an entry's options, to work with the same memories."""


class Wish(Value):
    """What is to be connected or taken out, as the command line words it."""

    clients: tuple[str, ...]
    every: bool = False
    project: bool = False
    dry_run: bool = False
    shown: bool = False
    guidance: bool = False
    hooks: bool = False
    user: str | None = None
    database: str | None = None

    @property
    def scope(self) -> Scope:
        """For whom."""
        return "project" if self.project else "user"

    def options(self, environ: Mapping[str, str]) -> dict[str, str]:
        """What the server is to be started with, by the names of its options.

        What stands in the variables of this terminal counts as given: clients do not have them.
        """
        database = self.database or environ.get(variable("database"))
        path = str(Path(database).expanduser().absolute()) if database else None
        given = {"--user": self.user or environ.get(variable("user")), "--database": path}
        return {name: value for name, value in given.items() if value}


class Look(Value):
    """How the clients are to be listed."""

    file: Path | None = None
    as_json: bool = False


def install(wish: Wish, environ: Mapping[str, str]) -> int:
    """Connect clients, and print what changed and how it went; 1 if one does not get an answer.

    Raises:
        ConfigError: a setting is wrong, or a file is broken; the others are connected.
        InvalidInput: no client is named, or one that is not known.
    """
    config = load(None, environ, {"user": wish.user, "database": wish.database})
    places = _folders(environ)
    command, chosen = own_command(), _chosen(wish, places)
    if _CACHES.intersection(Path(command[0]).parts):
        click.echo(f"{command[0]} is in a cache and may go; uv tool install or pipx install keeps it", err=True)
    if wish.shown:
        for client in chosen:
            _print(client, [*command, "serve", *_flat(wish.options(environ))], places, wish.scope)
        return 0
    connected, problems = list[tuple[Client, Entry]](), list[str]()
    absent = [client for client in chosen if wish.scope == "user" and not places.has(client)]
    for client in chosen:
        try:
            connection = _connection(client, places, wish.scope)
            made = _installed(wish, connection, command, wish.options(environ))
            connected += [(client, entry) for entry in made]
        except ConfigError as error:
            problems.append(str(error))
    attempts = {} if wish.dry_run else anyio.run(_attempts, [entry for _, entry in connected], config, environ)
    for client, entry in [] if wish.dry_run else connected:
        click.echo(f"{client.title}: {_outcome(entry, attempts.get(name_of(entry)))}")
        found = f"{client.title} was not found on this machine; it reads that file once it is there"
        click.echo(f"  next: {found if client in absent else client.restart}")
    hooked = wish.hooks and any(client.hooks for client, _ in connected)
    if hooked and not (config.extraction.mode == "always" and config.llm.model):
        click.echo('Conversations are not extracted before [extraction] mode = "always" and [llm] model are set.')
    _fail_with(problems)
    return 1 if any(attempt.problem for attempt in attempts.values()) else 0


def uninstall(wish: Wish, environ: Mapping[str, str]) -> None:
    """Take everything of ours out of clients, and print what changed.

    Raises:
        ConfigError: a file is broken; what can be taken out of the others is.
        InvalidInput: no client is named, or one that is not known.
    """
    places, problems = _folders(environ), list[str]()
    chosen = [*CLIENTS] if wish.every else _chosen(wish, places)
    others = [client for client in CLIENTS if client not in chosen]
    kept = {path for client in others for path in _guided(client, places, wish.scope, environ)}
    found = 0
    for client in chosen:
        try:
            for plan in _removals(client, places, wish.scope, kept):
                change = _carry_out(client, "taken out of", plan, wish)
                found += change.after != change.before
        except ConfigError as error:
            problems.append(str(error))
    if not found and not problems:
        click.echo("Nothing of mcp-memory is there.")
    _fail_with(problems)


def clients(look: Look, environ: Mapping[str, str]) -> None:
    """List every client that is known, what connects it, and how that went.

    Raises:
        ConfigError: a setting is wrong.
    """
    config, places = load(look.file, environ, {}), _folders(environ)
    found = [(client, list(entries(client, places, environ))) for client in CLIENTS]
    used = [one for _, some in found for one in some if isinstance(one, Entry)]
    attempts = anyio.run(_attempts, used, config, environ)
    if look.as_json:
        listed = [_structured(client, some, attempts, places) for client, some in found]
        click.echo(json.dumps({"clients": listed}, ensure_ascii=False))
        return
    for client, some in found:
        for line in _lines(client, some, attempts, places):
            click.echo(f"{client.title:<14} {line}")


def _folders(environ: Mapping[str, str]) -> Folders:
    return folders(sys.platform, Path.home(), Path.cwd(), environ)


def _chosen(wish: Wish, places: Folders) -> list[Client]:
    for name in wish.clients:
        if name not in _NAMES:
            raise InvalidInput(f"no client {name!r} is known{nearest(name, [*_NAMES])}")
    if wish.every:
        chosen = [client for client in CLIENTS if places.has(client) and places.target(client, wish.scope)]
        if not chosen:
            raise InvalidInput("no client was found here; name one: mcp-memory install CLIENT")
        return chosen
    if not wish.clients:
        raise InvalidInput(f"name a client, or --all for those that are there: {', '.join(_NAMES)}")
    return [_NAMES[name] for name in dict.fromkeys(wish.clients)]


def _connection(client: Client, places: Folders, scope: Scope) -> Connection:
    found = places.target(client, scope)
    if found is None:
        raise ConfigError(f"{client.title} keeps no servers of a project; leave --project out")
    return Connection(client=client, place=found[0], file=found[1], folders=places)


def _installed(wish: Wish, connection: Connection, command: Sequence[str], options: Mapping[str, str]) -> list[Entry]:
    """Connect one client, and print what changed; the entries that it has then."""
    client, places = connection.client, connection.folders
    change = _carry_out(client, "connected in", partial(connection.connected, command, options), wish)
    made = connection.entries((change.after or b"").decode("utf-8-sig"))
    if wish.guidance:
        texts = list(_texts(client, places, wish.scope))
        for path, head in texts:
            _carry_out(client, "guided by", partial(guidance.guided, path, head), wish)
        if not texts and not wish.every:
            other = "; for a project it has: --project" if client.instructions else ""
            click.echo(f"{client.title}: it has no file of instructions{other}")
    if wish.hooks:
        used = {name: value for name in _HOOKED if (value := made[0].option(name)) is not None}
        for path in _hooked(client, places, wish.scope):
            made_hooks = hooks.made(command, used, places.platform)
            _carry_out(client, "hooked into", partial(hooks.hooked, path, made_hooks), wish)
        if not client.hooks and not wish.every:
            click.echo(f"{client.title}: it has no hooks")
    return made


def _removals(client: Client, places: Folders, scope: Scope, kept: set[Path]) -> Iterator[Plan]:
    """What takes a client's entries, guidance and hooks back; guidance that another client still reads stays."""
    for place in client.places:
        if place.scope == scope and not place.past:
            for path in places.files(place):
                yield Connection(client=client, place=place, file=path, folders=places).disconnected
    yield from (
        partial(guidance.unguided, path, head) for path, head in _texts(client, places, scope) if path not in kept
    )
    yield from (partial(hooks.unhooked, path) for path in _hooked(client, places, scope))


def _texts(client: Client, places: Folders, scope: Scope) -> Iterator[tuple[Path, str]]:
    for text in client.instructions:
        if text.scope == scope:
            yield from ((path, text.head) for path in places.paths(text))


def _hooked(client: Client, places: Folders, scope: Scope) -> Iterator[Path]:
    for place in client.hooks:
        if place.scope == scope:
            yield from places.paths(place)


def _guided(client: Client, places: Folders, scope: Scope, environ: Mapping[str, str]) -> list[Path]:
    """The instructions of a client that is connected."""
    connected = any(isinstance(one, Entry) for one in entries(client, places, environ))
    return [path for path, _ in _texts(client, places, scope)] if connected else []


def _carry_out(client: Client, what: str, plan: Plan, wish: Wish) -> Change:
    """Do what `plan` says unless it is only to be shown, and print it."""
    change = plan() if wish.dry_run else carry_out(plan)
    if change.after == change.before:
        if what != "taken out of":
            click.echo(f"{client.title}: already {what} {change.path}")
        return change
    gone = ", which is removed" if change.after is None else ""
    click.echo(f"{client.title}: {'would be ' if wish.dry_run else ''}{what} {change.path}{gone}")
    for line in change.difference() if change.after is not None else []:
        click.echo(f"  {line}")
    if what == "taken out of" and not wish.dry_run and (copy := copy_of(change.path)):
        click.echo(f"  it was written since it was connected; what it was before: {copy}")
    return change


def _print(client: Client, words: Sequence[str], places: Folders, scope: Scope) -> None:
    connection = _connection(client, places, scope)
    name = client.names[0]
    path = [*connection.place.keys[0], name]
    click.echo(f"{client.title}: in {connection.file}", err=True)
    click.echo(formats.put(client.format, "", path, client.shape.entry(name, words)), nl=False)


async def _attempts(
    found: Sequence[Entry], config: Config, environ: Mapping[str, str]
) -> dict[tuple[str, Path, str], Attempt]:
    try:
        key = await keys.find(config.encryption)
    except ConfigError:
        key = None
    return await tried([entry for entry in found if not (entry.off or entry.unknown())], config, key, environ)


def _outcome(entry: Entry, attempt: Attempt | None) -> str:
    if attempt is None:
        return (
            "is told not to use it; switch it on there" if entry.off else "was not tried: only it knows its variables"
        )
    if attempt.problem:
        command = " ".join((entry.command, *entry.args))
        return f"gets no answer: {attempt.problem}; try it on a terminal: {command}"
    return f"works: version {attempt.version} answers in {attempt.seconds:.1f} s"


def _lines(
    client: Client,
    found: Sequence[Entry | ConfigError],
    attempts: Mapping[tuple[str, Path, str], Attempt],
    places: Folders,
) -> Iterator[str]:
    if not found:
        yield f"not connected: mcp-memory install {client.name}" if places.has(client) else "not found here"
    for one in found:
        if isinstance(one, ConfigError):
            yield f"cannot be told: {one}"
        else:
            state = "off" if one.off else _outcome(one, attempts.get(name_of(one)))
            yield f"{json.dumps(one.name)} in {one.file} · {state}"


def _structured(
    client: Client,
    found: Sequence[Entry | ConfigError],
    attempts: Mapping[tuple[str, Path, str], Attempt],
    places: Folders,
) -> dict[str, Any]:
    listed: list[dict[str, Any]] = []
    for one in found:
        if isinstance(one, Entry):
            attempt = attempts.get(name_of(one), Attempt())
            answer = {"version": attempt.version or None, "problem": attempt.problem or None}
            listed.append({"name": one.name, "file": str(one.file), "scope": one.place.scope, "off": one.off} | answer)
    broken = [str(one) for one in found if isinstance(one, ConfigError)]
    return {"client": client.name, "title": client.title, "there": places.has(client)} | {
        "entries": listed,
        "unreadable": broken,
    }


def _flat(options: Mapping[str, str]) -> list[str]:
    return [part for option in options.items() for part in option]


def _fail_with(problems: Sequence[str]) -> None:
    if problems:
        raise ConfigError("; ".join(problems))

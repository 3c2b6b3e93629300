"""Each client's configuration: found, read, and what it starts tried."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio

from mcp_memory import keys
from mcp_memory.checks import Check, fail, ok, some, warn
from mcp_memory.clients import CLIENTS
from mcp_memory.clients.base import folders
from mcp_memory.clients.entries import Entry, entries
from mcp_memory.clients.probe import Attempt, Target, attempt
from mcp_memory.config import PREFIX, Config, load, variable
from mcp_memory.errors import ConfigError
from mcp_memory.keys import Key
from mcp_memory.store.sqlite.inspection import current

_NONE: Final = "connect one: mcp-memory install CLIENT, or --all for those that are there"


Name = tuple[str, Path, str]
"""What tells one entry from another: the client, its file, and the name there."""


async def connections(config: Config, key: Key | None, environ: Mapping[str, str]) -> list[Check]:
    """One check for each entry of a client that starts mcp-memory, and for each file that cannot be read.

    `key` opens the file of `config`.
    """
    places = folders(sys.platform, Path.home(), Path.cwd(), environ)
    found = [one for client in CLIENTS for one in entries(client, places, environ)]
    checks = [_unread(one) for one in found if isinstance(one, ConfigError)]
    # In the home folder a client's own file and that of the project are one.
    there = list({name_of(one): one for one in found if isinstance(one, Entry)}.values())
    if not there:
        titles = some([client.title for client in CLIENTS], len(CLIENTS))
        return [*checks, warn("clients", f"none of {titles} starts mcp-memory here", _NONE)]
    used = [entry for entry in there if not (entry.off or entry.unknown())]
    attempts = await tried(used, config, key, environ)
    return [*checks, *(_check(entry, attempts.get(name_of(entry)), config, environ) for entry in there)]


def name_of(entry: Entry) -> Name:
    """By what the entry is known."""
    return entry.client, entry.file, entry.name


def _unread(error: ConfigError) -> Check:
    return warn("clients", str(error), "correct that file, or the client starts none of its servers")


async def tried(
    used: Sequence[Entry], config: Config, key: Key | None, environ: Mapping[str, str]
) -> dict[Name, Attempt]:
    """How each entry went. What would make or migrate a file is started without one: this only looks."""
    attempts: dict[str, Attempt] = {}

    async def start(entry: Entry) -> None:
        attempts[_started(entry)] = await attempt(await _target(entry, config, key, environ), environ)

    async with anyio.create_task_group() as tasks:
        for entry in {_started(entry): entry for entry in used}.values():
            tasks.start_soon(start, entry)
    return {name_of(entry): attempts[_started(entry)] for entry in used}


def _started(entry: Entry) -> str:
    """What several clients start alike, and is tried once."""
    return json.dumps([entry.command, entry.args, sorted(entry.env.items()), str(entry.cwd)])


async def _target(entry: Entry, config: Config, key: Key | None, environ: Mapping[str, str]) -> Target:
    env = dict(entry.env)
    settings = _settings(entry, environ)
    if settings is not None and not await current(settings.path(), await _key_of(settings, config, key)):
        env[variable("ephemeral")] = "true"
    return Target(command=entry.command, args=entry.args, env=env, cwd=str(entry.cwd), user=config.user)


async def _key_of(settings: Config, config: Config, key: Key | None) -> Key | None:
    """What opens the file of an entry with these settings; None where it cannot be had, which its start then tells."""
    if settings.path() == config.path():
        return key
    try:
        return await keys.find(settings.encryption)
    except ConfigError:
        return None


def _settings(entry: Entry, environ: Mapping[str, str]) -> Config | None:
    """With what the entry would work; None where its settings are wrong, which its start then tells."""
    own = {name: value for name, value in environ.items() if not name.startswith(PREFIX)}
    file = entry.option("--config")
    try:
        return load(Path(file) if file else None, {**own, **entry.env}, {"database": entry.option("--database")})
    except ConfigError:
        return None


def _check(entry: Entry, attempt: Attempt | None, config: Config, environ: Mapping[str, str]) -> Check:
    name, where = entry.client, f"{json.dumps(entry.name)} in {entry.file}"
    if entry.off:
        return ok(name, f"{where} is switched off")
    if attempt is None:
        return warn(name, f"{where} was not tried: only the client knows {some(entry.unknown())}", "try it there")
    command = f"{entry.command} {' '.join(entry.args)}".strip()
    if attempt.problem:
        remedy = f"correct it there, or try it on a terminal: {command}"
        return fail(name, f"{where} does not work: {attempt.problem}", remedy)
    told = f"{where} answers {attempt.called or f'with {attempt.tools} tools'} in {attempt.seconds:.1f} s"
    settings = _settings(entry, environ)
    if settings is not None and settings.path() != config.path():
        told = f"{told}, on {settings.path()}"
    if not Path(entry.command).is_absolute():
        return warn(
            name,
            f"{told}, but {entry.command} is no absolute path: a client started from a desktop may miss it",
            "write the whole path there",
        )
    return ok(name, told)

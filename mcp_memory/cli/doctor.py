"""`mcp-memory doctor`: looks at everything that must be right for the memories to work, one line a check.

The clients' commands are tried meanwhile. Nothing here imports the SDK.
"""

import json
import os
import platform
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import anyio
import click

from mcp_memory import __version__, config, keys
from mcp_memory.app import embedder_of, model_of
from mcp_memory.checks import Check, Outcome, fail, ok, warn
from mcp_memory.cli.connections import connections
from mcp_memory.cli.options import EPILOG, environment, settings
from mcp_memory.clock import SystemClock
from mcp_memory.config import Config
from mcp_memory.errors import ConfigError
from mcp_memory.keys import Key
from mcp_memory.llm.openai import OpenAIModel
from mcp_memory.sections import EncryptionConfig
from mcp_memory.service import health
from mcp_memory.store.base import FileSettings
from mcp_memory.store.sqlite.inspection import inspect
from mcp_memory.store.sqlite.repair import repair
from mcp_memory.values import Value

_OLDEST_SQLITE: Final = (3, 40)
_LLM_PATIENCE: Final = 20.0
"""Seconds that one word may take; a model that must be loaded first takes as long as that."""

_COLORS: Final[Mapping[Outcome, str]] = {"ok": "green", "warn": "yellow", "fail": "red"}

Tell = Callable[[Check], None]


class Wish(Value):
    """What is to be looked at, as the command line words it. Empty options are not given."""

    file: Path | None
    user: str | None
    database: str | None
    repair: bool
    as_json: bool


@click.command("doctor", epilog=EPILOG)
@settings("user", "database", "config")
@click.option("--repair", is_flag=True, help="Make indexes and rights as they should be; texts are never touched.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def doctor_command(ctx: click.Context, **wish: object) -> None:
    """Check the file, its indexes, its backups, the settings, the endpoints and every client that uses it.

    Starts what the clients' configurations name, as they would. Ends with 1 if something failed.
    """
    ctx.exit(doctor(Wish.checked(wish), environment()))


def doctor(wish: Wish, environ: Mapping[str, str]) -> int:
    """Look at everything, print it, and return the exit code: 1 where something failed.

    Raises:
        ConfigError: an option has a value that cannot be used.
    """
    loaded, configuration = _configuration(wish, environ)
    shown = _Shown(as_json=wish.as_json)
    anyio.run(_examine, loaded, [_versions(), configuration], wish, environ, shown)
    return shown.end()


class _Shown:
    """Prints checks as they come, or all at the end as JSON; the last look at each thing counts."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._checks: list[Check] = []
        self._before: list[Check] = []
        self._repairs: list[str] = []

    def tell(self, check: Check) -> None:
        """One check."""
        self._checks.append(check)
        if not self._as_json:
            click.echo(f"{click.style(f'{check.outcome:4}', fg=_COLORS[check.outcome])}  {_line(check)}")

    def say(self, done: str) -> None:
        """One thing that was repaired."""
        self._repairs.append(done)
        if not self._as_json:
            click.echo(f"      repair: {done}")

    def again(self, kept: Sequence[Check]) -> None:
        """What follows is looked at anew, but for what is `kept`."""
        self._before, self._checks = self._checks, [*kept]
        if not self._as_json:
            click.echo("After the repair:")

    def end(self) -> int:
        """The last words, and the exit code."""
        counts = {outcome: sum(one.outcome == outcome for one in self._checks) for outcome in _COLORS}
        if self._as_json:
            plain: dict[str, Any] = {"checks": [_plain(one) for one in self._checks]}
            if self._repairs:
                plain |= {"before": [_plain(one) for one in self._before], "repairs": self._repairs}
            click.echo(json.dumps(plain, ensure_ascii=False))
        else:
            told = f"{counts['ok']} ok, {counts['warn']} to look at, {counts['fail']} failed"
            click.echo(f"{len(self._checks)} checks: {told}")
        return 1 if counts["fail"] else 0


async def _examine(loaded: Config, first: list[Check], wish: Wish, environ: Mapping[str, str], shown: _Shown) -> None:
    for check in first:
        shown.tell(check)
    key, told = await _key(loaded)
    for check in told:
        shown.tell(check)
    lost = any(check.outcome == "fail" for check in told)
    if wish.repair and not loaded.ephemeral:
        if not lost and await _file(loaded, key, shown.tell):
            await repair(loaded.path(), key, loaded.store.lock_timeout, shown.say)
        else:
            shown.say("nothing; the file has to be put right first, as the remedy says")
        shown.again(told)
    late: dict[str, list[Check]] = {}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_clients, loaded, key, environ, late)
        tasks.start_soon(_endpoints, loaded, late)
        if not lost:
            await _file(loaded, key, shown.tell)
    for check in late["endpoints"] + late["clients"]:
        shown.tell(check)


async def _key(loaded: Config) -> tuple[Key | None, list[Check]]:
    """The key of the file, and a check of it where there should be one. Without it the file is not looked at."""
    if loaded.ephemeral or loaded.encryption == EncryptionConfig():
        return None, []
    try:
        key = await keys.find(loaded.encryption)
    except ConfigError as error:
        said = f"{error}; the file was not looked at"
        return None, [fail("key", said, "put it where [encryption] in the settings says, see config.example.toml")]
    return key, [ok("key", "there is one where [encryption] says")]


async def _file(loaded: Config, key: Key | None, tell: Tell) -> bool:
    """Look at the file; whether it is one to work with."""
    if loaded.ephemeral:
        tell(ok("file", "none: ephemeral = true keeps memories in each process only"))
        return False
    model = model_of(loaded.embedding)
    wanted = FileSettings(languages=loaded.search.languages, model=model)
    embedder = embedder_of(model, loaded.embedding)
    dimensions = embedder.dimensions if embedder else None
    return await inspect(loaded.path(), key, wanted, dimensions, SystemClock().now(), tell)


async def _clients(loaded: Config, key: Key | None, environ: Mapping[str, str], late: dict[str, list[Check]]) -> None:
    late["clients"] = await connections(loaded, key, environ)


async def _endpoints(loaded: Config, late: dict[str, list[Check]]) -> None:
    """Whatever is configured to make vectors and decisions; without a configuration nothing is sent."""
    async with AsyncExitStack() as stack:
        embedder = embedder_of(model_of(loaded.embedding), loaded.embedding)
        if embedder is not None:
            stack.push_async_callback(embedder.aclose)
        patience = min(loaded.llm.timeout, _LLM_PATIENCE)
        briefly = loaded.llm.replace(timeout=patience, max_retries=0)
        model = OpenAIModel(briefly) if loaded.llm.model else None
        if model is not None:
            stack.push_async_callback(model.aclose)
        late["endpoints"] = [await health.embedder(embedder), await health.chat_model(model)]


def _configuration(wish: Wish, environ: Mapping[str, str]) -> tuple[Config, Check]:
    """The configuration, and whether it is sound; where it is not, as much of it as can be used."""
    name, options = "configuration", {"user": wish.user, "database": wish.database}
    file = wish.file or config.default_file()
    try:
        loaded = config.load(wish.file, environ, options)
    except ConfigError as error:
        found = fail(
            name,
            str(error),
            "correct it, or the clients do not start either; what follows uses the defaults in its place",
        )
    else:
        return loaded, ok(name, str(file) if file.exists() else "defaults: there is no settings file")
    nothing = Path(os.devnull)
    try:
        return config.load(nothing, environ, options), found
    except ConfigError:
        return config.load(nothing, {}, options), found


def _versions() -> Check:
    name = "versions"
    try:
        sdk = version("mcp")
    except PackageNotFoundError:
        return fail(name, "the package mcp is not installed", "install mcp-memory anew")
    told = f"mcp-memory {__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, mcp {sdk}"
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        return fail(name, f"{told}: SQLite is too old", "use a Python with SQLite 3.40 or newer")
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE t USING fts5 (x)")
        except sqlite3.OperationalError:
            return fail(name, f"{told}: SQLite has no FTS5", "use a Python whose SQLite has FTS5")
    if int(sdk.split(".")[0]) != 2:
        return warn(name, f"{told}: made for mcp 2", "install mcp-memory anew, in an environment of its own")
    return ok(name, f"{told}, {sys.executable}")


def _line(check: Check) -> str:
    said = " ".join(f"{check.name}: {check.said}".split())
    return f"{said} - to do: {check.remedy}" if check.remedy else said


def _plain(check: Check) -> dict[str, str]:
    return {name: value for name, value in check.fields().items() if value}

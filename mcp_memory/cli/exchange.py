"""How `export` and `import` do it. Loaded only by them: what reads all the formats is not wanted by other commands."""

import logging
import shlex
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import anyio
import click
from anyio import to_thread

from mcp_memory.app import open_app
from mcp_memory.cli.memories import prepare
from mcp_memory.cli.options import origin
from mcp_memory.config import Config
from mcp_memory.errors import ConfigError, EmbeddingError, InvalidInput
from mcp_memory.service import MemoryService
from mcp_memory.service.transfer import Imported, Leaving
from mcp_memory.text.amounts import counted
from mcp_memory.text.cleanup import escaped
from mcp_memory.transfer import sources, writers
from mcp_memory.transfer.files import written
from mcp_memory.values import Value

_SUFFIXES: Final[dict[str, writers.Form]] = {".json": "json", ".md": "markdown", ".markdown": "markdown", ".csv": "csv"}
_SHOWN: Final = 20
"""So many lines of each kind are told."""
_WRITE: Final = 200
"""So many memories are handed to the file at once."""

Bar = Callable[[int], None]


class Leave(Value):
    """An export as the command line words it."""

    target: Path | None = None
    form: writers.Form | None = None
    history: bool = False
    force: bool = False


class Bring(Value):
    """An import as the command line words it."""

    source: str
    format: sources.Format = "auto"
    owner: str | None = None
    mapping: Mapping[str, str] = {}
    dry_run: bool = False
    skip_bad: bool = False


class _Left(NamedTuple):
    """How many memories were written, and what is to be said of those that are damaged."""

    number: int
    damaged: list[str]


def export(config: Config, wish: Leave) -> None:
    """Write the memories, and tell a person how many.

    Raises:
        McpMemoryError: there is no such file, or FILE cannot be written.
    """
    prepare(config)
    if wish.target == Path("-"):
        wish = wish.replace(target=None)
    if wish.target is not None and wish.target.resolve() == config.path().resolve():
        raise InvalidInput(f"{wish.target} is the database itself; name another file")
    named = _SUFFIXES.get(wish.target.suffix.lower(), "jsonl") if wish.target else "jsonl"
    writer = writers.writer(wish.form or named, history=wish.history)
    if wish.target is None:
        done = anyio.run(_leave, config, writer, sys.stdout.buffer)
    else:
        with written(wish.target.absolute(), force=wish.force) as out:
            done = anyio.run(_leave, config, writer, out)
    _say(done.damaged)
    if wish.target is not None:
        click.echo(f"Exported {counted(done.number, 'memory', 'memories')} of {config.user} to {wish.target}")


def bring(config: Config, wish: Bring) -> int:
    """Import what can be, and print what became of it; 1 where bad lines stood in the way, else 0.

    Raises:
        McpMemoryError: the source cannot be read, or the store not be written; nothing was imported.
    """
    logging.basicConfig(level=config.log_level.upper(), format="mcp-memory: %(message)s")
    if config.ephemeral:
        raise ConfigError("with ephemeral = true nothing would be kept; set it to false")
    return anyio.run(_bring, config, wish, _Bars(shown=sys.stderr.isatty()))


async def _leave(config: Config, writer: writers.Writer, out: BinaryIO) -> _Left:
    async with open_app(config) as app:
        service = await app.service()
        count = 0
        damaged: list[str] = []
        pending = [writer.begin]
        async for one in service.transfer.leaving(config.user):
            if one.repaired or one.lineage is None:
                damaged.append(_damaged(one))
            if one.lineage is None:
                continue
            pending.append((writer.between if count else "") + writer.one(one.lineage))
            count += 1
            if len(pending) == _WRITE:
                await to_thread.run_sync(out.write, "".join(pending).encode())
                pending = []
        await to_thread.run_sync(out.write, "".join([*pending, writer.end]).encode())
        await to_thread.run_sync(out.flush)
        return _Left(count, damaged)


def _damaged(one: Leaving) -> str:
    if one.lineage is None:
        return f"memory {one.id} is damaged on disk and was left out; no sound version of it is left"
    return f"memory {one.id} is damaged on disk; its last good version, {one.lineage.memory.version}, was exported"


async def _bring(config: Config, wish: Bring, bars: "_Bars") -> int:
    async with open_app(config) as app:
        wanted = sources.Wish(source=wish.source, format=wish.format, mapping=wish.mapping, owner=wish.owner)
        found = await to_thread.run_sync(partial(sources.opened, wanted, app.zone))
        service = await app.service()
        with bars.bar("reading", found.total) as advance:
            batch = await service.transfer.read(found.records, advance)
        click.echo(f"{sources.named(wish.source)} is taken for {found.what}.")
        stopped = bool(batch.bad) and not wish.skip_bad
        if wish.dry_run or stopped:
            _report(await service.transfer.preview(config.user, batch), found.left_out, would=True)
            click.echo("Nothing was imported: " + ("this is a dry run." if wish.dry_run else _STOPPED))
            return int(stopped)
        with bars.bar("writing", len(batch.candidates)) as advance:
            done = await service.transfer.bring(config.user, batch, origin("import"), advance)
        _report(done, found.left_out, would=False)
        if done.change_id is not None:
            with bars.bar("vectors", done.added) as advance:
                await _embed(service, config.user, advance)
            click.echo(f"To take it back: {_undo(config, done.change_id)}")
        return 0


_STOPPED: Final = "put right what is wrong, or leave it out with --skip-bad."


async def _embed(service: MemoryService, user: str, advance: Bar) -> None:
    try:
        await service.vectors.complete(user, advance)
    except EmbeddingError as error:
        click.echo(f"Their vectors are still missing, and are made while clients search: {error}", err=True)


def _undo(config: Config, change_id: str) -> str:
    user = [] if config.user == "default" else ["--user", config.user]
    database = ["--database", config.database] if config.database else []
    return shlex.join(["mcp-memory", "undo", *user, *database, change_id])


def _report(done: Imported, left_out: Iterable[str], *, would: bool) -> None:
    lines = [f"{'Would import' if would else 'Imported'} {counted(done.added, 'memory', 'memories')}."]
    lines += _part("known already", [f"{one.place}: as memory {one.id}" for one in done.exists])
    lines += _part(
        "in conflict, left out",
        [f"{one.place}: key {one.key} has another text here, memory {one.id}" for one in done.conflicts],
    )
    lines += _part("expired, left out", done.expired)
    lines += _part("with a secret redacted", done.redacted)
    lines += _part(
        "with another id, since theirs is taken", [f"{one.place}: {one.former} → {one.id}" for one in done.mapped]
    )
    lines += _part("bad" if would else "bad, left out", [f"{one.place}: {one.why}" for one in done.bad])
    lines += [f"Left out: {one}" for one in left_out]
    click.echo(escaped("\n".join(lines)))


def _part(what: str, found: Sequence[str]) -> list[str]:
    if not found:
        return []
    more = [f"  and {len(found) - _SHOWN:,} more"] if len(found) > _SHOWN else []
    return [f"{len(found):,} {what}:", *(f"  {one}" for one in found[:_SHOWN]), *more]


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        click.echo(f"mcp-memory: {escaped(line)}", err=True)


class _Bars:
    """Progress bars on stderr, where somebody looks at it; one at a time."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown

    @contextmanager
    def bar(self, label: str, total: int) -> Generator[Bar]:
        """A bar for a part of `total` steps; what it gives gets how many more are done."""
        with ExitStack() as stack:
            if self._shown and total:
                yield stack.enter_context(click.progressbar(length=total, label=label, file=sys.stderr)).update
            else:
                yield _nothing


def _nothing(more: int) -> None:
    del more

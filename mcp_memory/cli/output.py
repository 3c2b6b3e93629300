"""How commands answer: a table on a terminal, plain text in a pipe, and with --json what a client would get.

A table is drawn from the structured form, in which no character of a stored text can do anything to a terminal.
"""

import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import tzinfo
from functools import partial
from typing import Any, Final, NamedTuple

import anyio
import click

from mcp_memory.app import open_app
from mcp_memory.cli.memories import prepare
from mcp_memory.cli.options import environment
from mcp_memory.config import Config
from mcp_memory.service import MemoryService

JSON: Final = click.option("--json", "as_json", is_flag=True, help="As JSON, in the form that a client gets.")

Draw = Callable[[Any, tzinfo | None], Any]
"""Makes something that rich can print of a structured reply, its dates in a zone (None: the system's)."""


class Answer(NamedTuple):
    """What a command says: to a reader of plain text, to programs, and on a terminal, where that differs."""

    told: str
    structured: Mapping[str, Any]
    draw: Draw | None = None


Ask = Callable[[MemoryService, tzinfo | None], Awaitable[Answer]]


def answer(config: Config, ask: Ask, *, as_json: bool) -> None:
    """Print what the service answers.

    Raises:
        McpMemoryError: there is no such file, or the service refuses; nothing was written.
    """
    prepare(config)
    run(config, ask, as_json=as_json)


def run(config: Config, ask: Ask, *, as_json: bool) -> None:
    """The same, also where there is no file yet."""
    anyio.run(_asked, config, ask, partial(show, as_json=as_json))


def show(said: Answer, zone: tzinfo | None, *, as_json: bool) -> None:
    """Print an answer."""
    if as_json:
        click.echo(json.dumps(said.structured))
    elif said.draw is not None and on_terminal():
        draw(said.draw(said.structured, zone))
    else:
        click.echo(said.told)


def on_terminal() -> bool:
    """Whether a person looks at what is printed; FORCE_COLOR says so too, as it does for rich."""
    return sys.stdout.isatty() or bool(environment().get("FORCE_COLOR"))


def draw(drawn: object) -> None:
    """Print what rich can print, as wide as the terminal is; it heeds NO_COLOR."""
    from rich.console import Console

    console = Console(file=sys.stdout, markup=False, highlight=False, emoji=False)
    console.print(drawn)


async def _asked(config: Config, ask: Ask, tell: Callable[[Answer, tzinfo | None], None]) -> None:
    async with open_app(config) as app:
        service = await app.service()
        tell(await ask(service, app.zone), app.zone)
        await service.vectors.settle()  # nothing goes on in the background once this process has ended

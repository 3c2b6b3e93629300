"""The group of commands: each is loaded when it is run, and what goes wrong ends with one line and an exit code.

Most of what a command needs takes longer to load than the help of all of them may take.
"""

import gc
import importlib
from collections.abc import Mapping
from typing import Final, NamedTuple

import click
from click.shell_completion import CompletionItem

from mcp_memory.errors import Conflict, McpMemoryError, NotFound

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C: 128 and the number of the signal."""


_COMMANDS: Final = {
    "search_memories finds": "mcp-memory search finds",
    "list_memories shows": "mcp-memory list shows",
    "use list_memories": "use mcp-memory list",
    "Every reply that wrote something names its change_id": "mcp-memory changes lists them",
}
"""What errors of the service say to a model, and what that is at a terminal."""

HIDDEN: Final = ""
"""The heading of commands that nobody types: neither the help nor the completion shows them."""


class Entry(NamedTuple):
    """A command that is not loaded yet: the module of `mcp_memory.cli` that has it, under what name, and its line."""

    module: str
    attribute: str
    line: str


class Commands(click.Group):
    """Commands by the headings under which the help lists them."""

    def __init__(self, *, entries: Mapping[str, Mapping[str, Entry]], **attrs: object) -> None:
        super().__init__(**attrs)  # pyright: ignore[reportArgumentType]
        self.entries = entries
        self._all = {name: entry for listed in entries.values() for name, entry in listed.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all, in the order of the help."""
        return list(self._all)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded now."""
        return self.loaded(cmd_name) if cmd_name in self._all else None

    def loaded(self, name: str) -> click.Command:
        """The command of that name."""
        entry = self._all[name]
        gc.disable()  # nothing that is loaded is garbage, and looking for some takes a tenth of the time
        try:
            return getattr(importlib.import_module(f"mcp_memory.cli.{entry.module}"), entry.attribute)
        finally:
            gc.freeze()
            gc.enable()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of all, by heading, with nothing loaded."""
        for heading, listed in self.entries.items():
            if heading == HIDDEN:
                continue
            with formatter.section(heading):
                formatter.write_dl([(name, entry.line) for name, entry in listed.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names that begin so, with nothing loaded."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        shown = [listed for heading, listed in self.entries.items() if heading != HIDDEN]
        every = [(name, entry.line) for listed in shown for name, entry in listed.items()]
        return [CompletionItem(name, help=line) for name, line in every if name.startswith(incomplete)]

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; what it raises on purpose becomes one line on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except McpMemoryError as error:
            click.echo(f"mcp-memory: {_for_a_person(str(error))}", err=True)
            ctx.exit(1 if isinstance(error, NotFound | Conflict) else 2)
        except BrokenPipeError:
            raise  # click's own way to end, without a word
        except OSError as error:
            place = error.filename or "the output cannot be written"
            click.echo(f"mcp-memory: {place}: {error.strerror or error}", err=True)
            ctx.exit(1)
        except UnicodeEncodeError as error:
            if error.reason != "surrogates not allowed":
                raise
            click.echo("mcp-memory: an argument holds bytes that are no UTF-8 text", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            _interrupted(ctx)
        except click.Abort as error:
            # A question that was interrupted; one whose input ended is answered by nobody, which click tells itself.
            if not isinstance(error.__context__, KeyboardInterrupt):
                raise
            _interrupted(ctx)


def _for_a_person(told: str) -> str:
    """An error that names the tools to go on with, with the commands in their place."""
    for tool, command in _COMMANDS.items():
        told = told.replace(tool, command)
    return told


def _interrupted(ctx: click.Context) -> None:
    click.echo("\nmcp-memory: interrupted", err=True)
    ctx.exit(INTERRUPTED)

"""The options that commands share: those that set a setting, on top of the environment and the file."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import click

import mcp_memory
from mcp_memory import config
from mcp_memory.config import Config
from mcp_memory.errors import InvalidInput
from mcp_memory.service.pending import Person

OPTIONS: Final = {
    "user": click.option("--user", metavar="U", help="Whose memories these are (default: default)."),
    "database": click.option("--database", metavar="PATH", help="The SQLite file."),
    "config": click.option(
        "--config",
        "file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="A TOML file of settings (default: see below, if there).",
    ),
    "identity": click.option(
        "--identity", metavar="MODE", help="fixed: one user; argument: every tool takes a user_id."
    ),
    "tools": click.option(
        "--tools", metavar="LIST", help="Tool profiles and tools, with commas; -name takes one away."
    ),
    "agent": click.option("--agent", metavar="A", help="Name of the agent, recorded on what it writes."),
    "team": click.option("--team", metavar="T", help="Name of the agent's team."),
    "ephemeral": click.option("--ephemeral", is_flag=True, default=None, help="Keep memories in this process only."),
    "log_level": click.option("--log-level", metavar="L", help="debug, info, warning or error; logs go to stderr."),
}
EPILOG: Final = f"\b\nDefault settings file: {config.default_file()}"  # \b: a path is never wrapped


def loaded(file: Path | None, **options: object) -> Config:
    """The configuration with these options on top of the environment and the file.

    Raises:
        ConfigError: one of them is unknown or cannot be used.
    """
    return config.load(file, os.environ, options)


def settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options that set these settings, on top of the environment and the file."""

    def optional(command: Callable[..., None]) -> Callable[..., None]:
        for name in reversed(names):
            command = OPTIONS[name](command)
        return command

    return optional


def listed(given: str) -> list[str]:
    """The parts of an option that takes several, with commas."""
    return [part.strip() for part in given.split(",")]


def origin(tool: str) -> Person:
    """Who a change says that it is by: a person, at this command line."""
    return Person(tool=tool, client="mcp-memory", client_version=mcp_memory.__version__)


def environment() -> Mapping[str, str]:
    """The variables that this process was given."""
    return os.environ


def ask(question: str) -> None:
    """Go on only if a person at a terminal agrees; exit code 1 if not.

    Raises:
        InvalidInput: nobody is there.
    """
    refuse_unasked()
    if not click.confirm(question):
        click.echo("Nothing was changed.")
        raise click.exceptions.Exit(1)


def refuse_unasked() -> None:
    """Refuse what a person must agree to where nobody sits at a terminal.

    Raises:
        InvalidInput: nobody is there.
    """
    if not sys.stdin.isatty():
        raise InvalidInput("nothing was changed: a person must agree to this, and nobody can be asked here; add --yes")

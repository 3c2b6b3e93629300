"""Which entries of the clients' configurations start mcp-memory. Files are read here and never written."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any, Final, cast

from mcp_memory.clients import formats
from mcp_memory.clients.base import Client, Folders, Format, KeyPath, Place
from mcp_memory.errors import ConfigError
from mcp_memory.values import Misfit, Value

_NAME: Final = re.compile(r"mcp[-_]memory(\.exe|\.cmd)?", re.IGNORECASE)
_PACKAGE: Final = re.compile(r"mcp[-_]memory(\[[\w,-]*\])?([@=<>~!][^/\\]*)?", re.IGNORECASE)
"""As `uvx`, `pipx run` and `uv run` take it."""

_OTHERS: Final = frozenset({"npx", "npm", "pnpm", "yarn", "bunx"})
"""Runners of packages that have nothing to do with Python's."""

_VARIABLE: Final = re.compile(r"\$\{(?:env:)?(\w+)(?::-([^}]*))?\}")
_UNKNOWN: Final = re.compile(r"\$\{[^}]*\}")


class _Server(Value):
    """What is read of an entry; clients have more in theirs."""

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    cwd: str | None = None


class Entry(Value):
    """An entry called `name` in `file` that starts mcp-memory, `off` if the client is told not to use it.

    `keys` lead to the table that it stands in. `command`, `args`, `env` and `cwd` are as the client would use them,
    its variables replaced.
    """

    client: str
    file: Path
    place: Place
    keys: KeyPath
    name: str
    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    off: bool

    def unknown(self) -> list[str]:
        """The variables in it that only its client can fill in."""
        return [one for text in (self.command, *self.args, *self.env.values()) for one in _UNKNOWN.findall(text)]

    def option(self, name: str) -> str | None:
        """What the arguments give for the option `name`, such as --database."""
        given: str | None = None
        for number, word in enumerate(self.args):
            if word == name and number + 1 < len(self.args):
                given = self.args[number + 1]
            elif word.startswith(f"{name}="):
                given = word.partition("=")[2]
        return given


def entries(client: Client, folders: Folders, environ: Mapping[str, str]) -> Iterator[Entry | ConfigError]:
    """Every entry of `client` that starts mcp-memory, and an error for each file of it that cannot be read."""
    for place in client.places:
        for file in folders.files(place):
            try:
                whole = _read(file, client.format)
            except ConfigError as error:
                yield error
                continue
            yield from found_in(whole, client, place, file, folders, environ)


def found_in(
    whole: object, client: Client, place: Place, file: Path, folders: Folders, environ: Mapping[str, str]
) -> Iterator[Entry]:
    """Every entry that starts mcp-memory in `whole`, which is what `file` holds."""
    known = {**environ, "userHome": str(folders.home), "workspaceFolder": str(folders.project)}
    for pattern in place.keys:
        for keys, servers in formats.tables(whole, pattern):
            for name, table in servers.items():
                server = _server(client, table)
                if server is None:
                    continue
                command = _filled(server.command, known)
                args = tuple(_filled(one, known) for one in server.args)
                if starts_memory(command, args):
                    yield Entry(
                        client=client.title,
                        file=file,
                        place=place,
                        keys=keys,
                        name=name,
                        command=command,
                        args=args,
                        env={key: _filled(value, known) for key, value in server.env.items()},
                        cwd=folders.home / _filled(server.cwd or "", known),
                        off=table.get("disabled") is True or table.get("enabled") is False,
                    )


def _server(client: Client, table: object) -> _Server | None:
    """What an entry starts; None if it is none."""
    if not isinstance(table, Mapping):
        return None
    fields = cast("Mapping[str, Any]", table)
    command, *args = client.shape.words(fields)
    given = {"command": command, "args": args, "env": fields.get(client.shape.env), "cwd": fields.get("cwd")}
    try:
        return _Server.checked({key: value for key, value in given.items() if value is not None})
    except Misfit:
        return None


def starts_memory(command: str, args: Sequence[str]) -> bool:
    """Whether this is mcp-memory: by itself, as a Python module, or through a runner such as uvx.

    A folder of that name among the arguments of another server does not make it one.
    """
    program = _last_part(command)
    if _NAME.fullmatch(program):
        return True
    if program.casefold().removesuffix(".cmd") in _OTHERS:
        return False
    words = [word for one in args for word in one.split()] + [""]
    for number, word in enumerate(words[:-1]):
        if _PACKAGE.fullmatch(word) and not words[number - 1].startswith("--"):
            return True
        if words[number + 1] == "serve" and _NAME.fullmatch(_last_part(word)):
            return True
    return False


def _read(file: Path, form: Format) -> object:
    try:
        return formats.parse(form, file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{file}: cannot be read ({' '.join(str(reason).split())})") from error


def _filled(text: str, known: Mapping[str, str]) -> str:
    """`text` with the variables that are known; others stay, for the message that names them."""
    return _VARIABLE.sub(lambda match: known.get(match[1], match[0] if match[2] is None else match[2]), text)


def _last_part(path: str) -> str:
    return (PureWindowsPath(path) if os.sep == "\\" or "\\" in path else PurePath(path)).name

"""What connects a client to mcp-memory: an entry in its file, changed in place where there is one already."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mcp_memory.clients import formats
from mcp_memory.clients.base import Client, Folders, KeyPath, Place
from mcp_memory.clients.entries import Entry, found_in
from mcp_memory.clients.files import Change, changed, taken_back
from mcp_memory.values import Value

_SERVE: Final = "serve"


class Connection(Value):
    """The place of an entry: the servers in `file` stand where the first key path of `place` leads."""

    client: Client
    place: Place
    file: Path
    folders: Folders

    def connected(self, command: Sequence[str], options: Mapping[str, str]) -> Change:
        """The file with an entry that starts `command` and serves with these `options`, by their names.

        What an entry of ours has besides stays as it is: other arguments, variables, and whether it is switched off.

        Raises:
            ConfigError: the file is broken, or the names that the entry may have are those of other servers.
        """

        def edit(text: str) -> str:
            ours = self.entries(text)
            servers = self._servers(text)
            if not ours:
                name = self._free(servers)
                words = [*command, _SERVE, *_with((), options)]
                return self._put(text, (name,), self.client.shape.entry(name, words))
            name, shape = ours[0].name, self.client.shape
            words = [*command, _SERVE, *_with(_served(shape.words(servers[name])), options)]
            fields = shape.entry(name, words)
            for field in filter(None, (shape.command, shape.args)):
                text = self._put(text, (name, field), fields[field])
            return text

        return changed(self.file, edit, self._again)

    def disconnected(self) -> Change:
        """The file without any entry of ours.

        Raises:
            ConfigError: the file is broken.
        """

        def edit(text: str) -> str:
            for entry in self.entries(text):
                text = formats.drop(self.client.format, text, [*self._keys, entry.name])
            return text

        return taken_back(self.file, edit, self._again)

    def entries(self, text: str) -> list[Entry]:
        """The entries of ours in `text`.

        Raises:
            ValueError: it is broken.
        """
        whole = formats.parse(self.client.format, text)
        place = self.place.replace(keys=(self._keys,))
        return list(found_in(whole, self.client, place, self.file, self.folders, {}))

    @property
    def _keys(self) -> KeyPath:
        return self.place.keys[0]

    def _again(self, current: str, text: str) -> str:
        servers = self._servers(current)
        for entry in self.entries(current):
            text = self._put(text, (entry.name,), servers[entry.name])
        return text

    def _servers(self, text: str) -> Mapping[str, Any]:
        found = formats.tables(formats.parse(self.client.format, text), self._keys)
        return found[0][1] if found else {}

    def _free(self, servers: Mapping[str, Any]) -> str:
        for name in self.client.names:
            if name not in servers:
                return name
        taken = " and ".join(self.client.names)
        raise ValueError(f"{taken} there are other servers, which stay as they are; rename one of them")

    def _put(self, text: str, path: Sequence[str], value: object) -> str:
        return formats.put(self.client.format, text, [*self._keys, *path], value)


def _served(words: Sequence[Any]) -> list[str]:
    """The arguments of `serve` in a command."""
    known = [str(word) for word in words]
    return known[known.index(_SERVE) + 1 :] if _SERVE in known else []


def _with(arguments: Sequence[str], options: Mapping[str, str]) -> list[str]:
    """`arguments` with these options in the place of what they had."""
    kept: list[str] = []
    skipped = False
    for word in arguments:
        if skipped:
            skipped = False
        elif word in options:
            skipped = True
        elif word.partition("=")[0] not in options:
            kept.append(word)
    return [*kept, *(part for option in options.items() for part in option)]

"""How the MCP clients keep their servers: as data, one module a client.

A path is a template over `Folders`, and `*` in it stands for any name of a folder. A key path leads to the table of
servers, and `*` in it stands for any key.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mcp_memory.values import Value

Platform = Literal["linux", "darwin", "win32"]

Scope = Literal["user", "project"]
"""For whom: everything of this user, or one project."""

Format = Literal["json", "toml", "yaml"]

KeyPath = tuple[str, ...]

_EVERYWHERE: tuple[Platform, ...] = ("linux", "darwin", "win32")


class Place(Value):
    """A file in which a client keeps servers, on `platforms` only where they are named.

    New servers stand at the first of `keys`; where the place is of the `past`, they are only read.
    """

    path: str
    keys: tuple[KeyPath, ...]
    scope: Scope = "user"
    platforms: tuple[Platform, ...] = _EVERYWHERE
    past: bool = False


class Text(Value):
    """A file of instructions that a client gives its model. One that begins with `head` is all ours."""

    path: str
    scope: Scope = "user"
    platforms: tuple[Platform, ...] = _EVERYWHERE
    head: str = ""


class Shape(Value):
    """The fields of an entry. Without `args`, the command is a list with its arguments.

    `before` and `after` are what else stands in a new entry; "{name}" in them is its name.
    """

    command: str = "command"
    args: str = "args"
    env: str = "env"
    before: Mapping[str, Any] = {}
    after: Mapping[str, Any] = {}

    def entry(self, name: str, words: Sequence[str]) -> dict[str, Any]:
        """The entry called `name` that starts the command `words`."""
        own = {self.command: words[0], self.args: [*words[1:]]} if self.args else {self.command: [*words]}
        whole = {**self.before, **own, **self.after}
        return {key: name if value == "{name}" else value for key, value in whole.items()}

    def words(self, table: Mapping[str, Any]) -> list[Any]:
        """The command of an entry with its arguments, whatever they are."""
        first, rest = table.get(self.command), table.get(self.args) if self.args else None
        return [*(first if isinstance(first, list) else [first]), *(rest if isinstance(rest, list) else [])]


class Client(Value):
    """One MCP client: the name it has in commands and for people, and where it keeps its servers.

    It is there if one of `signs` is, or the folder of one of its places. `names` are those that a new entry may have,
    the best first, and `restart` is what makes it read its configuration. `hooks` are the settings of a client that
    runs commands at the start of a session and at the end of a turn.
    """

    name: str
    title: str
    format: Format
    places: tuple[Place, ...]
    restart: str
    shape: Shape = Shape()
    signs: tuple[str, ...] = ()
    names: tuple[str, ...] = ("memory", "mcp-memory")
    instructions: tuple[Text, ...] = ()
    hooks: tuple[Place, ...] = ()


class Folders(Value):
    """What the templates of paths are filled with; all absolute."""

    platform: Platform
    home: Path
    project: Path
    config: Path
    xdg: Path
    appdata: Path
    localappdata: Path
    claude: Path
    claude_home: Path
    codex: Path
    copilot: Path
    cline: Path

    def files(self, place: Place) -> Iterator[Path]:
        """The files of `place` that are there."""
        yield from (path for path in self.paths(place) if path.is_file())

    def paths(self, place: Place | Text) -> Iterator[Path]:
        """Where the file of `place` is or would be; a folder that stands for any name must be there."""
        if self.platform not in place.platforms:
            return
        filled = self.filled(place.path)
        pattern = [number for number, part in enumerate(filled.parts) if part.endswith("*")]
        if not pattern:
            yield filled
            return
        root, rest = Path(*filled.parts[: pattern[0]]), filled.parts[pattern[0] + 1 :]
        yield from (folder.joinpath(*rest) for folder in sorted(root.glob(filled.parts[pattern[0]])))

    def target(self, client: Client, scope: Scope) -> tuple[Place, Path] | None:
        """Where a new entry of `client` belongs: in a file that is there, else in the first of its places."""
        places = [place for place in client.places if place.scope == scope and not place.past]
        found = [(place, path) for place in places for path in self.paths(place)]
        return next((one for one in found if one[1].is_file()), found[0] if found else None)

    def has(self, client: Client) -> bool:
        """Whether `client` seems to be installed."""
        places = [place for place in client.places if place.scope == "user"]
        signs = [self.filled(sign) for sign in client.signs]
        return any(one.exists() for one in signs or (path.parent for place in places for path in self.paths(place)))

    def filled(self, template: str) -> Path:
        """The path that `template` stands for."""
        return Path(template.format(**self.fields()))


def folders(platform: str, home: Path, project: Path, environ: Mapping[str, str]) -> Folders:
    """Where clients keep things for the person whose `home` and `environ` these are, working in `project`."""

    def named(variable: str, otherwise: Path) -> Path:
        given = Path(environ.get(variable, ""))
        return given if given.is_absolute() else otherwise

    support, xdg = home / "Library" / "Application Support", named("XDG_CONFIG_HOME", home / ".config")
    return Folders(
        platform="darwin" if platform == "darwin" else "win32" if platform == "win32" else "linux",
        home=home,
        project=project,
        config=support if platform == "darwin" else xdg,
        xdg=xdg,
        appdata=named("APPDATA", home / "AppData" / "Roaming"),
        localappdata=named("LOCALAPPDATA", home / "AppData" / "Local"),
        claude=named("CLAUDE_CONFIG_DIR", home),
        claude_home=named("CLAUDE_CONFIG_DIR", home / ".claude"),
        codex=named("CODEX_HOME", home / ".codex"),
        copilot=named("COPILOT_HOME", home / ".copilot"),
        cline=named("CLINE_DIR", home / ".cline"),
    )

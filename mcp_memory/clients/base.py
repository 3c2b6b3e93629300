"""How the MCP clients keep their servers: as data, one module a client.

A path is a template over `Folders`, and `*` in it stands for any name of a folder. A key path leads to the table of
servers, and `*` in it stands for any key.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from mcp_memory.models import Value

Platform = Literal["linux", "darwin", "win32"]

KeyPath = tuple[str, ...]


class Place(Value):
    """A file in which a client keeps servers, on `platforms` only where they are named.

    `scope` says for whom: everything of this user, or one project.
    """

    path: str
    keys: tuple[KeyPath, ...]
    scope: Literal["user", "project"] = "user"
    platforms: tuple[Platform, ...] = ("linux", "darwin", "win32")


class Client(Value):
    """One MCP client: the name it has in commands and for people, and where it keeps its servers."""

    name: str
    title: str
    format: Literal["json", "toml"]
    places: tuple[Place, ...]


class Folders(Value):
    """What the templates of paths are filled with; all absolute."""

    platform: Platform
    home: Path
    project: Path
    config: Path
    appdata: Path
    localappdata: Path
    claude: Path
    codex: Path

    def files(self, place: Place) -> Iterator[Path]:
        """The files of `place` that are there."""
        if self.platform not in place.platforms:
            return
        filled = Path(place.path.format(**self.model_dump()))
        pattern = [number for number, part in enumerate(filled.parts) if part.endswith("*")]
        if pattern:
            root = Path(*filled.parts[: pattern[0]])
            yield from sorted(root.glob(Path(*filled.parts[pattern[0] :]).as_posix()))
        elif filled.is_file():
            yield filled


def folders(platform: str, home: Path, project: Path, environ: Mapping[str, str]) -> Folders:
    """Where clients keep things for the person whose `home` and `environ` these are, working in `project`."""

    def named(variable: str, otherwise: Path) -> Path:
        given = Path(environ.get(variable, ""))
        return given if given.is_absolute() else otherwise

    support = home / "Library" / "Application Support"
    return Folders(
        platform="darwin" if platform == "darwin" else "win32" if platform == "win32" else "linux",
        home=home,
        project=project,
        config=support if platform == "darwin" else named("XDG_CONFIG_HOME", home / ".config"),
        appdata=named("APPDATA", home / "AppData" / "Roaming"),
        localappdata=named("LOCALAPPDATA", home / "AppData" / "Local"),
        claude=named("CLAUDE_CONFIG_DIR", home),
        codex=named("CODEX_HOME", home / ".codex"),
    )

"""A set-up for `mcp-memory doctor` to look at: a file with memories, and a home with a client that uses it."""

import json
import os
import sqlite3
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from click.testing import CliRunner, Result

from mcp_memory.app import open_app
from mcp_memory.cli import main
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import Origin
from mcp_memory.testing import FakeClock

FOLDERS: Final = (
    "TMPDIR",
    "TEMP",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "HOME",
    "USERPROFILE",
    "APPDATA",
    "LOCALAPPDATA",
)
TEXTS: Final = ("Prefers window seats on trains", "Plays chess on Mondays", "妹は東京で働いています")


class Patient(NamedTuple):
    """A home, the database in it, and the ids of alice's memories, in the order of `TEXTS`; the first was reworded."""

    home: Path
    database: Path
    ids: list[str]

    def examined(self, *options: str, **environ: str) -> dict[str, Any]:
        """What doctor says as JSON, with its exit code, and each check by its name."""
        done = self.ran("--json", *options, **environ)
        told = cast("dict[str, Any]", json.loads(done.stdout))
        return told | {"code": done.exit_code, "named": {one["name"]: one for one in told["checks"]}}

    def ran(self, *options: str, **environ: str) -> Result:
        """One run inside this process, which is faster; clients' commands are real processes all the same."""
        arguments = ["doctor", "--database", str(self.database), "--user", "alice", *options]
        return CliRunner(env=surroundings(self.home, environ)).invoke(main, arguments, catch_exceptions=False)

    def altered(self, *statements: str) -> None:
        """Change the file behind its back."""
        with closing(sqlite3.connect(self.database, isolation_level=None)) as file:
            for statement in statements:
                file.execute(statement)

    def asked(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database)) as file:
            return file.execute(query).fetchall()


def surroundings(home: Path, environ: Mapping[str, str] | None = None) -> dict[str, str | None]:
    """An environment without settings of the person who runs the tests, at home in `home`."""
    own = {name: None for name in os.environ if name.startswith("MCP_MEMORY_")}
    others = dict.fromkeys(("CLAUDE_CONFIG_DIR", "CODEX_HOME"), None)
    return own | others | dict.fromkeys(FOLDERS, str(home)) | dict(environ or {})


async def admitted(folder: Path) -> Patient:
    """A healthy set-up below `folder`, without any client yet."""
    home, database = folder / "home", folder / "data" / "memory.db"
    home.mkdir(mode=0o700)
    clock, ids = FakeClock(), list[str]()
    async with open_app(Config(database=str(database)), clock) as app:
        service = await app.service()
        for user, content in (*(("alice", text) for text in TEXTS), ("bob", "Sings in a choir")):
            clock.advance(days=1)
            added = await service.add(user, Fields(content=content), Origin(tool="test"))
            ids.append(added.memory.id)
        await service.update("alice", ids[0], Fields(content="Prefers aisle seats on trains"), Origin(tool="test"))
    return Patient(home, database, ids[: len(TEXTS)])


def serving(database: Path, *more: str) -> dict[str, Any]:
    """An entry that starts the server of these sources, as clients write it."""
    arguments = ["-m", "mcp_memory", "serve", "--database", str(database), *more]
    sources = os.environ.get("PYTHONPATH", "")
    return {"command": sys.executable, "args": arguments} | ({"env": {"PYTHONPATH": sources}} if sources else {})


def connect(home: Path, entry: Mapping[str, Any], file: str = ".claude.json") -> None:
    """Give the client whose configuration is `file` a server called memory."""
    path = home / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"mcpServers": {"memory": entry}}), encoding="utf-8")


def outcomes(told: Mapping[str, Any], *but: str) -> set[str]:
    """The names of the checks that are not ok, without those named."""
    checks: Iterable[dict[str, str]] = told["checks"]
    return {one["name"] for one in checks if one["outcome"] != "ok"} - set(but)

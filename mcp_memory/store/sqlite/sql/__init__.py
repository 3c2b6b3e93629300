"""Loads the SQL that this store runs: named statements and numbered migrations."""

import re
import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from typing import Final

from mcp_memory.values import Value

_HERE: Final = files("mcp_memory.store.sqlite.sql")


class Migration(Value):
    """One numbered step of the schema. Released ones are never edited."""

    number: int
    name: str
    script: str

    def statements(self) -> Iterator[str]:
        """The script one complete statement at a time, since a script run whole would commit on its own."""
        pending = ""
        for line in self.script.splitlines(keepends=True):
            pending += line
            if sqlite3.complete_statement(pending):
                yield pending
                pending = ""
        if pending.strip():
            raise ValueError(f"{self.name} ends in the middle of a statement: {pending!r}")


def _load_queries() -> dict[str, str]:
    blocks = re.split(
        r"^-- (name|fragment): (\w+)\n", (_HERE / "queries.sql").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    fragments: dict[str, str] = {}
    queries: dict[str, str] = {}
    for kind, name, body in zip(blocks[1::3], blocks[2::3], blocks[3::3], strict=True):
        text = re.sub(r"^--.*\n", "", body, flags=re.MULTILINE).strip()
        place = queries if kind == "name" else fragments
        if name in place:
            raise ValueError(f"queries.sql has two statements called {name}")
        place[name] = text
    return {name: _expand(text, fragments) for name, text in queries.items()}


def _expand(text: str, fragments: dict[str, str]) -> str:
    while "{" in text:
        text = re.sub(r"\{(\w+)\}", lambda match: fragments[match[1]], text)
    return text


def _load_migrations() -> list[Migration]:
    names = sorted(entry.name for entry in (_HERE / "migrations").iterdir() if entry.name.endswith(".sql"))
    return [
        Migration(
            number=int(name[:4]),
            name=name.removesuffix(".sql"),
            script=(_HERE / "migrations" / name).read_text(encoding="utf-8"),
        )
        for name in names
    ]


QUERIES: Final = _load_queries()
MIGRATIONS: Final = _load_migrations()

"""One look through everything that was remembered: checksums, and what each memory is found by."""

import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from mcp_memory.checks import Check, fail, ok, some
from mcp_memory.models import Memory, fingerprint
from mcp_memory.store.base import index_terms
from mcp_memory.store.sqlite import rows
from mcp_memory.store.sqlite.connection import Connection
from mcp_memory.text import Analyzer
from mcp_memory.text.amounts import counted

_PIECE: Final = 200
"""Rows read at once: other checks go on in between."""

Indexed = tuple[int, int, str, int]
"""What shall be stored of a row: its row_id, version, terms and their number."""

Correct = Callable[[str, Indexed], Awaitable[None]]
"""Takes what a row of a table shall have, where it has something else."""


@dataclass
class Found:
    """What a look through the tables found so far."""

    memories: int = 0
    revisions: int = 0
    wordings: int = 0
    damaged: list[str] = field(default_factory=list[str])
    damaged_revisions: list[str] = field(default_factory=list[str])
    fingerprints: list[str] = field(default_factory=list[str])
    misindexed: int = 0


async def looked_through(connection: Connection, languages: tuple[str, ...]) -> list[Check]:
    """The checks of all memories, former versions and stored terms.

    Raises:
        StoreError: the tables cannot be read.
    """
    found = await look(connection, languages, _leave)
    return [_memories(found), _revisions(found), _terms(found)]


async def look(connection: Connection, languages: tuple[str, ...], correct: Correct) -> Found:
    """Every row that is not as it was written, and how many are not indexed as they should be.

    Each of those goes to `correct`; damaged ones do not, since what they should have cannot be told.

    Raises:
        StoreError: the tables cannot be read.
    """
    found, analyzer = Found(), Analyzer(languages)

    async def compare(table: str, row: sqlite3.Row, memory: Memory) -> None:
        terms = index_terms(memory, analyzer)
        own = rows.own_terms(terms, row["row_id"] >> rows.SEQUENCE_BITS)
        if row["terms"] != own or row["term_count"] != len(terms):
            found.misindexed += 1
            await correct(table, (row["row_id"], memory.version, own, len(terms)))

    async for row in _every(connection, "memories_after"):
        found.memories += 1
        memory = _read(rows.memory, row)
        if memory is None:
            found.damaged.append(await _with_sound_version(connection, row))
            continue
        if row["fingerprint"] != fingerprint(memory.content):
            found.fingerprints.append(_named(row))
        await compare("memories", row, memory)
    async for row in _every(connection, "revisions_after"):
        found.revisions += 1
        if _read(rows.version, row) is None:
            found.damaged_revisions.append(f"{_named(row)} version {row['version']}")
    async for row in _every(connection, "wordings_after"):
        found.wordings += 1
        memory = _read(rows.version, row)
        if memory is not None:
            await compare("past_wordings", row, memory)
    return found


async def _leave(_: str, __: Indexed) -> None:
    """Only looking."""


async def _every(connection: Connection, name: str) -> AsyncGenerator[sqlite3.Row]:
    """The rows of a statement that gives them in pieces, in the order of their row_id."""
    after = -1
    while piece := await connection.all(name, {"after": after, "limit": _PIECE}):
        for row in piece:
            yield row
        after = piece[-1]["row_id"]


async def _with_sound_version(connection: Connection, row: sqlite3.Row) -> str:
    """The id of a damaged memory, and which of its versions can still be read."""
    kept = [_read(rows.version, one) for one in await connection.all("versions_of", {"memory": row["row_id"]})]
    sound = next((one.version for one in kept if one is not None), None)
    return f"{_named(row)} (no sound version)" if sound is None else f"{_named(row)} (version {sound} is sound)"


def _read(read: Callable[[sqlite3.Row], Memory], row: sqlite3.Row) -> Memory | None:
    """The memory of a row; None where it is not what was written, or nothing that could have been."""
    try:
        memory = read(row)
    except (ValueError, TypeError):
        return None
    return None if memory.damaged else memory


def _named(row: sqlite3.Row) -> str:
    return f"{row['id']} of {row['user_name']}"


def _memories(found: Found) -> Check:
    name, total = "memories", counted(found.memories, "memory", "memories")
    if found.damaged:
        return fail(
            name,
            f"{counted(len(found.damaged), 'memory is', 'memories are')} damaged on disk: {some(found.damaged)}",
            "mcp-memory restore ID --version N where one is sound, else update_memory with the content, or "
            "mcp-memory restore-backup",
        )
    if found.fingerprints:
        said = f"the mark that tells equal texts is wrong for {some(found.fingerprints)}"
        return fail(name, said, "update_memory with another content, and back")
    return ok(name, f"{total}, each as it was written")


def _revisions(found: Found) -> Check:
    name = "revisions"
    if found.damaged_revisions:
        return fail(
            name,
            f"former versions are damaged: {some(found.damaged_revisions)}",
            "they cannot be gone back to; mcp-memory restore-backup has them, if one is older than the damage",
        )
    return ok(name, f"{counted(found.revisions, 'former version', 'former versions')}, each as it was written")


def _terms(found: Found) -> Check:
    name = "words"
    if found.misindexed:
        told = counted(found.misindexed, "memory or former wording is", "memories or former wordings are")
        return fail(name, f"{told} indexed under other words than they have", "mcp-memory doctor --repair")
    checked = counted(found.memories + found.wordings, "memory or wording", "memories and wordings")
    return ok(name, f"{checked} indexed under their own words")

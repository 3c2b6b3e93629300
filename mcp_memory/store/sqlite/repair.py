"""Makes anew what can be derived from the memories: indexes, terms, counts. Never touches what somebody wrote."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Final

from mcp_memory.errors import McpMemoryError
from mcp_memory.keys import Key
from mcp_memory.store.sqlite import health
from mcp_memory.store.sqlite.connection import Connection, Turns, prepare
from mcp_memory.store.sqlite.inspection import identity, languages, opened
from mcp_memory.store.sqlite.wordings import Indexed, look
from mcp_memory.text.amounts import counted, size

_PIECE: Final = 500
"""Rows corrected in one transaction: others who write wait a tenth of a second for it."""

_REINDEX: Final[Mapping[str, str]] = {"memories": "reindex_memories", "past_wordings": "reindex_wordings"}

Say = Callable[[str], None]


async def repair(path: Path, key: Key | None, patience: float, say: Say) -> None:
    """Say of each step what it did. The rights come first, then the indexes, then the log.

    Others who write wait meanwhile: seconds with 100,000 memories. `patience` is how many seconds this waits for them.
    A file that is not ours, or not of this version, is left as it is.
    """
    try:
        say(health.restrict(path) or "permissions: nothing to do")
    except OSError as error:
        say(f"permissions: not changed ({error.strerror}); the owner of the file has to")
    try:
        async with opened(path, key, patience) as connection:
            whose = await identity(connection)
            if whose.outcome != "ok":
                say(f"database: left as it is; {whose.said}; {whose.remedy}")
                return
            await prepare(connection)
            for step in (_tables, _words, _log):
                await _said(connection, step, say)
    except McpMemoryError as error:
        say(f"database: left as it is; {error}")


async def _said(connection: Connection, step: Callable[[Connection], AsyncGenerator[str]], say: Say) -> None:
    """What a step says of itself; an error ends that step alone, whose transaction is then rolled back."""
    try:
        async for told in step(connection):
            say(told)
    except McpMemoryError as error:
        say(f"not done: {error}")


async def _tables(connection: Connection) -> AsyncGenerator[str]:
    async with Turns(connection).turn() as turn:
        await turn.script("REINDEX")
        behind = await turn.all("mend_sequences")
    yield "indexes of the tables: made anew"
    if behind:
        yield f"sequence: corrected for {counted(len(behind), 'user', 'users')}"


async def _words(connection: Connection) -> AsyncGenerator[str]:
    turns, waiting = Turns(connection), dict[str, list[Indexed]](memories=[], past_wordings=[])
    # First, so that what is removed of a wrong index is there.
    async with turns.turn() as turn:
        await turn.all("rebuild_memory_index")
        await turn.all("rebuild_past_index")
        await turn.all("every_index_changed")

    async def write(table: str) -> None:
        async with turns.turn() as turn:
            await turn.all(_REINDEX[table], {"indexed": json.dumps(waiting[table], ensure_ascii=False)})
            await turn.all("every_index_changed")
        waiting[table] = []

    async def correct(table: str, indexed: Indexed) -> None:
        waiting[table].append(indexed)
        if len(waiting[table]) == _PIECE:
            await write(table)

    found = await look(connection, await languages(connection), correct)
    for table in [table for table, rest in waiting.items() if rest]:
        await write(table)
    yield f"word indexes: made anew from {counted(found.memories + found.wordings, 'row', 'rows')}"
    if found.misindexed:
        yield f"words: corrected for {counted(found.misindexed, 'row', 'rows')}"
    if found.damaged:
        yield f"memories: {counted(len(found.damaged), 'damaged one', 'damaged ones')} left as they are"


async def _log(connection: Connection) -> AsyncGenerator[str]:
    before = health.log_size(connection.path)
    busy, _, _ = (await connection.script("PRAGMA wal_checkpoint(TRUNCATE)"))[0]
    if busy:
        yield "write-ahead log: held by a process that reads; restart the clients, then run this again"
    else:
        yield f"write-ahead log: {size(before)} written back"

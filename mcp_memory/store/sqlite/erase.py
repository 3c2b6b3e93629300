"""Erasing for good: out of the tables, the index segments, the write-ahead log, the free pages, and the backups.

The rows go first, in one transaction that leaves a mark in the file; the mark goes when nothing of them is left in any
byte. So a run that was killed is completed by the next one. The file and each copy of it are treated alike, each
through a connection of its own: in between, foreign keys are not enforced, since looking for what still refers to each
of a user's changes would take the square of their number.
"""

import glob
import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, assert_never

import anyio
import anyio.to_thread

from mcp_memory.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreTooNew, StoreUnavailable, WrongKey
from mcp_memory.keys import Key
from mcp_memory.models import FORGOTTEN, Doomed, Erased, OneMemory, Receipt, WholeUser
from mcp_memory.store.sqlite.backup import (
    claimed,
    copies,
    folder_of,
    ids_of,
    of_another,
    of_another_key,
    on_disk,
    unfinished,
)
from mcp_memory.store.sqlite.connection import Connection, Turns, prepare
from mcp_memory.store.sqlite.migrate import schema_of
from mcp_memory.store.sqlite.opening import SIDES, copy_of, is_plain
from mcp_memory.store.sqlite.rows import SEQUENCE_BITS, SEQUENCE_MASK


class Opened(Protocol):
    """Opens an existing database file."""

    def __call__(self, path: Path, *, key: Key | None) -> AbstractAsyncContextManager[Connection]:
        """A connection to the file at `path`, which `key` opens; closed at the end."""
        ...


_WRITES: Final = 10_000
"""So many of a user's writes are erased by one statement, whose rollback is kept in memory and not in a file."""

_PAUSE: Final = 0.05
"""Seconds between two looks whether the readers have gone."""

_PRUNED: Final = 2
"""From this schema on changes say that they are pruned."""

_SILENT: Final = ("foreign_keys = OFF", "secure_delete = ON", "temp_store = MEMORY")


_Former = list[tuple[int, str]]
"""A user's number, with each name that older backups have for it."""


class _Cleared(NamedTuple):
    """What clearing one file came to; `cleaned` if it was rewritten, `left` says what could not be done."""

    erased: Erased
    cleaned: bool = False
    left: str | None = None


class Eraser:
    """Erases from the file at `path`, which `key` opens, and from its backups, some of which may not be encrypted.

    `opened` is the only way to any of these files.
    """

    def __init__(self, path: Path, opened: Opened, key: Key | None) -> None:
        self._path = path
        self._opened = opened
        self._key = key

    async def erase(self, doomed: Doomed, wait: float) -> Receipt:
        """See `store.base.Store.erase`."""
        async with self._opened(self._path, key=self._key) as connection:
            await prepare(connection)
            recorded = [Path(row["path"]) for row in await connection.all("backup_folders")]
            ids = ids_of(await connection.all("file_ids"))
            former = await _former(connection, "former_names", doomed.user)
            others = await _former(connection, "others_former_names", doomed.user)
            own = await _cleared(connection, doomed, wait)
            # While this has the file open nobody is writing it anew: what stands beside it a killed process has left.
            left = await anyio.to_thread.run_sync(_tidied, self._path)
        # Only now: a backup that was being made is among them by then, or was begun when all was erased.
        cleared = [own]
        for folder in dict.fromkeys([folder_of(self._path), *recorded]):
            cleared += await self._clear_folder(folder, ids, doomed, former, others, wait)
        missing = await anyio.to_thread.run_sync(_missing, self._path, recorded)
        lasting = [one.left for one in cleared if one.left is not None] + left + missing
        if former and not lasting:  # only now: until all copies are done they are needed
            async with self._opened(self._path, key=self._key) as connection:
                await prepare(connection)
                lasting += await _unnamed(connection, doomed, wait)
        return Receipt(
            erased=own.erased,
            copies=len(cleared) - 1,
            altered=sum(one.cleaned for one in cleared[1:]),
            cleaned=own.cleaned,
            unfinished=tuple(lasting),
        )

    async def _clear_folder(
        self, folder: Path, ids: frozenset[str], doomed: Doomed, former: _Former, others: _Former, wait: float
    ) -> list[_Cleared]:
        """Erase from the backups in one folder, under the claim that whoever makes and removes them has."""
        if not await anyio.Path(folder).is_dir():
            return []
        try:
            async with claimed(self._path, folder, wait):
                found = await anyio.to_thread.run_sync(_found, self._path, folder)
                cleared = [await self._clear_copy(copy, ids, doomed, former, others, wait) for copy in found]
                return [one for one in cleared if one is not None]
        except StoreError as error:
            return [_Cleared(Erased(), left=f"the backups in {error}")]

    async def _clear_copy(
        self, copy: Path, ids: frozenset[str], doomed: Doomed, former: _Former, others: _Former, wait: float
    ) -> _Cleared | None:
        """Erase from one backup; None where it is of another file of the same name."""
        plain = await anyio.to_thread.run_sync(is_plain, copy)
        try:
            if self._key is None and not plain:
                raise of_another_key(copy, None)
            async with self._opened(copy, key=None if plain else self._key) as connection:
                if await schema_of(connection) and of_another(ids, ids_of(await connection.all("file_ids"))):
                    return None
                called = await _as_called(connection, doomed, former)
                if called is doomed and await _anothers(connection, others):
                    return _Cleared(Erased())
                cleared = await _cleared(connection, called, wait)
                names = await _unnamed(connection, doomed, wait)
                return cleared._replace(left=cleared.left or next(iter(names), None))
        except WrongKey:
            return _Cleared(Erased(), left=f"{of_another_key(copy, self._key)}; if you do not need it, remove it")
        except (StoreCorrupt, StoreUnavailable) as error:
            return _Cleared(Erased(), left=f"the backup {error}; if you do not need it, remove it")
        except StoreError as error:
            return _Cleared(Erased(), left=f"the backup {error}")


def _tidied(path: Path) -> list[str]:
    """Remove what was left beside the file when it was restored or given another key; says what cannot be removed."""
    beside = copy_of(path.resolve())
    try:
        for left in (*unfinished(path, [beside.parent]), *(beside.with_name(beside.name + side) for side in SIDES)):
            left.unlink(missing_ok=True)
    except OSError as error:
        return [f"{error.filename} is a copy of the file and cannot be removed ({error.strerror}); remove it"]
    return []


def _found(path: Path, folder: Path) -> list[Path]:
    """The backups in `folder`, once what killed processes have left there is gone."""
    with on_disk(folder):
        for left in unfinished(path, [folder]):
            left.unlink(missing_ok=True)
        for log in folder.glob(f"{glob.escape(path.stem)}-*Z*.db-wal"):  # of a damaged copy that is no longer there
            if not log.with_name(log.name.removesuffix("-wal")).exists():
                log.unlink(missing_ok=True)
    return copies(path, [folder])


def _missing(path: Path, recorded: list[Path]) -> list[str]:
    """What is to be said of the folders that cannot be looked into; the usual one comes with the first backup."""
    return [
        f"the backup folder {one} is not there; connect its disk, or make it anew as an empty folder"
        for one in recorded
        if one != folder_of(path) and not one.is_dir()
    ]


async def _cleared(connection: Connection, doomed: Doomed, wait: float) -> _Cleared:
    """Erase from one file. Where it holds nothing of it, and no traces, it is not written at all.

    Raises:
        StoreError: nothing was erased.
    """
    schema = await schema_of(connection)
    if not schema:
        raise StoreTooNew(connection.path, "this database belongs to another program; move it out of the folder")
    number = await _number(connection, doomed)
    if number is None and not await connection.all("traces_left"):
        return _Cleared(Erased())
    for pragma in _SILENT:
        await connection.script(f"PRAGMA {pragma}")
    erased = Erased()
    if number is not None:
        async with Turns(connection).turn() as turn:
            erased = await _deleted(turn, doomed, schema)
            await turn.all("leave_traces")
    try:
        await _scrubbed(connection, wait)
    except StoreFull:
        return _Cleared(
            erased, left=f"{connection.path} must be written anew, which takes as much space again; free some"
        )
    except StoreBusy:
        return _Cleared(erased, left=f"{connection.path} is being read or written by another process; close its client")
    except StoreError as error:
        return _Cleared(erased, left=str(error))
    return _Cleared(erased, cleaned=True)


async def _former(connection: Connection, statement: str, user: str) -> _Former:
    """The names before that `statement` tells of `user`; none in a file that is not ours, which is found out later."""
    if not await schema_of(connection):
        return []
    names = [row["name"].split(":", 2) for row in await connection.all(statement, {"user": user})]
    return [(int(number), name) for _, number, name in names]


async def _as_called(connection: Connection, doomed: Doomed, former: _Former) -> Doomed:
    """`doomed` with the name that its user has in this copy. A number alone tells nobody: it may be another's there."""
    for number, name in former:
        if await schema_of(connection) and await connection.all("user_of_number", {"number": number, "user": name}):
            return doomed.replace(user=name)
    return doomed


async def _anothers(connection: Connection, others: _Former) -> bool:
    """Whether the name stands in this copy for somebody who has another name by now."""
    asked = [{"number": number, "user": name} for number, name in others]
    return bool(await schema_of(connection)) and any([await connection.all("user_of_number", one) for one in asked])


async def _unnamed(connection: Connection, doomed: Doomed, wait: float) -> list[str]:
    """Erase the former names of a user of whom nothing else is left; what hinders it, if anything does."""
    if isinstance(doomed, OneMemory) or not await _former(connection, "former_names", doomed.user):
        return []
    try:
        async with Turns(connection).turn() as turn:
            await turn.all("erase_former_names", {"user": doomed.user})
        await _empty_log(connection, wait)
    except StoreError as error:
        return [f"former names of the user are still there: {error}"]
    return []


async def _number(connection: Connection, doomed: Doomed) -> int | None:
    """The number of the user concerned, if the file holds what is to be erased."""
    match doomed:
        case WholeUser():
            row = await connection.one("user_to_erase", {"user": doomed.user})
        case OneMemory():
            row = await connection.one("memory_to_erase", {"user": doomed.user, "id": doomed.id})
        case _:
            assert_never(doomed)
    return row["number"] if row else None


async def _deleted(turn: Connection, doomed: Doomed, schema: int) -> Erased:
    match doomed:
        case WholeUser():
            return await _delete_user(turn, doomed)
        case OneMemory():
            return await _delete_memory(turn, doomed, schema)
        case _:
            assert_never(doomed)


async def _delete_user(turn: Connection, doomed: WholeUser) -> Erased:
    head = await turn.one("user_to_erase", {"user": doomed.user})
    if head is None:
        return Erased()
    first = head["number"] << SEQUENCE_BITS
    last = first | SEQUENCE_MASK
    starts = range(first, first + head["last_seq"] + 1, _WRITES)
    spans = [{"first": one, "last": min(one + _WRITES - 1, last)} for one in starts]
    spans.append({"first": first, "last": last})  # what a damaged count would leave
    counts = dict[str, int]()
    for span in spans:
        for what in ("vectors", "wordings", "memories", "revisions"):
            counts[what] = counts.get(what, 0) + await _run(turn, f"erase_{what}_of_user", span)
    own = {"number": head["number"]}
    counts["changes"] = await _run(turn, "erase_changes_of_user", own)
    await turn.all("erase_name_of_user", own)
    return Erased(**counts | {"memories": max(head["memories"], counts["memories"])})


async def _delete_memory(turn: Connection, doomed: OneMemory, schema: int) -> Erased:
    head = await turn.one("memory_to_erase", {"user": doomed.user, "id": doomed.id})
    if head is None:
        return Erased()
    own = {"number": head["number"], "memories": head["memories"], "id": doomed.id, "forgotten": FORGOTTEN}
    changes = [row["change"] for row in await turn.all("changes_of_memories", own)]
    counts = {
        "vectors": await _run(turn, "erase_vectors_of_memories", own),
        "wordings": await _run(turn, "erase_wordings_of_memories", own),
    }
    await turn.all("erase_memories", own)
    counts["revisions"] = await _run(turn, "erase_revisions_of_memories", own)
    for name in ("unname_in_changes", "unname_in_reasons", "index_changed"):
        await turn.all(name, own)
    if schema >= _PRUNED:
        await turn.all("mark_pruned", {"changes": json.dumps(changes), "memories": "[]"})
    await turn.all("add_change", own | doomed.change.fields())
    return Erased(memories=head["count"], **counts)


async def _run(turn: Connection, name: str, parameters: Mapping[str, Any]) -> int:
    """How many rows the statement called `name` has written."""
    _, counted = await turn.in_turn((name, parameters), ("changed", {}))
    return counted[0]["count"]


async def _scrubbed(connection: Connection, wait: float) -> None:
    """Leave nothing in the file of what its tables do not hold.

    Raises:
        StoreBusy: a reader was there all the time.
        StoreError: the file cannot be written.
    """
    async with Turns(connection).turn() as turn:
        seen = await turn.single("traces_left", {})
        for name in ("memory_index", "past_index"):
            await turn.all(f"rebuild_{name}")
            await turn.all(f"optimize_{name}")
    await connection.script("PRAGMA temp_store = DEFAULT")  # the new file is made beside, and holds what stays
    await connection.script("VACUUM")
    await _empty_log(connection, wait)
    await connection.all("no_traces", {"seen": seen["value"]})


async def _empty_log(connection: Connection, wait: float) -> None:
    """Move everything from the write-ahead log into the file, and leave the log without a byte."""
    deadline = anyio.current_time() + wait
    while (await connection.script("PRAGMA wal_checkpoint(TRUNCATE)"))[0][0]:
        if anyio.current_time() >= deadline:
            raise StoreBusy(connection.path, "another process reads it")
        await anyio.sleep(_PAUSE)

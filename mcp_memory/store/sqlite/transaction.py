"""One user's turn to write on the SQLite file."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

from anyio import to_thread

from mcp_memory.models import Bounds, Change, Memory, Revision, Step, fingerprint
from mcp_memory.store.base import FileSettings, index_terms
from mcp_memory.store.lineage import Lineage
from mcp_memory.store.sqlite import rows, salvage
from mcp_memory.store.sqlite.bringing import Bringing
from mcp_memory.store.sqlite.connection import Connection
from mcp_memory.text import Analyzer

_FEW: Final = 100
"""So many steps of a change are handed over one by one, and waited for together."""
_MANY: Final = 500
"""So many of the others at once: calls beside this one have their turn in between."""
_PRUNED: Final = {"revisions": "row_id", "memories": "memory", "changes": "change"}
"""The parameters of what removes revisions, and the columns of `prunable` that they list."""


class SqliteTransaction:
    """Reads and writes inside an open `BEGIN IMMEDIATE`; see `store.base.Transaction`.

    `head` is the row of the query `turn`; its `number` is None as long as the user has never written. `written` has
    every memory as stored, the step that wrote it, and how many terms it has.
    """

    def __init__(
        self, turn: Connection, user: str, head: sqlite3.Row, settings: FileSettings, analyzer: Analyzer
    ) -> None:
        self._turn = turn
        self._user = user
        self._settings = settings
        self._analyzer = analyzer
        self._number: int | None = head["number"]
        self._last_seq: int = head["last_seq"] or 0
        self.first_expiry: int | None = salvage.maybe(salvage.moment, head["first_expiry"])
        self.written: list[tuple[Memory, Step, int]] = []

    async def memories(self, ids: Sequence[str]) -> list[Memory]:
        """Those of `ids` that exist, also expired ones."""
        return await self._memories("memories_by_ids", {"ids": json.dumps(list(ids))})

    async def twins(self, text_fingerprint: bytes | None, key: str | None) -> list[Memory]:
        """The memories that hold this text or this key, also expired ones."""
        return await self._memories("twins", {"fingerprint": text_fingerprint, "key": key})

    async def holders(self, fingerprints: Sequence[bytes], keys: Sequence[str]) -> list[Memory]:
        """The memories that hold any of these texts or keys, also expired ones."""
        places = json.dumps(list(range(len(fingerprints))))
        held = {"fingerprints": b"".join(fingerprints), "places": places, "keys": json.dumps(list(keys))}
        return await self._memories("holders", held)

    async def expired(self, now: int, limit: int) -> list[Memory]:
        """At most `limit` memories whose time has passed."""
        return await self._memories("expired", {"now": now, "limit": limit})

    async def undecided(self, moment: int, limit: int) -> list[Memory]:
        """At most `limit` pending memories that were written at `moment` or before."""
        return await self._memories("undecided", {"moment": moment, "limit": limit})

    async def record(self, change: Change, steps: Sequence[Step]) -> list[Memory]:
        """Write `steps` as one change."""
        number = await self._own_number()
        memories = [self._numbered(step.memory) for step in steps]
        pairs = list(zip(memories, steps, strict=True))
        statements = [("add_change", change.fields() | {"number": number})]
        for memory, step in pairs[:_FEW]:
            statements += self._statements(number, change, step, memory)
        added, *_ = await self._turn.in_turn(*statements)
        for start in range(_FEW, len(pairs), _MANY):
            await self._write_many(number, change, pairs[start : start + _MANY])
        if change.undoes is not None:
            await self._flip(number, change.undoes, added[0]["seq"])
        return memories

    async def clear(self, change: Change) -> list[str]:
        """Write `change`, which deletes every living memory: a few statements however many there are."""
        number = await self._own_number()
        place = {"number": number, "now": change.at, "after": 0}
        ids: list[str] = []
        digests: list[bytes] = []
        page = place | {"limit": _MANY}
        while found := await self._turn.all("cleared", page):
            ids += [row["id"] for row in found]
            digests.append(await to_thread.run_sync(rows.digests_when_gone, found, change.at))
            page |= {"after": found[-1]["row_id"] & rows.SEQUENCE_MASK}
        written = {"change_id": change.id, "last_seq": self._last_seq, "digests": b"".join(digests)}
        added = ("add_change", change.fields() | {"number": number})
        await self._turn.in_turn(added, ("clear_revisions", place | written), ("clear_memories", place))
        self._last_seq += len(ids)
        return ids

    async def mere_deletions(self, change: Change) -> int:
        """How many memories `change` deleted, if that is all it did and nothing was written to any of them since."""
        found = await self._turn.single("mere_deletions", {"undone": change.seq, "number": self._number})
        return found["count"]

    async def lost(self, change: Change, after: int, limit: int) -> list[Memory]:
        """At most `limit` memories that `change` took away, as they would come back."""
        found = await self._lost(change.seq, after, limit)
        return await to_thread.run_sync(rows.lost, found)

    async def bring_back(self, change: Change, reason: str) -> None:
        """Write `change`, which undoes one that has `mere_deletions`."""
        number, undone, first = await self._own_number(), change.undoes or 0, self._last_seq
        added = await self._turn.single("add_change", change.fields() | {"number": number})
        analyzer = Analyzer(self._analyzer.languages)  # in its thread it is alone with its stemmers
        left: int = (await self._turn.single("deletions", {"undone": undone}))["count"]
        self._last_seq += left
        after = 0
        while found := await self._lost(undone, after, _MANY):
            last = first + left
            stored = await to_thread.run_sync(rows.brought_back, found, change.at, last, analyzer)
            await self._turn.all("bring_back", stored)
            left -= len(found)
            after = found[-1]["deletion"] & rows.SEQUENCE_MASK
        written = {"number": number, "undone": undone, "change_id": change.id, "reason": reason}
        await self._turn.all("bring_back_revisions", written)
        await self._flip(number, undone, added["seq"])

    async def bring(self, change: Change, lineages: Sequence[Lineage], tell: Callable[[int], None]) -> None:
        """Write `change`, which adds memories from elsewhere together with their versions."""
        number = await self._own_number()
        bringing = Bringing(self._turn, number, self._last_seq, self._analyzer)
        await bringing.bring(change, lineages, tell)
        self._last_seq = bringing.last_seq

    async def mere_additions(self, change: Change) -> int:
        """How many memories `change` added, if that is all it did and nothing was written to any of them since."""
        found = await self._turn.single("mere_additions", {"undone": change.seq, "number": self._number})
        return found["count"]

    async def added(self, change: Change, after: int, limit: int) -> list[Memory]:
        """At most `limit` memories that `change` added."""
        return [rows.memory(row) for row in await self._added(change.seq, after, limit)]

    async def withdraw(self, change: Change, reason: str) -> None:
        """Write `change`, which undoes one that has `mere_additions`."""
        number, undone = await self._own_number(), change.undoes or 0
        added = await self._turn.single("add_change", change.fields() | {"number": number})
        digests: list[bytes] = []
        after = 0
        while found := await self._added(undone, after, _MANY):
            digests.append(await to_thread.run_sync(rows.digests_when_gone, found, change.at))
            after = found[-1]["row_id"] & rows.SEQUENCE_MASK
        place = {"number": number, "undone": undone, "after": 0}
        written = {"change_id": change.id, "now": change.at, "reason": reason, "last_seq": self._last_seq}
        told = place | written | {"digests": b"".join(digests)}
        await self._turn.in_turn(("withdraw_revisions", told), ("withdraw_memories", place))
        self._last_seq += sum(map(len, digests)) // 16
        await self._flip(number, undone, added["seq"])

    async def _added(self, undone: int, after: int, limit: int) -> list[sqlite3.Row]:
        page = {"undone": undone, "number": self._number, "after": after, "limit": limit}
        return await self._turn.all("added", page)

    async def changes(self, ids: Sequence[str]) -> list[Change]:
        """The changes of those of `ids` that exist."""
        asked = {"ids": json.dumps(list(ids)), "number": self._number}
        return [rows.change(row) for row in await self._turn.all("changes_by_ids", asked)]

    async def _lost(self, undone: int, after: int, limit: int) -> list[sqlite3.Row]:
        page = {"undone": undone, "number": self._number, "after": after, "limit": limit}
        return await self._turn.all("lost", page)

    async def change(self, change_id: str) -> Change | None:
        """The change of that id."""
        return await self._change("change_by_id", {"id": change_id})

    async def latest_undoable(self) -> Change | None:
        """The newest change that is not undone, not an undo and not the system's own, if something of it is left."""
        return await self._change("latest_undoable", {})

    async def revisions_of(self, change: Change) -> list[Revision]:
        """What `change` wrote, in the order written."""
        found = await self._turn.all("revisions_of_change", {"change": change.seq, "number": self._number})
        return list(rows.revisions(found))

    async def history(self, row: int) -> list[Revision]:
        """Every version of the memory at `row`, oldest first."""
        if self._number is None or not 0 <= row <= rows.SEQUENCE_MASK:
            return []
        number = self._number
        found = await self._turn.all("history", {"memory": number << rows.SEQUENCE_BITS | row})
        return [rows.revision(row) for row in found]

    async def aftermath(self, seqs: Sequence[int]) -> dict[int, list[Revision]]:
        """The versions of some memories from the one before these revisions on, by row, oldest first."""
        found = await self._turn.all("aftermath", {"number": self._number, "seqs": json.dumps(list(seqs))})
        histories: dict[int, list[Revision]] = {}
        for revision in rows.revisions(found):
            histories.setdefault(revision.memory.row, []).append(revision)
        return histories

    async def prune(self, seqs: Sequence[int], bounds: Bounds) -> int:
        """Remove for good those of these revisions that are obsolete; of their memories nothing else is there."""
        asked = bounds.fields() | {"number": self._number, "seqs": json.dumps(list(seqs))}
        found = await self._turn.all("prunable", asked)
        if found:
            gone = {name: json.dumps([row[at] for row in found]) for name, at in _PRUNED.items()}
            own = gone | {"number": self._number}
            await self._turn.in_turn(*((name, own) for name in ("remove_revisions", "mark_pruned", "leave_traces")))
        return len(found)

    async def _memories(self, query: str, parameters: dict[str, Any]) -> list[Memory]:
        return [rows.memory(row) for row in await self._turn.all(query, parameters | {"number": self._number})]

    async def _change(self, query: str, parameters: dict[str, Any]) -> Change | None:
        row = await self._turn.one(query, parameters | {"number": self._number})
        return rows.change(row) if row else None

    async def _own_number(self) -> int:
        if self._number is None:
            added = await self._turn.single("add_user", {"user": self._user})
            self._number = int(added["number"])
        return self._number

    def _numbered(self, memory: Memory) -> Memory:
        self._last_seq += 1
        return memory.replace(row=memory.row or self._last_seq, seq=self._last_seq)

    async def _write_many(self, number: int, change: Change, pairs: Sequence[tuple[Memory, Step]]) -> None:
        """Write some steps of a large change: handed over one by one they would take longer, and far more room."""
        written: dict[str, list[dict[str, Any]]] = {}
        for memory, step in pairs:
            for name, parameters in self._statements(number, change, step, memory):
                written.setdefault(name, []).append(parameters)
        for name, parameters in written.items():
            await self._turn.many(name, parameters)

    def _statements(self, number: int, change: Change, step: Step, memory: Memory) -> list[tuple[str, dict[str, Any]]]:
        """What writes one step, whose memory is stored as `memory`."""
        indexed = [] if step.operation in {"delete", "expire"} else index_terms(memory, self._analyzer)
        stored = rows.memory_parameters(memory, number, indexed)
        stored |= rows.vector_parameters(step.vector, self._settings.model)
        self.written.append((memory, step, stored["term_count"]))
        revision = {
            "revision": number << rows.SEQUENCE_BITS | memory.seq,
            "change_id": change.id,
            "operation": step.operation,
            "reason": step.reason,
        }
        taken = [("take_step", stored | revision)]
        return taken if step.supersedes is None else [*taken, self._past(number, change, step.supersedes, memory)]

    def _past(self, number: int, change: Change, former: Memory, memory: Memory) -> tuple[str, dict[str, Any]]:
        indexed = index_terms(former, self._analyzer)
        return "add_past_wording", {
            "revision": number << rows.SEQUENCE_BITS | former.seq,
            "row_id": number << rows.SEQUENCE_BITS | former.row,
            "number": number,
            "change_id": change.id,
            "held_from": former.worded_at,
            "held_until": memory.worded_at,
            "fingerprint": fingerprint(former.content),
            "terms": rows.own_terms(indexed, number),
            "term_count": len(indexed),
        }

    async def _flip(self, number: int, undone: int, by: int) -> None:
        """Mark `undone` as undone, and flip the marks along the chain: what it had undone stands again, and so on."""
        undoer: int | None = by
        target: int | None = undone
        while target is not None:
            await self._turn.all("mark_change", {"seq": target, "undone_by": undoer, "number": number})
            undoer = target if undoer is None else None
            row = await self._turn.one("undoes_of", {"seq": target, "number": number})
            target = row["undoes"] if row else None

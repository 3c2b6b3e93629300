"""Many memories at once: read with their versions, brought from elsewhere with them, and taken away again."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from anyio import to_thread

from mcp_memory.models import Change, Memory, Revision, fingerprint
from mcp_memory.store.base import index_terms
from mcp_memory.store.lineage import Lineage, past_changes, superseded, undone_by
from mcp_memory.store.sqlite import rows
from mcp_memory.store.sqlite.connection import Connection
from mcp_memory.text import Analyzer

MANY: Final = 500
"""So many memories or changes in one statement: calls beside this one have their turn in between."""


class _Part:
    """What some lineages come to in the tables."""

    def __init__(self) -> None:
        self.revisions: list[dict[str, Any]] = []
        self.arrived: list[tuple[int, str, int]] = []
        self.fingerprints: list[bytes] = []
        self.wordings: list[tuple[Any, ...]] = []
        self.past_fingerprints: list[bytes] = []


async def lineages(reader: Connection, user: str, after: int, limit: int, now: int) -> list[Lineage]:
    """At most `limit` living memories with `row` above `after`, with all their versions."""
    asked = {"user": user, "after": min(after, rows.SEQUENCE_MASK), "limit": limit, "now": now}
    found = [rows.memory(row) for row in await reader.all("living_after", asked)]
    wanted = json.dumps([memory.row for memory in found])
    versions: dict[int, list[Revision]] = {memory.row: [] for memory in found}
    for one in rows.revisions(await reader.all("versions_of_rows", {"user": user, "rows": wanted})):
        if one.memory.row in versions:
            versions[one.memory.row].append(one)
    # What was written after the memory was read leads to another.
    return [
        Lineage(memory=one, revisions=tuple(version for version in versions[one.row] if version.memory.seq <= one.seq))
        for one in found
    ]


class Bringing:
    """One change that brings memories, for the user of that `number` who has written `last_seq` times."""

    def __init__(self, turn: Connection, number: int, last_seq: int, analyzer: Analyzer) -> None:
        self._turn = turn
        self._number = number
        self.last_seq = last_seq
        self._analyzer = Analyzer(analyzer.languages)  # in its thread it is alone with its stemmers

    async def bring(self, change: Change, brought: Sequence[Lineage], tell: Callable[[int], None]) -> None:
        """Write `change`, the versions of `brought` under changes of their own, and the memories themselves."""
        past = await self._changes(brought)
        added = await self._turn.single("add_change", change.fields() | {"number": self._number})
        own: int = added["seq"]
        undone = json.dumps(sorted(undone_by(brought, past, own).items()))
        await self._turn.all("bring_undone", {"undone": undone, "number": self._number})
        for start in range(0, len(brought), MANY):
            portion = brought[start : start + MANY]
            part = await to_thread.run_sync(self._part, portion, past, own)
            await self._write(part)
            tell(len(portion))

    async def _changes(self, brought: Iterable[Lineage]) -> dict[str, int]:
        """The changes that the versions were made by are in the file; the number of each, by id."""
        told = [
            (one.id, one.at, one.tool, one.client, one.client_version, one.summary) for one in past_changes(brought)
        ]
        seqs: dict[str, int] = {}
        for start in range(0, len(told), MANY):
            asked = {"changes": json.dumps(told[start : start + MANY], ensure_ascii=False), "number": self._number}
            seqs |= {row["id"]: row["seq"] for row in await self._turn.all("bring_changes", asked)}
        return seqs

    def _part(self, brought: Sequence[Lineage], past: dict[str, int], own: int) -> _Part:
        part = _Part()
        for one in brought:
            row = self.last_seq + 1
            written = [(version.memory, past[version.change.id], version) for version in one.revisions]
            stored: list[Memory] = []
            for memory, change, version in (*written, (one.memory, own, None)):
                self.last_seq += 1
                placed = memory.replace(row=row, seq=self.last_seq)
                stored.append(placed)
                operation, reason = (version.operation, version.reason) if version else ("add", None)
                made = {"change": change, "operation": operation, "reason": reason}
                part.revisions.append(rows.memory_parameters(placed, self._number, ()) | made)
            indexed = index_terms(stored[-1], self._analyzer)
            terms = rows.own_terms(indexed, self._number)
            part.arrived.append((self._place(stored[-1].seq), terms, len(indexed)))
            part.fingerprints.append(fingerprint(one.memory.content))
            for former, later in superseded(one.revisions):
                self._past(part, stored[former], stored[later], written[later][1])
        return part

    def _past(self, part: _Part, former: Memory, later: Memory, change: int) -> None:
        indexed = index_terms(former, self._analyzer)
        terms = rows.own_terms(indexed, self._number)
        place = (self._place(former.seq), self._place(former.row), change)
        part.wordings.append((*place, former.worded_at, later.worded_at, terms, len(indexed)))
        part.past_fingerprints.append(fingerprint(former.content))

    async def _write(self, part: _Part) -> None:
        await self._turn.many("bring_revision", part.revisions)
        arrived = {"arrived": json.dumps(part.arrived, ensure_ascii=False), "fingerprints": b"".join(part.fingerprints)}
        await self._turn.all("bring_memories", arrived)
        if part.wordings:
            wordings = json.dumps(part.wordings, ensure_ascii=False)
            prints = b"".join(part.past_fingerprints)
            await self._turn.all("bring_wordings", {"wordings": wordings, "fingerprints": prints})

    def _place(self, sequence: int) -> int:
        return self._number << rows.SEQUENCE_BITS | sequence

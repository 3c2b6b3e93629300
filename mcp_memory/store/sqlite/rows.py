"""Rows of the file to values and back."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mcp_memory.models import (
    Change,
    Entry,
    Memory,
    Page,
    Revision,
    State,
    Trace,
    Vector,
    digest,
    digest_of,
    fingerprint,
)
from mcp_memory.store.base import index_terms, indexed_text
from mcp_memory.store.sqlite import salvage
from mcp_memory.text import Analyzer
from mcp_memory.values import Misfit

if TYPE_CHECKING:
    from mcp_memory.models import Integers

SEQUENCE_BITS: Final = 32
SEQUENCE_MASK: Final = (1 << SEQUENCE_BITS) - 1

_Json = TypeVar("_Json", list[Any], dict[str, Any])
_LARGEST: Final = 2**63 - 1
_AGAIN: Final = "²"
_NOTHING: Final = {"[]", "{}"}
_STATES: Final = {state.value: state for state in State}
_PLAIN: Final = (
    *("id", "content", "key", "agent", "team", "session_id", "source"),
    *("created_at", "updated_at", "worded_at", "expires_at", "version"),
)


def memory(row: sqlite3.Row) -> Memory:
    """The memory of a row of `memories`, marked where its checksum does not hold."""
    values = _values(row)
    places = {"row": values["row_id"] & SEQUENCE_MASK, "seq": salvage.whole(values.get("seq"), 0, SEQUENCE_MASK)}
    fields = _fields(values) | places
    if values.get("user") != values["row_id"] >> SEQUENCE_BITS:
        return salvage.withheld(fields)
    return _checked(fields, values.get("digest"))


def page(found: Sequence[sqlite3.Row], limit: int, total: int) -> Page:
    """The memories of at most `limit` rows of `memories`; one row more says that more follow."""
    return Page(memories=tuple(memory(row) for row in found[:limit]), total=total, more=len(found) > limit)


def revision(row: sqlite3.Row, made: Change | None = None) -> Revision:
    """The revision of a row of `revisions` joined with its change, which is `made` where that is known already."""
    return Revision(
        memory=version(row),
        operation=salvage.deed(row["operation"]) or "update",
        reason=salvage.maybe(salvage.text, row["reason"]),
        change=made or change(row),
    )


def version(row: sqlite3.Row) -> Memory:
    """The memory as a row of `revisions` keeps it, marked where its checksum does not hold."""
    values = _values(row)
    of = salvage.whole(values.get("memory"), 0, _LARGEST)
    fields = _fields(values) | {"row": of & SEQUENCE_MASK, "seq": values["row_id"] & SEQUENCE_MASK}
    fields["damaged"] |= salvage.deed(values["operation"]) is None
    owned = of >> SEQUENCE_BITS == values["row_id"] >> SEQUENCE_BITS
    return _checked(fields, values.get("digest")) if owned else salvage.withheld(fields)


def revisions(found: Iterable[sqlite3.Row]) -> Iterator[Revision]:
    """The same of many rows, few of which are of changes of their own."""
    known: dict[int, Change] = {}
    for row in found:
        seq = row["change_seq"]
        if seq not in known:
            known[seq] = change(row)
        yield revision(row, known[seq])


def change(row: sqlite3.Row) -> Change:
    """The change in a row that has the columns of the fragment `change`; it has no checksum of its own."""
    return Change(
        seq=row["change_seq"],
        id=salvage.text(row["change_id"]),
        at=salvage.moment(row["change_at"]),
        tool=salvage.text(row["tool"]),
        client=salvage.maybe(salvage.text, row["client"]),
        client_version=salvage.maybe(salvage.text, row["client_version"]),
        system=bool(row["system"]),
        summary=salvage.text(row["summary"]),
        undoes=salvage.maybe(_seq, row["undoes"]),
        undone_by=salvage.maybe(_seq, row["undone_by"]),
        pruned=bool(row["pruned"]),
    )


def _seq(value: object) -> int:
    return salvage.whole(value, 0, _LARGEST)


def entry(row: sqlite3.Row, traces: Sequence[Trace]) -> Entry:
    """The entry of a row of the query `changes`, which did what `traces` say."""
    found = change(row)
    lost = not row["count"] and found.undoes is None and not found.system
    return Entry(
        change=found,
        undoes=salvage.maybe(salvage.text, row["undoes_id"]),
        undone_by=salvage.maybe(salvage.text, row["undone_by_id"]),
        count=row["count"],
        traces=tuple(traces),
        pruned=found.pruned or lost,
    )


def traces(found: Iterable[sqlite3.Row]) -> dict[int, list[Trace]]:
    """What the rows of the query `traces` tell of each change, by its seq, in the order written."""
    formers: dict[int, Revision] = {}
    told: dict[int, list[Trace]] = {}
    written: list[Revision] = []
    for row in found:
        if row["follower"] is None:
            written.append(revision(row))
        else:
            formers[row["follower"]] = revision(row)
    for one in written:
        told.setdefault(one.change.seq, []).append(Trace(revision=one, former=formers.get(one.memory.seq)))
    return told


def memory_parameters(one: Memory, number: int, indexed: Sequence[str]) -> dict[str, Any]:
    """What saving `one` for the user of that `number` needs; `indexed` are the terms it is found by."""
    return {
        "row_id": number << SEQUENCE_BITS | one.row,
        "number": number,
        "seq": one.seq,
        "fingerprint": fingerprint(one.content),
        "terms": own_terms(indexed, number),
        "term_count": len(indexed),
        "id": one.id,
        "content": one.content,
        "key": one.key,
        "topics": json.dumps(one.topics, ensure_ascii=False),
        "pinned": one.pinned,
        "metadata": json.dumps(one.metadata, ensure_ascii=False),
        "agent": one.agent,
        "team": one.team,
        "session_id": one.session_id,
        "source": one.source,
        "state": one.state.value,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
        "worded_at": one.worded_at,
        "expires_at": one.expires_at,
        "version": one.version,
        "digest": digest(one),
    }


def digests_when_gone(found: Iterable[sqlite3.Row], at: int) -> bytes:
    """The digests, 16 bytes each, of the revisions that a deletion at `at` of rows of `memories` makes."""
    digests: list[bytes] = []
    for row in found:
        fields = _fields(_values(row))
        digests.append(digest_of(fields | {"version": fields["version"] + 1, "updated_at": at}))
    return b"".join(digests)


def lost(found: Iterable[sqlite3.Row]) -> list[Memory]:
    """The memories of rows of the query `lost`, with the version that they would come back as."""
    return [version(row).replace(version=row["last_version"] + 1, seq=row["deletion"] & SEQUENCE_MASK) for row in found]


def brought_back(found: Iterable[sqlite3.Row], at: int, last_seq: int, analyzer: Analyzer) -> dict[str, Any]:
    """What the statement `bring_back` needs of the sound rows of the query `lost`; the first has `last_seq`."""
    back: list[tuple[int, int, int, str, int]] = []
    digests: list[bytes] = []
    fingerprints: list[bytes] = []
    for place, row in enumerate(found):
        values = _values(row)
        later = values["last_version"] + 1
        fields = _fields(values)
        fields |= {"version": later, "updated_at": at}
        text = indexed_text(fields["content"], fields["topics"], fields["key"])
        indexed = analyzer.terms(text) if fields["state"] is State.ACTIVE else []
        terms = own_terms(indexed, values["row_id"] >> SEQUENCE_BITS)
        back.append((values["row_id"], later, last_seq - place, terms, len(indexed)))
        digests.append(digest_of(fields))
        fingerprints.append(fingerprint(fields["content"]))
    return {
        "now": at,
        "back": json.dumps(back, ensure_ascii=False),
        "digests": b"".join(digests),
        "fingerprints": b"".join(fingerprints),
    }


def reindexed(row: sqlite3.Row, analyzer: Analyzer) -> tuple[int, int, str, int]:
    """What the index shall hold of a row of `memories` or `revisions`: its row_id, version, terms and their number."""
    values = _values(row)
    indexed = index_terms(_checked(_fields(values) | {"row": 0, "seq": 0}, values.get("digest")), analyzer)
    number = values["row_id"] >> SEQUENCE_BITS
    return values["row_id"], values["version"], own_terms(indexed, number), len(indexed)


def vector_parameters(vector: Vector | None, model: str) -> dict[str, Any]:
    """The columns of a vector, all null where there is none."""
    if vector is None:
        return {"model": None, "scale": None, "vector": None}
    return {"model": model, "scale": vector.scale, "vector": vector.codes}


def own_terms(terms: Iterable[str], number: int) -> str:
    """`terms` as the index holds them, marked with the user's number: a lookup meets that user's postings only.

    A term that stands there again has a mark for that too, since the index keeps no frequencies.
    """
    counts = Counter(terms)
    again = [repeated(term) for term, count in counts.items() if count > 1]
    return " ".join(f"{number}x{term}" for term in (*counts, *again))


def repeated(term: str) -> str:
    """The mark of a term that a memory holds more than once; no term has this letter in it."""
    return term + _AGAIN


def postings(packed: Sequence[str]) -> "tuple[Integers, Integers]":
    """Lists of rows, each as the query `postings` packs it: all rows in turn, and the number of each one's list."""
    import numpy as np

    counts = [one.count(",") + 1 if one != "[]" else 0 for one in packed]
    every = ",".join(one[1:-1] for one in packed if one != "[]")
    found = np.fromstring(every, np.int64, sep=",") if every else np.empty(0, np.int64)
    return found, np.repeat(np.arange(len(packed)), np.array(counts, np.int64))


def _values(row: sqlite3.Row) -> dict[str, Any]:
    """The row as a dictionary: `sqlite3.Row` searches all its names for each one asked for."""
    return dict(zip(row.keys(), row, strict=True))


def _fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says, by the names of `Memory`. A column whose name is damaged is not there."""
    fields = {name: values.get(name) for name in _PLAIN}
    fields["topics"] = _decoded(values.get("topics"), list)
    fields["pinned"] = bool(values.get("pinned"))
    fields["metadata"] = _decoded(values.get("metadata"), dict)
    fields["state"] = _STATES.get(values.get("state", ""), State.ACTIVE)
    fields["damaged"] = values.get("state") not in _STATES
    return fields


def _decoded(encoded: object, kind: type[_Json]) -> _Json:
    """The JSON that was stored; an empty one where it is damaged, which the checksum then tells."""
    if not isinstance(encoded, str) or encoded in _NOTHING:
        return kind()
    try:
        value = json.loads(encoded)
    except (ValueError, RecursionError):
        return kind()
    return value if isinstance(value, kind) else kind()


def _checked(fields: dict[str, Any], expected: object) -> Memory:
    try:
        found = Memory.checked(fields)
    except Misfit:
        return salvage.memory(fields)
    return found if not found.damaged and digest(found) == expected else salvage.memory(fields)

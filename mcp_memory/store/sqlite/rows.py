"""Rows of the file to values and back."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mcp_memory.models import Change, Memory, Revision, State, Vector, digest, fingerprint
from mcp_memory.store.base import index_terms
from mcp_memory.text import Analyzer

if TYPE_CHECKING:
    from mcp_memory.models import Integers

SEQUENCE_BITS: Final = 32
SEQUENCE_MASK: Final = (1 << SEQUENCE_BITS) - 1

_Json = TypeVar("_Json", list[Any], dict[str, Any])
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
    return _checked(_fields(values) | {"row": values["row_id"] & SEQUENCE_MASK, "seq": values["seq"]}, values["digest"])


def revision(row: sqlite3.Row) -> Revision:
    """The revision of a row of `revisions` joined with its change."""
    values = _values(row)
    places = {"row": values["memory"] & SEQUENCE_MASK, "seq": values["row_id"] & SEQUENCE_MASK}
    return Revision(
        memory=_checked(_fields(values) | places, values["digest"]),
        operation=values["operation"],
        reason=values["reason"],
        change=change(row),
    )


def change(row: sqlite3.Row) -> Change:
    """The change in a row that has the columns of the fragment `change`."""
    plain = ("tool", "client", "client_version", "system", "summary", "undoes", "undone_by", "pruned")
    return Change(
        seq=row["change_seq"], id=row["change_id"], at=row["change_at"], **{name: row[name] for name in plain}
    )


def memory_parameters(one: Memory, number: int, analyzer: Analyzer) -> dict[str, Any]:
    """What saving `one` for the user of that `number` needs."""
    indexed = index_terms(one, analyzer)
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


def reindexed(row: sqlite3.Row, analyzer: Analyzer) -> tuple[int, int, str, int]:
    """What the index shall hold of a row of `memories` or `revisions`: its row_id, version, terms and their number."""
    values = _values(row)
    indexed = index_terms(Memory(**_fields(values)), analyzer)
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
    fields = {name: values[name] for name in _PLAIN}
    fields["topics"] = _decoded(values["topics"], list)
    fields["pinned"] = bool(values["pinned"])
    fields["metadata"] = _decoded(values["metadata"], dict)
    fields["state"] = _STATES.get(values["state"], State.ACTIVE)
    fields["damaged"] = values["state"] not in _STATES
    return fields


def _decoded(encoded: str, kind: type[_Json]) -> _Json:
    """The JSON that was stored; an empty one where it is damaged, which the checksum then tells."""
    if encoded in _NOTHING:
        return kind()
    try:
        value = json.loads(encoded)
    except ValueError:
        return kind()
    return value if isinstance(value, kind) else kind()


def _checked(fields: dict[str, Any], expected: bytes) -> Memory:
    found = Memory(**fields)
    return found if found.damaged or digest(found) == expected else found.model_copy(update={"damaged": True})

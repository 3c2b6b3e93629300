"""Rows of the file to values and back."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar, cast

from pydantic_core import from_json

from mcp_memory.models import Candidate, Change, Memory, Revision, State, digest, fingerprint
from mcp_memory.store.base import index_terms

SEQUENCE_BITS: Final = 32
SEQUENCE_MASK: Final = (1 << SEQUENCE_BITS) - 1

_Json = TypeVar("_Json", list[Any], dict[str, Any])
_make: Final = cast("Callable[[tuple[int, int, int, int]], Candidate]", partial(tuple.__new__, Candidate))  # pyright: ignore[reportUnknownMemberType]
"""Makes a candidate; a named tuple's own constructor, called for every posting, costs as much as the ranking."""
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
    plain = ("tool", "client", "client_version", "system", "summary", "undoes", "undone_by")
    return Change(
        seq=row["change_seq"], id=row["change_id"], at=row["change_at"], **{name: row[name] for name in plain}
    )


def memory_parameters(one: Memory, number: int) -> dict[str, Any]:
    """What saving `one` for the user of that `number` needs."""
    indexed = index_terms(one)
    return snapshot_parameters(one) | {
        "row_id": number << SEQUENCE_BITS | one.row,
        "number": number,
        "seq": one.seq,
        "fingerprint": fingerprint(one.content),
        "terms": own_terms(indexed, number),
        "term_count": len(indexed),
    }


def snapshot_parameters(one: Memory) -> dict[str, Any]:
    """The columns that a memory and its revisions share."""
    return {
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


def own_terms(terms: Iterable[str], number: int) -> str:
    """`terms` as the index holds them, marked with the user's number: a lookup meets that user's postings only."""
    return " ".join(f"{number}x{term}" for term in terms)


def postings(packed: str) -> list[int]:
    """The packed postings of one term, as the query `candidates` makes them."""
    return from_json(packed)


def candidates(by_term: Sequence[list[int]]) -> tuple[Candidate, ...]:
    """One candidate for each row in any term's postings, its matched terms as bits."""
    matched: dict[int, int] = {}
    for term, found in enumerate(by_term):
        bit = 1 << term
        for posting in found:
            matched[posting] = matched.get(posting, 0) | bit
    return tuple(
        [_make((posting >> 17, bits, posting >> 1 & 0xFFFF, posting & 1)) for posting, bits in matched.items()]
    )


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

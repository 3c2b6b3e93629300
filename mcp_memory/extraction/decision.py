"""From a model's reply to operations: what it may answer, and what is made of what it did answer."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, cast

from mcp_memory import guard
from mcp_memory.errors import InvalidInput
from mcp_memory.models import AddOperation, DeleteOperation, NoOperation, Operation, UpdateOperation
from mcp_memory.service.outcomes import Skipped
from mcp_memory.values import Misfit, Value

MAX_OPERATIONS: Final = 25
"""So many operations count for one chunk; more say that something is wrong with what decided them."""

_NULLABLE_TEXT: Final = {"type": ["string", "null"]}
_PROPERTIES: Final[Mapping[str, Any]] = {
    "op": {"type": "string", "enum": ["add", "update", "delete", "none"]},
    "id": {"type": ["integer", "null"]},
    "content": _NULLABLE_TEXT,
    "topics": {"type": ["array", "null"], "items": {"type": "string"}},
    "key": _NULLABLE_TEXT,
    "expires": _NULLABLE_TEXT,
    "reason": _NULLABLE_TEXT,
}
SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "operations": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": _PROPERTIES,
                "required": list(_PROPERTIES),
                "additionalProperties": False,
            },
        }
    },
    "required": ["operations"],
    "additionalProperties": False,
}
"""What a model is asked to answer, as strict endpoints want it: every property required, null for what is not meant."""

GIVEN_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "op": _PROPERTIES["op"],
            "id": {"type": "string"},
            "if_version": {"type": "integer"},
            "content": {"type": "string"},
            "topics": {"type": "array", "items": {"type": "string"}},
            "key": {"type": "string"},
            "expires": {"type": "string"},
            "reason": {"type": "string"},
        },
        "required": ["op"],
    },
}
"""The same as a caller gives it."""


class _Decided(Value, forbid_unknown_fields=False):
    """One operation, before its id is looked up. Unknown fields are no harm: models add remarks."""

    op: Literal["add", "update", "delete", "none"]
    id: int | str | None = None
    content: str | None = None
    topics: list[str] | None = None
    key: str | None = None
    expires: str | None = None
    reason: str | None = None
    if_version: int | None = None


class Unusable(ValueError):
    """A reply that holds no list of operations; the message is for the model that is asked to repair it."""


def listed(value: object, name: str = "operations") -> list[object]:
    """The list called `name` in a model's reply, or the reply itself where it is a list.

    Raises:
        Unusable: there is no such list.
    """
    found = cast("Mapping[str, object]", value).get(name) if isinstance(value, Mapping) else value
    if not isinstance(found, list):
        raise Unusable(f'the JSON must be an object with a list "{name}"')
    return cast("list[object]", found)


def decided(
    given: Sequence[object], memory_of: Callable[[int | str], tuple[str, int | None] | None]
) -> tuple[list[Operation], list[Skipped]]:
    """The operations that can be tried; all else is skipped and says why.

    `memory_of` is the id and version of what an operation calls by number or id; None where it names nothing. Where it
    knows the version that the decision was made on, that one counts, whatever the operation says.
    """
    operations: list[Operation] = []
    left = [_unread(one, f"only {MAX_OPERATIONS} operations count at once") for one in given[MAX_OPERATIONS:]]
    for one in given[:MAX_OPERATIONS]:
        try:
            operations.append(_operation(_Decided.checked(one), memory_of))
        except Misfit as error:
            left.append(_unread(one, str(error) if error.place else f"is no object with an op: {error.why}"))
        except InvalidInput as error:
            left.append(_unread(one, str(error)))
    meant = Counter(one.id for one in operations if isinstance(one, UpdateOperation | DeleteOperation))
    twice = {memory_id for memory_id, count in meant.items() if count > 1}
    left += [
        Skipped(operation=one.op, id=guard.told(one.id), why="two operations on one memory; neither counts")
        for one in operations
        if isinstance(one, UpdateOperation | DeleteOperation) and one.id in twice
    ]
    kept = [one for one in operations if not (isinstance(one, UpdateOperation | DeleteOperation) and one.id in twice)]
    return kept, left


def _operation(one: _Decided, memory_of: Callable[[int | str], tuple[str, int | None] | None]) -> Operation:
    topics = None if one.topics is None else tuple(one.topics)
    if one.op == "add":
        if one.content is None or not one.content.strip():
            raise InvalidInput("add without content")
        return AddOperation(content=one.content, topics=topics, key=one.key, expires=one.expires, reason=one.reason)
    known = memory_of(one.id) if one.id is not None else None
    if one.op == "none":
        return NoOperation(id=known[0] if known else None, reason=one.reason)
    if one.id is None:
        raise InvalidInput(f"{one.op} without id")
    if known is None:
        raise InvalidInput(f"id {guard.shown(str(one.id))} names no known memory")
    memory_id, version = known
    expected = version if version is not None else one.if_version
    if one.op == "delete":
        return DeleteOperation(id=memory_id, reason=one.reason, if_version=expected)
    return UpdateOperation(
        id=memory_id,
        content=one.content,
        topics=topics,
        key=one.key,
        expires=one.expires,
        reason=one.reason,
        if_version=expected,
    )


def _unread(one: object, why: str) -> Skipped:
    """An operation that cannot be read; what can be told of it is told."""
    fields = cast("Mapping[str, object]", one) if isinstance(one, Mapping) else dict[str, object]()
    op, named, content = (fields.get(name) for name in ("op", "id", "content"))
    return Skipped(
        operation=guard.told(op) or "unreadable" if isinstance(op, str) else "unreadable",
        why=guard.told(why) or "unreadable",
        id=guard.told(str(named)) if isinstance(named, int | str) else None,
        content=guard.told(content) if isinstance(content, str) else None,
    )

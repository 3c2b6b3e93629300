"""What a damaged row still says: something of the right type for every column, so that nothing else has to expect less.

SQLite notices neither a changed byte inside a value nor a changed type. Whether a row is as it was written is told by
its checksum; this only makes presentable what is not.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast, get_args

from mcp_memory.clock import DAY
from mcp_memory.guard import LAST_MOMENT
from mcp_memory.models import Deed, Memory

_Value = TypeVar("_Value")
_LATEST: Final = LAST_MOMENT - 2 * DAY
"""The last moment that has a date in every zone."""
_MOST_VERSIONS: Final = 2**31
_DEEDS: Final = frozenset[object](get_args(Deed))


def memory(fields: Mapping[str, Any]) -> Memory:
    """The memory of these fields, whatever is in them, marked as damaged."""
    return Memory(
        id=text(fields.get("id")),
        content=text(fields.get("content")),
        key=maybe(text, fields.get("key")),
        topics=tuple(text(topic) for topic in fields["topics"] if isinstance(topic, str)),
        pinned=bool(fields["pinned"]),
        metadata=_json(fields["metadata"]),
        agent=maybe(text, fields.get("agent")),
        team=maybe(text, fields.get("team")),
        session_id=maybe(text, fields.get("session_id")),
        source=maybe(text, fields.get("source")),
        state=fields["state"],
        created_at=moment(fields.get("created_at")),
        updated_at=moment(fields.get("updated_at")),
        worded_at=moment(fields.get("worded_at")),
        expires_at=maybe(moment, fields.get("expires_at")),
        version=whole(fields.get("version"), 1, _MOST_VERSIONS),
        row=fields["row"],
        seq=fields["seq"],
        damaged=True,
    )


def withheld(fields: Mapping[str, Any]) -> Memory:
    """A memory of which not even the owner is certain: its id, and nothing that it says."""
    kept = {name: fields.get(name) for name in ("id", "row", "seq", "state")}
    return memory({**kept, "topics": (), "pinned": False, "metadata": {}})


def deed(value: object) -> Deed | None:
    """What a revision did, None where that cannot be told."""
    return cast("Deed", value) if value in _DEEDS else None


def text(value: object) -> str:
    """`value` as text that a reply can carry."""
    match value:
        case str():
            return value.encode(errors="replace").decode()
        case bytes():
            return value.decode(errors="replace")
        case _:
            return ""


def whole(value: object, low: int, high: int) -> int:
    """`value` if it is a whole number from `low` to `high`, else `low`."""
    return value if isinstance(value, int) and low <= value <= high else low


def moment(value: object) -> int:
    """`value` if it is a moment that has a date, else the beginning of 1970."""
    return whole(value, 0, _LATEST)


def maybe(read: Callable[[object], _Value], value: object) -> _Value | None:
    """`value` as `read` has it; None stays None."""
    return None if value is None else read(value)


def _json(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """`value` if a reply can carry it, else nothing."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return {}
    return value

"""A memory and its versions as JSON: one form for all formats of our own. What has its usual value is left out."""

from collections.abc import Mapping
from typing import Any, Final, cast

from mcp_memory.errors import InvalidInput
from mcp_memory.models import Change, Memory, Revision, State
from mcp_memory.service.records import Bad, Record, Said, Version
from mcp_memory.store.lineage import Lineage
from mcp_memory.transfer.base import exact, of_exact
from mcp_memory.values import Misfit

FORMAT: Final = "mcp-memory"
VERSION: Final = 1
"""The version of the form; a later one that an older reader would misread has the next number."""

TIMES: Final = ("created_at", "updated_at", "worded_at", "expires_at")
_TEXTS: Final = ("agent", "team", "session_id", "source")
_CHANGE: Final = ("id", "tool", "client", "client_version", "summary")


def header(*, history: bool) -> dict[str, Any]:
    """What stands first in a file."""
    return {"format": FORMAT, "version": VERSION, **({"history": True} if history else {})}


def check_header(found: Mapping[str, Any]) -> None:
    """Refuse a file of a version that is not known here.

    Raises:
        InvalidInput: it is one.
    """
    if found.get("version") != VERSION:
        raise InvalidInput(
            f"the file has version {found.get('version')!r} of this format, this mcp-memory knows 1; update it"
        )


def encoded(memory: Memory) -> dict[str, Any]:
    """The fields of a memory, in an order that is always the same."""
    told: dict[str, Any] = {"id": memory.id, "content": memory.content, "key": memory.key}
    told |= {"topics": list(memory.topics), "pinned": memory.pinned, "metadata": dict(memory.metadata)}
    told |= {name: getattr(memory, name) for name in _TEXTS}
    told["state"] = None if memory.state is State.ACTIVE else memory.state.value
    told |= {name: _told(getattr(memory, name)) for name in TIMES}
    if memory.worded_at == memory.updated_at:
        del told["worded_at"]
    told["version"] = memory.version
    return {name: value for name, value in told.items() if value not in (None, False, [], {})}


def lineage(one: Lineage, *, history: bool) -> dict[str, Any]:
    """The fields of a memory, with `history` its versions too; the last says nothing twice."""
    told = encoded(one.memory)
    if history:
        told["revisions"] = [_revision(version, told) for version in one.revisions]
    return told


def decoded(place: str, told: object) -> Record | Bad:
    """The record of an object that `lineage` made, or a person."""
    if not isinstance(told, dict):
        return Bad(place=place, why='it is no JSON object with a "content"')
    fields = dict(cast("Mapping[str, Any]", told))
    try:
        revisions = fields.pop("revisions", [])
        if not isinstance(revisions, list):
            return Bad(place=place, why="revisions is no list")
        versions = [_version(one, fields) for one in cast("list[Mapping[str, Any]]", revisions)]
        return Record(place=place, said=_said(fields), versions=tuple(versions))
    except (InvalidInput, AttributeError, KeyError, TypeError, ValueError) as error:
        return Bad(place=place, why=_why(error))


def _told(moment: int | None) -> str | None:
    return None if moment is None else exact(moment)


def _revision(version: Revision, current: Mapping[str, Any]) -> dict[str, Any]:
    change = {name: getattr(version.change, name) for name in _CHANGE}
    made: dict[str, Any] = {name: value for name, value in change.items() if value is not None}
    made["at"] = exact(version.change.at)
    if version.change.undone_by is not None:
        made["undone"] = True
    told: dict[str, Any] = {"operation": version.operation}
    if version.reason is not None:
        told["reason"] = version.reason
    memory = encoded(version.memory)
    return told | {"change": made} | ({} if memory == current else {"memory": _without_id(memory)})


def _without_id(memory: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in memory.items() if name != "id"}


def _version(told: Mapping[str, Any], current: Mapping[str, Any]) -> Version:
    made = dict(told["change"])
    undone = 0 if made.pop("undone", False) else None
    at = of_exact("change.at", made.pop("at", None))
    return Version.checked(
        {
            "said": _said(told.get("memory", current)),
            "operation": told["operation"],
            "reason": told.get("reason"),
            "change": Change.checked({**made, "at": at, "undone_by": undone}),
        }
    )


def _said(fields: Mapping[str, Any]) -> Said:
    times = {name: of_exact(name, fields[name]) for name in TIMES if fields.get(name) is not None}
    return Said.checked({**fields, **times}, strict=False)


def _why(error: Exception) -> str:
    match error:
        case InvalidInput() | Misfit():
            return str(error)
        case KeyError():
            return f"a revision has no {error.args[0]}"
        case _:
            return "it is not as this format has it"

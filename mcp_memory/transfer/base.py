"""What the readers of all formats share: whose a memory is, moments as others write them, and fields that fit here."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, NamedTuple, cast

from mcp_memory import guard, text
from mcp_memory.errors import InvalidInput
from mcp_memory.service.records import Bad, Record, Said
from mcp_memory.values import Misfit

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LAST_SECONDS: Final = 10**11
"""A number of seconds is below this, one of milliseconds below a thousand times this; beyond are microseconds."""

OTHERS: Final = "tags"
"""The name in the metadata under which all topics stand where not all of them fit."""


class Owned(NamedTuple):
    """What a file says of one memory, and whose it is there; None where it does not say."""

    owner: str | None
    record: Record | Bad


def chosen(found: Iterable[Owned], wanted: str | None) -> list[Record | Bad]:
    """What a file has of `wanted`; with None, everything, if it has only one.

    Raises:
        InvalidInput: it has several, or not this one.
    """
    every = list(found)
    owners = sorted({one.owner for one in every if one.owner is not None})
    if wanted is None and len(owners) > 1:
        raise InvalidInput(
            f"it holds memories of {len(owners):,} users ({_named(owners)}); import one at a time with --of NAME"
        )
    if wanted is not None and wanted not in owners:
        there = f"it has {_named(owners)}" if owners else "it names nobody; leave --of out"
        raise InvalidInput(f"nothing in it is of {guard.shown(wanted)}; {there}")
    return [one.record for one in every if wanted in {None, one.owner}]


def foreign(place: str, content: object, said: Mapping[str, Any], tags: Sequence[str] = ()) -> Record | Bad:
    """The record of a memory from another system; of `tags` as many become topics as fit, else all go to the metadata.

    Names in `said` whose value is None or empty are left out.
    """
    if not isinstance(content, str):
        return Bad(place=place, why="it has no text")
    fields: dict[str, Any] = {name: value for name, value in said.items() if value not in (None, "", {}, [])}
    wanted = list(dict.fromkeys(text.clean(tag).replace("\n", " ").lower() for tag in tags[: guard.MAX_RAW]))
    topics = [tag for tag in wanted if 1 <= len(tag) <= guard.MAX_TOPIC][: guard.MAX_TOPICS]
    if len(topics) < len([tag for tag in wanted if tag]):
        fields["metadata"] = {**as_object(fields.get("metadata")), OTHERS: list(tags)}
    try:
        return Record(place=place, said=Said.checked({"content": content, "topics": topics, **fields}))
    except Misfit as error:
        named = error.place.partition(".")[0] or "text"
        return Bad(place=place, why=f"its {named} is of another kind than is known here")


def owner(value: object) -> str | None:
    """The name of a user, which some systems have as a number."""
    return None if value in (None, "") else str(value)


def in_order(records: Iterable[Record | Bad]) -> list[Record | Bad]:
    """`records` by when they were made, so that lists here begin with the newest too; the others as they stand."""
    return sorted(records, key=lambda one: (one.said.created_at or 0) if isinstance(one, Record) else 0)


def moment(value: object, zone: tzinfo | None) -> int | None:
    """The moment of a number since 1970 (seconds, milliseconds or microseconds) or an ISO date-time; None for nothing.

    Raises:
        InvalidInput: it is something else.
    """
    match value:
        case None | "":
            return None
        case bool():
            pass
        case int() | float() if 0 <= value < _LAST_SECONDS:
            return round(value * 1_000_000)
        case int() | float() if 0 <= value < 1_000 * _LAST_SECONDS:
            return round(value * 1_000)
        case int() if value >= 0:
            return value
        case str():
            if (found := text.parse_moment(value, zone)) is not None and found >= 0:
                return found
        case _:
            pass
    raise InvalidInput(f"{guard.shown(str(value))} is no date or time that is understood; use ISO 8601")


def exact(micros: int) -> str:
    """`micros` since 1970 as ISO 8601 in UTC, to the microsecond."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def of_exact(name: str, value: object) -> int:
    """The moment of an ISO date-time with its offset.

    Raises:
        InvalidInput: it is none.
    """
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InvalidInput(
            f"{name} {guard.shown(str(value))} is no ISO date-time with an offset, as 2026-03-01T12:00:00Z"
        )
    return (found - _EPOCH) // _MICROSECOND


def as_object(value: object) -> Mapping[str, Any]:
    """A JSON object; an empty one for anything else."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def objects(value: object) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
    """The members of a JSON list with their numbers from 1; None for one that is no object."""
    for number, one in enumerate(cast("list[object]", value) if isinstance(value, list) else [], 1):
        yield number, cast("Mapping[str, Any]", one) if isinstance(one, dict) else None


def texts(value: object) -> list[str]:
    """The texts in a JSON list, or of a text with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [one for one in cast("list[object]", value) if isinstance(one, str)] if isinstance(value, list) else []


def _named(owners: Sequence[str]) -> str:
    more = f" and {len(owners) - 10:,} more" if len(owners) > 10 else ""
    return ", ".join(guard.shown(one) for one in owners[:10]) + more

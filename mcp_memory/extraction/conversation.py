"""What was said: messages as a caller sends them, or as plain text, read into one form.

Tool messages, recalled memories and what is empty are left out on the way.
"""

import difflib
from collections.abc import Collection, Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final, Literal, cast

from mcp_memory import clock, guard, text
from mcp_memory.clock import DAY
from mcp_memory.errors import InvalidInput
from mcp_memory.extraction.recalled import without_recalled
from mcp_memory.extraction.speakers import turns
from mcp_memory.values import Value

MAX_MESSAGES: Final = 10_000
MAX_CHARACTERS: Final = 4_000_000
"""Of all messages together, before recalled memories are taken out."""

Role = Literal["user", "assistant", "system", "tool"]

ROLES: Final[Mapping[str, Role]] = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "ai", "model"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function"), "tool"),
}
"""What models' interfaces call the roles, and which of ours it is."""

_FIELDS: Final = ("role", "content", "at", "name")
_IGNORED: Final = frozenset({"id", "type", "status", "refusal", "audio", "annotations", "reasoning_content"})
_TOOL_FIELDS: Final = frozenset({"tool_calls", "tool_call_id", "function_call"})
_TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text"})


class Message(Value):
    """What one speaker said. `at`: microseconds since 1970-01-01 UTC, None where nobody told, which means now."""

    role: Role
    content: str
    at: int | None = None
    name: str | None = None


def read(messages: Sequence[Mapping[str, Any]], now: int, zone: tzinfo | None) -> tuple[Message, ...]:
    """The messages of a conversation, cleaned; none may be left.

    Each is `{role, content, at?, name?}`: `content` is a string or a list of parts, of which those of text count; `at`
    an ISO date or date-time, in `zone` where it has no offset, or a length of time before `now` such as `2d`.

    Raises:
        InvalidInput: a message, or a field of it, is not of that form, or there are too many.
    """
    if not messages:
        raise InvalidInput('messages is empty; give [{"role": "user", "content": "..."}], oldest first, or use text')
    if len(messages) > MAX_MESSAGES:
        raise InvalidInput(f"{len(messages):,} messages given, at most {MAX_MESSAGES:,} fit; send them in parts")
    found: list[Message] = []
    characters = 0
    for index, entry in enumerate(messages):
        place = f"messages.{index}"
        fields = checked(place, entry)
        role = role_of(place, fields["role"])
        content = "" if role == "tool" else content_of(place, fields)
        characters += len(content)
        if characters > MAX_CHARACTERS:
            raise _too_long("messages")
        moment = _moment(place, fields.get("at"), now, zone)
        found += made(role, content, moment, _name(place, fields.get("name")))
    return tuple(found)


def from_text(value: str) -> tuple[Message, ...]:
    """The messages of a plain text: one of the user's, or several where its lines name their speakers.

    Raises:
        InvalidInput: the text is empty, too long or no valid Unicode.
    """
    if not value.strip():
        raise InvalidInput("text is empty; give what was said, or use messages")
    if len(value) > MAX_CHARACTERS:
        raise _too_long("text")
    return spoken("text", value)


def spoken(place: str, value: str) -> tuple[Message, ...]:
    """As `from_text`, of any length.

    Raises:
        InvalidInput: it is no valid Unicode.
    """
    rest = without_recalled(text.visible(_carried(place, value)))
    return tuple(one for turn in turns(rest) for one in made(turn.role, turn.content, None, turn.name))


def checked(place: str, entry: object) -> Mapping[str, Any]:
    """`entry` as a message that has its fields, and no field that nobody knows.

    Raises:
        InvalidInput: it is none.
    """
    if not isinstance(entry, Mapping):
        raise InvalidInput(f'{place} is no object; give {{"role": "user", "content": "..."}}')
    fields = cast("Mapping[str, Any]", entry)
    for name in fields:
        if name not in _FIELDS and name not in _IGNORED and name not in _TOOL_FIELDS:
            raise InvalidInput(f"{place} has no field {guard.shown(name)}{_nearest(name, _FIELDS)}")
    for name in ("role", "content"):
        if name not in fields and not (name == "content" and _TOOL_FIELDS & fields.keys()):
            raise InvalidInput(f'{place} has no {name}; give {{"role": "user", "content": "..."}}')
    return fields


def role_of(place: str, value: object) -> Role:
    """The role that `value` names.

    Raises:
        InvalidInput: it names none.
    """
    if not isinstance(value, str):
        raise InvalidInput(f"{place}.role must be one of user, assistant, system, tool")
    role = ROLES.get(value.strip().lower())
    if role is None:
        raise InvalidInput(f"{place}.role {guard.shown(value)} is unknown{_nearest(value.lower(), ROLES)}")
    return role


def content_of(place: str, fields: Mapping[str, Any]) -> str:
    """The text of a message: its string, or its parts of text, one below the other.

    Raises:
        InvalidInput: `content` is neither.
    """
    match fields.get("content"):
        case str(value):
            return _carried(f"{place}.content", value)
        case None if _TOOL_FIELDS & fields.keys() or fields.get("refusal"):
            return ""
        case list():
            parts = enumerate(cast("list[object]", fields["content"]))
            return "\n".join(filter(None, (_part(f"{place}.content.{number}", part) for number, part in parts)))
        case _:
            raise InvalidInput(
                f'{place}.content must be a string, or a list of parts such as {{"type": "text", "text": "..."}}'
            )


def made(role: Role, content: str, at: int | None, name: str | None) -> tuple[Message, ...]:
    """One message, cleaned and without recalled memories; none if a tool speaks, or nothing is left."""
    if role == "tool":
        return ()
    rest = text.clean(without_recalled(text.visible(content)))
    return (Message(role=role, content=rest, at=at, name=name),) if rest else ()


def _part(place: str, part: object) -> str:
    match part:
        case str():
            return _carried(place, part)
        case {"type": str(kind), "text": str(value)} if kind in _TEXT_PARTS:
            return _carried(f"{place}.text", value)
        case {"type": "text"}:
            raise InvalidInput(f"{place}.text must be a string")
        case {"type": str()}:
            return ""
        case _:
            raise InvalidInput(f'{place} is no part of a message; give {{"type": "text", "text": "..."}}')


def _moment(place: str, value: object, now: int, zone: tzinfo | None) -> int | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInput(f"{place}.at must be an ISO date-time such as {clock.iso(now)}")
    moment = guard.bound(f"{place}.at", value, now, zone)
    if moment > now + DAY:
        raise InvalidInput(
            f"{place}.at {guard.shown(value)} lies ahead (now: {clock.iso(now)}); give the time at which it was said"
        )
    return moment


def _name(place: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInput(f"{place}.name must be a string")
    return guard.label(value) or None


def _carried(place: str, value: str) -> str:
    if text.lone_surrogate(value):
        raise InvalidInput(f"{place} holds half of a surrogate pair, which is no text; send valid Unicode")
    return value


def _nearest(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name[:100], known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def _too_long(name: str) -> InvalidInput:
    return InvalidInput(f"{name} has more than {MAX_CHARACTERS:,} characters; send the conversation in parts")

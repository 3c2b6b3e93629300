"""Conversations out of files: JSON Lines, JSON, plain text, Claude Code's transcripts and ChatGPT's export.

Which it is shows in the data. What is no conversation in them, such as tool results, reasoning and drafts that were
edited away, is left out. There is no limit on their length.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import tzinfo
from typing import Any, Final, Literal, NamedTuple, cast

from mcp_memory import guard, text
from mcp_memory.errors import InvalidInput
from mcp_memory.extraction.conversation import Message, content_of, made, role_of, spoken
from mcp_memory.text.patterns import Pattern

Format = Literal["auto", "jsonl", "json", "text"]

_JSON: Final = Pattern(r'\s*(?:\{\s*["}]|\[\s*[\[{"\]])')
"""How JSON begins; a text can begin with a bracket too."""
_TIMES: Final = ("at", "timestamp", "created_at", "create_time", "date", "time")
_LISTS: Final = ("messages", "conversation", "conversations", "chat_messages")
_MAX_DEPTH: Final = 10
_UNDERSTOOD: Final = (
    'JSON Lines or JSON of {"role", "content"}, lines of "user: text", Claude Code\'s or ChatGPT\'s format'
)
_SESSION_FIELDS: Final = frozenset({"message", "sessionId", "uuid", "leafUuid", "messageId"})
_NOT_SAID: Final = ("isMeta", "isSidechain", "isCompactSummary", "isApiErrorMessage")
_WRAPPING: Final = Pattern(
    r"<(system-reminder|command-(?:name|message|args|contents)|local-command-(?:stdout|stderr|caveat)"
    r"|bash-(?:stdout|stderr)|ide_(?:opened_file|selection|diagnostics)|task-notification)>"
)
"""How what Claude Code itself puts into the user's messages begins."""
_LAST_SECOND: Final = guard.LAST_MOMENT // 1_000_000


class _Said(NamedTuple):
    """A message, and the conversation of the file that it belongs to."""

    conversation: str
    message: Message


def parse(data: str, zone: tzinfo | None, form: Format = "auto") -> tuple[Message, ...]:
    """The messages of a file, one conversation after the other in order of their first times.

    Times without an offset are in `zone`.

    Raises:
        InvalidInput: it is not of that format; the message names the line, or the position in a list.
    """
    data = data.removeprefix("\ufeff")
    if not data.strip():
        raise InvalidInput(f"the transcript is empty; give {_UNDERSTOOD}")
    match form:
        case "text":
            return spoken("the transcript", data)
        case "json":
            return _in_order(_of_json(_loaded(data), zone))
        case "jsonl":
            return _in_order(_of_lines(data, zone))
        case "auto":
            return _recognised(data, zone)


def _recognised(data: str, zone: tzinfo | None) -> tuple[Message, ...]:
    if not _JSON.match(data):
        return spoken("the transcript", data)
    if _holds_lines(data):
        return _in_order(_of_lines(data, zone))
    return _in_order(_of_json(_loaded(data), zone))


def _holds_lines(data: str) -> bool:
    """Whether one of the first two lines is a JSON object in itself, and the whole is not JSON."""
    lines = [line for _, line in zip(range(2), _numbered(data), strict=False)]
    if len(lines) < 2 or not any(isinstance(_value(line), dict) for _, line in lines):
        return False
    return _value(data) is None


def _value(data: str) -> object:
    """The JSON value of `data`, or None."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _loaded(data: str, line: int | None = None) -> object:
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        place = f"line {line or error.lineno}"
        raise InvalidInput(f"{place} is no JSON ({error.msg} at character {error.colno}); correct it") from error
    except (ValueError, RecursionError) as error:
        place = f"line {line}" if line else "the transcript"
        raise InvalidInput(f"{place} holds JSON that nests too deep or a number that is too long") from error


def _numbered(data: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    start = 0
    number = 1
    while start < len(data):
        end = data.find("\n", start)
        end = len(data) if end < 0 else end
        if line := data[start:end].strip():
            yield number, line
        start, number = end + 1, number + 1


def _of_lines(data: str, zone: tzinfo | None) -> Iterator[_Said]:
    for number, line in _numbered(data):
        place = f"line {number}"
        value = _loaded(line, number)
        if not isinstance(value, Mapping):
            raise InvalidInput(f'{place} is no object; give {{"role": "user", "content": "..."}}')
        entry = cast("Mapping[str, Any]", value)
        yield from _of_session(place, entry, zone) if _is_session(entry) else _of_entry(place, "", entry, zone)


def _of_json(value: object, zone: tzinfo | None, place: str = "", conversation: str = "") -> Iterator[_Said]:
    """The messages in a JSON value; `place` is its path, and `conversation` that of the list it stands in."""
    if place.count("[") > _MAX_DEPTH:
        raise InvalidInput(f"the transcript nests lists deeper than {_MAX_DEPTH} levels; give {_UNDERSTOOD}")
    match value:
        case list():
            for number, one in enumerate(cast("list[object]", value)):
                yield from _of_json(one, zone, f"{place}[{number}]", place)
        case {"mapping": dict()}:
            yield from _of_chatgpt(place, cast("Mapping[str, Any]", value), zone)
        case dict():
            entry = cast("Mapping[str, Any]", value)
            name = next((name for name in _LISTS if isinstance(entry.get(name), list)), None)
            if name is not None:
                yield from _of_json(entry[name], zone, f"{place}.{name}".removeprefix("."), place)
            elif _is_session(entry):
                yield from _of_session(place, entry, zone)
            else:
                yield from _of_entry(place or "the transcript", conversation, entry, zone)
        case _:
            raise InvalidInput(f"{place or 'the transcript'} is no conversation; give {_UNDERSTOOD}")


def _of_entry(place: str, conversation: str, entry: Mapping[str, Any], zone: tzinfo | None) -> Iterator[_Said]:
    """A message in the common form; other fields than ours are common in files."""
    for name in ("role", "content"):
        if name not in entry:
            raise InvalidInput(f"{place} has no {name}; give {_UNDERSTOOD}")
    role = role_of(place, entry["role"])
    content = "" if role == "tool" else content_of(place, entry)
    moment = next((found for name in _TIMES if (found := _moment(entry.get(name), zone)) is not None), None)
    name = entry.get("name")
    for message in made(role, content, moment, guard.label(name) or None if isinstance(name, str) else None):
        yield _Said(conversation, message)


def _is_session(entry: Mapping[str, Any]) -> bool:
    """Whether a line is one of Claude Code's; not every one is a message."""
    return isinstance(entry.get("type"), str) and "role" not in entry and not _SESSION_FIELDS.isdisjoint(entry)


def _of_session(place: str, entry: Mapping[str, Any], zone: tzinfo | None) -> Iterator[_Said]:
    inner = entry.get("message")
    if entry["type"] not in {"user", "assistant"} or any(entry.get(name) for name in _NOT_SAID):
        return
    if not isinstance(inner, Mapping):
        raise InvalidInput(f"{place} has no message; give {_UNDERSTOOD}")
    fields = cast("Mapping[str, Any]", inner)
    role = role_of(place, fields.get("role", entry["type"]))
    content = _typed(content_of(place, fields))
    for message in made(role, content, _moment(entry.get("timestamp"), zone), None):
        yield _Said(str(entry.get("sessionId", "")), message)


def _typed(content: str) -> str:
    """`content` without what Claude Code put into it."""
    kept: list[str] = []
    done = 0
    while opening := _WRAPPING.search(content, done):
        closing = f"</{opening[1]}>"
        end = content.find(closing, opening.end())
        if end < 0:
            break
        kept.append(content[done : opening.start()])
        done = end + len(closing)
    return "".join([*kept, content[done:]])


def _of_chatgpt(place: str, conversation: Mapping[str, Any], zone: tzinfo | None) -> Iterator[_Said]:
    """The branch of a conversation that was seen last, from its root."""
    nodes = cast("Mapping[str, Any]", conversation["mapping"])
    branch: list[Mapping[str, Any]] = []
    passed: set[str] = set()
    name = conversation.get("current_node") or _latest(nodes)
    while isinstance(name, str) and name not in passed and isinstance(nodes.get(name), Mapping):
        passed.add(name)
        branch.append(nodes[name])
        name = nodes[name].get("parent")
    for node in reversed(branch):
        if isinstance(node.get("message"), Mapping):
            yield from _of_node(place, cast("Mapping[str, Any]", node["message"]), zone)


def _of_node(place: str, message: Mapping[str, Any], zone: tzinfo | None) -> Iterator[_Said]:
    match message:
        case {"author": {"role": str(name)}, "content": {"content_type": "text" | "multimodal_text", "parts": list()}}:
            parts = [part for part in cast("list[object]", message["content"]["parts"]) if isinstance(part, str)]
        case _:
            return
    match message:
        case {"metadata": {"is_visually_hidden_from_conversation": True}}:
            return
        case {"recipient": str(recipient)} if recipient != "all":
            return
        case _:
            content = content_of(place, {"content": parts})
    for one in made(role_of(place, name), content, _moment(message.get("create_time"), zone), None):
        yield _Said(place, one)


def _latest(nodes: Mapping[str, Any]) -> str | None:
    """The node that no other has as its parent and that was made last."""
    found = {name: cast("Mapping[str, Any]", node) for name, node in nodes.items() if isinstance(node, Mapping)}
    parents = {node.get("parent") for node in found.values() if isinstance(node.get("parent"), str)}
    leaves = [name for name in found if name not in parents]
    return max(leaves, key=lambda name: _made_at(found[name]), default=None)


def _made_at(node: Mapping[str, Any]) -> float:
    match node:
        case {"message": {"create_time": int() | float() as moment}} if math.isfinite(moment):
            return float(moment)
        case _:
            return 0.0


def _moment(value: object, zone: tzinfo | None) -> int | None:
    """Microseconds of an ISO date-time, or of seconds since 1970; None of anything else."""
    match value:
        case str():
            return text.parse_moment(value, zone)
        case bool():
            return None
        case int() | float() if math.isfinite(value) and 0 < value <= _LAST_SECOND:
            return round(value * 1_000_000)
        case _:
            return None


def _in_order(said: Iterable[_Said]) -> tuple[Message, ...]:
    """The conversations in order of their first times; one without a time stays behind the one before it."""
    conversations: dict[str, list[Message]] = {}
    for one in said:
        conversations.setdefault(one.conversation, []).append(one.message)
    begun: list[tuple[float, list[Message]]] = []
    moment = -math.inf
    for messages in conversations.values():
        moment = next((message.at for message in messages if message.at is not None), moment)
        begun.append((moment, messages))
    return tuple(message for _, messages in sorted(begun, key=lambda one: one[0]) for message in messages)

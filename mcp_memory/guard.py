"""What may be stored: the limits, how each field of a request is read, and what becomes of a secret in it.

Null is omitted. The empty string clears a key or an expiry, an empty list the topics, an empty object the metadata.
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, TypedDict, cast

from mcp_memory import clock, text
from mcp_memory.errors import InvalidInput
from mcp_memory.values import Value

MAX_RAW: Final = 50_000
"""What is longer than this is refused before it is cleaned, which takes longer the longer the text is."""
MAX_CONTENT: Final = 4_000
MAX_TOPICS: Final = 8
MAX_TOPIC: Final = 64
MAX_KEY: Final = 128
MAX_METADATA: Final = 4_096
MAX_DEPTH: Final = 20
MAX_USER: Final = 200
MAX_QUERY: Final = 4_000
MAX_LABEL: Final = 100
MAX_SHOWN: Final = 40
MAX_IDS: Final = 100
LAST_MOMENT: Final = 253_402_300_799_000_000
"""The last second of the year 9999 in UTC, beyond which ISO 8601 has no plain way to write a year."""

_UNSEEN: Final = {"Cc", "Cf", "Zl", "Zp"}
"""Categories that no user's name may hold, but for joiners where a script or an emoji needs them."""


class Fields(Value):
    """The fields of a memory as a caller gave them; None is not given."""

    content: str | None = None
    topics: Sequence[str] | None = None
    key: str | None = None
    pinned: bool | None = None
    expires: str | None = None
    metadata: Mapping[str, Any] | None = None


SecretAction = Literal["refuse", "redact", "allow"]
"""What is done with a text that holds a secret: an error, `[redacted: API key]` in its place, or nothing."""


class Screened(NamedTuple):
    """Fields that may be stored as far as secrets go, and what was redacted: `API key in content`."""

    fields: Fields
    redacted: tuple[str, ...] = ()


class Given(TypedDict, total=False):
    """The fields that a request sets, cleaned; a None in it clears."""

    content: str
    topics: tuple[str, ...]
    key: str | None
    pinned: bool
    metadata: Mapping[str, Any]
    expires_at: int | None


def check(fields: Fields, now: int, zone: tzinfo | None) -> Given:
    """`fields` cleaned and within the limits.

    Raises:
        InvalidInput: a field is outside what is accepted.
    """
    given = Given()
    if fields.content is not None:
        given["content"] = content(fields.content)
    if fields.topics is not None:
        given["topics"] = topics(fields.topics)
    if fields.key is not None:
        given["key"] = key(fields.key) if fields.key.strip() else None
    if fields.pinned is not None:
        given["pinned"] = fields.pinned
    if fields.metadata is not None:
        given["metadata"] = metadata(fields.metadata)
    if fields.expires is not None:
        given["expires_at"] = expiry(fields.expires, now, zone) if fields.expires.strip() else None
    return given


def screen(fields: Fields, action: SecretAction) -> Screened:
    """`fields` without secrets: looked for in what is given, cleaned, and in no other field of the memory.

    A key that calls its content a password counts as part of it: `wifi_password` and `Tr0ub4dor&3` are one.

    Raises:
        InvalidInput: a field holds a secret and `action` is refuse, or it is outside the limits.
    """
    if action == "allow":
        return Screened(fields)
    screening = _Screening(action)
    cleaned: dict[str, Any] = {}
    if fields.content is not None:
        named = text.clean(fields.key or "") if len(fields.key or "") <= MAX_KEY else ""
        cleaned["content"] = screening.called("content", content(fields.content), named)
    if fields.key is not None and fields.key.strip():
        cleaned["key"] = _Screening("refuse").plain("key", key(fields.key))  # redacted, two would be the same key
    if fields.topics is not None:
        topics(fields.topics)
        cleaned["topics"] = [screening.plain("topics", text.clean(topic)) for topic in fields.topics]
    if fields.metadata is not None:
        cleaned["metadata"] = screening.data("", metadata(fields.metadata))
    return Screened(fields.replace(**cleaned), tuple(dict.fromkeys(screening.redacted)))


def screen_text(name: str, value: str, action: SecretAction) -> tuple[str, tuple[str, ...]]:
    """A text of its own, such as a message, without secrets; `name` is what an error calls it.

    Raises:
        InvalidInput: it holds a secret and `action` is refuse.
    """
    if action == "allow":
        return value, ()
    screening = _Screening(action)
    return screening.plain(name, text.clean(value)), tuple(dict.fromkeys(screening.redacted))


class _Screening:
    """One pass over the fields of a request; `redacted` says what it replaced, and where."""

    def __init__(self, action: Literal["refuse", "redact"]) -> None:
        self._action = action
        self.redacted: list[str] = []

    def plain(self, name: str, value: str) -> str:
        """A text by itself."""
        return self._without(name, value, text.secrets(value))

    def called(self, name: str, value: str, called: str) -> str:
        """A value that stands under a name of its own, which may call it a password."""
        if not called:
            return self.plain(name, value)
        lead = f"{called}: "
        inside = [one.shifted(-len(lead)) for one in text.secrets(lead + value) if one.start >= len(lead)]
        return self._without(name, value, inside or text.secrets(value))

    def data(self, called: str, value: object) -> object:
        """A JSON value of metadata, whose names are texts as well."""
        match value:
            case str():
                return self.called("metadata", value, called)
            case bool() | float() | None:
                return value
            case int():
                written = self.called("metadata", str(value), called)
                return value if written == str(value) else written
            case list():
                return [self.data(called, one) for one in cast("list[object]", value)]
            case dict():
                return self._object(cast("dict[str, object]", value))
            case _:
                return value

    def _object(self, value: Mapping[str, object]) -> dict[str, object]:
        screened: dict[str, object] = {}
        for name, inner in value.items():
            if (seen := self.plain("metadata", name)) in screened:
                raise InvalidInput("metadata has several names that hold a secret; give the fields plain names")
            screened[seen] = self.data(name, inner)
        return screened

    def _without(self, name: str, value: str, found: Sequence[text.Secret]) -> str:
        if not found:
            return value
        if self._action == "refuse":
            raise InvalidInput(secret_in(name, found[0].kind))
        self.redacted += [f"{one.kind} in {name}" for one in found]
        return text.redacted(value, found)


def secret_in(name: str, kind: str) -> str:
    """What is said of a field that holds a secret of this kind, without the secret."""
    article = "an" if kind[0] in "AIai" else "a"
    return f"{name} holds what looks like {article} {kind}, and secrets are not stored; say where it is kept instead"


def content(value: str) -> str:
    """A memory's text: 1 to 4,000 characters after clean-up."""
    cleaned = text.clean(_whole("content", value))
    if not cleaned:
        raise InvalidInput("content is empty; give one self-contained statement of 1 to 4,000 characters")
    if len(cleaned) > MAX_CONTENT:
        raise InvalidInput(
            f"content has {len(cleaned):,} characters, at most {MAX_CONTENT:,} fit; split it into several memories"
        )
    return cleaned


def topics(values: Sequence[str]) -> tuple[str, ...]:
    """Short lower-case tags, at most 8 different ones of 1 to 64 characters, in the order given."""
    cleaned = dict.fromkeys(_topic(value) for value in values[: 10 * MAX_TOPICS])
    if len(cleaned) > MAX_TOPICS or len(values) > 10 * MAX_TOPICS:
        raise InvalidInput(f"{len(values):,} topics given, at most {MAX_TOPICS} fit; keep the telling ones")
    return tuple(cleaned)


def key(value: str) -> str:
    """An exact name: one line of 1 to 128 characters."""
    return _line("key", value, MAX_KEY)


@lru_cache(1_024)
def user(name: str) -> str:
    """A user's name: NFC, trimmed, 1 to 200 characters, case-sensitive.

    What nobody can see is refused, not removed: two names that differ in it belong to two users.
    """
    trimmed = unicodedata.normalize("NFC", _whole("user", name)).strip()
    if not 1 <= len(trimmed) <= MAX_USER:
        raise InvalidInput(f"user must have 1 to {MAX_USER} characters, not {len(trimmed):,}")
    if text.visible(trimmed) != trimmed or any(_unseen(char) for char in trimmed):
        raise InvalidInput("user holds a line break or an invisible character; use a plain name")
    return trimmed


def query(value: str) -> str:
    """A search text of 1 to 4,000 characters."""
    cleaned = text.clean(_whole("query", value))
    if not cleaned:
        raise InvalidInput("query is empty; give a few words, or use list_memories for everything")
    if len(cleaned) > MAX_QUERY:
        raise InvalidInput(f"query has {len(cleaned):,} characters, at most {MAX_QUERY:,} are searched; shorten it")
    return cleaned


def metadata(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A JSON object of at most 4,096 bytes as compact UTF-8 JSON."""
    if _nests_deeper(value, MAX_DEPTH):
        raise InvalidInput(f"metadata nests deeper than {MAX_DEPTH} levels; use a flatter object")
    try:
        encoded = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInput(
            "metadata is not plain JSON; use an object of strings, numbers, lists and objects"
        ) from error
    if len(encoded) > MAX_METADATA:
        raise InvalidInput(f"metadata has {len(encoded):,} bytes as JSON, at most {MAX_METADATA:,} fit")
    return _visible_names(json.loads(encoded))


def expiry(value: str, now: int, zone: tzinfo | None) -> int:
    """The moment of an ISO date-time, or of a length of time from `now`; it must lie ahead."""
    length = text.parse_duration(value)
    moment = now + length if length is not None else text.parse_moment(value, zone)
    if moment is None:
        raise InvalidInput(f"expires {shown(value)} is not understood; use 30d, 12h, 2w or an ISO date-time")
    if moment > LAST_MOMENT:
        raise InvalidInput(f"expires {shown(value)} is too far ahead; leave it out for what never expires")
    if moment <= now:
        raise InvalidInput(f"expires {shown(value)} has already passed (now: {clock.iso(now)}); give a later moment")
    return moment


def bound(name: str, value: str, now: int, zone: tzinfo | None) -> int:
    """The moment of an ISO date-time, or of a length of time before `now`, as a bound of a search."""
    length = text.parse_duration(value)
    moment = now - length if length is not None else text.parse_moment(value, zone)
    if moment is None:
        raise InvalidInput(f"{name} {shown(value)} is not understood; use 7d, 12h, 2w or an ISO date-time")
    return moment


def shown(value: str) -> str:
    """What a caller sent, quoted and short enough for an error message, without its secrets."""
    cleaned = text.clean(value[:MAX_RAW].encode(errors="replace").decode()).replace("\n", " ")
    cleaned = text.redacted(cleaned, text.secrets(cleaned))
    return repr(cleaned if len(cleaned) <= MAX_SHOWN else cleaned[:MAX_SHOWN] + "…")


@lru_cache(1_024)
def label(value: str) -> str:
    """A name that a client or an operator gives itself: one visible line, cut where it is too long."""
    return text.clean(value[:MAX_RAW].encode(errors="replace").decode()).replace("\n", " ")[:MAX_LABEL]


def told(value: str) -> str | None:
    """What a caller sent, to be repeated in a reply: one visible line; None where it is empty, or holds a secret."""
    seen = label(value)
    return None if not seen or text.credential(text.clean(value)) or text.credential(seen) else seen


def _unseen(char: str) -> bool:
    return unicodedata.category(char) in _UNSEEN and char not in "\u200c\u200d"


def _visible(value: object) -> object:
    """A JSON value whose texts hold no hidden characters."""
    match value:
        case str():
            return text.visible(value)
        case list():
            return [_visible(one) for one in cast("list[object]", value)]
        case dict():
            return _visible_names(cast("dict[str, object]", value))
        case _:
            return value


def _visible_names(value: Mapping[str, object]) -> dict[str, object]:
    cleaned: dict[str, object] = {}
    for name, inner in value.items():
        if (seen := text.visible(name)) in cleaned:
            raise InvalidInput(f"metadata has two names that both read {shown(seen)} after clean-up; rename one")
        cleaned[seen] = _visible(inner)
    return cleaned


def _nests_deeper(value: object, depth: int) -> bool:
    if isinstance(value, Mapping):
        inner = list(cast("Mapping[str, object]", value).values())
    elif isinstance(value, list):
        inner = cast("list[object]", value)
    else:
        return False
    return depth == 0 or any(_nests_deeper(one, depth - 1) for one in inner)


def _topic(value: str) -> str:
    return _line("a topic", value.lower(), MAX_TOPIC)


def _line(name: str, value: str, limit: int) -> str:
    cleaned = text.clean(_whole(name, value)).replace("\n", " ")
    if not 1 <= len(cleaned) <= limit:
        raise InvalidInput(f"{name} must have 1 to {limit} characters after clean-up, not {len(cleaned):,}")
    return cleaned


def _whole(name: str, value: str) -> str:
    if len(value) > MAX_RAW:
        raise InvalidInput(f"{name} has {len(value):,} characters, far more than can be kept; shorten it")
    if text.lone_surrogate(value):
        raise InvalidInput(f"{name} holds half of a surrogate pair, which is no text; send valid Unicode")
    return value

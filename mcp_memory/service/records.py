"""What a file from elsewhere says of memories, and how each is checked before it may come in."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from mcp_memory import guard, text
from mcp_memory.clock import DAY, ID_ALPHABET, ID_LENGTH, Clock
from mcp_memory.errors import InvalidInput
from mcp_memory.guard import Fields, Screened, SecretAction
from mcp_memory.models import Change, Deed, Memory, Revision, State
from mcp_memory.store.lineage import Lineage
from mcp_memory.text.patterns import Pattern
from mcp_memory.values import Value

_LATEST: Final = guard.LAST_MOMENT - 2 * DAY
"""The last moment that has a date in every zone."""
_MOST_VERSIONS: Final = 2**31
_MANY: Final = 10_000
_OWN_ID: Final = Pattern(f"[{ID_ALPHABET}]{{{ID_LENGTH}}}")


class Said(Value):
    """The fields of one memory as a file has them, not checked yet; times are microseconds, None where it has none."""

    content: str
    id: str | None = None
    key: str | None = None
    topics: tuple[str, ...] = ()
    pinned: bool = False
    metadata: Mapping[str, Any] = {}
    agent: str | None = None
    team: str | None = None
    session_id: str | None = None
    source: str | None = None
    state: State = State.ACTIVE
    created_at: int | None = None
    updated_at: int | None = None
    worded_at: int | None = None
    expires_at: int | None = None
    version: int = 1


class Version(Value):
    """A version that led to a memory, and the change that made it there."""

    said: Said
    operation: Deed
    reason: str | None = None
    change: Change


class Record(Value):
    """One memory of a file; `place` is where it stands: "line 7"."""

    place: str
    said: Said
    versions: tuple[Version, ...] = ()


class Bad(Value):
    """What a file has at `place` that cannot become a memory, and why."""

    place: str
    why: str


class Candidate(Value):
    """A memory that may come in as far as it goes itself; `redacted` are secrets that were replaced."""

    place: str
    lineage: Lineage
    redacted: tuple[str, ...] = ()


class Checker:
    """Reads records as `guard` has it, at the moment `now`."""

    def __init__(self, clock: Clock, secrets: SecretAction) -> None:
        self._clock = clock
        self.now = clock.now()
        self._secrets: SecretAction = secrets
        self._tagged = lru_cache(_MANY)(self._screened)  # many memories have the same topics

    def check(self, record: Record) -> Candidate | Bad:
        """The memory of a record with its versions, or what is wrong with it."""
        redacted: list[str] = []
        try:
            memory = self._memory(record.said, None, redacted)
        except InvalidInput as error:
            return Bad(place=record.place, why=str(error))
        if memory.state is State.PENDING:
            return Bad(place=record.place, why="it still waits for approval; accept it where it comes from")
        revisions: list[Revision] = []
        for one in record.versions:
            try:
                revisions.append(self._revision(one, memory.id, redacted))
            except InvalidInput as error:
                return Bad(place=record.place, why=f"version {one.said.version}: {error}")
        lineage = Lineage(memory=memory, revisions=tuple(revisions))
        return Candidate(place=record.place, lineage=lineage, redacted=tuple(dict.fromkeys(redacted)))

    def _revision(self, one: Version, memory_id: str, redacted: list[str]) -> Revision:
        labels = {name: _label(getattr(one.change, name)) for name in ("client", "client_version")}
        told = labels | {
            "id": _own_id(one.change.id) or self._clock.new_id(),
            "at": _moment("change.at", one.change.at),
        }
        told |= {"tool": guard.label(one.change.tool), "summary": _told(one.change.summary) or ""}
        return Revision(
            memory=self._memory(one.said, memory_id, redacted),
            operation=one.operation,
            reason=_told(one.reason or ""),
            change=one.change.replace(**told),
        )

    def _screened(self, topics: tuple[str, ...]) -> Screened:
        return guard.screen(Fields(topics=topics), self._secrets)

    def _memory(self, said: Said, memory_id: str | None, redacted: list[str]) -> Memory:
        fields = Fields(content=said.content, key=said.key, pinned=said.pinned, metadata=said.metadata or None)
        screened = guard.screen(fields, self._secrets)
        given = guard.check(screened.fields, self.now, None)
        redacted += screened.redacted
        if said.topics:
            tagged = self._tagged(said.topics)
            given["topics"] = guard.topics(tagged.fields.topics or ())
            redacted += tagged.redacted
        if not 1 <= said.version <= _MOST_VERSIONS:
            raise InvalidInput(f"version {said.version} is not from 1 to {_MOST_VERSIONS:,}")
        given["expires_at"] = None if said.expires_at is None else _moment("expires_at", said.expires_at)
        created = self.now if said.created_at is None else _moment("created_at", said.created_at)
        updated = created if said.updated_at is None else _moment("updated_at", said.updated_at)
        return Memory(
            **given,
            id=memory_id or _own_id(said.id) or self._clock.new_id(),
            agent=_label(said.agent),
            team=_label(said.team),
            session_id=_label(said.session_id),
            source=_label(said.source),
            state=said.state,
            created_at=created,
            updated_at=updated,
            worded_at=updated if said.worded_at is None else _moment("worded_at", said.worded_at),
            version=said.version,
        )


def _own_id(given: str | None) -> str | None:
    """`given` if it is an id as this package makes them."""
    return given if given and _OWN_ID.fullmatch(given) else None


def _label(given: str | None) -> str | None:
    return guard.label(given) or None if given else None


def _told(given: str) -> str | None:
    """What was said of a change, on one line; None where it is empty, too long to be ours, or holds a secret."""
    seen = text.clean(given).replace("\n", " ") if len(given) <= guard.MAX_CONTENT else ""
    return None if not seen or text.secrets(seen) else seen


def _moment(name: str, given: int) -> int:
    if not 0 <= given <= _LATEST:
        raise InvalidInput(f"{name} is outside the years 1970 to 9999; give an ISO date-time in UTC")
    return given

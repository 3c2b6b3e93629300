"""What the page may ask for when it is served here.

Those are the tools of the MCP server, by the same names and with the same replies, and what no tool offers:
`list_gone`, `memory_history` and `restore_memory`, and where memories wait for approval `list_pending`,
`accept_memories` and `refuse_memories`.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import tzinfo
from typing import Any, Final, TypeVar, cast

from mcp_memory import __version__
from mcp_memory.errors import InvalidInput
from mcp_memory.guard import Fields, shown
from mcp_memory.service import MemoryService
from mcp_memory.service.pending import Person
from mcp_memory.values import Misfit, Value
from mcp_memory.views import approval, browsing, data, timeline

Reply = Mapping[str, Any]

CLIENT: Final = "mcp-memory ui"
"""What changes made here say of who made them."""
NEWEST: Final = 100
"""So many memories come with the first reply."""

TOPICS: Final = 500
"""So many topics: more make no chart and no choice."""


class Desk:
    """One user's memories, for the page."""

    def __init__(self, service: MemoryService, user: str, zone: tzinfo | None) -> None:
        self.service = service
        self.user = user
        self._zone = zone

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Reply:
        """What `tool` answers; null arguments are not given.

        Raises:
            InvalidInput: there is no such tool here, or its arguments are wrong.
            McpMemoryError: the service refuses.
        """
        door = _DOORS.get(tool)
        if door is None:
            raise InvalidInput(f"No tool {shown(tool)} here; it has {', '.join(_DOORS)}")
        model, run = door
        try:
            asked = model.checked({name: value for name, value in arguments.items() if value is not None})
        except Misfit as error:
            raise InvalidInput(f"Invalid arguments for {tool}: {error.place or 'arguments'}: {error.why}") from error
        try:
            return await run(self, asked)
        except UnicodeEncodeError as error:
            raise InvalidInput(f"Invalid arguments for {tool}: half of a surrogate pair; send Unicode") from error

    def zone(self) -> str | None:
        """The name of the configured time zone; None where it is the system's, which the browser has too."""
        return str(self._zone) if self._zone is not None else None


def origin(tool: str) -> Person:
    """Who acts when the page asks for a change."""
    return Person(tool=tool, client=CLIENT, client_version=__version__)


class _Nothing(Value):
    pass


class _Page(Value):
    limit: int = 50
    cursor: str | None = None


class _Listing(_Page):
    topics: tuple[str, ...] = ()
    agent: str | None = None
    since: str | None = None
    until: str | None = None


class _Query(Value):
    query: str
    limit: int = 10
    topics: tuple[str, ...] = ()
    agent: str | None = None
    since: str | None = None
    until: str | None = None


class _One(Value):
    id: str


class _Reading(_One):
    history: bool = False


class _Correction(Fields):
    id: str
    if_version: int | None = None


class _Removal(Value):
    id: str | tuple[str, ...]


class _Taking(Value):
    change_id: str | None = None


class _Decision(Value):
    ids: tuple[str, ...]


class _Changes(_Page):
    since: str | None = None
    until: str | None = None


class _Version(_One):
    version: int


_Asked = TypeVar("_Asked", bound=Value)
_Run = Callable[[Desk, Any], Awaitable[Reply]]
_DOORS: Final[dict[str, tuple[type[Value], _Run]]] = {}
_REVIEW: Final = frozenset({"list_pending", "accept_memories", "refuse_memories"})


def _door(
    model: type[_Asked],
) -> Callable[[Callable[[Desk, _Asked], Awaitable[object]]], Callable[[Desk, _Asked], Awaitable[object]]]:
    """Open the function to the page, under its name."""

    def opened(run: Callable[[Desk, _Asked], Awaitable[object]]) -> Callable[[Desk, _Asked], Awaitable[object]]:
        _DOORS[run.__name__] = (model, cast("_Run", run))
        return run

    return opened


@_door(_Nothing)
async def show_memories(desk: Desk, _: _Nothing) -> object:
    """What there is, counted, and the newest."""
    glance = await desk.service.browsing.glance(desk.user)
    newest = await desk.service.page(desk.user, limit=NEWEST)
    closed = frozenset[str]() if await desk.service.approvals.wanted(desk.user) else _REVIEW
    reply = browsing.structured_shown(glance, newest, [name for name in _DOORS if name not in closed], TOPICS)
    zone = desk.zone()
    return reply | {"user": desk.user} | ({"timezone": zone} if zone else {})


@_door(_Listing)
async def list_memories(desk: Desk, asked: _Listing) -> object:
    """One page."""
    return data.listed(await desk.service.page(desk.user, **asked.fields()))


@_door(_Query)
async def search_memories(desk: Desk, asked: _Query) -> object:
    """What answers a query best."""
    scope = desk.service.scope(topics=asked.topics, agent=asked.agent, since=asked.since, until=asked.until)
    return data.found(await desk.service.search(desk.user, asked.query, scope, limit=asked.limit))


@_door(_Reading)
async def get_memory(desk: Desk, asked: _Reading) -> object:
    """One memory."""
    return data.got(await desk.service.get(desk.user, asked.id, history=asked.history))


@_door(Fields)
async def add_memory(desk: Desk, asked: Fields) -> object:
    """One more."""
    return data.added(await desk.service.add(desk.user, asked, origin("add_memory")))


@_door(_Correction)
async def update_memory(desk: Desk, asked: _Correction) -> object:
    """The given fields, changed."""
    fields = Fields(**{name: getattr(asked, name) for name in Fields.__struct_fields__})
    by = origin("update_memory")
    return data.updated(await desk.service.update(desk.user, asked.id, fields, by, asked.if_version))


@_door(_Removal)
async def delete_memory(desk: Desk, asked: _Removal) -> object:
    """One or several, away."""
    ids = [asked.id] if isinstance(asked.id, str) else asked.id
    return data.deleted(await desk.service.delete(desk.user, ids, origin("delete_memory")))


@_door(_Taking)
async def undo(desk: Desk, asked: _Taking) -> object:
    """A change, taken back."""
    return data.undone(await desk.service.undo(desk.user, asked.change_id, origin("undo")))


@_door(_Changes)
async def list_changes(desk: Desk, asked: _Changes) -> object:
    """What changed."""
    found = await desk.service.timeline.changes(desk.user, asked.since, asked.limit, asked.cursor, asked.until)
    return timeline.structured_changes(found)


@_door(_Page)
async def list_gone(desk: Desk, asked: _Page) -> object:
    """What was deleted or has expired, and was not forgotten."""
    return browsing.structured_gone(await desk.service.browsing.gone(desk.user, asked.limit, asked.cursor))


@_door(_One)
async def memory_history(desk: Desk, asked: _One) -> object:
    """Every version of a memory, also of one that is gone."""
    return timeline.structured_history(await desk.service.timeline.history(desk.user, asked.id))


@_door(_Version)
async def restore_memory(desk: Desk, asked: _Version) -> object:
    """A version, put back."""
    by = origin("restore_memory")
    return timeline.structured_restored(await desk.service.timeline.restore(desk.user, asked.id, asked.version, by))


@_door(_Page)
async def list_pending(desk: Desk, asked: _Page) -> object:
    """What waits for approval."""
    return approval.structured_pending(await desk.service.approvals.pending(desk.user, asked.limit, asked.cursor))


@_door(_Decision)
async def accept_memories(desk: Desk, asked: _Decision) -> object:
    """Have them count from now on."""
    done = await desk.service.approvals.accept(desk.user, asked.ids, origin("accept_memories"))
    return approval.structured_decided(done)


@_door(_Decision)
async def refuse_memories(desk: Desk, asked: _Decision) -> object:
    """Have them go."""
    done = await desk.service.approvals.refuse(desk.user, asked.ids, origin("refuse_memories"))
    return approval.structured_decided(done)

"""Time travel: what changed and by whom, an earlier version put back, and everything taken away at once."""

from collections.abc import Sequence
from typing import Final, Literal, NoReturn

from mcp_memory import guard
from mcp_memory.clock import Clock
from mcp_memory.errors import Conflict, InvalidInput, NotFound
from mcp_memory.guard import Given
from mcp_memory.models import Entry, Filter, Memory, Origin, Revision, State, Step, Trace, Vector, fingerprint
from mcp_memory.service.cursor import FOREIGN, page_size, seal, unseal
from mcp_memory.service.outcomes import Changes, Cleared, History, Restored
from mcp_memory.service.pending import veiled_revision
from mcp_memory.service.search import Searcher
from mcp_memory.service.writing import Alteration, Writing, altered, not_found, undecided
from mcp_memory.store.base import Store
from mcp_memory.store.transaction import Transaction

TRACES: Final = 10
"""So many memories are shown of each change."""
_GONE: Final = {"delete", "expire"}


class Timeline:
    """The past of one user's memories."""

    def __init__(self, store: Store, writing: Writing, searcher: Searcher, clock: Clock) -> None:
        self._store = store
        self._writing = writing
        self._vectors = searcher.vectors
        self._zone = searcher.zone
        self._clock = clock

    async def changes(
        self,
        user: str,
        since: str | None = None,
        limit: int = 20,
        cursor: str | None = None,
        until: str | None = None,
    ) -> Changes:
        """One page of what changed, newest first: all of it, since a time or after a change, or before a time.

        `since` is an ISO date-time, a length such as `2d`, or the id of a change; `until`, where the list begins, is a
        time.

        Raises:
            InvalidInput: `since`, `until`, the limit or the cursor cannot be used.
        """
        user, now = guard.user(user), self._clock.now()
        since = since.strip() if since else ""
        allowed, left_out = page_size(limit)
        after, moment = await self._bounds(user, since, now)
        if cursor:
            before = await self._place(user, since, cursor)
        else:
            end = guard.bound("until", until, now, self._zone) if until else None
            before = await self._store.first_change(user, end) if end is not None else None
        found = await self._store.changes(user, allowed + 1, TRACES, before=before, after=after, since=moment)
        shown, more = tuple(map(_veiled, found[:allowed])), len(found) > allowed
        # A change is named by its id: its number would tell how much other users write.
        following = seal(user, _bound(since), shown[-1].change.id.encode()) if more else None
        return Changes(entries=shown, next_cursor=following, left_out=left_out)

    async def history(self, user: str, memory_id: str) -> History:
        """Every version of one memory that is kept, also of one that is deleted.

        Raises:
            NotFound: no such memory belongs to this user.
        """
        user, now = guard.user(user), self._clock.now()
        memory_id = memory_id.strip()
        revisions = await self._store.revisions(user, memory_id)
        memory = await self._store.memory(user, memory_id, now)
        if memory is not None:
            return History(memory=memory, revisions=tuple(map(veiled_revision, revisions)), gone=None)
        if not revisions:
            raise NotFound(not_found([memory_id]))
        last = revisions[-1]
        if last.memory.state is State.PENDING:
            raise NotFound(undecided(last))
        return History(memory=last.memory, revisions=tuple(map(veiled_revision, revisions)), gone=_gone(last))

    async def restore(self, user: str, memory_id: str, version: int, origin: Origin) -> Restored:
        """Give a memory back what it was at `version`, as one change; a deleted one comes back under its id.

        That is its content, topics, key, pin, metadata and expiry.

        Raises:
            NotFound: no such memory belongs to this user.
            InvalidInput: it has no such version, or none that holds anything.
            Conflict: that version is damaged, or its text or key now belongs to another memory.
        """
        user, now = guard.user(user), self._clock.now()
        wanted = _version(memory_id, await self._store.revisions(user, memory_id.strip()), version)
        vector = await self._vectors.of(wanted.content)
        async with self._store.transaction(user) as turn:
            history = await turn.history(wanted.row)
            wanted = _version(memory_id, history, version)  # it may have been forgotten meanwhile
            held = await turn.memories([wanted.id])
            current = next((memory for memory in held if memory.row == wanted.row), None)
            await self._clear_the_way(turn, wanted, held, now)
            done = _restoring(history[-1].memory, current, wanted, vector, now)
            if done is None:
                return _restored(current or wanted, version, now)
            step = done.step.replace(operation="restore", reason=f"version {version}")
            change = self._writing.change(origin, now, f"restored version {version} of {wanted.id}")
            [stored] = await turn.record(change, [step])
        if vector is None:
            self._vectors.want(user)
        outcome = _restored(stored, version, now).replace(outcome="restored", changed=done.names)
        return outcome.replace(returned=current is None, change_id=change.id)

    async def count(self, user: str) -> int:
        """How many memories the user has."""
        page = await self._store.page(guard.user(user), Filter(now=self._clock.now()), None, 1)
        return page.total

    async def clear(self, user: str, confirm: int | None, origin: Origin) -> Cleared:
        """Remove all memories of the user as one change, which undo takes back, if there are exactly `confirm`.

        Raises:
            InvalidInput: there is another number of them, which it names; nothing was written.
        """
        user, now = guard.user(user), self._clock.now()
        if (count := await self.count(user)) and confirm != count:
            _refuse(count, confirm)
        if not count:
            return Cleared(ids=(), change_id=None)
        change = self._writing.change(origin, now, f"cleared {count}")
        async with self._store.transaction(user) as turn:
            ids = await turn.clear(change)
            if len(ids) != count:
                _refuse(len(ids), confirm)
        return Cleared(ids=tuple(ids), change_id=change.id)

    async def _bounds(self, user: str, since: str, now: int) -> tuple[int, int | None]:
        """After which change (by seq), and since which moment."""
        if not since:
            return 0, None
        if (change := await self._store.change(user, since)) is not None:
            return change.seq, None
        try:
            return 0, guard.bound("since", since, now, self._zone)
        except InvalidInput as error:
            raise InvalidInput(
                f"since {guard.shown(since)} is no change of this user and no time; use the id of a change, 2d, 12h, "
                "2w or an ISO date-time"
            ) from error

    async def _place(self, user: str, since: str, cursor: str) -> int:
        """The change (by seq) at which the page before ended."""
        last = await self._store.change(user, unseal(user, _bound(since), cursor).decode())
        if last is None:
            raise InvalidInput(FOREIGN)
        return last.seq

    async def _clear_the_way(self, turn: Transaction, wanted: Memory, held: Sequence[Memory], now: int) -> None:
        """Sweep expired memories that have the text, key or id of `wanted`; living ones refuse it."""
        twins = await turn.twins(fingerprint(wanted.content), wanted.key)
        others = {memory.row: memory for memory in (*twins, *held) if memory.row != wanted.row}
        taken = [memory.id for memory in await self._writing.sweep(turn, list(others.values()), now)]
        if taken:
            raise Conflict(
                f"Version {wanted.version} of memory {wanted.id} cannot come back: its text or key now belongs to "
                f"{', '.join(taken)}. Update or delete that first.",
                taken,
            )


def _veiled(entry: Entry) -> Entry:
    """`entry`, without what waited for approval when it was made."""
    traces = (
        Trace(revision=veiled_revision(one.revision), former=one.former and veiled_revision(one.former))
        for one in entry.traces
    )
    return entry.replace(traces=tuple(traces))


def _bound(since: str) -> str:
    return f"changes since {since}"


def _refuse(count: int, confirm: int | None) -> NoReturn:
    given = "" if confirm is None else f", not {confirm}"
    raise InvalidInput(
        f"Nothing was deleted: confirm must be {count}{given}, the exact number of this user's memories. "
        "Then all of them go, as one change that undo takes back."
    )


def _gone(last: Revision) -> Literal["deleted", "expired"]:
    return "deleted" if last.operation == "delete" else "expired"


def _version(memory_id: str, history: Sequence[Revision], version: int) -> Memory:
    """The memory as it was at `version`."""
    if not history:
        raise NotFound(not_found([memory_id]))
    if history[-1].memory.state is State.PENDING:
        raise NotFound(undecided(history[-1]))
    found = next((one for one in history if one.memory.version == version and one.operation not in _GONE), None)
    if found is not None and not found.memory.damaged:
        return found.memory
    sound = [one.memory.version for one in history if one.operation not in _GONE and not one.memory.damaged]
    there = f"it has {', '.join(map(str, sound[-20:]))}" if sound else "it has none that could"
    memory_id = history[-1].memory.id
    if found is not None:
        raise Conflict(f"Version {version} of memory {memory_id} is damaged on disk; {there}.", [memory_id])
    raise InvalidInput(f"Memory {memory_id} has no version {version} to go back to; {there}.")


def _restoring(
    last: Memory, current: Memory | None, wanted: Memory, vector: Vector | None, now: int
) -> Alteration | None:
    """What gives `current` the fields of `wanted`, or, where it is deleted, brings it back after its `last` version."""
    given = Given(
        content=wanted.content,
        topics=wanted.topics,
        key=wanted.key,
        pinned=wanted.pinned,
        metadata=wanted.metadata,
        expires_at=wanted.expires_at,
    )
    if current is not None:
        return altered(current, given, vector, now)
    worded_at = last.worded_at if last.content == wanted.content else now
    fresh = {"version": last.version + 1, "updated_at": now, "worded_at": worded_at, "state": last.state}
    step = Step(operation="restore", memory=wanted.replace(**fresh), vector=vector)
    return Alteration(step, ())


def _restored(memory: Memory, version: int, now: int) -> Restored:
    return Restored(outcome="unchanged", memory=memory, version=version, expired=memory.expired(now), change_id=None)

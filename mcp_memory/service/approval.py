"""What a person decides about memories that wait: each decision is one change, which undo takes back.

A memory that is accepted counts from then on, as what it was proposed as. Where another has its key, that one is given
its wording, as an add with that key would have done, and the proposal goes. What is refused is deleted. What has been
decided already by somebody else is left alone, and named.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from mcp_memory import __version__, guard
from mcp_memory.clock import Clock
from mcp_memory.errors import Conflict, InvalidInput, NotFound
from mcp_memory.guard import Fields, Given, SecretAction
from mcp_memory.models import Memory, Origin, State, Step, Vector, fingerprint
from mcp_memory.sections import ApprovalConfig
from mcp_memory.service.cursor import page_size, seal, unseal
from mcp_memory.service.damage import all_offered
from mcp_memory.service.outcomes import Decided, Listed
from mcp_memory.service.pending import Person, beginning
from mcp_memory.service.search import Searcher
from mcp_memory.service.vectors import all_kept
from mcp_memory.service.writing import Writing, altered, history_of, lives, removal, split_twins, waits
from mcp_memory.store.base import Store
from mcp_memory.store.transaction import Transaction

REVIEWER: Final = Person(tool="review", client="mcp-memory", client_version=__version__)
"""Who decides where nothing else is said."""

_LIST: Final = "pending"
"""What the cursors of this list are bound to."""


class Approvals:
    """The pending memories of one user, and the ways to decide about them."""

    def __init__(
        self,
        store: Store,
        writing: Writing,
        searcher: Searcher,
        clock: Clock,
        config: ApprovalConfig,
        secrets: SecretAction,
    ) -> None:
        self._store = store
        self._writing = writing
        self._vectors = searcher.vectors
        self._zone = searcher.zone
        self._clock = clock
        self._config = config
        self._secrets: SecretAction = secrets

    async def wanted(self, user: str) -> bool:
        """Whether there is something to decide about, or can be."""
        return self._config.mode != "off" or bool((await self.pending(user, limit=1)).total)

    async def pending(self, user: str, limit: int = 50, cursor: str | None = None) -> Listed:
        """One page of what waits, newest first, whatever the mode is now.

        Raises:
            InvalidInput: the limit or the cursor cannot be used.
        """
        user, now = guard.user(user), self._clock.now()
        allowed, left_out = page_size(limit)
        before = int.from_bytes(unseal(user, _LIST, cursor), "big") if cursor else None
        page = await self._store.pending(user, now, self._config.gone(now), before, allowed)
        following = seal(user, _LIST, page.memories[-1].row.to_bytes(4, "big")) if page.more else None
        return Listed(memories=page.memories, total=page.total, next_cursor=following, left_out=left_out)

    async def accept(self, user: str, memory_ids: Sequence[str], origin: Person = REVIEWER) -> Decided:
        """Have memories count from now on. Of several with the same key the newest does, and the others give way.

        Raises:
            InvalidInput: no id, or more than 100.
            NotFound: none of them waits.
            Conflict: one of them is damaged; nothing was written.
        """
        return await self._accept(user, memory_ids, Given(), origin)

    async def accept_as(self, user: str, memory_id: str, fields: Fields, origin: Person = REVIEWER) -> Decided:
        """Have a memory count from now on as `fields` word it; what is not given stays as it was proposed.

        Raises:
            InvalidInput: a field is outside the limits, or holds a secret.
            NotFound: it does not wait.
            Conflict: it is damaged, or another memory has that text; nothing was written.
        """
        screened = guard.screen(fields, self._secrets)
        given = guard.check(screened.fields, self._clock.now(), self._zone)
        done = await self._accept(user, [memory_id], given, origin)
        return done.replace(redacted=screened.redacted)

    async def refuse(self, user: str, memory_ids: Sequence[str], origin: Person = REVIEWER) -> Decided:
        """Delete memories that wait.

        Raises:
            InvalidInput: no id, or more than 100.
            NotFound: none of them waits.
        """
        user, now = guard.user(user), self._clock.now()
        wanted = _wanted(memory_ids)
        async with self._store.transaction(user) as turn:
            waiting, left = await self._waiting(turn, wanted, now)
            steps = [removal("delete", one, now).replace(reason="refused") for one in waiting]
            change = self._writing.change(origin, now, f"refused {', '.join(one.id for one in waiting)}")
            await turn.record(change, steps)
        return Decided(outcome="refused", memories=tuple(waiting), left=left, change_id=change.id)

    async def question(self, user: str, fields: Fields, origin: Origin) -> str | None:
        """What a person is to be asked who could let these fields be added at once; None where they need not wait.

        That is the text as it would be stored.

        Raises:
            InvalidInput: a field is outside the limits, or holds a secret.
        """
        user, now = guard.user(user), self._clock.now()
        begins = beginning(self._config, "added", origin, now)
        if not begins.waits:
            return None
        given = guard.check(guard.screen(fields, self._secrets).fields, now, self._zone)
        if "content" not in given:
            return None
        async with self._store.transaction(user) as turn:
            twins = await turn.twins(fingerprint(given["content"]), None)
        known = any(lives(twin, now) or waits(twin, now, begins.gone) for twin in twins)
        return None if known else given["content"]

    async def _accept(self, user: str, memory_ids: Sequence[str], given: Given, origin: Person) -> Decided:
        user, now = guard.user(user), self._clock.now()
        wanted = _wanted(memory_ids)
        vectors = await self._vectors_of([given["content"]] if "content" in given else await self._keyed(user, wanted))
        async with self._store.transaction(user) as turn:
            waiting, left = await self._waiting(turn, wanted, now)
            if spoilt := [one.id for one in waiting if one.damaged]:
                raise Conflict(
                    f"Memory {', '.join(spoilt)} is damaged on disk; nothing was accepted, refuse it.", spoilt
                )
            proposed = [one.replace(**given) for one in waiting]
            counting, replaced = _newest_of_each_key(proposed)
            steps = [_gone(one, now, f"replaced by {by}") for one, by in replaced]
            done: list[Memory] = []
            for one in counting:
                taken = await self._take(turn, one, vectors.get(one.content), now)
                steps += taken
                done.append(taken[-1].memory)
            change = self._writing.change(origin, now, f"accepted {', '.join(one.id for one in counting)}")
            stored = {one.row: one for one in await turn.record(change, steps)}
        if any(step.vector is None for step in steps):
            self._vectors.want(user)
        memories = tuple(stored[one.row] for one in done)
        gone = tuple(one for one, _ in replaced)
        return Decided(outcome="accepted", memories=memories, replaced=gone, left=left, change_id=change.id)

    async def _take(self, turn: Transaction, one: Memory, vector: Vector | None, now: int) -> list[Step]:
        """The steps that make one pending memory count; the last is of what says so from then on."""
        mark = fingerprint(one.content)
        twins = [twin for twin in await turn.twins(mark, one.key) if twin.row != one.row]
        others = await all_offered(await self._writing.sweep(turn, twins, now), history_of(turn))
        same_text, same_key = split_twins(others, mark, one.key)
        if same_text is not None:
            raise Conflict(f"Memory {same_text.id} says that already; refuse this one.", (same_text.id,))
        if same_key is None:
            fresh = {"state": State.ACTIVE, "version": one.version + 1, "updated_at": now}
            memory = one.replace(**fresh)
            return [Step(operation="update", memory=memory, reason="accepted", vector=vector)]
        if (done := altered(same_key, _said(one), vector, now)) is None:
            raise Conflict(f"Memory {same_key.id} says that already; refuse this one.", (same_key.id,))
        gone = _gone(one, now, f"accepted as {same_key.id}")
        return [gone, done.step.replace(reason=f"accepted {one.id}")]

    async def _keyed(self, user: str, wanted: Sequence[str]) -> list[str]:
        """What those of `wanted` say that may have to be said by another memory, which has their key."""
        histories = [await self._store.revisions(user, memory_id) for memory_id in wanted]
        last = [history[-1].memory for history in histories if history]
        return [one.content for one in last if one.state is State.PENDING and one.key is not None]

    async def _vectors_of(self, texts: Sequence[str]) -> dict[str, Vector | None]:
        if not texts:
            return {}
        return dict(zip(texts, all_kept(await self._vectors.probe(texts), len(texts)), strict=True))

    async def _waiting(
        self, turn: Transaction, wanted: Sequence[str], now: int
    ) -> tuple[list[Memory], tuple[str, ...]]:
        """Those of `wanted` that wait, oldest first, and the ids of the others."""
        gone = self._config.gone(now)
        found = [one for one in await turn.memories(wanted) if waits(one, now, gone)]
        known = {one.id for one in found}
        left = tuple(name for name in wanted if name not in known)
        if not found:
            named = ", ".join(guard.shown(name) for name in left[:10])
            raise NotFound(f"No memory {named} waits for approval; mcp-memory review --list shows what does.")
        return sorted(found, key=lambda one: one.row), left


def _wanted(memory_ids: Sequence[str]) -> list[str]:
    wanted = list(dict.fromkeys(memory_id.strip() for memory_id in memory_ids))
    if not 1 <= len(wanted) <= guard.MAX_IDS:
        raise InvalidInput(f"{len(wanted):,} ids given; 1 to {guard.MAX_IDS} can be decided about at once.")
    return wanted


def _newest_of_each_key(proposed: Iterable[Memory]) -> tuple[list[Memory], list[tuple[Memory, str]]]:
    """Of memories, oldest first, those that shall count, and the others, each with the id of what it gives way to."""
    proposed = list(proposed)
    newest = {one.key: one for one in proposed if one.key is not None}
    counting = [one for one in proposed if one.key is None or newest[one.key] is one]
    replaced = [(one, newest[one.key].id) for one in proposed if one.key is not None and newest[one.key] is not one]
    return counting, replaced


def _gone(one: Memory, now: int, reason: str) -> Step:
    return removal("delete", one, now).replace(reason=reason)


def _said(one: Memory) -> Given:
    """What a proposal gives a memory that has its key: what it left empty stays as it is there."""
    given = Given(content=one.content)
    if one.topics:
        given["topics"] = one.topics
    if one.pinned:
        given["pinned"] = one.pinned
    if one.metadata:
        given["metadata"] = one.metadata
    if one.expires_at is not None:
        given["expires_at"] = one.expires_at
    return given

"""`MemoryService`: what an agent or a person can do with memories. Two doors, `server` and `cli`, open onto it."""

from collections.abc import Sequence
from datetime import tzinfo
from functools import cached_property
from typing import TYPE_CHECKING, Final

import anyio

from mcp_memory import guard
from mcp_memory.clock import Clock
from mcp_memory.embed.base import Embedder
from mcp_memory.errors import Conflict, InvalidInput, NotFound, VersionConflict
from mcp_memory.guard import Fields, Given, SecretAction
from mcp_memory.models import Filter, Hit, Memory, Operation, Origin, Revision, State, Vector
from mcp_memory.sections import ApprovalConfig
from mcp_memory.service import adding, undo
from mcp_memory.service import cursor as cursors
from mcp_memory.service.approval import Approvals
from mcp_memory.service.browsing import Browsing
from mcp_memory.service.completion import Completions
from mcp_memory.service.cursor import page_size
from mcp_memory.service.damage import History, all_offered, hits_offered
from mcp_memory.service.forgetting import Forgetting
from mcp_memory.service.operations import Planner, Ready, as_stored, read, summary
from mcp_memory.service.outcomes import (
    Added,
    Applied,
    Deleted,
    Found,
    Got,
    Listed,
    Skipped,
    Undone,
    Updated,
)
from mcp_memory.service.overview import Overview
from mcp_memory.service.pending import beginning, veiled_revision
from mcp_memory.service.profile import Profile, Profiles
from mcp_memory.service.retention import Retention
from mcp_memory.service.search import NEIGHBOURS, Search, Searcher
from mcp_memory.service.timeline import Timeline
from mcp_memory.service.vectors import Vectors, all_kept, kept
from mcp_memory.service.writing import Writing, not_found, removal, undecided
from mcp_memory.store.base import Store
from mcp_memory.text import Analyzer

if TYPE_CHECKING:
    from mcp_memory.service.optimize import Optimizer
    from mcp_memory.service.transfer import Transfer

MIN_SCORE: Final = 0.25
"""The cut-off of searches; it loses at most 0.01 of recall@5 on the development sets."""
RELATED_SCORE: Final = 0.15
"""The cut-off where memories are looked for that a conversation may be about: what is left out cannot be corrected."""
NO_APPROVAL: Final = ApprovalConfig()
LONGEST_WAIT: Final = 0.05
"""Seconds that a write keeps its turn for the neighbours to be read; a large store just opened takes longer."""


class MemoryService:
    """All use cases. Every method takes the user first, and reaches nothing of any other user.

    `zone` (None: the system's) is where a time without an offset belongs; without an `embedder` searches are by words.
    `min_score` is the cut-off of searches that name none; `secrets` is what is done with one in what is to be stored,
    and `approval` says which new memories wait until a person accepts them.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        embedder: Embedder | None = None,
        zone: tzinfo | None = None,
        min_score: float = MIN_SCORE,
        secrets: SecretAction = "refuse",
        approval: ApprovalConfig = NO_APPROVAL,
    ) -> None:
        self._store = store
        self._clock = clock
        self._writing = Writing(clock)
        self._zone = zone
        self._min_score = min_score
        self.secrets: SecretAction = secrets
        self._approval = approval
        self._searcher = Searcher(store, Vectors(store, embedder), Analyzer(store.settings.languages), zone)
        self.vectors = self._searcher.vectors
        self.timeline = Timeline(store, self._writing, self._searcher, clock)
        self.browsing = Browsing(store, clock, zone)
        self.forgetting = Forgetting(store, clock)
        self.overview = Overview(store, clock)
        self.retention = Retention(store, clock, approval)
        self.profiles = Profiles(store, self._searcher, clock, min_score)
        self.completions = Completions(store, clock)
        self.approvals = Approvals(store, self._writing, self._searcher, clock, approval, secrets)

    @cached_property
    def transfer(self) -> "Transfer":
        """What brings memories in and out, loaded when it is asked for."""
        from mcp_memory.service.transfer import Transfer

        return Transfer(self._store, self._writing, self.vectors, self._clock, self.secrets)

    @cached_property
    def optimizer(self) -> "Optimizer":
        """What tidies up, loaded when it is asked for."""
        from mcp_memory.service.optimize import Optimizer

        return Optimizer(self._store, self._writing, self._searcher, self._clock)

    async def add(self, user: str, fields: Fields, origin: Origin) -> Added:
        """Remember one statement, unless it is there already, or it replaces what its key said, or has to wait.

        Raises:
            InvalidInput: a field is outside the limits, or holds a secret.
            Conflict: the text is one memory's and the key another's.
        """
        user, now = guard.user(user), self._clock.now()
        screened = guard.screen(fields, self.secrets)
        given = guard.check(screened.fields, now, self._zone)
        if "content" not in given:
            raise InvalidInput("content is missing; give one self-contained statement")
        probe = await self.vectors.probe([given["content"]])
        async with self._searcher.beside(user, given["content"], probe, now) as near:
            added = await self._add(user, given, kept(probe), now, origin, near.known)
        others = [hit for hit in near.hits if hit.memory.id != added.memory.id]
        return added.replace(neighbours=tuple(others[:NEIGHBOURS]), redacted=screened.redacted)

    async def update(
        self, user: str, memory_id: str, fields: Fields, origin: Origin, if_version: int | None = None
    ) -> Updated:
        """Change the given fields of one memory, if it is still at `if_version`.

        Raises:
            InvalidInput: a field is outside the limits, or holds a secret.
            NotFound: no such memory belongs to this user.
            VersionConflict: the memory has another version by now.
            Conflict: another memory has that text or key.
        """
        user, now = guard.user(user), self._clock.now()
        screened = guard.screen(fields, self.secrets)
        given = guard.check(screened.fields, now, self._zone)
        vector = await self.vectors.of(given["content"]) if "content" in given else None
        async with self._store.transaction(user) as turn:
            memory = (await self._writing.own(turn, [memory_id], now))[0]
            if if_version is not None and memory.version != if_version:
                raise VersionConflict(
                    f"Memory {memory.id} is at version {memory.version}, not {if_version}; "
                    "read it with get_memory and decide again.",
                    (memory.id,),
                )
            for other in await self._writing.in_the_way(turn, given, now):
                if other is not None and other.row != memory.row:
                    raise Conflict(
                        f"Memory {other.id} already has this text or key; update or delete that one instead.",
                        (other.id,),
                    )
            done = await adding.apply(turn, self._writing, memory, given, vector, now, origin)
        return done.replace(redacted=screened.redacted)

    async def delete(self, user: str, memory_ids: Sequence[str], origin: Origin) -> Deleted:
        """Remove memories as one change, which undo takes back; all of them or none.

        Raises:
            InvalidInput: no id, or more than 100.
            NotFound: one of them does not belong to this user.
        """
        user, now = guard.user(user), self._clock.now()
        wanted = list(dict.fromkeys(memory_id.strip() for memory_id in memory_ids))
        if not 1 <= len(wanted) <= guard.MAX_IDS:
            raise InvalidInput(f"{len(wanted):,} ids given; delete_memory takes 1 to {guard.MAX_IDS}.")
        async with self._store.transaction(user) as turn:
            memories = await self._writing.own(turn, wanted, now)
            steps = [removal("delete", memory, now) for memory in memories]
            change = self._writing.change(origin, now, f"deleted {', '.join(wanted)}")
            await turn.record(change, steps)
        return Deleted(memories=tuple(memories), change_id=change.id)

    async def undo(self, user: str, change_id: str | None, origin: Origin) -> Undone:
        """Take back one change: the given one, or this user's latest. Undoing an undo is the redo.

        Raises:
            NotFound: there is no such change, or nothing to undo.
            UndoRefused: something stands in the way; nothing was written.
        """
        user, now = guard.user(user), self._clock.now()
        async with self._store.transaction(user) as turn:
            undone = await undo.target(turn, change_id.strip() if change_id else None)
            change = self._writing.change(origin, now, f"undid {undone.id}").replace(undoes=undone.seq)
            done = await undo.undo(turn, self._writing, undone, change, origin)
        self.vectors.want(user)
        return done

    async def apply(
        self, user: str, operations: Sequence[Operation], origin: Origin, *, dry_run: bool = False
    ) -> Applied:
        """Carry out decided operations as one change; those that cannot be are skipped, and say why.

        With `dry_run` nothing is written, and new memories have ids that will not stand.

        Raises:
            StoreError: the store cannot write; nothing was written.
        """
        user, now = guard.user(user), self._clock.now()
        ready, left = await self._ready(operations, now)
        async with self._store.transaction(user) as turn:
            begins = beginning(self._approval, "extracted", origin, now)
            plan = await Planner(turn, self._writing, origin, now, begins=begins).plan(ready)
            change = self._writing.change(origin, now, summary(plan))
            if dry_run or not plan.steps:
                return Applied(done=tuple(plan.done), skipped=(*left, *plan.skipped), change_id=None)
            await self._writing.sweep(turn, list(plan.expired.values()), now)
            stored = await turn.record(change, plan.steps)
        done = tuple(map(as_stored, plan.done, stored))
        return Applied(done=done, skipped=(*left, *plan.skipped), change_id=change.id)

    async def get(
        self, user: str, memory_id: str | None = None, key: str | None = None, *, history: bool = False
    ) -> Got:
        """One memory by id or by key, with all its versions where `history` is asked for.

        Raises:
            InvalidInput: not exactly one of id and key is given.
            NotFound: no such memory belongs to this user.
        """
        user, now = guard.user(user), self._clock.now()
        match memory_id, key:
            case str(), None:
                memory = await self._store.memory(user, memory_id.strip(), now)
            case None, str():
                memory = await self._store.memory_by_key(user, guard.key(key), now)
            case _:
                raise InvalidInput("Give either id or key, and only one of them.")
        if memory is None:
            raise NotFound(await self._missing(user, memory_id, key))
        revisions = tuple(map(veiled_revision, await self._store.revisions(user, memory.id))) if history else None
        [shown] = await all_offered([memory], self._history(user))
        return Got(memory=shown, revisions=revisions)

    async def page(
        self,
        user: str,
        *,
        topics: Sequence[str] = (),
        agent: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Listed:
        """One page of memories, newest created first.

        Raises:
            InvalidInput: the limit, a topic, a time or the cursor cannot be used.
        """
        user = guard.user(user)
        scope = self.scope(topics=topics, agent=agent, since=since, until=until)
        allowed, left_out = page_size(limit)
        before = cursors.decode(user, scope, cursor) if cursor else None
        page = await self._store.page(user, scope, before, allowed)
        following = cursors.encode(user, scope, page.memories[-1].row) if page.more else None
        memories = await all_offered(page.memories, self._history(user))
        return Listed(memories=memories, total=page.total, next_cursor=following, left_out=left_out)

    async def search(
        self,
        user: str,
        query: str,
        scope: Filter,
        *,
        limit: int = 10,
        include_past: bool = False,
        min_score: float | None = None,
        explain: bool = False,
    ) -> Found:
        """What answers `query` best; with `include_past` also former wordings of memories that still live.

        If not even the best hit has `min_score` (0 to 1; None: the configured one), nothing is relevant; otherwise hits
        below half of it are left out. `explain` adds to every hit why it is one.

        Raises:
            InvalidInput: the query or the limit cannot be used.
        """
        user, query = guard.user(user), guard.query(query)
        allowed, left_out = page_size(limit)
        wanted = Search(
            query=query,
            limit=allowed,
            scope=scope,
            min_score=self._min_score if min_score is None else min_score,
            include_past=include_past,
            explain=explain,
        )
        found = await self._searcher.search(user, wanted)
        hits = await hits_offered(found.hits, self._history(user))
        return found.replace(hits=hits, left_out=found.left_out + left_out)

    async def related(self, user: str, texts: Sequence[str], limit: int) -> tuple[Memory, ...]:
        """The memories that have most to do with any of `texts`, best first, each once."""
        scope, best = self.scope(), dict[str, Hit]()
        for text in texts:
            if not self._searcher.analyzer.query_terms(text):
                continue
            found = await self.search(user, text, scope, limit=limit, min_score=RELATED_SCORE)
            for hit in found.hits:
                if hit.memory.id not in best or best[hit.memory.id].score < hit.score:
                    best[hit.memory.id] = hit
        ordered = sorted(best.values(), key=lambda hit: hit.score, reverse=True)
        return tuple(hit.memory for hit in ordered[:limit])

    async def profile(self, user: str, max_tokens: int, about: str | None = None) -> Profile:
        """The digest of what is known of `user` that goes into a prompt; see `Profiles.profile`."""
        return await self.profiles.profile(user, max_tokens, about)

    def scope(
        self,
        *,
        topics: Sequence[str] = (),
        agent: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> Filter:
        """The filter that these arguments of a caller mean at this moment.

        Raises:
            InvalidInput: a topic or a time cannot be read.
        """
        now = self._clock.now()
        return Filter(
            now=now,
            topics=guard.topics(topics),
            agent=agent or None,
            since=guard.bound("since", since, now, self._zone) if since else None,
            until=guard.bound("until", until, now, self._zone) if until else None,
        )

    async def _ready(self, operations: Sequence[Operation], now: int) -> tuple[list[Ready], list[Skipped]]:
        """The operations that can be tried, with the vectors of what they say."""
        ready, left = read(operations, now, self._zone, self.secrets)
        texts = [one.given["content"] for one in ready if "content" in one.given]
        vectors = iter(all_kept(await self.vectors.probe(texts), len(texts)) if texts else ())
        return [one.replace(vector=next(vectors)) if "content" in one.given else one for one in ready], left

    async def _add(
        self, user: str, given: Given, vector: Vector | None, now: int, origin: Origin, known: anyio.Event
    ) -> Added:
        async with self._store.transaction(user) as turn:
            begins = beginning(self._approval, "added", origin, now)
            added = await adding.put(turn, self._writing, given, vector, now, origin, begins)
            with anyio.move_on_after(LONGEST_WAIT):
                await known.wait()
            return added

    def _history(self, user: str) -> History:
        async def history(memory: Memory) -> list[Revision]:
            return await self._store.revisions(user, memory.id)

        return history

    async def _missing(self, user: str, memory_id: str | None, key: str | None) -> str:
        if memory_id is None:
            return f"No memory with key {key!r} for this user. list_memories shows all."
        revisions = await self._store.revisions(user, memory_id.strip())
        last = revisions[-1] if revisions else None
        if last is not None and last.memory.state is State.PENDING:
            return undecided(last)
        if last is not None and last.operation == "delete":
            return f"Memory {memory_id.strip()} was deleted; undo with change_id {last.change.id} brings it back."
        return not_found([memory_id])

"""Tidying up: memories that say the same become one, and what has expired goes. Planned first, then one change."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from mcp_memory import guard
from mcp_memory.clock import Clock, date_in, iso
from mcp_memory.guard import Given
from mcp_memory.models import (
    DeleteOperation,
    LeftOut,
    Memory,
    Origin,
    State,
    UpdateOperation,
    Vector,
    fingerprint,
)
from mcp_memory.service.operations import Plan, Planner, Ready, as_stored, summary
from mcp_memory.service.outcomes import Applied, Done, Lookalike, Merging, Optimized, Skipped, Suggestion
from mcp_memory.service.search import Searcher
from mcp_memory.service.survey import Near, pages, survey
from mcp_memory.service.vectors import all_kept
from mcp_memory.service.writing import Writing, lives, removal
from mcp_memory.store.base import Store
from mcp_memory.store.transaction import Transaction
from mcp_memory.text import mentioned
from mcp_memory.text.plans import planned
from mcp_memory.text.tokens import estimate
from mcp_memory.text.wording import Reader

MOST_EXPIRED: Final = 10_000
"""So many expired memories are removed at once; a change of more would keep other writers waiting."""
MOST_MERGED: Final = 2_000
"""The same for groups that are merged."""
MOST_CONFLICTS: Final = 20
MOST_IN_CONFLICT: Final = 8
MOST_SUGGESTED: Final = 50
HALF_DAY: Final = 43_200_000_000
"""Microseconds by which a day may end later somewhere than in UTC."""


class Groups(NamedTuple):
    """Memories that belong together, `left` groups more that do not fit, and those among them that look alike."""

    groups: tuple[tuple[Memory, ...], ...]
    left: int
    conflicts: tuple[Lookalike, ...]
    left_out: tuple[LeftOut, ...]
    tokens: int


class Optimizer:
    """Plans and carries out what tidies up one user's memories."""

    def __init__(self, store: Store, writing: Writing, searcher: Searcher, clock: Clock) -> None:
        self._store = store
        self._writing = writing
        self._vectors = searcher.vectors
        self._zone = searcher.zone
        self._clock = clock
        self.analyzer = searcher.analyzer
        self.reader = Reader(searcher.analyzer)

    async def deduplicate(self, user: str, origin: Origin, *, dry_run: bool = False) -> Optimized:
        """Of memories that say the same word for word keep the newest wording, with what the others have besides.

        It gets the topics of all, a key and a pin where one has it, and the latest expiry. Two with different keys are
        not merged, nor what is pending, expired or damaged. What only looks alike is listed.

        Raises:
            StoreError: the store cannot be read or written; nothing was written.
        """
        user, now = guard.user(user), self._clock.now()
        found = await survey(self._store, self.reader, user, now)
        same = found.same()
        gone = [row for group in same for row in group[1:]]
        near = await found.alike(gone)
        chosen = same[:MOST_MERGED]
        living = await self._living(user, [row for group in chosen for row in group], now)
        whole = [[living[row] for row in group] for group in chosen if all(row in living for row in group)]
        merges = [
            Merging(kept=kept, others=tuple(others), why=f"says the same as {kept.id}") for kept, *others in whole
        ]
        applied, merged = await self._merge(user, merges, origin, now, dry_run=dry_run)
        conflicts, left_out = await self._conflicts(user, near, now)
        return Optimized(
            strategy="deduplicate",
            applied=applied,
            dry_run=dry_run,
            tokens_before=found.tokens,
            tokens_after=found.tokens - _saved(merged),
            merged=merged,
            conflicts=conflicts,
            left_out=(*_more(len(same) - len(chosen), "groups: run again for more"), *left_out),
        )

    async def expire(self, user: str, origin: Origin, *, dry_run: bool = False) -> Optimized:
        """Remove what has expired, so that undo can bring it back; suggest plans whose date has passed.

        Raises:
            StoreError: the store cannot be read or written; nothing was written.
        """
        user, now = guard.user(user), self._clock.now()
        tokens, suggestions = await self._outdated(user, now)
        async with self._store.transaction(user) as turn:
            expired = await turn.expired(now, MOST_EXPIRED + 1)
            accepted = [memory for memory in expired[:MOST_EXPIRED] if memory.state is State.ACTIVE]
            sound = [memory for memory in accepted if not memory.damaged]
            plan = Plan()
            for memory in sound:
                why = f"expired on {date_in(memory.expires_at or now, self._zone)}"
                plan.steps.append(removal("delete", memory, now).replace(reason=why))
                plan.done.append(Done(operation="delete", memory=memory, reason=why, former=memory))
            applied = await self._record(turn, plan, origin, now, dry_run=dry_run)
        lost = sum(estimate(memory.content) for memory in sound)
        more = len(expired) > MOST_EXPIRED
        left_out = _more(len(suggestions) - MOST_SUGGESTED, "suggestions")
        return Optimized(
            strategy="expire",
            applied=applied,
            dry_run=dry_run,
            tokens_before=tokens + lost,
            tokens_after=tokens,
            suggestions=tuple(suggestions[:MOST_SUGGESTED]),
            left_out=(*left_out, *([LeftOut(count=0, reason="more has expired; run again")] if more else [])),
        )

    async def related(self, user: str, most: int, limit: int, members: int | None = None) -> Groups:
        """At most `limit` groups of 2 to `most` memories about one subject; in all of them at most `members`."""
        user, now = guard.user(user), self._clock.now()
        found = await survey(self._store, self.reader, user, now)
        near = await found.alike(row for group in found.same() for row in group[1:])
        groups = found.related(most)
        chosen: list[tuple[int, ...]] = []
        room = members if members is not None else limit * most
        for group in groups[:limit]:
            if len(group) > room:
                break
            chosen.append(group)
            room -= len(group)
        rows = [row for group in chosen for row in group]
        living = await self._living(user, rows, now)
        held = (tuple(living[row] for row in group if row in living) for group in chosen)
        within = [one for one in near if not set(rows).isdisjoint(one.rows)]
        conflicts, left_out = await self._conflicts(user, within, now)
        return Groups(
            tuple(group for group in held if len(group) > 1),
            len(groups) - len(chosen),
            conflicts,
            left_out,
            found.tokens,
        )

    async def merge(
        self,
        user: str,
        merges: Sequence[Merging],
        groups: Groups,
        left: Sequence[Skipped],
        origin: Origin,
        *,
        dry_run: bool = False,
    ) -> Optimized:
        """Carry out what a model decided about `groups`; `left` is what could not be read or must not be."""
        user, now = guard.user(user), self._clock.now()
        applied, merged = await self._merge(user, merges, origin, now, dry_run=dry_run)
        return Optimized(
            strategy="summarize",
            applied=applied.replace(skipped=(*left, *applied.skipped)),
            dry_run=dry_run,
            tokens_before=groups.tokens,
            tokens_after=groups.tokens - _saved(merged),
            merged=merged,
            conflicts=groups.conflicts,
            left_out=(*_more(groups.left, "groups of related memories: run again for more"), *groups.left_out),
            way="model",
        )

    async def _merge(
        self, user: str, merges: Sequence[Merging], origin: Origin, now: int, *, dry_run: bool
    ) -> tuple[Applied, tuple[Merging, ...]]:
        """Each of `merges` as a whole or not at all, and all that can be as one change."""
        vectors = await self._vectors_of(merges)
        async with self._store.transaction(user) as turn:
            standing, skipped = await self._standing(turn, merges, now)
            ready = [one for merging in standing for one in _operations(merging, vectors.get(merging.kept.id))]
            read = [memory for merging in standing for memory in (merging.kept, *merging.others)]
            plan = await Planner(turn, self._writing, origin, now, read).plan(ready)
            plan.skipped += skipped
            return await self._record(turn, plan, origin, now, dry_run=dry_run), tuple(standing)

    async def _standing(
        self, turn: Transaction, merges: Sequence[Merging], now: int
    ) -> tuple[list[Merging], list[Skipped]]:
        """The merges whose memories are as they were read, and whose new text nobody else has."""
        ids = [memory.id for merging in merges for memory in (merging.kept, *merging.others)]
        current = {memory.id: memory for memory in await turn.memories(ids)} if ids else {}
        standing: list[Merging] = []
        skipped: list[Skipped] = []
        texts: set[bytes] = set()
        for merging in merges:
            why = _changed(merging, current, now) or await self._taken(turn, merging, texts, now)
            if why:
                skipped.append(Skipped(operation="merge", why=why, id=merging.kept.id, content=merging.content))
            else:
                standing.append(merging)
        return standing, skipped

    async def _taken(self, turn: Transaction, merging: Merging, texts: set[bytes], now: int) -> str | None:
        """Why the new text cannot be; it is added to `texts`."""
        if merging.content is None:
            return None
        mark = fingerprint(merging.content)
        own = {merging.kept.row, *(other.row for other in merging.others)}
        twins = [twin for twin in await turn.twins(mark, None) if twin.row not in own and lives(twin, now)]
        if twins:
            return f"memory {twins[0].id} says that already"
        if mark in texts:
            return "another result says the same"
        texts.add(mark)
        return None

    async def _record(self, turn: Transaction, plan: Plan, origin: Origin, now: int, *, dry_run: bool) -> Applied:
        change = self._writing.change(origin, now, summary(plan))
        if dry_run or not plan.steps:
            return Applied(done=tuple(plan.done), skipped=tuple(plan.skipped), change_id=None)
        await self._writing.sweep(turn, list(plan.expired.values()), now)
        stored = await turn.record(change, plan.steps)
        done = tuple(map(as_stored, plan.done, stored))
        return Applied(done=done, skipped=tuple(plan.skipped), change_id=change.id)

    async def _vectors_of(self, merges: Sequence[Merging]) -> dict[str, Vector | None]:
        worded = {merging.kept.id: merging.content for merging in merges if merging.content is not None}
        if not worded:
            return {}
        probe = await self._vectors.probe(list(worded.values()))
        return dict(zip(worded, all_kept(probe, len(worded)), strict=True))

    async def _conflicts(
        self, user: str, near: Sequence[Near], now: int
    ) -> tuple[tuple[Lookalike, ...], tuple[LeftOut, ...]]:
        """The first of what looks alike, as it stands now."""
        shown = near[:MOST_CONFLICTS]
        living = await self._living(user, [row for one in shown for row in one.rows[:MOST_IN_CONFLICT]], now)
        found = [
            Lookalike(
                memories=tuple(living[row] for row in one.rows[:MOST_IN_CONFLICT] if row in living),
                differ=one.kinds,
                more=max(0, len(one.rows) - MOST_IN_CONFLICT),
            )
            for one in shown
        ]
        whole = tuple(one for one in found if len(one.memories) > 1)
        return whole, _more(len(near) - len(shown), "groups that look alike")

    async def _living(self, user: str, rows: Sequence[int], now: int) -> dict[int, Memory]:
        return await self._store.living(user, rows, now) if rows else {}

    async def _outdated(self, user: str, now: int) -> tuple[int, list[Suggestion]]:
        """The tokens of all memories, and the plans among them whose dates have passed."""
        tokens = 0
        found: list[Suggestion] = []
        async for memories in pages(self._store, user, now):
            tokens += sum(estimate(memory.content) for memory in memories)
            passed = ((memory, _passed(memory, now)) for memory in memories if not memory.damaged)
            found += [
                Suggestion(memory=memory, why=f"names {iso(moment):.10}, which has passed")
                for memory, moment in passed
                if moment is not None
            ]
        return tokens, found


def _operations(merging: Merging, vector: Vector | None) -> list[Ready]:
    """What carries out one merge: the others go first, so that their key is free."""
    ready = [
        Ready(operation=DeleteOperation(id=other.id, reason=merging.why, if_version=other.version), given=Given())
        for other in merging.others
    ]
    given = _united(merging)
    if given:
        why = f"merged with {', '.join(other.id for other in merging.others)}"
        update = UpdateOperation(id=merging.kept.id, reason=why, if_version=merging.kept.version)
        ready.append(Ready(operation=update, given=given, vector=vector))
    return ready


def _united(merging: Merging) -> Given:
    """What the kept memory takes over: only what it has not."""
    kept = merging.kept
    every = (kept, *merging.others)
    topics = tuple(dict.fromkeys(topic for memory in every for topic in memory.topics))[: guard.MAX_TOPICS]
    key = next((memory.key for memory in every if memory.key is not None), None)
    ends = [memory.expires_at for memory in every if memory.expires_at is not None]
    expires_at = max(ends) if len(ends) == len(every) else None
    given = Given()
    if merging.content is not None and merging.content != kept.content:
        given["content"] = merging.content
    if topics != kept.topics:
        given["topics"] = topics
    if key != kept.key:
        given["key"] = key
    if any(memory.pinned for memory in every) and not kept.pinned:
        given["pinned"] = True
    if expires_at != kept.expires_at:
        given["expires_at"] = expires_at
    return given


def _changed(merging: Merging, current: Mapping[str, Memory], now: int) -> str | None:
    """Why a merge cannot be done any more."""
    for memory in (merging.kept, *merging.others):
        there = current.get(memory.id)
        if there is None or there.expired(now) or there.version != memory.version:
            return f"memory {memory.id} has changed meanwhile; run again"
    return None


def _saved(merged: Sequence[Merging]) -> int:
    """Tokens that merges save."""
    lost = sum(estimate(memory.content) for one in merged for memory in (one.kept, *one.others))
    return lost - sum(estimate(one.kept.content if one.content is None else one.content) for one in merged)


def _passed(memory: Memory, now: int) -> int | None:
    """When the last date that a plan names began, if all of them have passed."""
    spans = mentioned(memory.content)
    if not spans or any(until + HALF_DAY > now for _, until in spans):
        return None
    last = max(since for since, _ in spans)
    return last if last > memory.worded_at or planned(memory.content) else None


def _more(count: int, what: str) -> tuple[LeftOut, ...]:
    return (LeftOut(count=count, reason=what),) if count > 0 else ()

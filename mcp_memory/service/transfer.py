"""Memories leave a store, and come into another: one change, whatever there is of them."""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from anyio import to_thread

from mcp_memory import guard
from mcp_memory.clock import Clock
from mcp_memory.models import Memory, Origin, State, fingerprint
from mcp_memory.service.damage import last_good
from mcp_memory.service.records import Bad, Candidate, Checker, Record
from mcp_memory.service.vectors import Vectors
from mcp_memory.service.writing import PORTION, Writing, lives, portions, split_twins
from mcp_memory.store.base import Store
from mcp_memory.store.lineage import Lineage, past_changes
from mcp_memory.store.transaction import Transaction
from mcp_memory.values import Value

Advance = Callable[[int], None]
"""Gets how many more memories are dealt with."""


class Leaving(Value):
    """A memory on its way out; `repaired` if it is damaged and this is its last good version.

    Without `lineage` nothing sound is left of the memory `id`.
    """

    id: str
    lineage: Lineage | None
    repaired: bool = False


class Batch(Value):
    """A file that was read: what may come in, what cannot, and what has expired (its places)."""

    candidates: tuple[Candidate, ...]
    bad: tuple[Bad, ...]
    expired: tuple[str, ...]


class Standing(Value):
    """A record that stays out because memory `id` has its text; or its key `key`, with another text."""

    place: str
    id: str
    key: str | None = None


class Mapped(Value):
    """A memory that has another id here, since its own is taken."""

    place: str
    former: str
    id: str


class Imported(Value):
    """What became of a batch, or would. `change_id` is None where nothing was written."""

    added: int
    exists: tuple[Standing, ...]
    conflicts: tuple[Standing, ...]
    mapped: tuple[Mapped, ...]
    redacted: tuple[str, ...]
    bad: tuple[Bad, ...]
    expired: tuple[str, ...]
    change_id: str | None = None


class _Plan(NamedTuple):
    lineages: list[Lineage]
    exists: list[Standing]
    conflicts: list[Standing]
    mapped: list[Mapped]
    redacted: list[str]
    swept: dict[int, Memory]


class Transfer:
    """Export and import of one user's memories."""

    def __init__(
        self, store: Store, writing: Writing, vectors: Vectors, clock: Clock, secrets: guard.SecretAction
    ) -> None:
        self._store = store
        self._writing = writing
        self._vectors = vectors
        self._clock = clock
        self._secrets: guard.SecretAction = secrets

    async def leaving(self, user: str) -> AsyncGenerator[Leaving]:
        """Every living memory with its sound versions, oldest created first.

        Memories that are deleted, expired or wait for approval stay. Versions that came along with an earlier import
        stand for the arrival itself.
        """
        user, now, after = guard.user(user), self._clock.now(), 0
        while found := await self._store.lineages(user, after, PORTION, now):
            for one in found:
                yield _leaving(one)
            after = found[-1].memory.row

    async def read(self, records: Iterable[Record | Bad], tell: Advance) -> Batch:
        """What of `records`, which may come out of a file, could become a memory here."""
        checker = Checker(self._clock, self._secrets)
        candidates: list[Candidate] = []
        bad: list[Bad] = []
        expired: list[str] = []
        waiting = iter(records)
        while read := await to_thread.run_sync(_checked, checker, waiting):
            for one in read:
                if isinstance(one, Bad):
                    bad.append(one)
                elif one.lineage.memory.expired(checker.now):
                    expired.append(one.place)
                else:
                    candidates.append(one)
            tell(len(read))
        return Batch(candidates=tuple(candidates), bad=tuple(bad), expired=tuple(expired))

    async def preview(self, user: str, batch: Batch) -> Imported:
        """What `bring` would do; nothing is written."""
        user, now = guard.user(user), self._clock.now()
        async with self._store.transaction(user) as turn:
            return _imported(batch, await self._plan(turn, batch, now), None)

    async def bring(self, user: str, batch: Batch, origin: Origin, tell: Advance) -> Imported:
        """Add the candidates of `batch` that are new here, as one change, which undo takes back.

        A text that is here already stays as it is, and so does a key that has another text.

        Raises:
            StoreError: the store cannot write; nothing was written.
        """
        user, now = guard.user(user), self._clock.now()
        async with self._store.transaction(user) as turn:
            plan = await self._plan(turn, batch, now)
            if not plan.lineages:
                return _imported(batch, plan, None)
            await self._writing.sweep(turn, list(plan.swept.values()), now)
            change = self._writing.change(origin, now, f"imported {len(plan.lineages)}")
            await turn.bring(change, await self._unheard(turn, plan.lineages), tell)
        self._vectors.want(user)
        return _imported(batch, plan, change.id)

    async def _plan(self, turn: Transaction, batch: Batch, now: int) -> _Plan:
        plan = _Plan([], [], [], [], [], {})
        seen = _Seen()
        for part in portions(batch.candidates):
            held = await _Held.of(turn, part)
            for one in part:
                self._place(plan, seen, held, one, now)
        return plan

    def _place(self, plan: _Plan, seen: "_Seen", held: "_Held", one: Candidate, now: int) -> None:
        memory = one.lineage.memory
        mark = fingerprint(memory.content)
        same_text, same_key, same_id = held.twins(memory)
        in_the_way = [other for other in (same_text, same_key) if other is not None and not lives(other, now)]
        if same_id is not None and same_id.expired(now):
            in_the_way.append(same_id)
        plan.swept.update((other.row, other) for other in in_the_way)
        if same_text is not None and lives(same_text, now):
            plan.exists.append(Standing(place=one.place, id=same_text.id))
        elif mark in seen.texts:
            plan.exists.append(Standing(place=one.place, id=seen.texts[mark]))
        elif same_key is not None and not same_key.expired(now):
            plan.conflicts.append(Standing(place=one.place, id=same_key.id, key=memory.key))
        elif memory.key is not None and memory.key in seen.keys:
            plan.conflicts.append(Standing(place=one.place, id=seen.keys[memory.key], key=memory.key))
        else:
            lineage = one.lineage
            if memory.id in seen.ids or (same_id is not None and same_id.row not in plan.swept):
                lineage = _renamed(lineage, self._clock.new_id())
                plan.mapped.append(Mapped(place=one.place, former=memory.id, id=lineage.memory.id))
            seen.add(mark, lineage.memory)
            plan.lineages.append(lineage)
            plan.redacted.extend(f"{one.place}: {what}" for what in one.redacted)

    async def _unheard(self, turn: Transaction, lineages: Sequence[Lineage]) -> list[Lineage]:
        """`lineages` with other ids for those of their changes that are known here: what those did is not this."""
        taken: dict[str, str] = {}
        for part in portions([change.id for change in past_changes(lineages)]):
            taken |= {change.id: self._clock.new_id() for change in await turn.changes(part)}
        return [_with_changes(one, taken) for one in lineages] if taken else list(lineages)


class _Seen:
    """The texts, keys and ids of what has come before in the same file."""

    def __init__(self) -> None:
        self.texts: dict[bytes, str] = {}
        self.keys: dict[str, str] = {}
        self.ids: set[str] = set()

    def add(self, mark: bytes, memory: Memory) -> None:
        self.texts[mark] = memory.id
        self.ids.add(memory.id)
        if memory.key is not None:
            self.keys[memory.key] = memory.id


class _Held:
    """The memories of the store that have a text, a key or an id of some candidates."""

    def __init__(self, ids: Mapping[str, Memory], holders: Sequence[Memory]) -> None:
        self._ids = ids
        self._texts = {fingerprint(memory.content): memory for memory in holders}
        counting = (memory for memory in holders if memory.state is State.ACTIVE)  # what waits only asks for its key
        self._keys = {memory.key: memory for memory in counting if memory.key is not None}
        self._lost: dict[bytes, Memory] = {}

    @classmethod
    async def of(cls, turn: Transaction, part: Sequence[Candidate]) -> "_Held":
        """Those that concern `part`."""
        memories = [one.lineage.memory for one in part]
        marks = [fingerprint(memory.content) for memory in memories]
        holders = await turn.holders(marks, [memory.key for memory in memories if memory.key is not None])
        held = cls({one.id: one for one in await turn.memories([memory.id for memory in memories])}, holders)
        if any(memory.damaged for memory in holders):  # their texts do not tell any more, but the store finds them
            for mark in marks:
                same_text, _ = split_twins(await turn.twins(mark, None), mark, None)
                held._lost |= {mark: same_text} if same_text is not None else {}
        return held

    def twins(self, memory: Memory) -> tuple[Memory | None, Memory | None, Memory | None]:
        """The memory with the text of `memory`, the one with its key, and the one with its id."""
        mark = fingerprint(memory.content)
        return self._texts.get(mark) or self._lost.get(mark), self._keys.get(memory.key or ""), self._ids.get(memory.id)


def _checked(checker: Checker, waiting: Iterator[Record | Bad]) -> list[Candidate | Bad]:
    """The next portion, checked."""
    return [one if isinstance(one, Bad) else checker.check(one) for one in islice(waiting, PORTION)]


def _leaving(one: Lineage) -> Leaving:
    sound = [version for version in one.revisions if not version.memory.damaged]
    memory = last_good(one.memory, one.revisions) if one.memory.damaged else one.memory
    if memory is None:
        return Leaving(id=one.memory.id, lineage=None)
    kept = [version for version in sound if version.memory.seq <= memory.seq]
    # The revision of an import says the same as the version that came along with it.
    later = [
        version
        for place, version in enumerate(kept)
        if not place or version.operation != "add" or version.memory.version != kept[place - 1].memory.version
    ]
    lineage = Lineage(memory=memory, revisions=tuple(later))
    return Leaving(id=memory.id, lineage=lineage, repaired=one.memory.damaged)


def _renamed(lineage: Lineage, new_id: str) -> Lineage:
    own = {"id": new_id}
    revisions = (one.replace(memory=one.memory.replace(**own)) for one in lineage.revisions)
    return Lineage(memory=lineage.memory.replace(**own), revisions=tuple(revisions))


def _with_changes(lineage: Lineage, ids: Mapping[str, str]) -> Lineage:
    revisions = (
        one.replace(change=one.change.replace(id=ids.get(one.change.id, one.change.id))) for one in lineage.revisions
    )
    return Lineage(memory=lineage.memory, revisions=tuple(revisions))


def _imported(batch: Batch, plan: _Plan, change_id: str | None) -> Imported:
    return Imported(
        added=len(plan.lineages),
        exists=tuple(plan.exists),
        conflicts=tuple(plan.conflicts),
        mapped=tuple(plan.mapped),
        redacted=tuple(plan.redacted),
        bad=batch.bad,
        expired=batch.expired,
        change_id=change_id,
    )

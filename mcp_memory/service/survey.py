"""All memories of a user at once: which say the same, which only look alike, and which are about the same subject."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import combinations, pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio

from mcp_memory.guard import MAX_TOPICS
from mcp_memory.models import Filter, Memory
from mcp_memory.store.base import Store
from mcp_memory.text.tokens import estimate
from mcp_memory.text.wording import FACTS, Kind, Reader, Wording, alike, differences, frame, share
from mcp_memory.values import Value

if TYPE_CHECKING:
    from mcp_memory.models import Candidates, Floats

PAGE: Final = 500
CLOSE: Final = 0.85
"""The least cosine of two memories that may look alike though they differ in a word."""
RELATED: Final = 0.4
"""The least cosine of two memories about the same subject, where they have a topic in common or both have none."""
SHARED: Final = 0.2
"""The same without vectors: the least share of terms in common (Jaccard)."""
NEWEST: Final = 20_000
"""The vectors of so many newest memories are compared with each other."""
MOST_PAIRS: Final = 20_000
MOST_FRAMED: Final = 20
"""So many of the newest that are the same but for facts are compared with each other, older ones with the next only."""
LEAST_FRAME: Final = 2
"""Statements with fewer words besides their facts have nothing to do with each other."""
MOST_IN_TOPIC: Final = 1_000
BLOCK: Final = 512


class Note(NamedTuple):
    """What is needed of one memory; `tokens` is what its content takes."""

    row: int
    id: str
    key: str | None
    topics: tuple[str, ...]
    worded_at: int
    lasting: bool
    tokens: int
    wording: Wording


class Near(NamedTuple):
    """Memories that look alike, by row, newest first, and in what they differ."""

    rows: tuple[int, ...]
    kinds: tuple[Kind, ...]


class Survey(Value):
    """The sound memories of a user by row, oldest first, and their vectors; `tokens` counts damaged ones too."""

    notes: Mapping[int, Note]
    tokens: int
    found: "Candidates"

    def names(self) -> frozenset[str]:
        """Every word that is a name in some memory."""
        return frozenset[str]().union(*(note.wording.names for note in self.notes.values()))

    def same(self) -> list[tuple[int, ...]]:
        """The rows of memories that say the same, word for word; in each group the newest wording first.

        Each says the same as the first; their keys are one at most, and their topics not more than one may have.
        """
        said: dict[tuple[str, ...], list[Note]] = defaultdict(list)
        for note in self.notes.values():
            if note.wording.said:
                said[note.wording.said].append(note)
        return [group for notes in said.values() for group in _joinable(notes) if len(group) > 1]

    async def alike(self, gone: Iterable[int] = ()) -> list[Near]:
        """Groups of memories that look alike, without those at the rows `gone`; differences in a fact first."""
        left, names = self.notes.keys() - set(gone), self.names()
        framed = list(self._framed(left, names))
        close = await anyio.to_thread.run_sync(self._close, left)
        kinds: dict[tuple[int, int], frozenset[Kind]] = {}
        for one, other in dict.fromkeys([*framed, *close]):
            found = alike(self.notes[one].wording, self.notes[other].wording, names)
            if found:
                kinds[one, other] = found
        return _grouped(kinds)

    def related(self, most: int) -> list[tuple[int, ...]]:
        """Groups of 2 to `most` memories about one subject, oldest first: with a topic in common, or without any.

        Memories with a key or an expiry stay out: what they say must stay by itself.
        """
        by_topic: dict[str, list[int]] = defaultdict(list)
        for note in self.notes.values():
            if note.lasting and note.key is None:
                for topic in note.topics or ("",):
                    by_topic[topic].append(note.row)
        groups: list[tuple[int, ...]] = []
        taken: set[int] = set()
        for _, rows in sorted(by_topic.items(), key=lambda item: (-len(item[1]), item[0])):
            rest = [row for row in rows if row not in taken][-MOST_IN_TOPIC:]
            for group in self._clusters(rest, most):
                groups.append(group)
                taken.update(group)
        return groups

    def _framed(self, left: AbstractSet[int], names: frozenset[str]) -> Iterator[tuple[int, int]]:
        """Pairs that may differ in nothing but facts."""
        frames: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for note in self.notes.values():
            if note.row in left and len(framed := frame(note.wording, names)) >= LEAST_FRAME:
                frames[framed].append(note.row)
        for rows in frames.values():
            yield from combinations(rows[-MOST_FRAMED:], 2)
            yield from pairwise(rows)

    def _close(self, left: AbstractSet[int]) -> list[tuple[int, int]]:
        """Pairs that are close in meaning, of the newest; at most so many."""
        vectors, rows = self._vectors([row for row in list(self.notes)[-NEWEST:] if row in left])
        pairs: list[tuple[int, int]] = []
        for start in range(0, len(rows), BLOCK):
            near = vectors[start : start + BLOCK] @ vectors[start:].T >= CLOSE
            ones, others = near.nonzero()
            later = others > ones
            found = zip((ones[later] + start).tolist(), (others[later] + start).tolist(), strict=True)
            pairs += [(rows[one], rows[other]) for one, other in found]
            if len(pairs) >= MOST_PAIRS:
                break
        return pairs[:MOST_PAIRS]

    def _clusters(self, rows: Sequence[int], most: int) -> Iterator[tuple[int, ...]]:
        """Around the oldest memory that is left, the nearest to any of its group, one by one."""
        vectors, held = self._vectors(rows)
        at, least = {row: place for place, row in enumerate(held)}, RELATED if held else SHARED
        left: list[int] = held or list(rows)
        while left:
            seed, *others = left
            group = [seed]
            best: dict[int, float] = dict.fromkeys(others, 0.0)
            while best and len(group) < most:
                near: dict[int, float] = (
                    dict(zip(held, (vectors @ vectors[at[group[-1]]]).tolist(), strict=True))
                    if held
                    else {row: self._share(group[-1], row) for row in best}
                )
                best = {row: max(likeness, near[row]) for row, likeness in best.items()}
                nearest = max(best.items(), key=itemgetter(1))
                if nearest[1] < least:
                    break
                group.append(nearest[0])
                del best[nearest[0]]
            left = list(best)
            if len(group) > 1:
                yield tuple(sorted(group))

    def _share(self, one: int, other: int) -> float:
        return share(self.notes[one].wording, self.notes[other].wording)

    def _vectors(self, rows: Sequence[int]) -> "tuple[Floats, list[int]]":
        """The unit vectors of those of `rows` that have one, and which these are."""
        codes, scales = self.found.codes, self.found.scales
        if codes is None:
            return self.found.scales.reshape(-1, 1)[:0], []
        places = {row: place for place, row in enumerate(self.found.rows.tolist())}
        held = [row for row in rows if row in places and scales[places[row]] > 0]
        at = [places[row] for row in held]
        return codes[at].astype("float32") * scales[at][:, None], held


async def pages(store: Store, user: str, now: int) -> AsyncGenerator[tuple[Memory, ...]]:
    """All living memories, newest first, some at a time."""
    before: int | None = None
    while True:
        page = await store.page(user, Filter(now=now), before, PAGE)
        if page.memories:
            yield page.memories
        if not page.more:
            return
        before = page.memories[-1].row


async def survey(store: Store, reader: Reader, user: str, now: int) -> Survey:
    """What `user` has at this moment."""
    notes: list[Note] = []
    tokens = 0
    async for memories in pages(store, user, now):
        for memory in memories:
            taken = estimate(memory.content)
            tokens += taken
            if not memory.damaged:
                notes.append(_note(memory, taken, reader))
    found = await store.candidates(user, (), Filter(now=now))
    return Survey(notes={note.row: note for note in reversed(notes)}, tokens=tokens, found=found)


def _note(memory: Memory, tokens: int, reader: Reader) -> Note:
    return Note(
        row=memory.row,
        id=memory.id,
        key=memory.key,
        topics=memory.topics,
        worded_at=memory.worded_at,
        lasting=memory.expires_at is None,
        tokens=tokens,
        wording=reader.read(memory.content),
    )


def _joinable(notes: Sequence[Note]) -> Iterator[tuple[int, ...]]:
    """Each newest wording that is left, with those that say the same and whose key and topics go with those before."""
    rest = sorted(notes, key=lambda note: (note.worded_at, note.row), reverse=True)
    while rest:
        newest, *others = rest
        rest = list[Note]()
        joined, key, topics = [newest.row], newest.key, set(newest.topics)
        for note in others:
            united = topics | set(note.topics)
            free = key is None or note.key is None
            if free and len(united) <= MAX_TOPICS and not differences(newest.wording, note.wording):
                joined.append(note.row)
                key, topics = key or note.key, united
            else:
                rest.append(note)
        yield tuple(joined)


def _grouped(kinds: Mapping[tuple[int, int], frozenset[Kind]]) -> list[Near]:
    """The sets of rows that are joined by pairs, and in what any of their pairs differ: those in a fact first."""
    parent: dict[int, int] = {}

    def root(row: int) -> int:
        while parent.setdefault(row, row) != row:
            parent[row] = row = parent[parent[row]]
        return row

    for one, other in kinds:
        parent[root(one)] = root(other)
    rows: dict[int, list[int]] = defaultdict(list)
    for row in list(parent):
        rows[root(row)].append(row)
    found: dict[int, set[Kind]] = defaultdict(set)
    for (one, _), differing in kinds.items():
        found[root(one)] |= differing
    groups = [Near(tuple(sorted(held, reverse=True)), tuple(sorted(found[at]))) for at, held in rows.items()]
    return sorted(groups, key=lambda near: (not FACTS.isdisjoint(near.kinds), near.rows), reverse=True)

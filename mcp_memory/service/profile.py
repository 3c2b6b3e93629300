"""The profile: what of a user's memories goes into a prompt, within a budget of tokens that is never exceeded.

Pinned memories claim their place first, then those with a key, then all others by importance. With `about`, what a
search finds claims half of the place before all of them, and of others than pinned and keyed ones nothing is shown.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from mcp_memory import guard
from mcp_memory.clock import Clock
from mcp_memory.errors import InvalidInput
from mcp_memory.models import Filter, LeftOut, Memory
from mcp_memory.service.search import Search, Searcher
from mcp_memory.store.base import Store
from mcp_memory.store.importance import Foremost
from mcp_memory.text import Analyzer, digest
from mcp_memory.text.digest import Group, Kind
from mcp_memory.text.tokens import UNDERCOUNT, estimate
from mcp_memory.text.wording import Reader, Wording, differences, share
from mcp_memory.values import Value

LEAST: Final = 100
MOST: Final = 100_000
"""Budgets in tokens: below the first, the frame would leave no place for a memory."""
HITS: Final = 100
PER_HIT: Final = 20
"""Of what is asked about, so many hits are looked for at most, and no more than one for so many tokens."""
MISSES: Final = 40
"""After so many memories in a row that do not fit, it is full."""
PIECE: Final = 64
"""So many memories are read at once."""
LINE: Final = 5
"""The fewest tokens that a memory takes, with its line."""
SAME: Final = 0.8
"""The least share of words in common (Jaccard) of two statements that say nearly the same; none of the words in which
they differ is a number, date, name or negation."""
TELLING: Final = 0.6
"""The same of terms, which are rougher and quicker: only statements that share so many are read word for word."""


class Profile(Value):
    """The digest of one user's memories: what was chosen, in groups, and what was not.

    `total` counts all living memories. `tokens` is what `digest.text` takes, by our estimate; with a margin for what
    that may miss, it is within `max_tokens`.
    """

    groups: tuple[Group, ...]
    left_out: tuple[LeftOut, ...]
    total: int
    tokens: int
    max_tokens: int

    @property
    def text(self) -> str:
        """The digest as it is put into a prompt."""
        return digest.text(self.groups, self.left_out)


class Profiles:
    """Makes the profiles of one store's users."""

    def __init__(self, store: Store, searcher: Searcher, clock: Clock, min_score: float) -> None:
        self._store = store
        self._searcher = searcher
        self._clock = clock
        self._min_score = min_score
        self._reader = Reader(searcher.analyzer)

    async def profile(
        self, user: str, max_tokens: int, about: str | None = None, max_bytes: int | None = None
    ) -> Profile:
        """The digest of what is known of `user`, at most `max_tokens` long, and where given `max_bytes` in UTF-8.

        Raises:
            InvalidInput: `max_tokens` is out of range, or there is nothing in `about` to search for.
        """
        user, now = guard.user(user), self._clock.now()
        if not LEAST <= max_tokens <= MOST:
            raise InvalidInput(f"max_tokens must be {LEAST} to {MOST:,}, not {max_tokens}")
        hits = await self._hits(user, about, max_tokens, now) if about is not None else None
        best = await self._store.foremost(user, now, max_tokens + PIECE)
        said = _Said(self._searcher.analyzer, self._reader)
        choice = _Choice(said, max_tokens, max_bytes, {hit.row for hit in hits or ()})
        for hit in hits or ():
            if choice.used > choice.room / 2:
                break
            choice.offer(hit)
        rows = best.rows if hits is None else best.rows[: best.firm]
        async for memory in self._read(user, rows, now, choice):
            choice.offer(memory)
        for hit in hits or ():
            choice.offer(hit)
        return choice.closed(best, asked=about is not None)

    async def _hits(self, user: str, about: str, max_tokens: int, now: int) -> list[Memory]:
        limit = min(HITS, max_tokens // PER_HIT)
        wanted = Search(query=guard.query(about), limit=limit, scope=Filter(now=now), min_score=self._min_score)
        return [hit.memory for hit in (await self._searcher.search(user, wanted)).hits]

    async def _read(self, user: str, rows: Sequence[int], now: int, choice: "_Choice") -> AsyncGenerator[Memory]:
        """The memories at `rows`, as long as there is place."""
        at = 0
        while at < len(rows) and not choice.full:
            piece = rows[at : at + min(PIECE, 8 + choice.left // LINE)]
            at += len(piece)
            living = await self._store.living(user, piece, now)
            for row in piece:
                if row in living and not choice.full:
                    yield living[row]


class _Kept(NamedTuple):
    memory: Memory
    kind: Kind
    tokens: int
    size: int


class _Choice:
    """What is taken into one profile, in the order in which it claims a place, and what is not."""

    def __init__(self, said: "_Said", max_tokens: int, max_bytes: int | None, hits: AbstractSet[int]) -> None:
        self._said = said
        self._hits = hits
        self._max_tokens = max_tokens
        self._aim = int(max_tokens / (1 + UNDERCOUNT))
        self._most_bytes = sys.maxsize if max_bytes is None else max_bytes
        self._limit = f"{max_tokens} tokens" if max_bytes is None else f"{max_bytes} bytes"
        frame = digest.text([Group(kind="other", memories=())], [self._beyond(1_000)])
        self.room = self._aim - estimate(frame)
        self.used = 0
        self._bytes_left = self._most_bytes - len(frame.encode())
        self._kept: list[_Kept] = []
        self._damaged: list[Memory] = []
        self._same: list[Memory] = []
        self._seen: set[int] = set()
        self._headed = Counter[tuple[Kind, str]]()
        self._misses = 0

    @property
    def left(self) -> int:
        """The tokens that are left for further lines."""
        return self.room - self.used

    @property
    def full(self) -> bool:
        """Whether further memories would hardly fit."""
        return self._misses >= MISSES or self.left < LINE

    def offer(self, memory: Memory) -> None:
        """Take `memory` in, unless it is damaged, says what another says, or does not fit."""
        if memory.row in self._seen:
            return
        self._seen.add(memory.row)
        if memory.damaged:
            self._damaged.append(memory)
        elif not _firm(memory) and self._said.has(memory):
            self._same.append(memory)
        else:
            self._fit(memory)

    def _fit(self, memory: Memory) -> None:
        kind = self._kind(memory)
        group = (kind, memory.topics[0] if kind == "topic" else "")
        self._headed[group] += 1
        line = f"{digest.line(memory)}\n"
        if self._headed[group] == (2 if kind == "topic" else 1):  # a topic of one memory gets no heading
            line += f"{digest.heading(*group)}\n"
        tokens, size = estimate(line), len(line.encode())
        if tokens > self.left or size > self._bytes_left:
            self._headed[group] -= 1
            self._misses += 1
            return
        self._misses = 0
        self.used += tokens
        self._bytes_left -= size
        self._kept.append(_Kept(memory, kind, tokens, size))
        self._said.add(memory)

    def _kind(self, memory: Memory) -> Kind:
        if memory.pinned:
            return "pinned"
        if memory.row in self._hits:
            return "about"
        if memory.key is not None:
            return "keyed"
        return "topic" if memory.topics else "other"

    def closed(self, best: Foremost, *, asked: bool) -> Profile:
        """The profile. A whole may take more tokens than its parts: then what was taken last goes, until it fits."""
        while True:
            groups = tuple(_grouped(self._kept))
            left_out = tuple(self._left_out(best, asked=asked))
            text = digest.text(groups, left_out)
            tokens = estimate(text)
            over = max(tokens - self._aim, -(-(len(text.encode()) - self._most_bytes) // 4))
            if over <= 0 or not self._kept:
                return Profile(
                    groups=groups, left_out=left_out, total=best.total, tokens=tokens, max_tokens=self._max_tokens
                )
            while over > 0 and self._kept:
                over -= self._kept.pop().tokens

    def _left_out(self, best: Foremost, *, asked: bool) -> Iterator[LeftOut]:
        settled = [*(one.memory for one in self._kept), *self._damaged, *self._same]
        loose = [memory.row for memory in settled if not _firm(memory)]
        firm = best.firm - (len(settled) - len(loose))
        rest = best.total - best.firm - len(loose)
        if firm > 0:
            yield LeftOut(count=firm, reason=f"pinned or with a key, but beyond {self._limit}")
        if self._same:
            yield LeftOut(count=len(self._same), reason="saying nearly the same as one above")
        if self._damaged:
            yield LeftOut(count=len(self._damaged), reason="damaged on disk; mcp-memory doctor checks the file")
        if asked and not self._hits:
            yield LeftOut(count=0, reason="nothing was found on what was asked")
        if rest > 0:
            yield (
                LeftOut(count=rest, reason=f"not on what was asked, or beyond {self._limit}")
                if asked
                else self._beyond(rest)
            )

    def _beyond(self, count: int) -> LeftOut:
        return LeftOut(count=count, reason=f"beyond {self._limit}")


class _Said:
    """Tells whether some memory that was taken in says nearly the same."""

    def __init__(self, analyzer: Analyzer, reader: Reader) -> None:
        self._analyzer = analyzer
        self._reader = reader
        self._taken: list[tuple[str, int]] = []
        self._holding: defaultdict[str, list[int]] = defaultdict(list)
        self._wordings: dict[str, Wording] = {}

    def add(self, memory: Memory) -> None:
        """Take in what `memory` says."""
        terms = self._analyzer.statement(memory.content)
        for term in terms:
            self._holding[term].append(len(self._taken))
        self._taken.append((memory.content, len(terms)))

    def has(self, memory: Memory) -> bool:
        """Whether `memory` says nearly what another said."""
        terms = self._analyzer.statement(memory.content)
        shared = Counter(at for term in terms for at in self._holding.get(term, ()))
        for at, count in shared.items():
            content, size = self._taken[at]
            if count >= TELLING * (len(terms) + size - count) and self._alike(memory.content, content):
                return True
        return False

    def _alike(self, one: str, other: str) -> bool:
        here, there = self._wording(one), self._wording(other)
        kinds = differences(here, there)
        return not kinds or (kinds <= {"wording"} and share(here, there) >= SAME)

    def _wording(self, content: str) -> Wording:
        if content not in self._wordings:
            self._wordings[content] = self._reader.read(content)
        return self._wordings[content]


def _firm(memory: Memory) -> bool:
    return memory.pinned or memory.key is not None


def _grouped(kept: Sequence[_Kept]) -> Iterator[Group]:
    """The groups as they are shown; a memory of several topics stands under the one that most have."""
    held: defaultdict[Kind, list[Memory]] = defaultdict(list)
    for one in kept:
        held[one.kind].append(one.memory)
    counts = Counter(topic for memory in held["topic"] for topic in memory.topics)
    topics: defaultdict[str, list[Memory]] = defaultdict(list)
    for memory in held["topic"]:
        topics[max(memory.topics, key=counts.__getitem__)].append(memory)
    alone = {memories[0].row for memories in topics.values() if len(memories) == 1}
    loose = tuple(one.memory for one in kept if one.kind == "other" or one.memory.row in alone)
    for kind in ("pinned", "about", "keyed"):
        if held[kind]:
            yield Group(kind=kind, memories=tuple(held[kind]))
    for topic, memories in sorted(topics.items(), key=lambda item: (-len(item[1]), item[0])):
        if len(memories) > 1:
            yield Group(kind="topic", topic=topic, memories=tuple(memories))
    if loose:
        yield Group(kind="other", memories=loose)

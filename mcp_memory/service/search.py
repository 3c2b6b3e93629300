"""From a query to hits: candidates from the store, order and scores from `ranking`."""

import logging
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import tzinfo
from typing import Final, NamedTuple

import anyio

from mcp_memory import candidates, ranking
from mcp_memory.clock import date_in
from mcp_memory.errors import InvalidInput, StoreError
from mcp_memory.models import Candidates, Filter, Hit, LeftOut, Match, Memory, Past
from mcp_memory.ranking import Query, Ranked, Ranking
from mcp_memory.service.outcomes import Found
from mcp_memory.service.vectors import Probe, Vectors
from mcp_memory.store.base import Store
from mcp_memory.text import STOP_WORDS, Analyzer, is_foreign, sentences
from mcp_memory.text.near import LEAST
from mcp_memory.text.periods import Period, asked, mentioned
from mcp_memory.values import Value

_log = logging.getLogger(__name__)

MAX_TERMS: Final = 64
"""Distinct terms of a query that are looked up; a longer text says the same again."""

NEIGHBOURS: Final = 3
NEIGHBOUR_TERMS: Final = 8
NEIGHBOUR_DEPTH: Final = 16
NEIGHBOUR_POOL: Final = 4
"""A neighbour shares telling words, which are long and rare, or its meaning. Of so many of a text's longest terms so
many of the newest memories that hold it are looked up, beside those of like meaning; so many of the best, and of the
closest in meaning, are then compared word by word."""

NEIGHBOUR_SCORE: Final = 0.3
"""Below this score two texts are about different things."""

SAME_STATEMENT: Final = 0.6
"""The least share of telling words, dates aside, that a restatement has in common with what it restates (Jaccard)."""

LARGE: Final = 20_000
"""From so many memories on the arithmetic is done in a thread: below, the switch takes longer than the work."""


WEAK: Final = 0.35
"""Where even the best hit has less, words that no memory holds may be misspelt, or parts of others."""

SHORT: Final = 8
"""A longer query has enough other words; there, near words did more harm than good."""

NEAR_WEIGHT: Final = 0.7
"""What a near word counts of the word itself."""


POOL: Final = 50
"""Where a period is asked for, so many of the best are looked at for dates."""

TIME_BOOST: Final = 0.1
"""What being of the period adds to a rank, which is 0 to 1."""


class Search(Value):
    """A query that has been read and checked."""

    query: str
    limit: int
    scope: Filter
    min_score: float
    include_past: bool = False
    explain: bool = False


class Neighbours:
    """What `Searcher.beside` finds: `hits` best first at the end of its block; `known` as soon as it has read them."""

    def __init__(self) -> None:
        self.known = anyio.Event()
        self.hits: tuple[Hit, ...] = ()


class _Shown(NamedTuple):
    """A hit with its place, and what its date adds to its rank."""

    ranked: Ranked
    hit: Hit
    boost: float = 0.0


class Searcher:
    """What every search of one store needs."""

    def __init__(self, store: Store, vectors: Vectors, analyzer: Analyzer, zone: tzinfo | None) -> None:
        self.store = store
        self.vectors = vectors
        self.analyzer = analyzer
        self.zone = zone

    async def search(self, user: str, wanted: Search) -> Found:
        """The hits of a search, best first, and how many matches are not among them.

        Raises:
            InvalidInput: there is nothing in the query to search for.
        """
        terms = self.analyzer.query_terms(wanted.query)
        if not terms:
            raise InvalidInput("query has no letters or digits to search for; give a few words")
        probe = await self.vectors.probe([wanted.query, *sentences(wanted.query)])
        query = _query(list(terms.items())[:MAX_TERMS], probe, foreign=self._foreign(wanted.query))
        found = await self._candidates(user, query.terms, wanted)
        self.vectors.notice(user, found)
        query = _fitting(query, found)
        period = asked(wanted.query, wanted.scope.now, self.zone)
        pool = max(wanted.limit, POOL) if period else wanted.limit
        ranked = await _rank(found, query, pool, wanted.min_score)
        if ranked.best < WEAK and len(terms) <= SHORT and (near := await self._near(user, query, found)):
            query, found = await self._widened(user, query, near, wanted)
            ranked = await _rank(found, query, pool, wanted.min_score)
        if period and not ranked.hits and not self._telling(wanted.query, period):
            found = candidates.within(found, period.since, period.until)
            ranked = await _rank(found, query, pool, 0.0)
        ordered = await self._hits(user, found, ranked, wanted.scope.now)
        if period:
            ordered = _timely(ordered, period)
        hits = [_explained(one, found, query) if wanted.explain else one.hit for one in ordered[: wanted.limit]]
        served = ["lexical"]
        if query.probe is not None and bool((found.scales[found.kept] > 0).any()):
            served.append("semantic")
        if period:
            served.append(f"time {date_in(period.since, self.zone)}/{date_in(period.until, self.zone)}")
        left_out = _left_out(found, ranked, shown=len(hits), wanted=wanted)
        if len(terms) > MAX_TERMS:
            left_out += (LeftOut(count=0, reason=f"only the first {MAX_TERMS} words of the query were searched"),)
        left_out += tuple(LeftOut(count=0, reason=f"searched for {word!r} as well") for word in query.near)
        if probe.failure:
            left_out += (LeftOut(count=0, reason=f"searched by words only: {probe.failure}"),)
        return Found(hits=tuple(hits), modes=tuple(served), left_out=left_out)

    @asynccontextmanager
    async def beside(self, user: str, content: str, probe: Probe, now: int) -> AsyncGenerator[Neighbours]:
        """The memories that say something close to `content`, looked for while the block runs.

        A block that writes `content` waits for `known` before it commits, so that what it finds is what was there.
        """
        neighbours = Neighbours()

        async def look() -> None:
            try:
                neighbours.hits = await self._neighbours(neighbours.known, user, content, probe, now)
            except StoreError as error:  # the write may be done by now, and must not look failed
                _log.warning("neighbours of a new memory could not be read: %s", error)
            finally:
                neighbours.known.set()

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(look)
                yield neighbours
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # one of the two failed, and the other was cancelled

    async def _neighbours(self, known: anyio.Event, user: str, content: str, probe: Probe, now: int) -> tuple[Hit, ...]:
        longest = sorted(self.analyzer.query_terms(content).items(), key=lambda item: len(item[0]), reverse=True)
        if not longest:
            return ()
        query = _query(longest[:NEIGHBOUR_TERMS], probe, foreign=self._foreign(content))
        found = await self.store.candidates(user, query.terms, Filter(now=now), NEIGHBOUR_DEPTH)
        known.set()
        query = _fitting(query, found)
        pool = ranking.closest(found, query, NEIGHBOUR_POOL)
        rows = [int(found.rows[one.place]) for one in pool]
        living = await self._living(user, found, rows, now)
        there = {one.place: living[row] for one, row in zip(pool, rows, strict=True) if row in living}
        pool = [one for one in pool if one.place in there]
        held = [self._held(query.terms, there[one.place]) for one in pool]
        # One more than are shown, as one may be that very text.
        best = ranking.alike_most(found, query, pool, held)[: NEIGHBOURS + 1] if pool else []
        return tuple(Hit(memory=there[one.place], score=one.score) for one in best if one.score >= NEIGHBOUR_SCORE)

    def _held(self, terms: Sequence[str], memory: Memory) -> list[int]:
        """Which of `terms` a memory holds: not all that do were looked up."""
        held = frozenset(self.analyzer.terms(memory.content))
        return [number for number, term in enumerate(terms) if term in held]

    def _foreign(self, text: str) -> bool:
        return not self.vectors.multilingual and is_foreign(text)

    async def _candidates(self, user: str, terms: Sequence[str], wanted: Search) -> Candidates:
        found = await self.store.candidates(user, terms, wanted.scope)
        if not wanted.include_past:
            return found
        return candidates.joined(found, await self.store.past_candidates(user, terms, wanted.scope))

    async def _near(self, user: str, query: Query, found: Candidates) -> dict[str, list[str]]:
        """For the query's terms that no memory holds, the words that may be meant."""
        frequencies = candidates.frequencies(found, len(query.terms))
        unknown = [term for term, frequency in zip(query.terms, frequencies, strict=True) if not frequency]
        if not any(len(term) >= LEAST for term in unknown):
            return {}
        vocabulary = await self.store.vocabulary(user)
        return {term: words for term in unknown if (words := vocabulary.near(term))}

    async def _widened(
        self, user: str, query: Query, near: Mapping[str, Sequence[str]], wanted: Search
    ) -> tuple[Query, Candidates]:
        """The query and its candidates with the near words in the place of the terms that nothing holds."""
        groups = [near.get(term, (term,)) for term in query.terms]
        words = [word for group in groups for word in group]
        found = await self._candidates(user, words, wanted)
        # Of an expired memory the index still has the words: only those that somebody living holds are told.
        frequencies = candidates.frequencies(found, len(words))
        held = {word for word, frequency in zip(words, frequencies, strict=True) if frequency}
        pairs = zip(query.terms, query.weights, strict=True)
        return query.replace(
            weights=tuple(weight * NEAR_WEIGHT if term in near else weight for term, weight in pairs),
            near=tuple(word for group in near.values() for word in group if word in held),
        ), candidates.grouped(found, [len(group) for group in groups])

    def _telling(self, query: str, period: Period) -> bool:
        """Whether the query asks for more than a period: it has two other words, which are no stop words."""
        rest = self.analyzer.query_terms(query.replace(period.words, " "))
        return len([term for term in rest if term not in STOP_WORDS]) > 1

    async def _hits(self, user: str, found: Candidates, ranked: Ranking, now: int) -> list[_Shown]:
        """The hits in their final order: of memories that say the same the newest stands first."""
        best, pairs = ranking.alike(found, ranked)
        current = [one for one in best if one.place < found.current]
        former = [one for one in best if one.place >= found.current]
        rows = [int(found.rows[one.place]) for one in current]
        seqs = [int(found.rows[one.place]) for one in former]
        living = await self._living(user, found, rows, now)
        past = await self.store.past(user, seqs, now) if seqs else {}
        hits = {one.place: _hit(one, living.get(row)) for one, row in zip(current, rows, strict=True)}
        hits |= {one.place: _past_hit(one, past.get(seq)) for one, seq in zip(former, seqs, strict=True)}
        return _newest_first(best, hits, list(self._same(best, pairs, hits)))[: len(ranked.hits)]

    async def _living(self, user: str, found: Candidates, rows: Sequence[int], now: int) -> dict[int, Memory]:
        """The memories at `rows`, which candidates have found living."""
        known = {row: memory for row in rows if (memory := found.at_hand.get(row)) is not None}
        missing = [row for row in rows if row not in known]
        return known | (await self.store.living(user, missing, now) if missing else {})

    def _same(
        self, best: Sequence[Ranked], pairs: Iterable[tuple[int, int]], hits: Mapping[int, Hit | None]
    ) -> Iterator[tuple[int, int]]:
        """Pairs of places whose memories say the same, of those that may."""
        said: dict[int, frozenset[str]] = {}
        held = {one.place: one.lexical for one in best}
        for pair in pairs:
            if abs(held[pair[0]] - held[pair[1]]) > 1e-6:
                continue  # the query asks for what only one of them says
            both = [hits.get(place) for place in pair]
            if any(hit is None or hit.past is not None for hit in both):
                continue
            for place, hit in zip(pair, both, strict=True):
                if place not in said and hit is not None:
                    said[place] = self.analyzer.statement(hit.memory.content)
            one, other = (said[place] for place in pair)
            if len(one & other) >= SAME_STATEMENT * len(one | other) > 0:
                yield pair


def _query(terms: Sequence[tuple[str, int]], probe: Probe, *, foreign: bool) -> Query:
    return Query(
        terms=tuple(term for term, _ in terms),
        weights=tuple(count for _, count in terms),
        probe=probe.matrix,
        foreign=foreign,
        unspaced=all(len(term) <= 2 for term, _ in terms),
    )


def _fitting(query: Query, found: Candidates) -> Query:
    """The query without vectors where those of the memories have another length."""
    if query.probe is None or found.codes is None or found.codes.shape[1] == query.probe.shape[1]:
        return query
    return query.replace(probe=None)


async def _rank(found: Candidates, query: Query, limit: int, min_score: float) -> Ranking:
    """`ranking.rank`, in a thread where it takes long."""
    query = _fitting(query, found)
    if len(found.rows) < LARGE:
        return ranking.rank(found, query, limit, min_score)
    return await anyio.to_thread.run_sync(ranking.rank, found, query, limit, min_score)


def _newest_first(best: Sequence[Ranked], hits: dict[int, Hit | None], same: Sequence[tuple[int, int]]) -> list[_Shown]:
    """Hits in the order of `best`, but within each group of the same statement the newest takes the first place."""
    ordered = list(best)
    for places in _groups(same):
        slots = [slot for slot, one in enumerate(best) if one.place in places]
        newest = sorted((best[slot] for slot in slots), key=lambda one: _age(hits[one.place]), reverse=True)
        for slot, one in zip(slots, newest, strict=True):
            ordered[slot] = one._replace(rank=best[slot].rank)
    found = ((one, hits[one.place]) for one in ordered)
    return [_Shown(one, hit) for one, hit in found if hit is not None]


def _groups(pairs: Sequence[tuple[int, int]]) -> list[set[int]]:
    """The sets of places that are joined by pairs."""
    groups: list[set[int]] = []
    for pair in pairs:
        touched = [group for group in groups if not group.isdisjoint(pair)]
        groups = [group for group in groups if group.isdisjoint(pair)] + [set(pair).union(*touched)]
    return groups


def _timely(ordered: Sequence[_Shown], period: Period) -> list[_Shown]:
    """The same, those first that were written in the period or name a date in it."""

    def inside(memory: Memory) -> bool:
        dates = ((memory.updated_at, memory.updated_at + 1), (memory.created_at, memory.created_at + 1))
        spans = (*dates, *mentioned(memory.content))
        return any(since < period.until and until > period.since for since, until in spans)

    boosted = [one._replace(boost=TIME_BOOST if inside(one.hit.memory) else 0.0) for one in ordered]
    return sorted(boosted, key=lambda one: one.ranked.rank + one.boost, reverse=True)


def _age(hit: Hit | None) -> tuple[int, int]:
    return (hit.memory.worded_at, hit.memory.row) if hit else (0, 0)


def _left_out(found: Candidates, ranked: Ranking, *, shown: int, wanted: Search) -> tuple[LeftOut, ...]:
    cut = f"below the score cut-off of {wanted.min_score:.2f}"
    if ranked.best < wanted.min_score:
        cut += f"; the best had {ranked.best:.2f}"
    reasons = (
        (ranked.matching - shown, f"beyond limit {wanted.limit}"),
        (ranked.below, cut),
        (candidates.excluded(found), "excluded by the filter"),
    )
    return tuple(LeftOut(count=count, reason=reason) for count, reason in reasons if count > 0)


def _hit(one: Ranked, memory: Memory | None) -> Hit | None:
    """None where another process removed the memory a moment ago."""
    return Hit(memory=memory, score=one.score) if memory else None


def _past_hit(one: Ranked, past: Past | None) -> Hit | None:
    if past is None:
        return None
    shown = {"content": past.wording.content, "damaged": past.wording.damaged or past.memory.damaged}
    return Hit(memory=past.memory.replace(**shown), score=one.score, past=past)


def _explained(one: _Shown, found: Candidates, query: Query) -> Hit:
    ranked = one.ranked
    words = tuple(query.terms[term] for term in candidates.matched(found, ranked.place))
    match = Match(
        rank=ranked.rank + one.boost, lexical=ranked.lexical, semantic=ranked.cosine, words=words, boost=one.boost
    )
    return one.hit.replace(match=match)

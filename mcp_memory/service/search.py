"""From a query to hits: candidates from the store, order and scores from `ranking`."""

from collections.abc import Sequence
from typing import Final

from mcp_memory import ranking, text
from mcp_memory.models import Filter, Hit, LeftOut, Memory, Past, Value
from mcp_memory.service.outcomes import Found
from mcp_memory.store.base import Store

MAX_TERMS: Final = 64
"""Distinct terms of a query that are looked up; a longer text says the same again."""

NEIGHBOURS: Final = 3
NEIGHBOUR_TERMS: Final = 8
NEIGHBOUR_DEPTH: Final = 16
"""A neighbour shares telling words, which are long and rare: so many of a text's longest terms, and so many of the
newest memories of each, bound the cost of an add at any size of the store."""

NEIGHBOUR_SCORE: Final = 0.15
"""Below this share of common idf mass two texts are about different things. Low, because what has to be merged is often
worded anew: "moved to Berlin" and "lives in Lyon" share one word at most."""


class Search(Value):
    """A query that has been read and checked."""

    query: str
    limit: int
    scope: Filter
    include_past: bool = False


async def search(store: Store, user: str, wanted: Search) -> Found:
    """The hits of a search, best first, and how many matches are not among them."""
    terms = text.query_terms(wanted.query)
    looked_up = terms[:MAX_TERMS]
    found = await store.candidates(user, looked_up, wanted.scope)
    ranked = [(one, False) for one in ranking.lexical(found, wanted.limit)]
    kept = sum(row.kept for row in found.rows)
    filtered = len(found.rows) - kept
    if wanted.include_past:
        former = await store.past_candidates(user, looked_up, wanted.scope)
        ranked += [(one, True) for one in ranking.lexical(former, wanted.limit)]
        ranked.sort(reverse=True)
        kept += sum(row.kept for row in former.rows)
        filtered += sum(not row.kept for row in former.rows)
    best = ranked[: wanted.limit]
    left_out = _left_out(beyond=kept - len(best), limit=wanted.limit, filtered=filtered)
    if len(terms) > MAX_TERMS:
        left_out += (LeftOut(count=0, reason=f"only the first {MAX_TERMS} words of the query were searched"),)
    return Found(hits=await _hits(store, user, best, wanted.scope.now), modes=("lexical",), left_out=left_out)


async def neighbours(store: Store, user: str, content: str, now: int) -> tuple[Hit, ...]:
    """The memories that say something close to `content`: one more than are shown, since one may be that very text."""
    terms = sorted(text.query_terms(content), key=len, reverse=True)[:NEIGHBOUR_TERMS]
    if not terms:
        return ()
    found = await store.candidates(user, terms, Filter(now=now), NEIGHBOUR_DEPTH)
    close = [(one, False) for one in ranking.lexical(found, NEIGHBOURS + 1) if one.score >= NEIGHBOUR_SCORE]
    return await _hits(store, user, close, now)


def _left_out(*, beyond: int, limit: int, filtered: int) -> tuple[LeftOut, ...]:
    reasons = (
        LeftOut(count=beyond, reason=f"beyond limit {limit}"),
        LeftOut(count=filtered, reason="excluded by the filter"),
    )
    return tuple(reason for reason in reasons if reason.count)


async def _hits(store: Store, user: str, ranked: Sequence[tuple[ranking.Ranked, bool]], now: int) -> tuple[Hit, ...]:
    rows = [one.row for one, is_past in ranked if not is_past]
    seqs = [one.row for one, is_past in ranked if is_past]
    living = await store.living(user, rows, now) if rows else {}
    former = await store.past(user, seqs, now) if seqs else {}
    hits = (
        _past_hit(one, former.get(one.row)) if is_past else _hit(one, living.get(one.row)) for one, is_past in ranked
    )
    return tuple(hit for hit in hits if hit is not None)


def _hit(one: ranking.Ranked, memory: Memory | None) -> Hit | None:
    """None where another process removed the memory a moment ago."""
    return Hit(memory=memory, score=one.score) if memory else None


def _past_hit(one: ranking.Ranked, past: Past | None) -> Hit | None:
    if past is None:
        return None
    shown = {"content": past.wording.content, "damaged": past.wording.damaged}
    return Hit(memory=past.memory.model_copy(update=shown), score=one.score, past=past)

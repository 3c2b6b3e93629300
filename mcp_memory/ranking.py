"""Pure arithmetic on candidates: which comes first, and how well it matches. No I/O.

Two numbers for each: `rank` only orders the hits of one query; `score` means the same for every query, user and store.
The constants were chosen on LoCoMo, RealMem and MADial; `benchmarks/README.md` has the figures.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

from mcp_memory import signs
from mcp_memory.models import Candidates
from mcp_memory.values import Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mcp_memory.models import Codes, Floats, Places

    Wide = NDArray[np.float64]

K1: Final = 0.9
B: Final = 0.4
"""BM25's constants as Lucene's reproducible baselines have them (Yang, Fang and Lin, 2017)."""

LEXICAL_WEIGHT: Final = 0.5
FOREIGN_WEIGHT: Final = 0.9
"""The share of the lexical arm in the fusion; the second where the vectors do not understand the query's script."""

SENTENCE_WEIGHT: Final = 0.3
"""A long question is asked sentence by sentence too: this share of the cosine is that of its closest sentence."""

NEAREST: Final = 20
"""So many of the nearest by meaning are candidates, whether they share a word with the query or not."""

COARSE: Final = 128
"""The vectors of so many memories with the most alike signs are compared where only the few closest are wanted."""

BEHIND: Final = 20
"""So many behind the limit are looked at, since a newer statement of the same may stand behind the older."""

RELATED: Final = 0.7
"""The least cosine of two memories that may say the same thing."""

MOST_RELATED: Final = 4
"""So many of them are taken in, the closest to a hit first."""

EXPECTED: Final = (0.3, 0.4)
"""The cosine to expect of a memory that has no vector: the first plus the second times its lexical match."""

FOREIGN_EXPECTED: Final = (0.3, 0.7)
UNSPACED_EXPECTED: Final = (0.38, 0.62)
"""The same for scripts that the vectors do not understand; the second where the terms are characters and pairs, of
which a memory seldom holds many."""

_CHUNK: Final = 512
"""Vectors multiplied at a time: as many as stay in a processor's cache once they are no longer bytes."""


class Query(Value):
    """What is asked. `weights[n]` is how much term n counts: as often as it stands in the query.

    `probe` has the vector of the whole query in its first row, then those of its sentences if there are several; None
    where no vectors serve. `foreign`: the script is not one that the vectors understand, and
    `unspaced`: its terms are characters and pairs of them. `near`
    words were looked up in the place of terms that no memory holds.
    """

    terms: tuple[str, ...]
    weights: tuple[float, ...]
    probe: "Floats | None" = None
    foreign: bool = False
    unspaced: bool = False
    near: tuple[str, ...] = ()


class Ranked(NamedTuple):
    """A candidate with its place among the candidates.

    `lexical` (0 to 1) is how much of the query it holds, `cosine` how close its meaning is (None: no vector).
    """

    rank: float
    score: float
    place: int
    lexical: float
    cosine: float | None


class Ranking(Value):
    """The hits of a query, best first, and the few `behind` the limit.

    `matching` candidates reach the cut-off, `below` do not; the best of all has `best`.
    """

    hits: tuple[Ranked, ...]
    behind: tuple[Ranked, ...]
    matching: int
    below: int
    best: float


class _Arms(Value):
    """Every candidate's part of each arm, as arrays of the same length.

    `cosine` is NaN where there is no vector; `complete` says that it never is.
    """

    bm25: "Floats"
    lexical: "Floats"
    cosine: "Floats | None"
    complete: bool


def rank(found: Candidates, query: Query, limit: int, min_score: float) -> Ranking:
    """The best `limit` of what the filter keeps; of equal ones the newest first.

    Where even the best is below `min_score`, nothing is relevant. Otherwise those below half of it are left out.
    """
    if not len(found.rows):
        return Ranking(hits=(), behind=(), matching=0, below=0, best=0.0)
    arms = _arms(found, query)
    ranks = _fused(arms, query)
    places = _candidates(found, arms, max(NEAREST, limit))
    if query.foreign:
        arms = arms.replace(cosine=None)  # of such texts any two are close: that orders, but tells nothing
    scores = _scores(arms, query)
    best = float(scores[places].max()) if len(places) else 0.0
    anywhere = max(best, float(scores[arms.lexical > 0].max(initial=0)))  # also where the filter excludes it
    floor = min_score / 2 if anywhere >= min_score else math.inf
    reaching = places[scores[places] >= floor]
    order = _foremost(reaching, ranks, limit + BEHIND)
    ranked = _ranked(order, arms, ranks, scores)
    return Ranking(
        hits=ranked[:limit],
        behind=ranked[limit:],
        matching=len(reaching),
        below=len(places) - len(reaching),
        best=best,
    )


def closest(found: Candidates, query: Query, limit: int) -> tuple[Ranked, ...]:
    """The best `limit` by score of those that hold a term or may be close in meaning, and as many of the closest."""
    import numpy as np

    wanted = np.zeros(len(found.rows), np.bool_)
    wanted[found.postings.places] = True
    wanted[_alike_by_signs(found, query)] = True
    places = np.flatnonzero(wanted & found.kept)
    if not len(places):
        return ()
    share, coverage, _ = _shares(found, query)
    lexical = np.minimum((share[places] + coverage[places]) / 2, 1).astype(np.float32)
    near = None if query.foreign or found.codes is None else found.codes[places]
    scales = found.scales[places]
    cosine = _cosines(near, scales, query)
    arms = _Arms(bm25=lexical, lexical=lexical, cosine=cosine, complete=bool(scales.all()))
    scores = _scores(arms, query)
    best = np.lexsort((-places, -scores))[:limit]
    if cosine is not None:
        best = np.unique(np.concatenate([best, np.lexsort((-places, -cosine))[:limit]]))
    return tuple(one._replace(place=int(places[one.place])) for one in _ranked(best, arms, scores, scores))


def alike_most(found: Candidates, query: Query, pool: Sequence[Ranked], held: Sequence[Sequence[int]]) -> list[Ranked]:
    """`pool` by the score of what each really holds, the numbers of its terms in `held`: the order that a text needs.

    A question is answered best by what `rank` puts first; two texts that say the same are those with most in common.
    """
    import numpy as np

    weights = np.array(query.weights, np.float64) * _idf(found, len(query.terms))
    share = np.array([weights[list(terms)].sum() for terms in held]) / (weights.sum() or 1.0)
    coverage = np.array([len(terms) for terms in held]) / max(1, len(query.terms))
    lexical = np.minimum((share + coverage) / 2, 1).astype(np.float32)
    cosines = [math.nan if one.cosine is None else one.cosine for one in pool]
    known = not all(map(math.isnan, cosines))
    cosine = np.array(cosines, np.float32) if known else None
    arms = _Arms(bm25=lexical, lexical=lexical, cosine=cosine, complete=not any(map(math.isnan, cosines)))
    scored = zip(pool, _scores(arms, query).tolist(), lexical.tolist(), strict=True)
    told = [one._replace(rank=score, score=score, lexical=part) for one, score, part in scored]
    return sorted(told, key=lambda one: (one.score, one.place), reverse=True)


def _alike_by_signs(found: Candidates, query: Query) -> "Places":
    """Where the kept memories stand whose vectors have the signs most alike those of the query's."""
    import numpy as np

    if query.probe is None or query.foreign or found.codes is None:
        return np.empty(0, np.int64)
    known = signs.signs_of(found.codes) if found.signs is None else found.signs
    if bool(found.kept.all()):
        return signs.closest(known, query.probe[0], COARSE)
    kept = np.flatnonzero(found.kept)
    return kept[signs.closest(known[kept], query.probe[0], COARSE)]


def alike(found: Candidates, ranked: Ranking) -> tuple[tuple[Ranked, ...], tuple[tuple[int, int], ...]]:
    """The hits and those behind the limit that may say the same as one of them; then all pairs of places that may.

    Where vectors do not tell, any two may that hold the same share of the query.
    """
    import numpy as np

    limit = len(ranked.hits)
    if found.codes is None:
        held = {one.lexical for one in ranked.hits}
        best = (*ranked.hits, *[one for one in ranked.behind if one.lexical in held][:MOST_RELATED])
        return best, tuple(combinations((one.place for one in best), 2))
    order = np.array([one.place for one in (*ranked.hits, *ranked.behind)], np.int64)
    vectors = found.codes[order].astype(np.float32) * found.scales[order, None]
    cosines = vectors[:limit] @ vectors.T
    close = [(one, other) for one, other in np.argwhere(cosines >= RELATED).tolist() if one < other]
    behind: dict[int, float] = {}
    for one, other in close:
        if other >= limit:
            behind[other] = max(behind.get(other, 0.0), float(cosines[one, other]))
    taken = sorted(behind, key=lambda at: (-behind[at], at))[:MOST_RELATED]
    shown = {*range(limit), *taken}
    best = (*ranked.hits, *(ranked.behind[at - limit] for at in sorted(taken)))
    places = order.tolist()
    return best, tuple((places[one], places[other]) for one, other in close if other in shown)


def _arms(found: Candidates, query: Query) -> _Arms:
    """BM25 times coverage with term frequencies of 1 and 2, the share of the query held, and the cosine.

    BM25: Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009). Coverage is the share of the query's
    terms that a memory holds; where words are made of characters, of their idf mass, since most characters are common.
    """
    import numpy as np

    asked = found.postings
    share, coverage, each = _shares(found, query)
    times = 1.0 + asked.repeated
    norm = K1 * (1 - B) + (K1 * B / (found.mean_length or 1.0)) * found.lengths[asked.places]
    gain = each * (K1 + 1) * times / (times + norm)
    bm25 = np.bincount(asked.places, gain, len(found.rows)) * (share if query.foreign else coverage)
    lexical = np.minimum((share + coverage) / 2, 1)
    return _Arms(
        bm25=bm25.astype(np.float32),
        lexical=lexical.astype(np.float32),
        cosine=_cosines(found.codes, found.scales, query),
        complete=bool(found.scales.all()),
    )


def _shares(found: Candidates, query: Query) -> "tuple[Wide, Wide, Wide]":
    """Of every candidate the share of the query's weight and that of its terms that it holds; each posting's weight."""
    import numpy as np

    size, asked = len(found.rows), found.postings
    weights = np.array(query.weights, np.float64) * _idf(found, len(query.terms))
    each = weights[asked.terms]
    share = np.bincount(asked.places, each, size) / (weights.sum() or 1.0)
    coverage = np.bincount(asked.places, minlength=size) / max(1, len(query.terms))
    return share, coverage, each


def _idf(found: Candidates, terms: int) -> "Wide":
    """The inverse document frequency of each of the query's terms among the user's memories."""
    import numpy as np

    counted = found.postings.terms
    if found.current < len(found.rows):
        counted = counted[found.postings.places < found.current]
    frequency = np.bincount(counted, minlength=terms)
    return np.log1p((np.maximum(found.documents, frequency) - frequency + 0.5) / (frequency + 0.5))


def _cosines(codes: "Codes | None", scales: "Floats", query: Query) -> "Floats | None":
    """The cosine of each vector with the query; NaN where there is none."""
    import numpy as np

    if query.probe is None or codes is None or not scales.any():
        return None
    probe = np.ascontiguousarray(query.probe.T)  # three times as fast as a transposed view
    products = np.empty((len(codes), probe.shape[1]), np.float32)
    for start in range(0, len(products), _CHUNK):
        part = slice(start, start + _CHUNK)
        products[part] = codes[part].astype(np.float32, copy=False) @ probe
    products *= scales[:, None]
    whole = products[:, 0]
    if products.shape[1] > 1:
        whole = (1 - SENTENCE_WEIGHT) * whole + SENTENCE_WEIGHT * products[:, 1:].max(axis=1)
    return whole if bool(scales.all()) else np.where(scales > 0, whole, np.float32(np.nan))


def _fused(arms: _Arms, query: Query) -> "Floats":
    """Both arms on a scale of 0 to 1 within this query, weighted. Rank fusion (RRF) measured worse than BM25 alone."""
    import numpy as np

    most = float(arms.bm25.max()) or 1.0
    if arms.cosine is None:
        return arms.bm25 * np.float32(1 / most)
    cosine = arms.cosine
    if not arms.complete:
        cosine = np.where(np.isnan(cosine), np.float32(np.nanmean(cosine)), cosine)
    low, high = float(cosine.min()), float(cosine.max())
    weight = FOREIGN_WEIGHT if query.foreign else LEXICAL_WEIGHT
    fused = arms.bm25 * np.float32(weight / most)
    fused += (cosine - low) * ((1 - weight) / ((high - low) or 1.0))
    return fused


def _scores(arms: _Arms, query: Query) -> "Floats":
    """Half of it what share of the query's words a candidate holds, half the cosine; 1 for the very same text."""
    import numpy as np

    lexical, cosine = arms.lexical, arms.cosine
    if cosine is None or not arms.complete:
        foreign = UNSPACED_EXPECTED if query.unspaced else FOREIGN_EXPECTED
        base, slope = foreign if query.foreign else EXPECTED
        expected = np.where(lexical > 0, base + slope * lexical, np.float32(0))
        cosine = expected if cosine is None else np.where(np.isnan(cosine), expected, cosine)
    return np.minimum((lexical + np.maximum(cosine, 0)) / 2, 1).astype(np.float32, copy=False)


def _candidates(found: Candidates, arms: _Arms, nearest: int) -> "Places":
    """Where the kept memories stand that share a word with the query, or are among the nearest by meaning."""
    import numpy as np

    matching = found.kept & (arms.lexical > 0)
    if arms.cosine is not None:
        near = arms.cosine
        if not (arms.complete and bool(found.kept.all())):
            near = np.where(found.kept & ~np.isnan(near), near, np.float32(-np.inf))
        first = max(0, len(near) - nearest)
        closest = np.argpartition(near, first)[first:]
        matching[closest[np.isfinite(near[closest])]] = True
    return np.flatnonzero(matching)


def _foremost(places: "Places", ranks: "Floats", most: int) -> "Places":
    """At most so many of `places`, those of the highest rank first, of equal ones the newest."""
    import numpy as np

    own = -ranks[places]
    if len(places) > most:  # sorting them all took a search longer than finding them
        high = ~(own > np.partition(own, most - 1)[most - 1])
        places, own = places[high], own[high]
    return places[np.lexsort((-places, own))][:most]


def _ranked(order: "Places", arms: _Arms, ranks: "Floats", scores: "Floats") -> tuple[Ranked, ...]:
    places: list[int] = order.tolist()
    columns: list[list[float]] = [array[order].tolist() for array in (ranks, scores, arms.lexical)]
    cosines: list[float | None] = [None] * len(places)
    if arms.cosine is not None:
        found: list[float] = arms.cosine[order].tolist()
        cosines = [*found] if arms.complete else [None if math.isnan(cosine) else cosine for cosine in found]
    rows = zip(*columns, places, cosines, strict=True)
    return tuple(Ranked(rank, score, place, lexical, cosine) for rank, score, lexical, place, cosine in rows)

"""Candidates counted, narrowed and put together. Pure."""

from collections.abc import Sequence

from mcp_memory.models import Candidates, Postings


def frequencies(found: Candidates, terms: int) -> list[int]:
    """How many candidates hold each of the query's `terms` terms."""
    import numpy as np

    return np.bincount(found.postings.terms, minlength=terms).tolist()


def excluded(found: Candidates) -> int:
    """How many memories hold a term of the query, but the filter excludes them."""
    import numpy as np

    if bool(found.kept.all()):
        return 0
    holding = np.zeros(len(found.rows), np.bool_)
    holding[found.postings.places] = True
    return int(np.count_nonzero(holding & ~found.kept))


def within(found: Candidates, since: int, until: int) -> Candidates:
    """`found` with only those kept that were last changed from `since` until before `until`, in microseconds."""
    return found.replace(kept=found.kept & (found.updated >= since) & (found.updated < until))


def joined(current: Candidates, past: Candidates) -> Candidates:
    """Memories and past wordings side by side. The statistics stay those of the memories."""
    import numpy as np

    start = len(current.rows)
    codes = current.codes
    if codes is not None:
        codes = np.concatenate([codes, np.zeros_like(codes, shape=(len(past.rows), codes.shape[1]))])
    return Candidates(
        documents=current.documents,
        mean_length=current.mean_length,
        rows=np.concatenate([current.rows, past.rows]),
        lengths=np.concatenate([current.lengths, past.lengths]),
        kept=np.concatenate([current.kept, past.kept]),
        updated=np.concatenate([current.updated, past.updated]),
        postings=Postings(
            terms=np.concatenate([current.postings.terms, past.postings.terms]),
            places=np.concatenate([current.postings.places, past.postings.places + start]),
            repeated=np.concatenate([current.postings.repeated, past.postings.repeated]),
        ),
        codes=codes,
        scales=np.concatenate([current.scales, past.scales]),
        current=start,
        at_hand=current.at_hand,
    )


def grouped(found: Candidates, sizes: Sequence[int]) -> Candidates:
    """`found` with its terms taken together in groups of these sizes: a memory holds a group if it holds any of it."""
    import numpy as np

    asked, size = found.postings, max(1, len(found.rows))
    groups = np.repeat(np.arange(len(sizes)), sizes)[asked.terms]
    pairs, which = np.unique(groups * size + asked.places, return_inverse=True)
    repeated = np.bincount(which, weights=asked.repeated, minlength=len(pairs)) > 0
    return found.replace(postings=Postings(terms=pairs // size, places=pairs % size, repeated=repeated))


def matched(found: Candidates, place: int) -> tuple[int, ...]:
    """Which of the query's terms the candidate at `place` holds."""
    return tuple(sorted(found.postings.terms[found.postings.places == place].tolist()))

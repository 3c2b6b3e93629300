"""Candidates as arrays, out of what the index holds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mcp_memory.models import Candidates, Postings
from mcp_memory.store.sqlite.index import Held, UserIndex

if TYPE_CHECKING:
    from mcp_memory.models import Booleans, Integers


def kept(index: UserIndex, filtered: "Integers") -> "Booleans":
    """Which memories of the index are among the rows that a filter keeps."""
    import numpy as np

    kept = np.zeros(len(index.rows), np.bool_)
    kept[index.places(filtered)] = True
    return kept


def of_living(held: Sequence[Held], living: "Booleans") -> Postings:
    """The postings of each term in turn, without those of memories that are gone or expired."""
    import numpy as np

    if not held:
        return nothing().postings
    places = np.concatenate([one.places for one in held])
    terms = np.repeat(np.arange(len(held)), [len(one.places) for one in held])
    repeated = np.concatenate([one.repeated for one in held])
    if bool(living.all()):
        return Postings(terms=terms, places=places, repeated=repeated)
    alive = living[places]
    return Postings(terms=terms[alive], places=places[alive], repeated=repeated[alive])


def nothing() -> Candidates:
    """What there is of a user who never wrote."""
    import numpy as np

    none = np.empty(0, np.int64)
    return Candidates(
        documents=0,
        mean_length=0.0,
        rows=none,
        lengths=none,
        kept=none.astype(np.bool_),
        updated=none,
        postings=Postings(terms=none, places=none, repeated=none.astype(np.bool_)),
        codes=None,
        scales=none.astype(np.float32),
        current=0,
    )

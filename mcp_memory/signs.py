"""Which vectors are close to one, by the signs of their values alone: a bit each, counted where they differ.

The angle between two vectors is proportional to how many of the signs along random directions differ: Charikar,
"Similarity estimation techniques from rounding algorithms" (2002). Along the axes it holds well enough to leave out
what is far off, at a tenth of what all the cosines cost; of those left the cosines decide.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcp_memory.models import Codes, Floats, Places, Signs


def words(dimensions: int) -> int:
    """How many numbers of 64 bits the signs of so many values take."""
    return -(-dimensions // 64)


def signs_of(vectors: "Codes | Floats") -> "Signs":
    """The signs of vectors, shape (rows, dimensions), as rows of 64-bit numbers."""
    import numpy as np

    bits = np.packbits(vectors > 0, axis=1)
    whole = np.zeros((len(vectors), 8 * words(vectors.shape[1])), np.uint8)
    whole[:, : bits.shape[1]] = bits
    return whole.view(np.uint64)


def closest(signs: "Signs", probe: "Floats", limit: int) -> "Places":
    """Where those `limit` stand whose signs differ least from those of `probe`, and any that differ as little."""
    import numpy as np

    if len(signs) <= limit:
        return np.arange(len(signs))
    counts = np.bitwise_count(signs ^ signs_of(probe[None]))
    differing = counts.astype(np.float32) @ np.ones(counts.shape[1], np.float32)  # sums rows twice as fast as sum()
    return np.flatnonzero(differing <= np.partition(differing, limit - 1)[limit - 1])

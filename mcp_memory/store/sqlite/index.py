"""What searches need of one user's memories, as arrays: lengths, times and vectors. Words are in the file.

An array index is a cache of the file, brought up to date before every use: with what the revisions say was written
since, and anew after a reindex or a forgetting, or where some of these revisions are gone. So a search never sees a
deleted memory, whichever process deleted it.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mcp_memory.models import Memory
from mcp_memory.signs import signs_of, words
from mcp_memory.store.sqlite import rows
from mcp_memory.text.near import Vocabulary

if TYPE_CHECKING:
    import numpy as np

    from mcp_memory.models import Booleans, Codes, Floats, Integers, Signs

NEVER: Final = 2**62
"""The expiry of what does not expire; beyond every moment."""

_SPARE: Final = 1_024

_AT_HAND: Final = 1_000
"""So many memories of a user are kept as they were read: the same ones are found again and again."""


_HELD: Final = 500_000
"""So many postings of a user are kept as they were looked up: most words of a question were asked for before."""

_FLOATS: Final = 4_096
"""The vectors of so many memories are kept as floats too: turning bytes into them took longer than multiplying."""

_ENTRY: Final = 40
"""What keeping a term costs besides, in postings."""

_MOSTLY_GONE: Final = 1_000
"""From so many memories on an index is made anew when more than half of them are gone."""


class Held(NamedTuple):
    """Where the memories stand that hold a term, and whether each holds it more than once."""

    places: "Integers"
    repeated: "Booleans"


_Row = sqlite3.Row | Mapping[str, Any]
"""A row of the queries `indexed_rows` and `indexed_changes`."""


class UserIndex:
    """One user's memories, rows ascending, as arrays with some room at the end. Gone memories stay as not present.

    `watched` is the file's version with which the index was last held up to date. `at_hand`, `held` and `vocabulary`
    keep what was read since the last write of this user.
    """

    def __init__(self, head: sqlite3.Row, dimensions: int) -> None:
        import numpy as np

        self.number: int = head["number"]
        self.seq: int = head["last_seq"]
        self.made_up: int = head["made_up"]
        self.vector_seq: int = head["vector_seq"]
        self.at_hand: dict[int, Memory] = {}
        self.held: dict[str, Held] = {}
        self.watched: int | None = None
        self.vocabulary: Vocabulary | None = None
        self._held_count = 0
        self._size = 0
        self._rows = np.empty(0, np.int64)
        self._lengths = np.empty(0, np.int64)
        self._updated = np.empty(0, np.int64)
        self._expires = np.empty(0, np.int64)
        self._present = np.empty(0, np.bool_)
        self._scales = np.empty(0, np.float32)
        self._codes = np.empty((0, dimensions), np.int8)
        self._signs = np.empty((0, words(dimensions)), np.uint64)
        self._floats: Floats | None = None

    @property
    def rows(self) -> "Integers":
        """The row of every memory, ascending."""
        return self._rows[: self._size]

    @property
    def lengths(self) -> "Integers":
        """How many terms each has."""
        return self._lengths[: self._size]

    @property
    def updated(self) -> "Integers":
        """When each last changed, in microseconds."""
        return self._updated[: self._size]

    @property
    def scales(self) -> "Floats":
        """The scale of each vector; 0 where there is none."""
        return self._scales[: self._size]

    @property
    def codes(self) -> "Codes | None":
        """The vectors, shape (rows, dimensions); None as long as not even their length is known."""
        import numpy as np

        if not self._codes.shape[1]:
            return None
        if self._size > _FLOATS:
            return self._codes[: self._size]
        if self._floats is None:
            self._floats = self._codes[: self._size].astype(np.float32)
        return self._floats

    @property
    def signs(self) -> "Signs":
        """The signs of the vectors."""
        return self._signs[: self._size]

    @property
    def dimensions(self) -> int:
        """The length of the vectors; 0 as long as it is not known."""
        return self._codes.shape[1]

    @property
    def nbytes(self) -> int:
        """What the arrays take of memory."""
        floats = 0 if self._floats is None else self._floats.nbytes
        return sum(array.nbytes for array in self._arrays()) + floats + 9 * self._held_count

    @property
    def mostly_gone(self) -> bool:
        """Whether making the index anew would halve it at least."""
        return self._size >= _MOSTLY_GONE and 2 * int(self._present[: self._size].sum()) < self._size

    def widen(self, dimensions: int) -> None:
        """Make room for vectors of that length, where none was known before."""
        import numpy as np

        self._codes = np.zeros((len(self._rows), dimensions), np.int8)
        self._signs = np.zeros((len(self._rows), words(dimensions)), np.uint64)

    def living(self, now: int) -> "Booleans":
        """Which memories are there and not expired at `now`."""
        return self._present[: self._size] & (self._expires[: self._size] > now)

    def places(self, at: "Integers") -> "Integers":
        """Where those of the rows `at` stand that are known here."""
        places, known = self._places(at)
        return places[known]

    def _places(self, at: "Integers") -> "tuple[Integers, Booleans]":
        """Where the rows `at` stand or would stand, and which of them are known here."""
        import numpy as np

        places = np.searchsorted(self.rows, at)
        known = places < self._size
        known[known] = self.rows[places[known]] == at[known]
        return places, known

    def remember(self, memories: Iterable[Memory], seq: int) -> None:
        """Have memories at hand that were read while the index was at `seq`; it still has to be."""
        if seq == self.seq:
            if len(self.at_hand) > _AT_HAND:
                self.at_hand.clear()
            self.at_hand.update((memory.row, memory) for memory in memories)

    def placed(self, once: Sequence[str], again: Sequence[str]) -> list[Held]:
        """Of each term where the memories stand that hold it: `once` and `again` as the query `postings` packs them.

        `again`, in the same order, has those that hold it more than once.
        """
        import numpy as np

        places, terms = self._placed(once)
        repeated = np.zeros(len(places), np.bool_)
        twice, of = self._placed(again)
        if len(twice):
            repeated[np.isin(terms * self._size + places, of * self._size + twice)] = True
        ends = np.bincount(terms, minlength=len(once)).cumsum().tolist()
        parts = (slice(start, end) for start, end in pairwise([0, *ends]))
        return [Held(places[part], repeated[part]) for part in parts]

    def _placed(self, packed: Sequence[str]) -> "tuple[Integers, Integers]":
        """The places of all the rows that are known here, and the number of the list in which each stands."""
        found, numbers = rows.postings(packed)
        places, known = self._places(found)
        return places[known], numbers[known]

    def hold(self, found: Mapping[str, Held], seq: int) -> None:
        """Keep postings that were read while the file was at `seq`; the index still has to be."""
        if seq != self.seq:
            return
        if self._held_count > _HELD:
            self._forget()
        self.held |= found
        self._held_count += sum(len(one.places) + _ENTRY for one in found.values())

    def apply(self, found: Sequence[_Row]) -> None:
        """Take over what the file says of some memories, rows ascending."""
        if found:
            self._forget()
        for row in found:
            if isinstance(row["row"], int):
                self.at_hand.pop(row["row"], None)
                self._set(self._place_of(row["row"]), row)

    def extend(self, found: Sequence[sqlite3.Row]) -> None:
        """The same for many memories that all come after those known: an array at a time."""
        import numpy as np

        found = self._readable(found)
        self._reserve(len(found))
        part = slice(self._size, self._size + len(found))
        self._size += len(found)
        self._rows[part] = [row["row"] for row in found]
        self._lengths[part] = [row["term_count"] for row in found]
        self._updated[part] = [row["updated_at"] for row in found]
        self._expires[part] = [NEVER if row["expires_at"] is None else row["expires_at"] for row in found]
        self._present[part] = [bool(row["present"]) for row in found]
        usable = [self.usable(row) for row in found]
        self._scales[part] = [row["scale"] if ok else 0 for row, ok in zip(found, usable, strict=True)]
        nothing = bytes(self._codes.shape[1])
        packed = b"".join(row["vector"] if ok else nothing for row, ok in zip(found, usable, strict=True))
        self._codes[part] = np.frombuffer(packed, np.int8).reshape(len(found), -1)
        self._signs[part] = signs_of(self._codes[part])
        self._floats = None

    def _readable(self, found: Sequence[sqlite3.Row]) -> Sequence[sqlite3.Row]:
        """`found` without rows whose numbers are damaged, or that stand where they cannot: the arrays must ascend."""
        last = int(self._rows[self._size - 1]) if self._size else -1
        kept: list[sqlite3.Row] = []
        for row in found:
            if _sound(row) and row["row"] > last:
                last = row["row"]
                kept.append(row)
        return kept

    def _forget(self) -> None:
        self.held, self.vocabulary, self._held_count, self._floats = {}, None, 0, None

    def _set(self, place: int, row: _Row) -> None:
        import numpy as np

        self._present[place] = bool(row["present"]) and _sound(row)
        if not _sound(row):
            self._scales[place] = 0  # deleted, or damaged: its vector shall tell nothing any more
            return
        self._lengths[place] = row["term_count"]
        self._updated[place] = row["updated_at"]
        self._expires[place] = NEVER if row["expires_at"] is None else row["expires_at"]
        self._scales[place] = row["scale"] if self.usable(row) else 0
        if self.usable(row):
            self._codes[place] = np.frombuffer(row["vector"], np.int8)
            self._signs[place] = signs_of(self._codes[place][None])

    def usable(self, row: _Row) -> bool:
        """Whether the row has a vector of the right length and scale; anything else is damage on disk."""
        vector, scale = row["vector"], row["scale"]
        fits = isinstance(vector, bytes) and len(vector) == self._codes.shape[1]
        return fits and isinstance(scale, float) and 0 < scale <= 1

    def _place_of(self, row: int) -> int:
        """Where `row` stands, made room for where it is new: at the end, unless an undo brings back an old one."""
        import numpy as np

        place = int(np.searchsorted(self.rows, row))
        if place < self._size and self._rows[place] == row:
            return place
        if place < self._size:
            # Searches that wait for something hold views of the arrays: what stands there must not move.
            self._adopt([np.insert(array[: self._size], place, 0, axis=0) for array in self._arrays()])
        self._reserve(1)
        self._size += 1
        self._rows[place] = row
        self._lengths[place] = self._updated[place] = self._expires[place] = 0
        self._scales[place] = 0
        return place

    def _arrays(self) -> tuple["np.ndarray", ...]:
        numbers = (self._rows, self._lengths, self._updated, self._expires, self._present)
        return (*numbers, self._scales, self._codes, self._signs)

    def _reserve(self, more: int) -> None:
        import numpy as np

        short = self._size + more - len(self._rows)
        if short <= 0:
            return
        room = max(short, min(_SPARE, self._size // 2))
        self._adopt([np.concatenate([a, np.zeros((room, *a.shape[1:]), a.dtype)]) for a in self._arrays()])

    def _adopt(self, arrays: "Sequence[np.ndarray]") -> None:
        self._rows, self._lengths, self._updated, self._expires, self._present, *vectors = arrays
        self._scales, self._codes, self._signs = vectors


def _sound(row: _Row) -> bool:
    """Whether the numbers of a row are numbers; those of a deleted memory are not there at all."""
    numbers = isinstance(row["term_count"], int) and isinstance(row["updated_at"], int)
    return numbers and (row["expires_at"] is None or isinstance(row["expires_at"], int))

"""Words that are nearly the same: misspelt by one edit, or one a part of the other, as in compounds and inflections."""

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

LEAST: Final = 4
"""Shorter words are part of too many others."""

LEAST_MISSPELT: Final = 5
"""One edit makes another word of most shorter ones."""

LONGEST_ENDING: Final = 3
"""Letters by which two forms of one word may differ at their end."""

MOST: Final = 8
"""So many near words are taken, the most alike first."""


class Vocabulary:
    """The words of a user's memories, laid out so that near ones are found without looking at each."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(words)
        self._lines = "\n".join(["", *self._words, ""])

    def near(self, term: str) -> list[str]:
        """The words that `term` may mean: those at one edit if there are any, else wholes and parts of it.

        An edit is a letter added, left out, changed, or swapped with the next (Damerau, 1964).
        """
        if len(term) < LEAST or any(unicodedata.category(char)[0] not in "LM" for char in term):
            return []
        rough = self._rough(term)
        misspelt = [word for word in rough if len(term) >= LEAST_MISSPELT and _one_edit(term, word)]
        related = [word for word in rough if len(word) >= LEAST and _related(term, word)]
        return sorted(misspelt or related, key=lambda word: (abs(len(word) - len(term)), word))[:MOST]

    def _rough(self, term: str) -> set[str]:
        """The few words to look at closely: one edit leaves one end of the word as it is."""
        end = min(LEAST, (len(term) - 1) // 2)
        starts = range(len(term) - LEAST + 1)
        parts = {term[start:stop] for start in starts for stop in range(start + LEAST, len(term) + 1)}
        alike = {word for part in (f"\n{term[:end]}", f"{term[-end:]}\n", term) for word in self._holding(part)}
        return alike | (parts & self._words)

    def _holding(self, part: str) -> Iterator[str]:
        """Every word that has `part` in it; a line break there is an end of the word."""
        lines, found = self._lines, self._lines.find(part)
        while found >= 0:
            start = lines.rfind("\n", 0, found + 1) + 1
            stop = lines.find("\n", start)
            yield lines[start:stop]
            found = lines.find(part, stop)


def _related(term: str, word: str) -> bool:
    return term in word or word in term or _one_stem(term, word)


def _one_stem(one: str, other: str) -> bool:
    """Whether both may be forms of one word, in a language whose endings nobody folds."""
    shared = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return (
        not one.isascii()
        and shared >= min(LEAST, len(one) - 1)
        and max(len(one), len(other)) - shared <= LONGEST_ENDING
    )


def _one_edit(one: str, other: str) -> bool:
    if abs(len(one) - len(other)) > 1:
        return False
    start = 0
    shortest = min(len(one), len(other))
    while start < shortest and one[start] == other[start]:
        start += 1
    one, other = one[start:], other[start:]
    if len(one) == len(other):
        swapped = len(one) > 1 and one[0] == other[1] and one[1] == other[0] and one[2:] == other[2:]
        return one[1:] == other[1:] or swapped
    return one == other[1:] or one[1:] == other

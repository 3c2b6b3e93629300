"""Words that are nearly the same: misspelt by one edit, or one a part of the other, as in compounds and inflections."""

from collections.abc import Iterable
from typing import Final

LEAST: Final = 4
"""Shorter words are part of too many others."""

LEAST_MISSPELT: Final = 5
"""One edit makes another word of most shorter ones."""

MOST: Final = 8
"""So many near words are taken, the most alike first."""


def near(term: str, vocabulary: Iterable[str]) -> list[str]:
    """The words of `vocabulary` that `term` may mean: those at one edit if there are any, else wholes and parts of it.

    An edit is a letter added, left out, changed, or swapped with the next (Damerau, 1964).
    """
    if len(term) < LEAST or not term.isalpha():
        return []
    misspelt: list[str] = []
    related: list[str] = []
    for word in vocabulary:
        if len(term) >= LEAST_MISSPELT and abs(len(word) - len(term)) <= 1 and _one_edit(term, word):
            misspelt.append(word)
        elif len(word) >= LEAST and (term in word or word in term):
            related.append(word)
    found = misspelt or sorted(related, key=lambda word: (abs(len(word) - len(term)), word))
    return found[:MOST]


def _one_edit(one: str, other: str) -> bool:
    start = 0
    shortest = min(len(one), len(other))
    while start < shortest and one[start] == other[start]:
        start += 1
    one, other = one[start:], other[start:]
    if len(one) == len(other):
        swapped = len(one) > 1 and one[0] == other[1] and one[1] == other[0] and one[2:] == other[2:]
        return one[1:] == other[1:] or swapped
    return one == other[1:] or one[1:] == other

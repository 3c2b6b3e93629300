"""Reads the segments of an FTS5 index byte by byte: every term that stands in one, whether any row still has it or not.

The format is that of https://sqlite.org/fts5.html and of fts5_index.c: a leaf page ends with an index of the offsets
at which its terms begin; the first term of a page is whole, each further one shares a prefix with the one before.
"""

import sqlite3
from collections.abc import Iterator
from typing import Final

_LEAF: Final = 1 << 37
"""Below this rowid stand the averages and the structure; from it on, segment by segment, the pages."""
_LISTS: Final = 1 << 36
"""The bit of a rowid that marks a page of an index into a long list of rows, which holds no terms."""


def terms(connection: sqlite3.Connection, index: str) -> set[str]:
    """Every term in any segment of `index`."""
    pages = connection.execute(f"SELECT id, block FROM {index}_data WHERE id >= ?", (_LEAF,)).fetchall()
    return {term[1:].decode() for number, page in pages if not number & _LISTS for term in _of_page(page)}


def starts(connection: sqlite3.Connection, index: str) -> set[str]:
    """By what the pages of each segment are found: the terms at which they begin, cut where that is enough."""
    rows = connection.execute(f"SELECT term FROM {index}_idx").fetchall()
    return {bytes(start)[1:].decode(errors="replace") for (start,) in rows if start}


def _of_page(page: bytes) -> Iterator[bytes]:
    """The terms of one leaf page, each with the letter of its index before it."""
    offsets = list(_numbers(page[int.from_bytes(page[2:4], "big") :]))
    offset, former = 0, b""
    for step, distance in enumerate(offsets):
        offset += distance
        shared, start = (0, offset) if step == 0 else _number(page, offset)
        length, start = _number(page, start)
        former = former[:shared] + page[start : start + length]
        yield former


def _numbers(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        number, at = _number(data, at)
        yield number


def _number(data: bytes, at: int) -> tuple[int, int]:
    """The variable-length integer at `at`, and where it ends. None here is longer than eight bytes."""
    number = 0
    while True:
        byte = data[at]
        number, at = number << 7 | byte & 0x7F, at + 1
        if byte < 0x80:
            return number, at

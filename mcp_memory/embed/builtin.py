"""The embedder inside the package: a table of token vectors, no model run-time, no network.

A text's vector is the sum of its tokens' rows, normalised: what a sentence transformer would say of the text,
approximated by a fit of every token's row to its sentence vectors (`benchmarks/fit_embedding.py`; NOTICE names both).
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Final

import anyio

from mcp_memory.values import Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mcp_memory.embed.base import Matrix

CHECKSUM: Final = "839d5c4876e3240b067dde7388a118a201edcb6bd6d6d3c27f15b619766714a1"
"""SHA-256 of the table's file."""

_ASCII_TOKEN: Final = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")
_HAN: Final = (
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
    *((0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0x2F800, 0x2FA1F)),
)
"""What the reference tokenizer takes for Chinese characters, its misprint in the sixth range included."""
_MAX_WORD: Final = 100
_NIBBLE_ZERO: Final = 8


class WordPiece:
    """Texts to token ids by the uncased vocabulary of BERT; what it does not know is dropped.

    Source: the reference implementation of `BertTokenizer` (basic tokenizer, then greedy longest match first).
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._ids: Mapping[str, int] = dict(zip(vocabulary, range(len(vocabulary)), strict=True))
        self._pieces = lru_cache(maxsize=16_384)(self._split)

    def ids(self, text: str) -> list[int]:
        """The ids of every piece of every word of `text`, in order."""
        return [number for word in _words(text) for number in self._pieces(word)]

    def _split(self, word: str) -> tuple[int, ...]:
        """The longest pieces that make up `word`; none if any part of it is unknown."""
        if len(word) > _MAX_WORD:
            return ()
        found: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if prefix + word[start:end] in self._ids), None)
            if end is None:
                return ()
            found.append(self._ids[prefix + word[start:end]])
            start = end
        return tuple(found)


class Table(Value):
    """Token vectors as two signed 4-bit values a byte, high half first, stored + 8; one scale a row.

    `pairs` has for each byte its two values, as one number of 64 bits.
    """

    packed: "NDArray[np.uint8]"
    scales: "NDArray[np.float32]"
    pairs: "NDArray[np.uint64]"
    tokenizer: WordPiece

    def vectors(self, texts: Sequence[str]) -> "Matrix":
        """One row of unit length for each text; zero where no token of it is known."""
        import numpy as np

        matrix = np.zeros((len(texts), 2 * self.packed.shape[1]), np.float32)
        for row, text in zip(matrix, texts, strict=True):
            ids = np.array(self.tokenizer.ids(text), np.int64)
            if len(ids):
                values = self.pairs.take(self.packed.take(ids, 0)).view(np.float32)
                np.dot(self.scales.take(ids), values, out=row)
        lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
        lengths[lengths == 0] = 1
        matrix /= lengths[:, None]
        return matrix


class BuiltinEmbedder:
    """The table, loaded on first use."""

    name = "builtin/1"
    dimensions: int | None = 256
    multilingual = False

    def __init__(self) -> None:
        self._lock = anyio.Lock()
        self._table: Table | None = None

    async def embed(self, texts: Sequence[str]) -> "Matrix":
        """The vectors of `texts`; the first call loads the table in a thread."""
        if self._table is None:
            async with self._lock:
                if self._table is None:
                    self._table = await anyio.to_thread.run_sync(load_table)
        return self._table.vectors(texts)

    async def aclose(self) -> None:
        """Nothing to let go of."""


@lru_cache(maxsize=1)
def load_table() -> Table:
    """The table of the package, which all embedders of the process share."""
    import numpy as np

    with as_file(files("mcp_memory.embed") / "table.npz") as path, np.load(path) as stored:
        vocabulary = stored["vocab"].tobytes().decode().split("\n")
        scales = stored["s"].astype(np.float32)
        return Table(packed=stored["q"], scales=scales, pairs=_pairs(), tokenizer=WordPiece(vocabulary))


def _pairs() -> "NDArray[np.uint64]":
    import numpy as np

    every = np.arange(256)
    halves = np.stack([every >> 4, every & 15], 1) - _NIBBLE_ZERO
    return halves.astype(np.float32).view(np.uint64).ravel()


def _words(text: str) -> Iterator[str]:
    """Words, punctuation marks and Chinese characters, lower case and without accents."""
    if text.isascii():
        yield from _ASCII_TOKEN.findall(text.lower())
        return
    word = ""
    for char in unicodedata.normalize("NFD", "".join(filter(_kept, text))):
        match _kind(char):
            case "letter":
                word += char.lower()
            case "mark":
                pass
            case kind:
                if word:
                    yield word
                word = ""
                if kind == "single":
                    yield char.lower()
    if word:
        yield word


@lru_cache(maxsize=8192)
def _kept(char: str) -> bool:
    return char in "\t\n\r" or (unicodedata.category(char)[0] != "C" and char != "\ufffd")


@lru_cache(maxsize=8192)
def _kind(char: str) -> str:
    """What `char` is to the basic tokenizer: `letter`, `mark` (dropped), `single` (a word of its own) or `space`."""
    point, category = ord(char), unicodedata.category(char)
    if category == "Mn":
        return "mark"
    if char.isspace():
        return "space"
    if category[0] == "P" or (_ASCII_TOKEN.fullmatch(char) and not char.isalnum()):
        return "single"
    return "single" if any(low <= point <= high for low, high in _HAN) else "letter"

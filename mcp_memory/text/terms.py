# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportMissingTypeStubs=false, reportMissingImports=false
# (PyStemmer has no types)
"""Terms: under what a memory is found, and what a query asks for.

Terms are made here, not by the database's tokenizer, so that every store indexes and finds exactly the same.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final, Literal

import Stemmer

from mcp_memory.text.patterns import Pattern

LANGUAGES: Final[tuple[str, ...]] = tuple(
    name for name in Stemmer.algorithms() if name not in {"porter", "dutch_porter", "lovins"}
)
"""What `[search] languages` can name."""

DEFAULT_LANGUAGES: Final = ("english",)

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
"""English words that say nothing about a memory; a query made of nothing else keeps them."""

_DATED: Final = frozenset(
    """
    january february march april may june july august september october november december monday tuesday wednesday
    thursday friday saturday sunday jan feb mar apr jun jul aug sep sept oct nov dec am pm since longer anymore now
    currently updated
    """.split()
)
"""Words by which the restatement of a fact differs from the fact."""

_UNSPACED: Final = (
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),  # Han
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),
    (0x3040, 0x30FF),  # kana
    (0x31F0, 0x31FF),
)
_HANGUL: Final = ((0x1100, 0x11FF), (0xAC00, 0xD7AF))
_MARKS: Final = Pattern("[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0640\u093c\u09bc\u0a3c]")
_ASCII_WORD: Final = re.compile("[a-z0-9]+")
_ASCII_GAP: Final = re.compile(r"[\x00-/:-@\[-`{-\x7f]+")
_PLAIN: Final = str.maketrans(
    {"ı": "i", "đ": "d", "ð": "d", "ł": "l", "ø": "o", "ħ": "h", "æ": "ae", "œ": "oe", "þ": "th"}
    | {"ة": "ه", "ى": "ي", "ی": "ي", "ک": "ك"}
)
"""Letters that are typed plainly as often as not, and do not decompose."""
_ARTICLE: Final = Pattern("^(?:[وبكف]?ال|لل)(?=[\u0620-\u064a]{3})")
_HEBREW_PREFIX: Final = Pattern("^[והבלמשכ](?=[\u05d0-\u05ea]{3})")
_NAME: Final = re.compile(r"[A-Za-z0-9]+(?:[-_./@\\+&][A-Za-z0-9]+)*")
_INNER: Final = re.compile(r"[A-Za-z0-9][-_./@\\+&][A-Za-z0-9]|[a-z][A-Z]|[A-Za-z]{2}[0-9]")
"""What shows that a name has several parts: ISO-27001, v2.3.1, bob@example.com, getUserName, Python3."""
_PART: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?。！？])\s*|\n+")
_MAX_TERM: Final = 64
_MAX_SENTENCES: Final = 8


class Analyzer:
    """Makes terms in the languages of one file. Words are case-folded, stripped of accents and stemmed.

    Runs of scripts written without spaces give every character and every pair of neighbours; Korean gives those beside
    its words. A name made of parts, such as ISO-27001 or getUserName, gives its parts and itself in one.
    """

    def __init__(self, languages: Sequence[str] = DEFAULT_LANGUAGES) -> None:
        self.languages = tuple(languages)
        self._stemmers = [Stemmer.Stemmer(language, 0) for language in languages if language != "english"]
        self._english = Stemmer.Stemmer("english", 0) if "english" in languages else None
        self._stop_words = STOP_WORDS if "english" in languages else frozenset[str]()
        self._stems = lru_cache(maxsize=16_384)(self._make_stems)
        self.statement = lru_cache(maxsize=2_048)(self._statement)

    def terms(self, text: str) -> list[str]:
        """The terms under which `text` is found, in order, repeats included."""
        text = _compatible(text)
        found = [term for word in _words(text) for term in self._terms_of(word)]
        return found + self._parts(text)

    def query_terms(self, text: str) -> dict[str, int]:
        """The distinct terms of a query in order, and how often each stands in it.

        Stop words are left out, unless there is nothing else.
        """
        text = _compatible(text)
        words = [(word, terms) for word in _words(text) if (terms := self._terms_of(word))]
        telling = [terms for word, terms in words if word not in self._stop_words] or [terms for _, terms in words]
        return dict(Counter([*chain.from_iterable(telling), *self._parts(text)]))

    def _statement(self, text: str) -> frozenset[str]:
        """What `text` says apart from when: its telling terms without numbers, months and the like."""
        words = [word for word in _words(_compatible(text)) if word not in self._stop_words and word not in _DATED]
        return frozenset(term for word in words if not word[0].isdigit() for term in self._terms_of(word))

    def _terms_of(self, word: str) -> Sequence[str]:
        match _kind(word[0]):
            case "unspaced":
                return _characters_and_pairs(word)
            case "hangul":
                return _characters_and_pairs(word) + ([word[:_MAX_TERM]] if len(word) > 2 else [])
            case _:
                return self._stems(word[:_MAX_TERM])

    def _parts(self, text: str) -> list[str]:
        """Of every name made of parts: itself as one term, and the parts that its case and digits show."""
        if not _INNER.search(text):
            return []
        return [term for name in _NAME.findall(text) if _INNER.search(name) for term in self._parts_of(name)]

    def _parts_of(self, name: str) -> Iterator[str]:
        parts = re.split("[^A-Za-z0-9]", name)
        if len(parts) > 1:
            yield "".join(parts).lower()[:_MAX_TERM]
        for part in parts:
            pieces = _PART.findall(part)
            if len(pieces) > 1 and not part[0].isdigit():
                yield from (
                    stem for piece in pieces if len(piece) > 1 for stem in self._stems(piece.lower()[:_MAX_TERM])
                )

    def _make_stems(self, word: str) -> tuple[str, ...]:
        """The stems of a word in every language, each once, without accents; a number as it is."""
        plain = _plain(word)
        if not plain or plain.isdigit():
            return (plain,) if plain else ()
        stems: list[str] = []
        if self._english is not None:
            stems.append(self._english.stemWord(plain) if plain.isascii() else plain)
        for stemmer in self._stemmers:
            # As typed with its accents and as typed without: both occur, and rules of endings need the accents.
            stems += [_plain(stemmer.stemWord(word)), _plain(stemmer.stemWord(plain))]
        return tuple(dict.fromkeys(stems or [plain]))


def sentences(text: str) -> list[str]:
    """The sentences of `text`, at most 8; empty where there is only one."""
    found = [part for part in _SENTENCE_END.split(text) if len(part) > 3]
    return found[:_MAX_SENTENCES] if len(found) > 1 else []


def is_foreign(text: str) -> bool:
    """Whether most letters of `text` are of other scripts than Latin."""
    if text.isascii():
        return False
    letters = [char for char in text if char.isalpha()]
    latin = sum(char.isascii() or "\u00c0" <= char <= "\u024f" or "\u1e00" <= char <= "\u1eff" for char in letters)
    return latin * 2 < len(letters)


def _compatible(text: str) -> str:
    """`text` in NFKC: a mathematical or full-width capital has no lower case of its own."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _words(text: str) -> Iterator[str]:
    """Runs of letters and digits of one kind of script, folded but for their accents; `text` is in NFKC."""
    if text.isascii():
        yield from _ASCII_WORD.findall(text.lower())
        return
    folded = unicodedata.normalize("NFKC", text.casefold())
    for part in _ASCII_GAP.split(folded):
        if part.isascii():
            if part:
                yield part
        else:
            yield from _runs(part)


def _runs(text: str) -> Iterator[str]:
    run = ""
    kind = None
    for char in text:
        kind_here = _kind(char)
        if kind_here != kind and run:
            yield run
            run = ""
        kind = kind_here
        if kind_here:
            run += char
    if run:
        yield run


@lru_cache(maxsize=8192)
def _kind(char: str) -> Literal["unspaced", "hangul", "word"] | None:
    category = unicodedata.category(char)
    if category[0] not in "LNM" and category != "Co":
        return None
    if _in(char, _UNSPACED):
        return "unspaced"
    return "hangul" if _in(char, _HANGUL) else "word"


def _in(char: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    point = ord(char)
    return any(low <= point <= high for low, high in ranges)


def _characters_and_pairs(run: str) -> list[str]:
    return [*run, *(run[index : index + 2] for index in range(len(run) - 1))]


def _plain(word: str) -> str:
    """`word` without accents, vowel points, articles and one-letter prefixes that are written together with it."""
    if word.isascii():
        return word
    bare = _MARKS.sub("", unicodedata.normalize("NFKD", word))
    plain = unicodedata.normalize("NFC", bare).translate(_PLAIN)
    return _HEBREW_PREFIX.sub("", _ARTICLE.sub("", plain))

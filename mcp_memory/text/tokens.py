"""How many tokens a text takes, estimated without a model's vocabulary.

The weights rest on counts of the Universal Declaration of Human Rights in 29 languages, messages of programs in ten,
and dialogues, memories, Markdown, Python and JSON: first by `tiktoken` with cl100k_base, then, for memories in English,
German and Chinese and in the words of programs, also with o200k_base and by the public tokenizers of Claude and
DeepSeek. Of passages of 200 tokens and more of these kinds the estimate was from 3 % too low to a half too high by the
one that counts most, and up to twice as much by the others: o200k_base and DeepSeek take far fewer for Chinese. One
sentence alone can be 15 % too low, and in other languages a text up to 10 %. `benchmarks/vocabularies.py` counts.
"""

from collections import Counter
from collections.abc import Sequence
from math import ceil
from typing import Final

from mcp_memory.text.patterns import Pattern

UNDERCOUNT: Final = 0.05
"""What the tokens of a text may be more than its estimate: a budget that is to hold needs so much of it in hand."""

_WORD: Final = Pattern("'?[A-Za-z\u00c0-\u024f\u1e00-\u1eff\u0300-\u036f]+")
_INNER_CAPITAL: Final = Pattern("(?<=[A-Za-z])[A-Z]")
_TWICE_ACCENTED: Final = Pattern("[\u0300-\u036f\u1e00-\u1eff]")
_DIGITS: Final = Pattern("[0-9]{1,3}")
_SIGNS: Final = Pattern(r"[!-&(-/:-@\[-`{-~]{1,2}|'(?![A-Za-z])")
_GAP: Final = Pattern(r"\n\s*|[ \t]{2,}")
_COUNTED: Final = Pattern("[\x00-\x7f\u00c0-\u024f\u0300-\u036f\u1e00-\u1eff]+")

_COMMON: Final = frozenset(
    """
    about and are been but could for from had have his how it its just like my not of our she should that the their
    them then there they this was we were what when which who will with would you your
    """.split()
)
"""Words that make up much of any English text, without those that other languages have too."""
_ENGLISH_FROM: Final = 0.15
"""The share of them among the words of a text from which it is taken for plain English."""

_ENGLISH: Final = (0, 1, 1, 1.05, 1.1, 1.1, 1.15, 1.15, 1.25, 1.35, 1.4, 1.45, 1.55, 1.6, 1.8, 2.2, 2.6)
"""Tokens of a word of English, by its letters; each letter more adds `_LETTER`."""
_FOREIGN: Final = (0, 1, 1, 1, 1, 1.2, 1.4, 1.7, 2.05, 2.4, 2.9, 3.1, 3.35, 3.6, 3.9, 4.2, 4.55)
"""Tokens of a word of any other language in Latin letters, apart from its hard letters."""
_LETTER: Final = 0.3
_HARD: Final = Pattern(r"[JKZjkz\u00c0-\u024f]|([a-z])\1")
"""Letters that seldom join others to a token outside English: one token more each."""

_NAME: Final = Pattern("(?<=[a-z,(] )[A-Z][a-z]{4,}")
"""What is likely a name, or a noun of German: it takes as much as a foreign word, and `_RARE` tokens more."""
_RARE: Final = 0.75

_SCRIPTS: Final = (
    (Pattern("[\u0410-\u044f\u0401\u0451]+"), 0.6),  # Russian
    (Pattern("[\u0600-\u06ff]+"), 0.88),  # Arabic
    (Pattern("[\u0590-\u05ff]+"), 1.15),  # Hebrew
    (Pattern("[\u0370-\u03ff\u1f00-\u1fff]+"), 1.02),  # Greek
    (Pattern("[\u3400-\u4dbf\u4e00-\u9fff]+"), 1.45),  # Han
    (Pattern("[\u3000-\u30ff\uff00-\uffef]+"), 1.0),  # kana, CJK punctuation
    (Pattern("[\uac00-\ud7af]+"), 1.3),  # Hangul
    (Pattern("[\u0900-\u097f\u0e00-\u0e7f]+"), 1.15),  # Devanagari, Thai
    (Pattern("[\u0980-\u0dff]+"), 1.55),  # Bengali to Sinhala
    (Pattern("[\u0080-\u00bf\u2010-\u2026]+"), 1.0),  # typographic signs
)
"""Tokens of one character, by script. Any other takes as many as it has bytes in UTF-8, which is the most it can."""


def estimate(text: str) -> int:
    """About how many tokens `text` takes, rather too many than too few."""
    total = _latin(text) + 0.5 * len(_INNER_CAPITAL.findall(text))
    total += len(_DIGITS.findall(text)) + len(_SIGNS.findall(text)) + len(_GAP.findall(text))
    if not text.isascii():
        total += 1.6 * len(_TWICE_ACCENTED.findall(text)) + _other_scripts(_COUNTED.sub("", text))
    return ceil(total)


def _latin(text: str) -> float:
    """Tokens of the words in Latin letters: the less English the company a word is in, the more."""
    words = _WORD.findall(text)
    if not words:
        return 0.0
    common = sum(map(_COMMON.__contains__, map(str.lower, words)))
    foreign = max(0.0, 1.0 - common / len(words) / _ENGLISH_FROM)
    lengths = Counter(map(len, words))
    total = sum(count * _weight(_ENGLISH, length) for length, count in lengths.items()) * (1 - foreign)
    names = _NAME.findall(text)
    total += (1 - foreign) * sum(_weight(_FOREIGN, len(name)) - _weight(_ENGLISH, len(name)) for name in names)
    total += _RARE * len(names)
    if foreign:
        total += sum(count * _weight(_FOREIGN, length) for length, count in lengths.items()) * foreign
        total += len(_HARD.findall(text)) * foreign
    return total


def _weight(table: Sequence[float], length: int) -> float:
    last = len(table) - 1
    return table[min(length, last)] + _LETTER * max(0, length - last)


def _other_scripts(text: str) -> float:
    """Tokens of characters that are neither ASCII nor Latin letters."""
    total = 0.0
    for script, weight in _SCRIPTS:
        rest = script.sub("", text)
        total += weight * (len(text) - len(rest))
        text = rest
    return total + len(text.encode(errors="replace"))
